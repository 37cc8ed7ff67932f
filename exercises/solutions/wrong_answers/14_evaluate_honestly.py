"""Typical wrong answers to exercise 14, and a part of the message that each must get."""


def bits(body: str) -> str:
    """Return the code of an answer to q1."""
    return f"def bits_per_byte(loss, tokens, text):\n    return {body}"


def pool(body: str) -> str:
    """Return the code of an answer to q2."""
    return f"def pool(scores):\n    return {body}"


def band(body: str) -> str:
    """Return the code of an answer to q3."""
    head = "def band(values):\n    values = torch.tensor(values, dtype=torch.float64)\n"
    return f"{head}    mean = values.mean().item()\n    return {body}"


def verdict(condition: str, then: str = "'better' if mean < 0 else 'worse'") -> str:
    """Return the code of an answer to q4."""
    return (
        "def verdict(ours, theirs):\n"
        "    mean, reach = band([a - b for a, b in zip(ours, theirs, strict=True)])\n"
        f'    if {condition}:\n        return "can\'t tell"\n    return {then}'
    )


def copied(test: str, limit: str = "first + longest < len(words)", starts: str = "range(len(words))") -> str:
    """Return the code of an answer to q5."""
    return (
        "def longest_copy(written, source):\n    words, known = written.split(), ' '.join(source.split())\n"
        f"    longest = 0\n    for first in {starts}:\n        while {limit} and {test}:\n"
        "            longest += 1\n    return longest"
    )


def mark(
    score: str = "sum(a) / len(a)", pick: str = "max", share: str = "sum(right) / len(right)",
    band: str = "2 * math.sqrt(share * (1 - share) / len(right))", chosen: str = "== number",
) -> str:  # fmt: skip
    """Return the code of an answer to q6."""
    return (
        "def mark(questions):\n    right = []\n    for answers, number in questions:\n"
        f"        scores = [{score} for a in answers]\n"
        f"        right.append(scores.index({pick}(scores)) {chosen})\n"
        f"    share = {share}\n    return share, {band}"
    )


RUN = "' '.join(words[first : first + longest + 1])"
WHOLE = f"f' {{{RUN}}} ' in f' {{known}} '".replace("' '.join", '" ".join')

WRONG = {
    "q1": [
        (bits("loss * tokens / len(text.encode('utf-8'))"), "nats are one bit"),
        (bits("loss * tokens * math.log(2) / len(text.encode('utf-8'))"), "or multiply"),
        (bits("loss / math.log(2)"), "bits per token"),
        (bits("loss * tokens / math.log(2) / len(text)"), "or letters"),
    ],
    "q2": [
        (pool("sum(loss * n for loss, n in scores) / sum(n for _, n in scores)"), "That is a loss"),
        (pool("sum(math.exp(loss) for loss, _ in scores) / len(scores)"), "mean of perplexities"),
        (pool("math.exp(sum(loss for loss, _ in scores) / len(scores))"), "or each token"),
        (pool("math.exp(sum(loss for loss, _ in scores))"), "Losses are added up"),
    ],
    "q3": [
        (band("mean, 2 * values.std().item()"), "what is it divided by"),
        (band("mean, values.std().item() / len(values) ** 0.5"), "one standard error"),
        (band("mean, 2 * values.var().item() / len(values) ** 0.5"), "a variance"),
        (band("mean, 2 * values.std(correction=0).item() / len(values) ** 0.5"), "In a sample"),
        (band("values.sum().item(), 2 * values.std().item() / len(values) ** 0.5"), "the first is a sum"),
        (band("mean, 2 * values.std().item() / len(values)"), "the root of their number"),
    ],
    "q4": [
        (verdict("abs(mean) <= reach", "'better' if mean > 0 else 'worse'"), "lower loss better"),
        (verdict("False"), "You can always tell"),
        (
            "def verdict(ours, theirs):\n    (a, x), (b, y) = band(ours), band(theirs)\n"
            "    if abs(a - b) <= x + y:\n        return \"can't tell\"\n    return 'better' if a < b else 'worse'",
            "that of the differences",
        ),
        (verdict("abs(mean) <= 0.001"), "Only equal models"),
        (verdict("abs(mean) <= reach / 2"), "half as far"),
        (verdict("mean < 0 and -mean <= reach or mean == 0"), "from the other side"),
    ],
    "q5": [
        (copied(f"{RUN} in known"), "or letters"),
        (
            "def longest_copy(written, source):\n    return len(set(written.split()) & set(source.split()))",
            "side by side",
        ),
        (copied(WHOLE, "first + longest < len(words) - 1"), "Is the last word of what was written"),
        (copied(WHOLE, starts="range(len(words))[:3]"), "you give 2, expected 4"),
        (
            "def longest_copy(written, source):\n    words, known = written.split(), source.split()\n"
            "    runs = [n for i in range(len(words)) for n in range(1, 4)\n"
            "            if any(known[j : j + n] == words[i : i + n] for j in range(len(known)))]\n"
            "    return max(runs, default=0)",
            "you give 3, expected 4",
        ),
        (
            copied(WHOLE)
            .replace("' '.join(source.split())", "source")
            .replace("written.split()", "written.split(' ')"),
            "Do line ends count",
        ),
    ],
    "q6": [
        (mark(pick="min"), "or the lowest"),
        (mark(score="sum(a)"), "or their sum"),
        (
            mark(
                share="float(sum(right))",
                band="2 * math.sqrt(sum(right) / len(right) * (1 - sum(right) / len(right)) / len(right))",
            ),
            "how many were right",
        ),
        (mark(chosen=">= 0"), "is a choice compared"),
        (mark(band="math.sqrt(share * (1 - share) / len(right))"), "one standard error"),
        (mark(band="2 * math.sqrt(share * (1 - share))"), "not divided by the number"),
        (mark(band="2 * share * (1 - share) / len(right)"), "root is missing"),
        (mark(score="sum(a[:2]) / len(a[:2])"), "first two tokens"),
    ],
}
