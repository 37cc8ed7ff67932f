"""Answers to exercise 04, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return (logits / temperature).softmax(0)
""",
            "wrong axis: the columns sum to 1",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return (logits * temperature).softmax(-1)
""",
            "multiplies by the temperature",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])
    return (logits / temperature).softmax(-1)
""",
            "wrong type: whole numbers at zero",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        best = logits.argmax() % logits.shape[-1]
        return torch.nn.functional.one_hot(best.expand(len(logits)), logits.shape[-1]).float()
    return (logits / temperature).softmax(-1)
""",
            "the likeliest of the whole batch, for every row",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        best = (logits == logits.max(-1, keepdim=True).values).float()
        return best / best.sum(-1, keepdim=True)
    return (logits / temperature).softmax(-1)
""",
            "shares the probability among equals",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    powers = (logits / temperature).exp()
    return powers / powers.sum(-1, keepdim=True)
""",
            "numerically unstable: powers of e without the largest taken away",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return logits.argmax(-1)
    return (logits / temperature).softmax(-1)
""",
            "returns ids at zero",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    warm = logits.softmax(-1) / temperature
    return warm / warm.sum(-1, keepdim=True)
""",
            "the softmax comes before the division",
        ),
    ],
    "q2": [
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p, float("-inf"))
""",
            "a share of one, not of the likeliest",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.max(), float("-inf"))
""",
            "the likeliest of the whole batch",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    return logits.masked_fill(logits < p * logits.max(-1, keepdim=True).values, float("-inf"))
""",
            "compares logits, not probabilities",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    least = p * probabilities.max(-1, keepdim=True).values
    return logits.masked_fill(probabilities <= least, float("-inf"))
""",
            "off by one: what is exactly p times as likely goes",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    least = p * probabilities.max(-1, keepdim=True).values
    return logits.masked_fill(probabilities < least, 0.0)
""",
            "a wrong constant: masks with 0",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    least = p * probabilities.max(-1, keepdim=True).values
    return probabilities.masked_fill(probabilities < least, float("-inf"))
""",
            "returns probabilities",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    least = p * probabilities.max(-1).values
    return logits.masked_fill(probabilities < least, float("-inf"))
""",
            "wrong axis: fits square batches only",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    least = 0.1 * probabilities.max(-1, keepdim=True).values
    return logits.masked_fill(probabilities < least, float("-inf"))
""",
            "ignores an argument: p is 0.1",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    least = p * probabilities.max(-1, keepdim=True).values
    return logits.masked_fill(probabilities >= least, float("-inf"))
""",
            "the complement: masks those who stay",
        ),
    ],
    "q3": [
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    goes = ordered.cumsum(-1) > p
    return logits.masked_fill(torch.zeros_like(goes).scatter(-1, order, goes), float("-inf"))
""",
            "drops the token that reaches p",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    goes = ordered.cumsum(-1) - ordered > p
    return logits.masked_fill(torch.zeros_like(goes).scatter(-1, order, goes), float("-inf"))
""",
            "off by one: keeps one token too many where p is reached exactly",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    goes = ordered.cumsum(-1) - ordered >= p
    return logits.masked_fill(goes, float("-inf"))
""",
            "forgotten step: the mask stays in sorted order",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    goes = ordered.cumsum(-1) - ordered >= p
    return logits.masked_fill(goes.gather(-1, order), float("-inf"))
""",
            "brings back by gather, which permutes the wrong way",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    probabilities = logits.softmax(-1)
    goes = probabilities.cumsum(-1) - probabilities >= p
    return logits.masked_fill(goes, float("-inf"))
""",
            "adds up in unsorted order",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    order = logits[0].argsort(descending=True)
    ordered = logits.softmax(-1)[:, order]
    goes = ordered.cumsum(-1) - ordered >= p
    masked = logits.clone()
    masked[:, order] = logits[:, order].masked_fill(goes, float("-inf"))
    return masked
""",
            "the order of the first row for all rows",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    goes = ordered.cumsum(-1) - ordered >= p
    return logits.gather(-1, order).masked_fill(goes, float("-inf"))
""",
            "returns logits in sorted order",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    count = (ordered.cumsum(-1) < p).sum(-1, keepdim=True) + 2
    goes = torch.arange(logits.shape[-1]) >= count
    return logits.masked_fill(torch.zeros_like(goes).scatter(-1, order, goes), float("-inf"))
""",
            "keeps too many: always one beyond p",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    goes = ordered.cumsum(0) - ordered >= p
    return logits.masked_fill(torch.zeros_like(goes).scatter(-1, order, goes), float("-inf"))
""",
            "wrong axis: adds up over the batch",
        ),
    ],
    "q4": [
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[len(tokens) - n + 1 :]
    return {tokens[i + n - 1] for i in range(len(tokens) - n) if tokens[i : i + n - 1] == last}
""",
            "off by one: misses the latest run",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[len(tokens) - n + 1 :]
    return {tokens[i + n - 1] for i in range(len(tokens)) if tokens[i : i + n - 1] == last}
""",
            "crashes where the run stands at the end",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[len(tokens) - n + 1 :]
    return [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == last]
""",
            "wrong type: a list",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[len(tokens) - n + 1 :]
    for i in range(len(tokens) - n + 1):
        if tokens[i : i + n - 1] == last:
            return {tokens[i + n - 1]}
    return set()
""",
            "finds only the first",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[-2:]
    return {tokens[i + 2] for i in range(len(tokens) - 2) if tokens[i : i + 2] == last}
""",
            "ignores an argument: runs of three",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[len(tokens) - n :]
    return {tokens[i + n] for i in range(len(tokens) - n) if tokens[i : i + n] == last}
""",
            "off by one: compares the last n tokens",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    return {after for before, after in zip(tokens, tokens[1:]) if before == tokens[-1]}
""",
            "looks at the last token only",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = tokens[-(n - 1) :]
    return {tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == last}
""",
            "breaks at runs of one: the last n - 1 tokens by a negative index",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    last = sorted(tokens[len(tokens) - n + 1 :])
    return {tokens[i + n - 1] for i in range(len(tokens) - n + 1) if sorted(tokens[i : i + n - 1]) == last}
""",
            "forgets the order within a run",
        ),
    ],
    "q5": [
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens, n))] = float("-inf")
        tokens.append(int(logits.argmax()))
        if tokens[-1] in stop:
            break
    return tokens[len(given) :]
