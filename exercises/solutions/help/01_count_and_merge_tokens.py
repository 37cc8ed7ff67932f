"""Help with exercise 01: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "Take the words one by one, each with how often it occurs. What does a word add, and how much?",
        "`zip(words, times)` gives both together, and `pairwise(word)` the neighbors of one word. A "
        "Counter starts every key at 0.",
        "For `pair in pairwise(word)`: `pairs[pair] += n`, inside of the loop over `zip(words, times)`.",
    ),
    "q2": (
        "Walk through the row with a place i. Two things can happen there: the pair begins at i, or it doesn't.",
        "`ids[i : i + 2]` is safe at the end of the row: there it has only one token, which equals no "
        "pair. After a pair you go on by two, else by one.",
        "In the loop `while i < len(ids)`: `found = tuple(ids[i : i + 2]) == pair`, append `new` or "
        "`ids[i]`, and `i += 2 if found else 1`.",
    ),
    "q3": (
        "In each round: which pair, does it occur twice, what is its id, and what changes in the words?",
        "`min` with a key can say both at once: most frequent first, then smallest ids: `(-pairs[pair], "
        "pair)`. Think of a text without any pair: min takes a default.",
        "`best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)`; `break` if "
        "`pairs[best] < 2`; then `merges[best] = 256 + len(merges)` and `words = [join(word, best, "
        "merges[best]) for word in words]`.",
    ),
    "q4": (
        "Within a piece: which known pairs stand there now, and which of them was learned first?",
        "Known pairs are `[pair for pair in pairwise(word) if pair in merges]`. The one with the smallest "
        "id was learned first. After a join there may be new ones.",
        "`while known := [pair for pair in pairwise(word) if pair in merges]`: `best = min(known, "
        "key=merges.get)`, `word = join(word, best, merges[best])`.",
    ),
    "q5": (
        "Cut the ids, not the text. What can be wrong at the end of what they say?",
        "`tokenizer.decode_bytes(ids)` gives bytes, which may end within a character. `bytes.decode` can "
        "ignore what is not whole.",
        '`raw = tokenizer.decode_bytes(tokenizer.encode(text)[:room])`, then `raw.decode("utf-8", errors="ignore")`.',
    ),
}

WHY = {
    "q1": "Every word is counted once and weighed by its times, which is why training on a large text is quick: "
    "it has far fewer different words than words. Adding, where assigning would let the last word win, "
    "takes care of pairs in several words.",
    "q2": "Going from left to right decides what 1 1 1 becomes: the first two are joined, the third is left. "
    "Only the row that was given is looked at, so a new id is not joined again in the same walk. A new "
    "list leaves the old row to whoever else holds it.",
    "q3": "The words are joined before the next count, so later merges build on earlier ones. Ties have a rule, "
    "since without one the same text could give another tokenizer. A Counter answers 0 for what it "
    "doesn't hold, None included, so a text without pairs stops at once.",
    "q4": "Merges are applied in the order in which they were learned, so a text is cut as it was cut in "
    "training. The list of known pairs is made anew after each join, as a new id may form pairs that were "
    "not there before. Nothing crosses from one piece into the next.",
    "q5": "A token is a row of bytes, and a hedgehog has four of them in more than one token. Only the bytes "
    "know whether a � is half a character or one that the text itself holds, so the decision is made "
    "there. The text is valid, so nothing but its end can be ignored.",
}
