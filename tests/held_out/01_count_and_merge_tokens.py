"""Answers to exercise 01, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word in words:
        pairs.update(pairwise(word))
    return pairs
""",
            "forgotten step: ignores how often each word occurs",
        ),
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word, often in zip(words, times, strict=True):
        for pair in set(pairwise(word)):
            pairs[pair] += often
    return pairs
""",
            "counts a pair once in each word",
        ),
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word, often in zip(words, times, strict=True):
        for pair in pairwise(word):
            pairs[pair] = often
    return pairs
""",
            "overwrites instead of adding",
        ),
        Answer(
            """
def count_pairs(words, times):
    row = [token for word, often in zip(words, times, strict=True) for token in word * often]
    return Counter(pairwise(row))
""",
            "counts neighbors across two words",
        ),
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word, often in zip(words, times, strict=True):
        for i in range(len(word) - 2):
            pairs[word[i], word[i + 1]] += often
    return pairs
""",
            "off by one: the last pair of each word is missing",
        ),
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word, often in zip(words, times, strict=True):
        for a, b in zip(word[::2], word[1::2]):
            pairs[a, b] += often
    return pairs
""",
            "steps over every second pair",
        ),
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word, often in zip(words, times, strict=True):
        for a, b in pairwise(word):
            pairs[min(a, b), max(a, b)] += often
    return pairs
""",
            "forgets the order within a pair",
        ),
    ],
    "q2": [
        Answer(
            """
def join(ids, pair, new):
    joined = []
    for i, token in enumerate(ids):
        if tuple(ids[i : i + 2]) == tuple(pair):
            joined.append(new)
        elif i == 0 or tuple(ids[i - 1 : i + 1]) != tuple(pair):
            joined.append(token)
    return joined
""",
            "replaces overlapping occurrences, too",
        ),
        Answer(
            """
def join(ids, pair, new):
    joined, i = [], len(ids) - 1
    while i >= 0:
        if i > 0 and (ids[i - 1], ids[i]) == pair:
            joined.insert(0, new)
            i -= 2
        else:
            joined.insert(0, ids[i])
            i -= 1
    return joined
""",
            "goes from right to left",
        ),
        Answer(
            """
def join(ids, pair, new):
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new, *ids[i + 2 :]]
    return list(ids)
""",
            "replaces the first occurrence only",
        ),
        Answer(
            """
def join(ids, pair, new):
    joined, i = [], 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == pair:
            joined.append(new)
            i += 2
        else:
            joined.append(ids[i])
            i += 1
    return joined
""",
            "off by one: loses the last token",
        ),
        Answer(
            """
def join(ids, pair, new):
    joined, i = [], 0
    while i < len(ids):
        if ids[i : i + 2] == pair:
            joined.append(new)
            i += 2
        else:
            joined.append(ids[i])
            i += 1
    return joined
""",
            "compares a list with a tuple: never finds the pair",
        ),
        Answer(
            """
def join(ids, pair, new):
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == pair:
            ids[i : i + 2] = [new]
        i += 1
    return ids
""",
            "in-place damage: the row that was given shrinks",
        ),
        Answer(
            """
def join(ids, pair, new):
    joined, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            joined = [*joined[-10:], new]
        else:
            joined.append(ids[i])
            i += 1
    return joined
""",
            "never ends: doesn't go on behind a pair",
        ),
        Answer(
            """
def join(ids, pair, new):
    joined, i = [], 0
    while i < len(ids):
        if ids[i] == pair[0] and ids[i + 1] == pair[1]:
            joined.append(new)
            i += 2
        else:
            joined.append(ids[i])
            i += 1
    return joined
""",
            "crashes at the end of the row",
        ),
    ],
    "q3": [
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        if not pairs or max(pairs.values()) < 2:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "takes the pair with the larger ids among equals",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        if not pairs or pairs.most_common(1)[0][1] < 2:
            break
        best = pairs.most_common(1)[0][0]
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "takes the pair that was seen first among equals",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "forgotten step: learns pairs that occur once",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        if max(pairs.values(), default=0) <= 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "off by one: stops at pairs that occur twice",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "crashes where no pair is left",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, [1] * len(words))
        if not pairs or max(pairs.values()) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "forgotten step: counts each different word once",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        if not pairs or max(pairs.values()) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = 257 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "off by one: ids begin at 257",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        if not pairs or max(pairs.values()) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], sum(pair), pair))
        merges[best] = 256 + len(merges)
        words = [join(word, best, merges[best]) for word in words]
    return merges
""",
            "among equals takes the smaller sum of ids",
        ),
    ],
    "q4": [
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in merges]:
            word = join(word, known[0], merges[known[0]])
        ids += word
    return ids
""",
            "joins the leftmost pair that is known",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in merges]:
            best = max(known, key=merges.get)
            word = join(word, best, merges[best])
        ids += word
    return ids
""",
            "joins the pair that was learned last",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        known = [pair for pair in pairwise(word) if pair in merges]
        if known:
            best = min(known, key=merges.get)
            word = join(word, best, merges[best])
        ids += word
    return ids
""",
            "joins once in each piece and doesn't look again",
        ),
        Answer(
            """
def encode(text, merges):
    word = spell(text)
    while known := [pair for pair in pairwise(word) if pair in merges]:
        best = min(known, key=merges.get)
        word = join(word, best, merges[best])
    return word