""",
            "the token that stops belongs to the text",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        best = int(ask(tokens).argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "forgotten step: nothing is masked",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(given).clone()
        logits[list(would_repeat(tokens, n))] = float("-inf")
        best = int(logits.argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "asks for what comes after the given text each time",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens[len(given) :], n))] = float("-inf")
        best = int(logits.argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "forgets what was given when it looks for repeats",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens, n))] = 0.0
        best = int(logits.argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "a wrong constant: masks with 0",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        best = int(ask(tokens).argmax())
        if best in stop or best in would_repeat(tokens, n):
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "gives up where the likeliest would repeat",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = given
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens, n))] = float("-inf")
        best = int(logits.argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "in-place damage: the given text grows, nothing new is left",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens, n))] = float("-inf")
        best = int(logits.argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens
""",
            "returns the given text, too",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens, n))] = float("-inf")
        best = int(logits.argmax())
        if best == stop[0]:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "stops at the first of several tokens only",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        logits[list(would_repeat(tokens, n) | set(stop))] = float("-inf")
        tokens.append(int(logits.argmax()))
    return tokens[len(given) :]
""",
            "skips the token in stop and writes on",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    warm = logits / temperature
    return (warm - warm.logsumexp(-1, keepdim=True)).exp()
""",
            "puts the ones in by scatter",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.eye(logits.shape[-1])[logits.argmax(-1)]
    log_p = logits.log_softmax(-1) / temperature
    return torch.softmax(log_p, dim=1)
""",
            "probabilities raised to a power",
        ),
    ],
    "q2": [
        Answer(
            """
def keep_min_p(logits, p):
    probabilities = logits.softmax(-1)
    ratio = probabilities / probabilities.amax(-1, keepdim=True)
    return torch.where(ratio >= p, logits, torch.tensor(-torch.inf))
""",
            "by a ratio, with where",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    distance = logits - logits.max(-1, keepdim=True).values
    return logits.masked_fill(distance.exp() < p, -torch.inf)
""",
            "on the scale of logits: a distance of log p",
        ),
    ],
    "q3": [
        Answer(
            """
def keep_top_p(logits, p):
    rows = []
    for row in logits:
        kept, share = torch.full_like(row, -torch.inf), 0.0
        ordered, order = row.softmax(-1).sort(descending=True)
        for probability, token in zip(ordered, order):
            if share >= p:
                break
            kept[token] = row[token]
            share += probability
        rows.append(kept)
    return torch.stack(rows)
""",
            "row by row",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    before = torch.cat([torch.zeros(len(logits), 1), ordered.cumsum(-1)[:, :-1]], dim=-1)
    return logits.masked_fill((before >= p).gather(-1, order.argsort(-1)), -torch.inf)
""",
            "sorts back by sorting the order",
        ),
    ],
    "q4": [
        Answer(
            """
def would_repeat(tokens, n):
    followers = {}
    for run in zip(*(tokens[start:] for start in range(n))):
        followers.setdefault(run[:-1], set()).add(run[-1])
    return followers.get(tuple(tokens[len(tokens) - n + 1 :]), set()) if len(tokens) >= n else set()
""",
            "a table of all runs",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    runs = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
    return {token for token in tokens if runs and (tokens + [token])[-n:] in runs}
""",
            "tries every token that occurs",
        ),
    ],
    "q5": [
        Answer(
            """
def write(ask, given, max_new, stop, n):
    new = []
    while len(new) < max_new:
        text = [*given, *new]
        banned = would_repeat(text, n)
        best = next(token for token in ask(text).argsort(descending=True).tolist() if token not in banned)
        if best in stop:
            return new
        new.append(best)
    return new
""",
            "takes the first of all tokens in order that is allowed",
        ),
        Answer(
            """
def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens)
        for token in would_repeat(tokens, n):
            logits[token] = -torch.inf
        best = logits.argmax().item()
        if best in stop:
            break
        tokens += [best]
    return tokens[len(given) :]
""",
            "masks in the logits that it was given",
        ),
    ],
}
