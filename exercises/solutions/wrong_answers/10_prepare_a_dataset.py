"""Typical wrong answers to exercise 10, and a part of the message that each must get."""

LINES = """def read_lines(raw):
    records, dropped = [], {{}}
    for number, line in enumerate({rows}, start=1):
        if not line.strip():
            {empty}
        try:
            record = json.loads({decoded})
        except {error}:
            {report}
        if {fine}:
            records.append(record)
        else:
            dropped[number] = "no object"
    return records, dropped
"""
READ = {
    "rows": 'raw.split(b"\\n")',
    "empty": "continue",
    "decoded": "line",
    "error": "ValueError",
    "report": "dropped[number] = 'no JSON'; continue",
    "fine": "isinstance(record, dict)",
}

TIDY = """def tidy(text, steps):
    counts = {counts}
    {loop}:
        before = text
        for name, (pattern, replacement) in steps.items():
            text, changes = pattern.subn(replacement, {given})
            {add}
        if text == before:
            break
    return {back}
"""
ROUNDS = {
    "counts": "dict.fromkeys(steps, 0)",
    "loop": "while True",
    "given": "text",
    "add": "counts[name] += changes",
    "back": "text, counts",
}

HELD = """def holds_out(text, fraction):
    same = {same}
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return {side}
"""
SAME, SIDE = '" ".join(text.lower().split())', 'int.from_bytes(digest[:8], "big") / 2**64 < fraction'

ROW = """def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs = {inputs}
    targets = {targets}
    padding = length - len(inputs)
    inputs, targets = inputs + [END] * padding, targets + [{fill}] * padding
    {last}
    return inputs{cut}, targets{cut}
"""
PAIR = {
    "inputs": "row[:-1]",
    "targets": "[IGNORE] * (len(prompt) - 1) + answer + [END]",
    "fill": "IGNORE",
    "last": "",
    "cut": "[:length]",
}


def lines(**changes):
    """Return the code of `read_lines` with some of its parts changed."""
    return LINES.format(**(READ | changes))


def rounds(**changes):
    """Return the code of `tidy` with some of its parts changed."""
    return TIDY.format(**(ROUNDS | changes))


def row(**changes):
    """Return the code of `example` with some of its parts changed."""
    return ROW.format(**(PAIR | changes))


MASK = "def mask(text, finders):\n    counts = {}\n    for name, (pattern, mark) in finders.items():\n"

WRONG = {
    "q1": [
        (lines(report="break"), "cost only itself"),
        (lines(report="continue"), "in silence"),
        (lines(rows='filter(bytes.strip, raw.split(b"\\n"))'), "How do you count"),
        (lines(fine="True"), "but no objects"),
        (lines(decoded='line.decode("utf-8", errors="ignore")'), "repair or drop"),
        (lines(empty="pass"), "nothing should be said"),
        (lines(error="json.JSONDecodeError"), "UnicodeDecodeError"),
    ],
    "q2": [
        (rounds(loop="for _ in range(1)"), "go round again"),
        (rounds(add="counts[name] = changes"), "over all rounds"),
        (rounds(counts="{}", add="if changes: counts[name] = counts.get(name, 0) + changes"), "also those"),
        (rounds(given="before"), "the one before gave"),
        (rounds(back="text"), "Two things are wanted"),
        (rounds(add="counts[name] = max(counts[name], changes)"), "add up the rounds"),
    ],
    "q3": [
        (
            "def contained(text, other):\n    both = phrases(text) | phrases(other)\n"
            "    return len(phrases(text) & phrases(other)) / len(both) if both else 0.0",
            "likeness of both",
        ),
        (
            "def contained(text, other):\n    theirs = phrases(other)\n"
            "    return len(phrases(text) & theirs) / len(theirs) if theirs else 0.0",
            "Whose phrases",
        ),
        (
            "def contained(text, other):\n    mine = set(text.split())\n"
            "    return len(mine & set(other.split())) / len(mine)",
            "share of words",
        ),
        (
            "def contained(text, other):\n    mine = phrases(text)\n    return len(mine & phrases(other)) / len(mine)",
            "ZeroDivisionError",
        ),
        ("def contained(text, other):\n    return len(phrases(text) & phrases(other))", "how many there are"),
    ],
    "q4": [
        (HELD.format(same="text", side=SIDE), "hashed as it is"),
        (HELD.format(same=SAME, side=SIDE.replace("<", ">")), "Which way"),
        (HELD.format(same=SAME, side="digest[0] % 10 == 0"), "What is compared"),
        (HELD.format(same=SAME, side='int.from_bytes(digest[:8], "big") % 100 < 100 * fraction'), "remainder by 100"),
        (
            HELD.format(same=SAME, side='int.from_bytes(digest[:8], "big") % round(1 / fraction) == 0'),
            "A remainder decides",
        ),
        (HELD.format(same=SAME, side='int.from_bytes(digest[:8], "big") / 2**64'), "Those are the numbers"),
    ],
    "q5": [
        (row(targets="[IGNORE] * len(prompt) + answer"), "comes next"),
        (row(targets="row[1:]"), "The prompt is learned"),
        (row(targets="[IGNORE] * len(prompt) + answer[1:] + [END]"), "first token is not learned"),
        (row(last="targets = [IGNORE if t == END else t for t in targets]"), "learns to stop"),
        (row(fill="END"), "again and again"),
        (row(cut=""), "longer than asked"),
        (row(inputs="row"), "The length is 7, expected 8"),
    ],
    "q6": [
        (
            MASK + "        counts[name] = len(re.findall(pattern, text))\n    return text, counts",
            "where does the new text go",
        ),
        (
            MASK + "        text, counts[name] = re.sub(pattern, mark or '', text), 0\n    return text, counts",
            "'e-mail': 0",
        ),
        (
            MASK + "        text, counts[name] = re.subn(pattern, mark or '', text)\n    return text, counts",
            "What became of the text",
        ),
        (
            MASK + "        if mark is not None:\n            text, counts[name] = re.subn(pattern, mark, text)\n"
            "    return text, counts",
            "how many stay",
        ),
        (
            MASK + "        hits = re.findall(pattern, text)\n        if hits:\n            counts[name] = len(hits)\n"
            "        if mark is not None:\n            text = re.sub(pattern, mark, text)\n    return text, counts",
            "Is there a 0",
        ),
    ],
}