""",
            "joins across the pieces of a text",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while len(word) > 1:
            best = min(pairwise(word), key=lambda pair: merges[pair])
            word = join(word, best, merges[best])
        ids += word
    return ids
""",
            "crashes at a pair that nobody knows",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in merges]:
            best = min(known, key=merges.get)
            join(word, best, merges[best])
        ids += word
    return ids
""",
            "never ends: what was joined is thrown away",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in gpt2]:
            best = min(known, key=gpt2.get)
            word = join(word, best, gpt2[best])
        ids += word
    return ids
""",
            "reads a global instead of its argument: GPT-2's merges",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in merges]:
            best = min(known)
            word = join(word, best, merges[best])
        ids += word
    return ids
""",
            "the smallest pair of ids instead of the first learned",
        ),
    ],
    "q5": [
        Answer(
            """
def fit(text, room):
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])
    return raw.decode("utf-8", errors="replace")
""",
            "puts a sign where half a character stands",
        ),
        Answer(
            """
def fit(text, room):
    return text[:room]
""",
            "counts characters, not tokens",
        ),
        Answer(
            """
def fit(text, room):
    return tokenizer.decode_bytes(tokenizer.encode(text)[:room]).decode("utf-8")
""",
            "crashes on half a character",
        ),
        Answer(
            """
def fit(text, room):
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[: room - 1])
    return raw.decode("utf-8", errors="ignore")
""",
            "off by one: one token too few",
        ),
        Answer(
            """
def fit(text, room):
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[-room:])
    return raw.decode("utf-8", errors="ignore")
""",
            "takes the end of the text",
        ),
        Answer(
            """
def fit(text, room):
    ids = tokenizer.encode(text)[:room]
    while True:
        try:
            return tokenizer.decode_bytes(ids).decode("utf-8")
        except UnicodeDecodeError:
            ids = ids[:-1]
""",
            "gives back a whole token that holds only part of a character",
        ),
        Answer(
            """
def fit(text, room):
    return text.encode("utf-8")[:room].decode("utf-8", errors="ignore")
""",
            "cuts bytes, not tokens",
        ),
        Answer(
            """
def fit(text, room):
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])
    return raw.decode("ascii", errors="ignore")
""",
            "drops whatever isn't ASCII",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def count_pairs(words, times):
    total = Counter()
    for i in range(len(words)):
        inside = Counter(zip(words[i], words[i][1:]))
        total.update({pair: count * times[i] for pair, count in inside.items()})
    return total
""",
            "one counter for each word, multiplied and added",
        ),
        Answer(
            """
def count_pairs(words, times):
    return Counter(pair for word, n in zip(words, times) for _ in range(n) for pair in pairwise(word))
""",
            "repeats each word as often as it occurs",
        ),
    ],
    "q2": [
        Answer(
            """
def join(ids, pair, new):
    joined, open_end = [], False
    for token in ids:
        if open_end and token == pair[1]:
            joined[-1], open_end = new, False
        else:
            joined.append(token)
            open_end = token == pair[0]
    return joined
""",
            "looks back at what was put down last",
        ),
        Answer(
            """
def join(ids, pair, new):
    for i in range(len(ids) - 1):
        if ids[i] == pair[0] and ids[i + 1] == pair[1]:
            return list(ids[:i]) + [new] + join(ids[i + 2 :], pair, new)
    return list(ids)
""",
            "by recursion over the row",
        ),
    ],
    "q3": [
        Answer(
            """
def train(text, n_merges):
    words, merges = [spell(piece) for piece in split_pieces(text)], {}
    while len(merges) < n_merges:
        ranked = sorted((-n, pair) for pair, n in count_pairs(words, [1] * len(words)).items())
        if not ranked or ranked[0][0] > -2:
            return merges
        pair = ranked[0][1]
        merges[pair] = len(merges) + 256
        words = [join(word, pair, merges[pair]) for word in words]
    return merges
""",
            "sorts all pairs, and counts on the whole list of pieces",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}
    for new in range(256, 256 + n_merges):
        pairs = count_pairs(words, [*times.values()])
        most = max(pairs.values(), default=1)
        if most == 1:
            break
        best = min(pair for pair in pairs if pairs[pair] == most)
        merges[best] = new
        words = [join(word, best, new) for word in words]
    return merges
""",
            "the largest count first, then the smallest of those that have it",
        ),
    ],
    "q4": [
        Answer(
            """
def encode(text, merges):
    ids, ordered = [], sorted(merges.items(), key=lambda item: item[1])
    for piece in split_pieces(text):
        word = spell(piece)
        for pair, new in ordered:
            if pair[0] in word:
                word = join(word, pair, new)
        ids += word
    return ids
""",
            "goes once through all merges, from the first to the last",
        ),
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while len(word) > 1:
            best = min(pairwise(word), key=lambda pair: merges.get(pair, float("inf")))
            if best not in merges:
                break
            word = join(word, best, merges[best])
        ids.extend(word)
    return ids
""",
            "asks for infinity where a pair is unknown",
        ),
    ],
    "q5": [
        Answer(
            """
def fit(text, room):
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])
    while True:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raw = raw[:-1]
""",
            "takes bytes away until the rest can be read",
        ),
        Answer(
            """
def fit(text, room):
    import codecs

    return codecs.getincrementaldecoder("utf-8")().decode(tokenizer.decode_bytes(tokenizer.encode(text)[:room]))
""",
            "a decoder that waits for the other half",
        ),
    ],
}
