"""Answers to exercise 10, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

STEPS = r"""
STEPS = {
    "blank lines": (re.compile(r"\n{3,}"), "\n\n"),
    "trailing spaces": (re.compile(r"[ \t]+(?=\n|\Z)"), ""),
    "hyphens": (re.compile(r"(?<=[a-z])-\n(?=[a-z])"), ""),
}
"""

PHRASES = r"""
def phrases(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
"""

WRONG = {
    "q1": [
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n")):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            dropped[number] = "not UTF-8"
        except ValueError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "counts lines from 0",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    lines = [line for line in raw.split(b"\n") if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            dropped[number] = "not UTF-8"
        except ValueError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "empty lines aren't counted",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            dropped[number] = "not UTF-8"
        except ValueError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "says that empty lines are no JSON",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line.decode("utf-8")))
        except UnicodeDecodeError:
            dropped[number] = "not UTF-8"
        except ValueError:
            dropped[number] = "no JSON"
    return records, dropped
""",
            "keeps JSON that is no object",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.decode("utf-8", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "repairs damaged bytes in silence",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "crashes at bytes that aren't UTF-8",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "one reason for two different kinds of damage",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            dropped[number] = "not UTF-8"
        except ValueError:
            dropped[number] = "no JSON"
        else:
            if isinstance(record, dict) and "question" in record:
                records.append(record)
            else:
                dropped[number] = "no object"
    return records, dropped
""",
            "asks for a question, which no line needs",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            dropped[number] = "not UTF-8"
            break
        except ValueError:
            dropped[number] = "no JSON"
            break
        if isinstance(record, dict):
            records.append(record)
        else:
            dropped[number] = "no object"
    return records, dropped
""",
            "ends at the first damaged line",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    lines = [line for line in raw.split(b"\n") if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except UnicodeDecodeError:
            dropped[number] = "its bytes are not UTF-8"
            continue
        except ValueError:
            dropped[number] = "it is no JSON"
            continue
        if isinstance(record, dict):
            records.append(record)
        else:
            dropped[number] = "it is JSON but no object"
    return records, dropped
""",
            "empty lines are not counted, so later line numbers are too small",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            dropped[number] = "it is no JSON"
        except UnicodeDecodeError:
            dropped[number] = "its bytes are not UTF-8"
        else:
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "it is JSON but no object"
    return records, dropped
""",
            "the general error is caught first: bytes that are not UTF-8 are called no JSON",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except UnicodeDecodeError:
            dropped[number] = "its bytes are not UTF-8"
            continue
        except ValueError:
            dropped[number] = "it is no JSON"
            continue
        if not isinstance(record, (dict, list)):
            dropped[number] = "it is JSON but no object"
            continue
        records.append(record)
    return records, dropped
""",
            "a list passes as an object",
        ),
        Answer(
            r"""
def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(raw.decode("utf-8", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
            else:
                dropped[number] = "it is JSON but no object"
        except UnicodeDecodeError:
            dropped[number] = "its bytes are not UTF-8"
        except ValueError:
            dropped[number] = "it is no JSON"
    return records, dropped
""",
            "broken bytes are replaced while decoding, and the damaged line is kept in silence",
        ),
    ],
    "q2": [
        Answer(
            """
def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    for name, (pattern, replacement) in steps.items():
        text, counts[name] = pattern.subn(replacement, text)
    return text, counts
""",
            "forgotten step: one round",
        ),
        Answer(
            """
def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    for _ in range(2):
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
    return text, counts
""",
            "two rounds, which fit the example",
        ),
        Answer(
            """
def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    for name, (pattern, replacement) in steps.items():
        while pattern.search(text):
            text, found = pattern.subn(replacement, text)
            counts[name] += found
    return text, counts
""",
            "each step for itself until it finds nothing, but in one round",
        ),
        Answer(
            """
def tidy(text, steps):
    counts, found = dict.fromkeys(steps, 0), True
    while found:
        found = False
        for name, (pattern, replacement) in steps.items():
            text, counts[name] = pattern.subn(replacement, text)
            found = found or counts[name] > 0
    return text, counts
""",
            "counts of the last round only",
        ),
        Answer(
            """
def tidy(text, steps):
    counts, found = dict.fromkeys(steps, 0), 1
    while found:
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
    return text, counts
""",
            "the last step alone says when to end",
        ),
        Answer(
            """
def tidy(text, steps):
    counts, first = dict.fromkeys(steps, 0), True
    while first or sum(counts.values()):
        first = False
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
    return text, counts
""",
            "never ends: the total never falls back to 0",
        ),
        Answer(
            """
def tidy(text, steps):
    counts, before = dict.fromkeys(steps, 0), None
    while text != before:
        before = text
        for name, (pattern, replacement) in steps.items():
            after = pattern.sub(replacement, text)
            counts[name] += after != text
            text = after
    return text, counts
""",
            "counts rounds, not changes",
        ),
        Answer(
            """
def tidy(text, steps):
    counts, found = dict.fromkeys(steps, 0), True
    while found:
        found = False
        for name, (pattern, replacement) in STEPS.items():
            text, times = pattern.subn(replacement, text)
            counts[name] = counts.get(name, 0) + times
            found = found or times > 0
    return text, counts
""",
            "reads a global instead of its argument",
        ),
        Answer(
            """
def tidy(text, steps):
    counts, found = {}, True
    while found:
        found = False
        for name, (pattern, replacement) in steps.items():
            text, times = pattern.subn(replacement, text)
            if times:
                counts[name] = counts.get(name, 0) + times
                found = True
    return text, counts
""",
            "steps without changes are missing",
        ),
        Answer(
            STEPS
            + r"""

def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    while True:
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
        if found == 0:
            return text, counts
""",
            "looks only at what the last step of the round has found",
        ),
        Answer(
            STEPS
            + r"""

def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    for _ in range(2):  # the second round gets what the first has made
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
    return text, counts
""",
            "always two rounds, even when the second has made work for a third",
        ),
        Answer(
            STEPS
            + r"""

def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    again = True
    while again:
        again = False
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            if found:
                counts[name] = found
                again = True
    return text, counts
""",
            "a later round overwrites a step's count instead of adding to it",
        ),
        Answer(
            STEPS
            + r"""

def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    again = True
    while again:
        again = False
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
            if found:
                again = True
                break
    return text, counts
""",
            "begins again with the first step after each find instead of finishing the round",
        ),
        Answer(
            """
def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    length = -1
    while length != len(text):
        length = len(text)
        for name, (pattern, replacement) in steps.items():
            text, found = pattern.subn(replacement, text)
            counts[name] += found
    return text, counts
""",
            "stops when the length stays the same: a change of equal length isn't noticed",
        ),
    ],
    "q3": [
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return len(mine & theirs) / len(mine | theirs) if mine else 0.0
""",
            "what two texts have in common, as in the lesson",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return len(mine & theirs) / len(theirs) if theirs else 0.0
""",
            "swapped arguments",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return len(mine & theirs) / len(mine)
""",
            "crashes at a text without phrases",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return len(mine & theirs) / len(mine) if mine else 1.0
""",
            "a share of 1 where there are no phrases",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return float(bool(mine) and mine <= theirs)
""",
            "all or nothing",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = set(text.lower().split()), set(other.lower().split())
    return len(mine & theirs) / len(mine) if mine else 0.0
""",
            "words instead of phrases",
        ),
        Answer(
            """
def contained(text, other):
    return float(len(phrases(text) & phrases(other)))
""",
            "a count instead of a share",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return len(mine & theirs) / min(len(mine), len(theirs)) if mine and theirs else 0.0
""",
            "the smaller of the two decides",
        ),
        Answer(
            PHRASES
            + r"""

def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    if not mine or not theirs:
        return 0.0
    return len(mine & theirs) / min(len(mine), len(theirs))
""",
            "divides by the smaller of the two sets: wrong when the first text is the longer one",
        ),
        Answer(
            PHRASES
            + r"""

def contained(text, other):
    mine = phrases(text)
    if not mine:
        return 0.0
    return sum(" ".join(phrase) in other.lower() for phrase in mine) / len(mine)
""",
            "searches for the phrase as a string: punctuation and line ends of the other text break it",
        ),
        Answer(
            PHRASES
            + r"""

def contained(text, other):
    mine = phrases(text)
    return len(mine & phrases(other)) / len(mine)
""",
            "a text of fewer than four words is a division by zero",
        ),
        Answer(
            PHRASES
            + r"""

def contained(text, other):
    mine = phrases(other)
    return len(mine & phrases(text)) / len(mine) if mine else 0.0
""",
            "the share of the other text's phrases: the sides are swapped",
        ),
    ],
    "q4": [
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(text.split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
""",
            "forgotten step: case",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = text.lower()
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
""",
            "forgotten step: white space",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = text.lower().strip()
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
""",
            "white space at both ends only",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "little") / 2**64 < fraction
""",
            "the first byte is the smallest",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return digest[0] / 2**8 < fraction
""",
            "one byte instead of eight",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[-8:], "big") / 2**64 < fraction
""",
            "the last eight bytes",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 < fraction
""",
            "a wrong power of two",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 >= fraction
""",
            "the complement",
        ),
        Answer(
            """
def holds_out(text, fraction):
    same = "".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
""",
            "white space is taken away: words grow together",
        ),
        Answer(
            r"""
def holds_out(text, fraction):
    same = " ".join(text.split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
""",
            "case is not made equal",
        ),
        Answer(
            r"""
def holds_out(text, fraction):
    same = text.lower().replace("\n", " ").strip()
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction
""",
            "only line ends become spaces: tabs and several spaces in a row still make another hash",
        ),
        Answer(
            r"""
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "little") / 2**64 < fraction
""",
            "the bytes are read from the wrong end",
        ),
        Answer(
            r"""
def holds_out(text, fraction):
    same = " ".join(text.lower().split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    number = round(int.from_bytes(digest[:8], "big") / 2**64, 2)
    return number < fraction
""",
            "the number is rounded to hundredths before it is compared",
        ),
    ],
    "q5": [
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    targets = [IGNORE] * len(prompt) + answer + [END]
    inputs = (row + [END] * (length - len(row)))[:length]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[:length]
""",
            "forgotten step: the target is the token itself",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    targets = [IGNORE] * len(prompt) + targets[len(prompt) :]
    inputs = (inputs + [END] * (length - len(inputs)))[:length]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[:length]
""",
            "off by one: the first token of the answer isn't learned",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    hidden = max(len(prompt) - 2, 0)
    targets = [IGNORE] * hidden + targets[hidden:]
    inputs = (inputs + [END] * (length - len(inputs)))[:length]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[:length]
""",
            "off by one: the last token of the prompt is learned, too",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    inputs = (inputs + [END] * (length - len(inputs)))[:length]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[:length]
""",
            "the whole row is learned",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    targets = [IGNORE] * (len(prompt) - 1) + targets[len(prompt) - 1 :]
    inputs = (inputs + [END] * (length - len(inputs)))[:length]
    return inputs, (targets + [END] * (length - len(targets)))[:length]
""",
            "the filling is learned, too",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    targets = [IGNORE] * (len(prompt) - 1) + targets[len(prompt) - 1 : -1]
    inputs = (inputs + [END] * (length - len(inputs)))[:length]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[:length]
""",
            "the end isn't learned",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    targets = [IGNORE] * (len(prompt) - 1) + targets[len(prompt) - 1 :]
    return inputs + [END] * (length - len(inputs)), targets + [IGNORE] * (length - len(targets))
""",
            "forgotten step: what is too long stays too long",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    targets = [IGNORE] * (len(prompt) - 1) + targets[len(prompt) - 1 :]
    inputs = (inputs + [END] * (length - len(inputs)))[-length:]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[-length:]
""",
            "cuts at the beginning",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = row[:-1], row[1:]
    targets = [IGNORE] * (len(prompt) - 1) + targets[len(prompt) - 1 :]
    inputs = (inputs + [IGNORE] * (length - len(inputs)))[:length]
    return inputs, (targets + [IGNORE] * (length - len(targets)))[:length]
""",
            "fills up with IGNORE, which is no id",
        ),
        Answer(
            r"""
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs = row[:-1] + [END] * (length - len(row) + 1)
    targets = [IGNORE if token in prompt else token for token in row[1:]]
    targets = targets + [IGNORE] * (length - len(targets))
    return inputs[:length], targets[:length]
""",
            "ignores by value: a token of the answer that also occurs in the prompt isn't learned",
        ),
        Answer(
            r"""
def example(prompt, answer, length):
    start = len(prompt) - 1
    row = prompt
    row.extend(answer)
    row.append(END)
    inputs = row[:-1] + [END] * length
    targets = [IGNORE] * start + row[start + 1 :] + [IGNORE] * length
    return inputs[:length], targets[:length]
""",
            "appends to the prompt that was handed in",
        ),
        Answer(
            r"""
def example(prompt, answer, length):
    row = (prompt + answer + [END])[:length]
    targets = [IGNORE] * (len(prompt) - 1) + row[len(prompt) :]
    inputs = row + [END] * (length - len(row))
    targets = targets + [IGNORE] * (length - len(targets))
    return inputs, targets[:length]
""",
            "cut before the shift: a row that is too long loses its last target",
        ),
        Answer(
            r"""
def example(prompt, answer, length):
    row = prompt + answer + [END]
    fill = [END] * (length - len(row) + 1)
    inputs = row[:-1] + fill
    targets = [IGNORE] * (len(prompt) - 1) + answer + [END] + fill
    return inputs[:length], targets[:length]
""",
            "targets are filled up with END as well, so the filling is learned",
        ),
    ],
    "q6": [
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(re.findall(pattern, text))
        text = re.sub(pattern, str(mark), text)
    return text, counts
""",
            "forgotten step: a mark of None is put in",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        if mark is not None:
            text, counts[name] = re.subn(pattern, mark, text)
    return text, counts
""",
            "what is kept isn't counted",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(re.findall(pattern, text))
        if mark is not None:
            text = re.sub(pattern, mark, text, count=1)
    return text, counts
""",
            "masks the first hit only",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(re.findall(pattern, text))
        if mark:
            text = re.sub(pattern, mark, text)
    return text, counts
""",
            "takes an empty mark for None",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        if mark is not None:
            text = re.sub(pattern, mark, text)
        counts[name] = len(re.findall(pattern, text))
    return text, counts
""",
            "counts after masking",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(re.findall(pattern, text))
        if mark is not None:
            for hit in re.findall(pattern, text):
                text = text.replace(pattern, mark)
    return text, counts
""",
            "takes the pattern for plain text",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        if found := re.findall(pattern, text):
            counts[name] = len(found)
            if mark is not None:
                text = re.sub(pattern, mark, text)
    return text, counts
""",
            "kinds without hits are missing",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(set(re.findall(pattern, text)))
        if mark is not None:
            text = re.sub(pattern, mark, text)
    return text, counts
""",
            "counts different hits",
        ),
        Answer(
            r"""
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(re.findall(pattern, text))
        if mark:
            text = re.sub(pattern, mark, text)
    return text, counts
""",
            "an empty mark is taken for keep",
        ),
        Answer(
            r"""
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        counts[name] = len(set(re.findall(pattern, text)))
        if mark is not None:
            text = re.sub(pattern, mark, text)
    return text, counts
""",
            "the same hit twice is counted once",
        ),
        Answer(
            r"""
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        hits = [hit.group() for hit in re.finditer(pattern, text)]
        counts[name] = len(hits)
        if mark is not None:
            for hit in hits:
                text = text.replace(hit, mark)
    return text, counts
""",
            "replaces the string of a hit wherever it stands, also inside of what was no hit",
        ),
        Answer(
            r"""
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        if mark is None:
            counts[name] = 0
        else:
            text, counts[name] = re.subn(pattern, mark, text)
    return text, counts
""",
            "hits that are kept are not counted",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            r"""
def read_lines(raw):
    def reason_or_record(line):
        try:
            text = line.decode("utf-8")
        except UnicodeError:
            return "its bytes are not UTF-8"
        try:
            record = json.loads(text)
        except ValueError:
            return "it is no JSON"
        return record if type(record) is dict else "it is JSON but no object"

    lines = {number: line for number, line in enumerate(raw.split(b"\n"), 1) if line}
    read = {number: reason_or_record(line) for number, line in lines.items()}
    good = [found for found in read.values() if isinstance(found, dict)]
    return good, {number: found for number, found in read.items() if isinstance(found, str)}
""",
            "first the bytes, then the JSON, then the kind",
        ),
        Answer(
            r"""
import io


def read_lines(raw):
    records, dropped = [], {}
    for number, line in enumerate(io.BytesIO(raw), start=1):
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError:
            dropped[number] = "its bytes are not UTF-8"
            continue
        try:
            record = json.loads(text)
        except ValueError:
            dropped[number] = "it is no JSON"
            continue
        if isinstance(record, dict):
            records.append(record)
        else:
            dropped[number] = "it is JSON but no object"
    return records, dropped
""",
            "a file in memory gives the lines; decoding and parsing are two steps",
        ),
        Answer(
            r"""
def look_at(line):
    try:
        value = json.loads(line)
    except ValueError as error:
        damaged_bytes = isinstance(error, UnicodeDecodeError)
        return None, "its bytes are not UTF-8" if damaged_bytes else "it is no JSON"
    return (value, None) if type(value) is dict else (None, "it is JSON but no object")


def read_lines(raw):
    seen = {i + 1: look_at(line) for i, line in enumerate(raw.split(b"\n")) if line.strip()}
    records = [value for value, reason in seen.values() if reason is None]
    dropped = {number: reason for number, (_, reason) in seen.items() if reason is not None}
    return records, dropped
""",
            "a helper that judges one line, then two comprehensions",
        ),
    ],
    "q2": [
        Answer(
            """
def tidy(text, steps):
    found = {}
    for name, (pattern, replacement) in steps.items():
        text, found[name] = pattern.subn(replacement, text)
    if not any(found.values()):
        return text, found
    text, later = tidy(text, steps)
    return text, {name: found[name] + later[name] for name in steps}
""",
            "a round of its own, called by recursion",
        ),
        Answer(
            """
def tidy(text, steps):
    total = dict.fromkeys(steps, 0)
    while True:
        before = sum(total.values())
        for name in steps:
            pattern, replacement = steps[name]
            total[name] += len(pattern.findall(text))
            text = re.sub(pattern, replacement, text)
        if sum(total.values()) == before:
            return text, total
""",
            "for ever, until a round adds nothing",
        ),
        Answer(
            STEPS
            + r"""
from itertools import cycle


def tidy(text, steps):
    counts = dict.fromkeys(steps, 0)
    quiet = 0  # how many steps in a row have found nothing
    for name in cycle(steps):
        pattern, replacement = steps[name]
        text, found = pattern.subn(replacement, text)
        counts[name] += found
        quiet = 0 if found else quiet + 1
        if quiet == len(steps):
            break
    return text, counts
""",
            "goes round and round until as many steps as there are have found nothing in a row",
        ),
        Answer(
            STEPS
            + r"""

def one_round(text, steps):
    found = {}
    for name, (pattern, replacement) in steps.items():
        found[name] = sum(1 for _ in pattern.finditer(text))
        text = pattern.sub(replacement, text)
    return text, found


def tidy(text, steps):
    total = {name: 0 for name in steps}
    text, found = one_round(text, steps)
    while any(found.values()):
        total = {name: total[name] + found[name] for name in total}
        text, found = one_round(text, steps)
    return text, total
""",
            "a function for one round, hits counted by finditer",
        ),
    ],
    "q3": [
        Answer(
            """
def contained(text, other):
    mine = phrases(text)
    if not mine:
        return 0.0
    return 1 - len(mine - phrases(other)) / len(mine)
""",
            "one minus what is missing",
        ),
        Answer(
            """
def contained(text, other):
    mine, theirs = phrases(text), phrases(other)
    return sum(phrase in theirs for phrase in mine) / max(len(mine), 1)
""",
            "phrase by phrase",
        ),
        Answer(
            PHRASES
            + r"""
from statistics import fmean


def contained(text, other):
    theirs = phrases(other)
    hits = [phrase in theirs for phrase in phrases(text)]
    return fmean(hits) if hits else 0.0
""",
            "the mean of true and false",
        ),
        Answer(
            PHRASES
            + r"""

def contained(text, other):
    mine = phrases(text)
    if len(mine) == 0:
        return 0.0
    theirs = phrases(other)
    common = len(mine) + len(theirs) - len(mine | theirs)
    return common / len(mine)
""",
            "what is common by inclusion and exclusion",
        ),
    ],
    "q4": [
        Answer(
            """
def holds_out(text, fraction):
    same = " ".join(word.lower() for word in text.split())
    return int(hashlib.sha256(same.encode()).hexdigest()[:16], 16) < fraction * 2**64
""",
            "from the hexadecimal digits",
        ),
        Answer(
            r"""
def holds_out(text, fraction):
    from struct import unpack

    same = re.sub(r"\s+", " ", text.strip()).lower()
    (number,) = unpack(">Q", hashlib.sha256(same.encode("utf-8")).digest()[:8])
    return number / (1 << 64) < fraction
""",
            "by a pattern, and struct",
        ),
        Answer(
            r"""
import struct


def holds_out(text, fraction):
    same = re.sub(r"\s+", " ", text).strip().lower()
    (number,) = struct.unpack(">Q", hashlib.sha256(same.encode("utf-8")).digest()[:8])
    return number < fraction * 2**64
""",
            "white space by a pattern, struct reads the number, and fraction is multiplied instead",
        ),
        Answer(
            r"""
def holds_out(text, fraction):
    same = " ".join(word.casefold() for word in text.split())
    digest = hashlib.sha256(same.encode("utf-8")).digest()
    number = 0
    for byte in digest[:8]:
        number = number * 256 + byte
    return number / 2**64 < fraction
""",
            "casefold word by word, and the number byte by byte",
        ),
    ],
    "q5": [
        Answer(
            """
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = [], []
    for place in range(length):
        inputs.append(row[place] if place < len(row) else END)
        learned = len(prompt) <= place + 1 < len(row)
        targets.append(row[place + 1] if learned else IGNORE)
    return inputs, targets
""",
            "place by place",
        ),
        Answer(
            """
def example(prompt, answer, length):
    row = [*prompt, *answer] + [END] * (length + 1)
    learned = [IGNORE] * len(prompt) + answer + [END] + [IGNORE] * (length + 1)
    return row[:length], learned[1 : length + 1]
""",
            "one filled row, cut twice",
        ),
        Answer(
            r"""
def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = [], []
    for place in range(length):
        after = place + 1
        inputs.append(row[place] if place < len(row) else END)
        targets.append(row[after] if len(prompt) <= after < len(row) else IGNORE)
    return inputs, targets
""",
            "decides place by place",
        ),
        Answer(
            r"""
import numpy as np


def example(prompt, answer, length):
    row = prompt + answer + [END]
    inputs, targets = np.full(length, END), np.full(length, IGNORE)
    taken = row[:length]
    inputs[: len(taken)] = taken
    first = max(len(prompt), 1)  # the first token of the row that is to be guessed and learned
    learned = row[first : length + 1]
    targets[first - 1 : first - 1 + len(learned)] = learned
    return inputs.tolist(), targets.tolist()
""",
            "arrays full of END and IGNORE, into which slices are written",
        ),
    ],
    "q6": [
        Answer(
            """
def mask(text, finders):
    counts = dict.fromkeys(finders, 0)
    for name, (pattern, mark) in finders.items():

        def replace(hit):
            counts[name] += 1
            return hit.group() if mark is None else mark

        text = re.sub(pattern, replace, text)
    return text, counts
""",
            "a function that counts while it replaces",
        ),
        Answer(
            """
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        pieces, end = [], 0
        hits = list(re.finditer(pattern, text))
        for hit in hits:
            pieces += [text[end : hit.start()], hit.group() if mark is None else mark]
            end = hit.end()
        text, counts[name] = "".join(pieces) + text[end:], len(hits)
    return text, counts
""",
            "cuts the text at its hits",
        ),
        Answer(
            r"""
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        text, counts[name] = re.subn(pattern, lambda hit, mark=mark: hit.group() if mark is None else mark, text)
    return text, counts
""",
            "subn with a function that gives the hit back where it is kept",
        ),
        Answer(
            r"""
def mask(text, finders):
    counts = {}
    for name, (pattern, mark) in finders.items():
        pieces, at, counts[name] = [], 0, 0
        for hit in re.finditer(pattern, text):
            counts[name] += 1
            pieces += [text[at : hit.start()], hit[0] if mark is None else mark]
            at = hit.end()
        text = "".join(pieces) + text[at:]
    return text, counts
""",
            "puts the text together from the pieces between hits",
        ),
    ],
}
