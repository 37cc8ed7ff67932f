"""Typical wrong answers to exercise 04, and a part of the message that each must get."""

TEMPERED = """def tempered(logits, temperature):
    if temperature == 0:
        return {zero}
    return {above}
"""
ONE_HOT = "torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])"
DIVIDED = "(logits / temperature).softmax(-1)"

MIN_P = """def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    return {}
"""
RARE = "probabilities < p * probabilities.amax(-1, keepdim=True)"

TOP_P = """def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    {}
"""

REPEATS = """def would_repeat(tokens, n):
    repeats, last = set(), {last}
    for i in range({first}, len(tokens) - n + 1):
        if tokens[i : i + n - 1] == last:
            repeats.add(tokens[i + n - 1])
            {after}
    return repeats
"""

WRITE = """def write(ask, given, max_new, stop, n):
    tokens = {tokens}
    for _ in range(max_new):
        logits = ask({read})
        {mask}
        token = int(logits.argmax())
        {end}
        tokens.append(token)
    return {back}
"""
LOOP = {
    "tokens": "list(given)",
    "read": "tokens",
    "mask": "logits[list(would_repeat(tokens, n))] = -torch.inf",
    "end": "if token in stop: break",
    "back": "tokens[len(given) :]",
}


def loop(**changes):
    """Return the code of `write` with some of its lines changed."""
    return WRITE.format(**(LOOP | changes))


WRONG = {
    "q1": [
        (TEMPERED.format(zero=f"{ONE_HOT}.float()", above="(logits / temperature).softmax(0)"), "which axis goes"),
        (TEMPERED.format(zero=f"{ONE_HOT}.float()", above="(logits * temperature).softmax(-1)"), "divided by"),
        (
            "def tempered(logits, temperature):\n    shares = logits.softmax(-1) / max(temperature, 1e-9)\n"
            "    return shares / shares.sum(-1, keepdim=True)",
            "before the softmax",
        ),
        (f"def tempered(logits, temperature):\n    return {DIVIDED}", "a case of its own"),
        (TEMPERED.format(zero=ONE_HOT, above=DIVIDED), "The dtype is int64, expected float32"),
        (
            TEMPERED.format(
                zero="torch.nn.functional.one_hot(logits.flatten().argmax(), logits.shape[-1] * len(logits))"
                ".float().view_as(logits)",
                above=DIVIDED,
            ),
            "Which axis does argmax",
        ),
        (
            "def tempered(logits, temperature):\n    return (logits / max(temperature, 1e-9)).softmax(-1)",
            "take one of them",
        ),
    ],
    "q2": [
        (MIN_P.format(f"logits.masked_fill({RARE}, 0)"), "which logit does it"),
        (MIN_P.format(f"probabilities.masked_fill({RARE}, -torch.inf)"), "logits or probabilities"),
        (MIN_P.format("logits.masked_fill(probabilities < p, -torch.inf)"), "not with 1"),
        (MIN_P.format("logits.masked_fill(probabilities < p * probabilities.max(), -torch.inf)"), "Along which axis"),
        (MIN_P.format(f"logits.masked_fill({RARE.replace('<', '<=')}, -torch.inf)"), "likeliest itself masked"),
        (MIN_P.format(f"logits[~({RARE})]"), "masked and not cut"),
    ],
    "q3": [
        (
            TOP_P.format(
                "gone = ordered.cumsum(-1) >= p\n"
                "    return logits.masked_fill(torch.zeros_like(gone).scatter(-1, order, gone), -torch.inf)"
            ),
            "count itself",
        ),
        (TOP_P.format("return logits.masked_fill(ordered.cumsum(-1) - ordered >= p, -torch.inf)"), "brought back"),
        (
            TOP_P.format(
                "gone = ordered.cumsum(-1) - ordered >= p\n"
                "    return logits.index_fill(-1, order[0][gone[0]], -torch.inf)"
            ),
            "its own order",
        ),
        (
            TOP_P.format(
                "gone = (ordered.cumsum(-1) - ordered >= p).roll(1, -1)\n    gone[:, 0] = False\n"
                "    return logits.masked_fill(torch.zeros_like(gone).scatter(-1, order, gone), -torch.inf)"
            ),
            "one more",
        ),
        (TOP_P.format("return logits.masked_fill(logits.softmax(-1) < p, -torch.inf)"), "Is it the sum"),
    ],
    "q4": [
        ("def would_repeat(tokens, n):\n    return set(tokens)", "Which of them complete"),
        (
            "def would_repeat(tokens, n):\n    last = tokens[len(tokens) - n :]\n"
            "    return {tokens[i + n] for i in range(len(tokens) - n) if tokens[i : i + n] == last}",
            "How many do you compare",
        ),
        (REPEATS.format(last="tokens[len(tokens) - n + 1 :]", first=0, after="break"), "every place"),
        (REPEATS.format(last="tokens[-(n - 1) :]", first=0, after=""), "tokens[-0:]"),
        ("def would_repeat(tokens, n):\n    return [t for t in tokens if tokens.count(t) > n]", "expected a set"),
    ],
    "q5": [
        (loop(back="tokens"), "new tokens only"),
        (loop(read="list(given)"), "written so far"),
        (
            loop(read="tokens[-1:]", end="tokens.append(token) if token in stop else None"),
            "expected [2, 3]. The length is 7",
        ),
        (loop(end="if token in stop: continue"), "Does the loop end there"),
        (loop(mask=""), "before you choose"),
        (loop(tokens="given\n    start = len(given)", back="tokens[start:]"), "work on a copy"),
    ],
}
