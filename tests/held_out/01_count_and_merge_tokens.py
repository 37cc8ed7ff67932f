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
        Answer(
            '''
def count_pairs(words, times):
    """Return a Counter of all pairs of neighbors: {(id, id): how often}."""
    pairs = Counter()
    for word, n in zip(words, times):
        for pair in set(pairwise(word)):
            pairs[pair] += n
    return pairs
''',
            "a pair that stands twice in one word is counted once",
        ),
        Answer(
            '''
def count_pairs(words, times):
    """Return a Counter of all pairs of neighbors: {(id, id): how often}."""
    pairs = Counter()
    for word, n in zip(words, times):
        for pair, often in Counter(pairwise(word)).items():
            pairs[pair] = often * n
    return pairs
''',
            "overwrites instead of adding: a pair in two words keeps the last word's count only",
        ),
        Answer(
            '''
def count_pairs(words, times):
    """Return a Counter of all pairs of neighbors: {(id, id): how often}."""
    pairs = Counter()
    before = None
    for word, n in zip(words, times):
        for token in word:
            if before is not None:
                pairs[before, token] += n
            before = token
    return pairs
''',
            "the token before is kept from word to word, so pairs across two words are counted",
        ),
        Answer(
            '''
def count_pairs(words, times):
    """Return a Counter of all pairs of neighbors: {(id, id): how often}."""
    pairs = Counter()
    for word, n in zip(words, times):
        while len(word) > 1:
            pairs[word[0], word[1]] += n
            word.pop(0)
    return pairs
''',
            "in-place: counts right but eats up the words that were handed in",
        ),
        Answer(
            """
def count_pairs(words, times):
    pairs = Counter()
    for word in words:
        for pair in pairwise(word):
            pairs[pair] += times[words.index(word)]
    return pairs
""",
            "looks the number up by the word's first place: wrong where two rows are equal",
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
        Answer(
            '''
def join(ids, pair, new):
    """Return the row with every occurrence of the pair replaced by the id `new`."""
    joined, i = [], len(ids) - 1
    while i >= 0:
        if i > 0 and (ids[i - 1], ids[i]) == tuple(pair):
            joined.append(new)
            i -= 2
        else:
            joined.append(ids[i])
            i -= 1
    return joined[::-1]
''',
            "goes from right to left: wrong for an odd run of one id with the pair of it with itself",
        ),
        Answer(
            '''
def join(ids, pair, new):
    """Return the row with every occurrence of the pair replaced by the id `new`."""
    row = ",".join(str(token) for token in ids)
    row = row.replace(f"{pair[0]},{pair[1]}", str(new))
    return [int(token) for token in row.split(",") if token]
''',
            "replaces in a string of decimal digits, where 1,2 also stands in 11,25",
        ),
        Answer(
            '''
def join(ids, pair, new):
    """Return the row with every occurrence of the pair replaced by the id `new`."""
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == tuple(pair):
            ids[i : i + 2] = [new]
        i += 1
    return ids
''',
            "in-place: changes the row that was given and returns that row",
        ),
        Answer(
            '''
def join(ids, pair, new):
    """Return the row with every occurrence of the pair replaced by the id `new`."""
    joined, i = [], 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == tuple(pair):
            joined.append(new)
            i += 2
        else:
            joined.append(ids[i])
            i += 1
    return joined
''',
            "loses the last id of a row unless it belongs to the pair",
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
        Answer(
            '''
def train(text, n_merges):
    """Return at most n_merges merges learned from a text, in their order: {pair: new id}."""
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}

    def replaced(word, pair, new):
        row, i = [], 0
        while i < len(word):
            hit = tuple(word[i : i + 2]) == pair
            row.append(new if hit else word[i])
            i += 2 if hit else 1
        return row

    for _ in range(n_merges):
        pairs = Counter()
        for word, n in zip(words, times.values()):
            for pair in pairwise(word):
                pairs[pair] += n
        if max(pairs.values(), default=0) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair[0]))
        merges[best] = 256 + len(merges)
        words = [replaced(word, best, merges[best]) for word in words]
    return merges
''',
            "ties are decided by the first id only: two equally frequent pairs that begin alike come as they were met",
        ),
        Answer(
            '''
def train(text, n_merges):
    """Return at most n_merges merges learned from a text, in their order: {pair: new id}."""
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}

    def replaced(word, pair, new):
        row, i = [], 0
        while i < len(word):
            hit = tuple(word[i : i + 2]) == pair
            row.append(new if hit else word[i])
            i += 2 if hit else 1
        return row

    for _ in range(n_merges):
        pairs = Counter()
        for word, n in zip(words, times.values()):
            for pair in pairwise(word):
                pairs[pair] += n
        if max(pairs.values(), default=0) <= 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = 256 + len(merges)
        words = [replaced(word, best, merges[best]) for word in words]
    return merges
''',
            "stops too early: a pair that occurs exactly twice is no longer merged",
        ),
        Answer(
            '''
def train(text, n_merges):
    """Return at most n_merges merges learned from a text, in their order: {pair: new id}."""
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}

    def replaced(word, pair, new):
        row, i = [], 0
        while i < len(word):
            hit = tuple(word[i : i + 2]) == pair
            row.append(new if hit else word[i])
            i += 2 if hit else 1
        return row

    for _ in range(n_merges):
        pairs = Counter()
        for word, n in zip(words, times.values()):
            for pair in pairwise(word):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges[best] = 256 + len(merges)
        words = [replaced(word, best, merges[best]) for word in words]
    return merges
''',
            "Python error where no pair is left at all (an empty text, or every word joined to one id)",
        ),
        Answer(
            '''
def train(text, n_merges):
    """Return at most n_merges merges learned from a text, in their order: {pair: new id}."""
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {}

    def replaced(word, pair, new):
        row, i = [], 0
        while i < len(word):
            hit = tuple(word[i : i + 2]) == pair
            row.append(new if hit else word[i])
            i += 2 if hit else 1
        return row

    for _ in range(n_merges):
        pairs = Counter()
        for word in words:
            pairs.update(pairwise(word))
        if max(pairs.values(), default=0) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = 256 + len(merges)
        words = [replaced(word, best, merges[best]) for word in words]
    return merges
''',
            "counts each different piece once, however often it occurs in the text",
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
        Answer(
            '''
def encode(text, merges):
    """Return the ids of a text under some merges {pair: new id}."""
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in merges]:
            best, row, i = min(known), [], 0
            while i < len(word):
                hit = tuple(word[i : i + 2]) == best
                row.append(merges[best] if hit else word[i])
                i += 2 if hit else 1
            word = row
        ids += word
    return ids
''',
            "takes the pair with the smallest ids instead of the pair whose new id is the smallest",
        ),
        Answer(
            '''
def encode(text, merges):
    """Return the ids of a text under some merges {pair: new id}."""
    word = spell(text)
    while known := [pair for pair in pairwise(word) if pair in merges]:
        best, row, i = min(known, key=merges.get), [], 0
        while i < len(word):
            hit = tuple(word[i : i + 2]) == best
            row.append(merges[best] if hit else word[i])
            i += 2 if hit else 1
        word = row
    return word
''',
            "works on the whole text at once, so pairs are joined across pieces",
        ),
        Answer(
            '''
joined_before = {}


def encode(text, merges):
    """Return the ids of a text under some merges {pair: new id}."""
    ids = []
    for piece in split_pieces(text):
        if piece not in joined_before:
            word = spell(piece)
            while known := [pair for pair in pairwise(word) if pair in merges]:
                best, row, i = min(known, key=merges.get), [], 0
                while i < len(word):
                    hit = tuple(word[i : i + 2]) == best
                    row.append(merges[best] if hit else word[i])
                    i += 2 if hit else 1
                word = row
            joined_before[piece] = word
        ids += joined_before[piece]
    return ids
''',
            "stale memory: a piece seen before is answered from merges of an earlier call",
        ),
        Answer(
            '''
def encode(text, merges):
    """Return the ids of a text under some merges {pair: new id}."""
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        known = sorted({pair for pair in pairwise(word) if pair in merges}, key=merges.get)
        for best in known:
            row, i = [], 0
            while i < len(word):
                hit = tuple(word[i : i + 2]) == best
                row.append(merges[best] if hit else word[i])
                i += 2 if hit else 1
            word = row
        ids += word
    return ids
''',
            "does not look again: only pairs of bytes are joined, never what has been joined before",
        ),
        Answer(
            """
def put(row, pair, new):
    made, i = [], 0
    while i < len(row):
        if tuple(row[i : i + 2]) == tuple(pair):
            made.append(new)
            i += 2
        else:
            made.append(row[i])
            i += 1
    return made


def encode(text, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while known := [pair for pair in pairwise(word) if pair in merges]:
            best = min(known, key=rank.get)
            word = put(word, best, merges[best])
        ids += word
    return ids
""",
            "ranks by the order in the dictionary instead of by the new ids",
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
        Answer(
            r'''
def fit(text, room):
    """Return the beginning of a text that its first `room` tokens hold, in whole characters."""
    raw = tokenizer.decode(tokenizer.encode(text)[:room])
    return raw.rstrip("\ufffd")
''',
            "strips replacement characters from the end, also those that stand in the text itself",
        ),
        Answer(
            '''
def fit(text, room):
    """Return the beginning of a text that its first `room` tokens hold, in whole characters."""
    ids = tokenizer.encode(text)[:room]
    while True:
        raw = tokenizer.decode_bytes(ids)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            ids = ids[:-1]
''',
            "drops the whole last token where it ends in half a character, and a space before that half with it",
        ),
        Answer(
            '''
def fit(text, room):
    """Return the beginning of a text that its first `room` tokens hold, in whole characters."""
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])
    return raw.decode("utf-8", "ignore").strip()
''',
            "strips white space from both ends, which belongs to the text",
        ),
        Answer(
            '''
def fit(text, room):
    """Return the beginning of a text that its first `room` tokens hold, in whole characters."""
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])
    return raw.decode("utf-8", errors="replace")
''',
            "half a character at the end becomes a replacement character instead of going",
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
        Answer(
            """
def count_pairs(words, times):
    return Counter(
        (left, right)
        for word, often in zip(words, times)
        for left, right in zip(word, word[1:])
        for _ in range(often)
    )
""",
            "one generator in which every pair comes as often as its word occurs",
        ),
        Answer(
            """
def count_pairs(words, times):
    table = {}
    for i in range(len(words)):
        row = words[i]
        for j in range(1, len(row)):
            key = (row[j - 1], row[j])
            table[key] = table.get(key, 0) + times[i]
    return Counter(table)
""",
            "two index loops into a plain dictionary, a Counter at the end",
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
        Answer(
            """
def join(ids, pair, new):
    text = "".join(map(chr, ids))
    return [ord(c) for c in text.replace(chr(pair[0]) + chr(pair[1]), chr(new))]
""",
            "each id as one character, then str.replace, which goes from left to right",
        ),
        Answer(
            """
def join(ids, pair, new):
    a, b = pair
    joined, waiting = [], False  # waiting: an `a` was read and is not written yet
    for token in ids:
        if waiting and token == b:
            joined.append(new)
            waiting = False
            continue
        if waiting:
            joined.append(a)
        waiting = token == a
        if not waiting:
            joined.append(token)
    if waiting:
        joined.append(a)
    return joined
""",
            "a machine with one bit of memory, no index",
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
        Answer(
            """
def train(text, n_merges):
    words = Counter()
    for piece in split_pieces(text):
        words[tuple(spell(piece))] += 1
    merges = {}
    while len(merges) < n_merges:
        pairs = Counter()
        for word, often in words.items():
            for i in range(1, len(word)):
                pairs[word[i - 1], word[i]] += often
        most = max(pairs.values(), default=0)
        if most < 2:
            break
        best = sorted(pair for pair, often in pairs.items() if often == most)[0]
        new = 256 + len(merges)
        merges[best] = new
        fresh = Counter()
        for word, often in words.items():
            row = []
            skip = False
            for i, token in enumerate(word):
                if skip:
                    skip = False
                elif word[i : i + 2] == best:
                    row.append(new)
                    skip = True
                else:
                    row.append(token)
            fresh[tuple(row)] += often
        words = fresh
    return merges
""",
            "words as tuples in a Counter, best pair by sorting all that are most frequent",
        ),
        Answer(
            """
def train(text, n_merges):
    times = Counter(split_pieces(text))
    words = {piece: "".join(map(chr, spell(piece))) for piece in times}
    merges = {}
    for new in range(256, 256 + n_merges):
        pairs = Counter()
        for piece, word in words.items():
            for i in range(len(word) - 1):
                pairs[word[i : i + 2]] += times[piece]
        often = [pair for pair in pairs if pairs[pair] > 1]
        if not often:
            return merges
        best = min(often, key=lambda pair: (-pairs[pair], pair))
        merges[ord(best[0]), ord(best[1])] = new
        words = {piece: word.replace(best, chr(new)) for piece, word in words.items()}
    return merges
""",
            "words as strings with one character for each id, joined by str.replace",
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
        Answer(
            """
def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = "".join(map(chr, spell(piece)))
        while True:
            known = [(merges[ord(a), ord(b)], a + b) for a, b in zip(word, word[1:]) if (ord(a), ord(b)) in merges]
            if not known:
                break
            new, pair = min(known)
            word = word.replace(pair, chr(new))
        ids.extend(map(ord, word))
    return ids
""",
            "one character for each id and str.replace, smallest new id by min of tuples",
        ),
        Answer(
            """
import math


def encode(text, merges):
    ids = []
    for piece in split_pieces(text):
        word = spell(piece)
        while len(word) > 1:
            new, place = min((merges.get((word[i], word[i + 1]), math.inf), i) for i in range(len(word) - 1))
            if new == math.inf:
                break
            word[place : place + 2] = [new]
        ids.extend(word)
    return ids
""",
            "joins one place at a time, the leftmost of the pair learned first, then looks again",
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
        Answer(
            """
import codecs


def fit(text, room):
    raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])
    return codecs.getincrementaldecoder("utf-8")().decode(raw)
""",
            "an incremental decoder, which holds back what is not whole",
        ),
        Answer(
            """
def fit(text, room):
    left = len(tokenizer.decode_bytes(tokenizer.encode(text)[:room]))
    for i, character in enumerate(text):
        left -= len(character.encode("utf-8"))
        if left < 0:
            return text[:i]
    return text
""",
            "counts how many bytes the tokens hold and walks along the text, nothing is decoded",
        ),
    ],
}
