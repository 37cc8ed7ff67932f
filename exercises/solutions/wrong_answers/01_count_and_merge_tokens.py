"""Typical wrong answers to exercise 01, and a part of the message that each must get."""

LEARN = """def train(text, n_merges):
    times = Counter(split_pieces(text))
    words, merges = [spell(piece) for piece in times], {{}}
    for _ in range(n_merges):
        pairs = count_pairs(words, list(times.values()))
        best = {best}
        {stop}
        merges[best] = {first} + len(merges)
        {update}
    return merges
"""
RIGHT = {
    "first": "256",
    "best": "min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)",
    "stop": "if pairs[best] < 2: break",
    "update": "words = [join(word, best, merges[best]) for word in words]",
}


def learn(**changes):
    """Return the code of `train` with some of its lines changed."""
    return LEARN.format(**(RIGHT | changes))


WRONG = {
    "q1": [
        (
            "def count_pairs(words, times):\n    return Counter(pair for word in words for pair in pairwise(word))",
            "Do you use `times`",
        ),
        (
            "def count_pairs(words, times):\n    row = [t for word, n in zip(words, times) for t in word * n]\n"
            "    return Counter(pairwise(row))",
            "across two words",
        ),
        (
            "def count_pairs(words, times):\n"
            "    return Counter({pair: n for word, n in zip(words, times) for pair in pairwise(word)})",
            "does the last one win",
        ),
        (
            "def count_pairs(words, times):\n    pairs = Counter()\n    for word, n in zip(words, times):\n"
            "        for pair in set(pairwise(word)):\n            pairs[pair] += n\n    return pairs",
            "twice in one word",
        ),
        (
            "def count_pairs(words, times):\n    pairs = Counter()\n    for word, n in zip(words, times):\n"
            "        for pair in zip(word[::2], word[1::2]):\n            pairs[pair] += n\n    return pairs",
            "Which ones",
        ),
    ],
    "q2": [
        (
            "def join(ids, pair, new):\n    for i in range(len(ids) - 1):\n"
            "        if (ids[i], ids[i + 1]) == pair:\n            return ids[:i] + [new] + ids[i + 2 :]\n"
            "    return list(ids)",
            "every occurrence",
        ),
        (
            "def join(ids, pair, new):\n    joined, i = [], 0\n    while i < len(ids) - 1:\n"
            "        found = (ids[i], ids[i + 1]) == pair\n        joined.append(new if found else ids[i])\n"
            "        i += 2 if found else 1\n    return joined",
            "Is it kept",
        ),
        (
            "def join(ids, pair, new):\n    joined = []\n    for token in reversed(ids):\n"
            "        if joined and (token, joined[0]) == pair:\n            joined[0] = new\n"
            "        else:\n            joined.insert(0, token)\n    return joined",
            "joined first",
        ),
        (
            "def join(ids, pair, new):\n    i = 0\n    while i < len(ids) - 1:\n"
            "        if (ids[i], ids[i + 1]) == pair:\n            ids[i : i + 2] = [new]\n"
            "        i += 1\n    return ids",
            "work on a copy",
        ),
        (
            "def join(ids, pair, new):\n    joined, i = [], 0\n    while i < len(ids):\n"
            "        found = sorted(ids[i : i + 2]) == sorted(pair)\n        joined.append(new if found else ids[i])\n"
            "        i += 2 if found else 1\n    return joined",
            "the same pair",
        ),
    ],
    "q3": [
        (learn(first="0"), "first that is free"),
        (learn(update=""), "before you count again"),
        (learn(best="max(pairs, key=pairs.get, default=None)"), "smaller ids win"),
        (learn(stop=""), "occurs once"),
        (learn(best="min(pairs, key=lambda pair: (pairs[pair], pair), default=None)", stop=""), "or the rarest"),
    ],
    "q4": [
        (
            "def encode(text, merges):\n    ids = []\n    for piece in split_pieces(text):\n"
            "        word = spell(piece)\n        if known := [pair for pair in pairwise(word) if pair in merges]:\n"
            "            best = min(known, key=merges.get)\n            word = join(word, best, merges[best])\n"
            "        ids += word\n    return ids",
            "look again",
        ),
        (
            "def encode(text, merges):\n    ids = []\n    for piece in split_pieces(text):\n"
            "        word = spell(piece)\n        while known := [pair for pair in pairwise(word) if pair in merges]:\n"
            "            word = join(word, known[0], merges[known[0]])\n        ids += word\n    return ids",
            "learned first",
        ),
        (
            "def encode(text, merges):\n    word = spell(text)\n"
            "    while known := [pair for pair in pairwise(word) if pair in merges]:\n"
            "        best = min(known, key=merges.get)\n        word = join(word, best, merges[best])\n    return word",
            "across two pieces",
        ),
        (
            "def encode(text, merges):\n    return [merges.get(tuple(spell(piece))) for piece in split_pieces(text)]",
            "expected",
        ),
    ],
    "q5": [
        ("def fit(text, room):\n    return tokenizer.encode(text)[:room]", "These are ids"),
        ("def fit(text, room):\n    return text[:room]", "Do you count tokens"),
        ("def fit(text, room):\n    return tokenizer.decode(tokenizer.encode(text)[:room])", "Half a character"),
        (
            "def fit(text, room):\n    ids = tokenizer.encode(text)[:room]\n"
            "    while '\\ufffd' in tokenizer.decode(ids):\n        ids.pop()\n    return tokenizer.decode(ids)",
            "drop more",
        ),
        (
            "def fit(text, room):\n    return tokenizer.decode(tokenizer.encode(text)[:room]).replace('\\ufffd', '')",
            "belongs to the text itself",
        ),
    ],
}
