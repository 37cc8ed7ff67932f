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
        Answer(
            '''
def tempered(logits, temperature):
    """Return the probabilities (batch, vocab) of logits (batch, vocab) at a temperature of 0 or more."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    powers = (logits / temperature).exp()
    return powers / powers.sum(-1, keepdim=True)
''',
            "softmax by hand with nothing taken away: logits far below zero all become 0, and the result no numbers",
        ),
        Answer(
            '''
def tempered(logits, temperature):
    """Return the probabilities (batch, vocab) of logits (batch, vocab) at a temperature of 0 or more."""
    if temperature == 0:
        best = (logits == logits.amax(-1, keepdim=True)).float()
        return best / best.sum(-1, keepdim=True)
    return (logits / temperature).softmax(-1)
''',
            "at zero a tie is shared out among the likeliest, instead of going to one token",
        ),
        Answer(
            '''
def tempered(logits, temperature):
    """Return the probabilities (batch, vocab) of logits (batch, vocab) at a temperature of 0 or more."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    logits /= temperature
    return logits.softmax(-1)
''',
            "in-place: divides the logits that were handed in",
        ),
        Answer(
            '''
def tempered(logits, temperature):
    """Return the probabilities (batch, vocab) of logits (batch, vocab) at a temperature of 0 or more."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1)).float()
    return (logits / temperature).softmax(-1)
''',
            "one_hot without the size of the vocabulary: as wide as the largest id chosen",
        ),
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    raised = logits.softmax(-1) ** (1 / temperature)
    return raised / raised.sum(-1, keepdim=True)
""",
            "raises probabilities to a power, which vanish at a low temperature over a large flat row",
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
        Answer(
            '''
def keep_min_p(logits, p):
    """Mask in logits (batch, vocab) what is less than p times as likely as the likeliest of its row."""
    probabilities = logits.softmax(-1)
    least = p * probabilities.max()
    return logits.masked_fill(probabilities < least, -torch.inf)
''',
            "the likeliest of the whole batch instead of each row: right for a batch of one",
        ),
        Answer(
            '''
def keep_min_p(logits, p):
    """Mask in logits (batch, vocab) what is less than p times as likely as the likeliest of its row."""
    probabilities = logits.softmax(-1)
    least = p * probabilities.amax(-1, keepdim=True)
    return torch.where(probabilities > least, logits, -torch.inf)
''',
            "more than p times instead of at least: with p = 1 even the likeliest goes",
        ),
        Answer(
            '''
def keep_min_p(logits, p):
    """Mask in logits (batch, vocab) what is less than p times as likely as the likeliest of its row."""
    probabilities = logits.softmax(-1)
    least = p * probabilities.amax(-1, keepdim=True)
    logits[probabilities < least] = -torch.inf
    return logits
''',
            "in-place: masks in the logits that were handed in",
        ),
        Answer(
            '''
def keep_min_p(logits, p):
    """Mask in logits (batch, vocab) what is less than p times as likely as the likeliest of its row."""
    least = logits.amax(-1, keepdim=True) + torch.log10(torch.tensor(float(p)))
    return logits.masked_fill(logits < least, -torch.inf)
''',
            "wrong base: compares logits by the logarithm to base 10 of p",
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
        Answer(
            '''
def keep_top_p(logits, p):
    """Mask in logits (batch, vocab) all but the fewest likeliest tokens of each row that reach p together."""
    ordered, order = logits.softmax(-1).sort(descending=True)  # both (batch, vocab)
    gone = ordered.cumsum(-1) - ordered >= p
    return logits.masked_fill(gone.gather(-1, order), -torch.inf)
''',
            "gathers by `order` instead of scattering: right only where the order is its own inverse",
        ),
        Answer(
            '''
def keep_top_p(logits, p):
    """Mask in logits (batch, vocab) all but the fewest likeliest tokens of each row that reach p together."""
    probabilities = logits.softmax(-1)
    ordered, order = probabilities.sort(descending=True)  # both (batch, vocab)
    gone = ordered.cumsum(-1) - ordered >= p
    least = ordered.masked_fill(gone, 2).amin(-1, keepdim=True)
    return logits.masked_fill(probabilities < least, -torch.inf)
''',
            "cuts by the smallest probability kept, so that all tokens tied with it stay, not the fewest",
        ),
        Answer(
            '''
def keep_top_p(logits, p):
    """Mask in logits (batch, vocab) all but the fewest likeliest tokens of each row that reach p together."""
    ordered, order = logits.softmax(-1).sort(descending=True)  # both (batch, vocab)
    gone = ordered.cumsum(-1) - ordered > p
    return logits.masked_fill(gone.scatter(-1, order, gone), -torch.inf)
''',
            "keeps one token more where those before it reach exactly p",
        ),
        Answer(
            '''
def keep_top_p(logits, p):
    """Mask in logits (batch, vocab) all but the fewest likeliest tokens of each row that reach p together."""
    ordered, order = logits.softmax(-1).sort(descending=True)  # both (batch, vocab)
    gone = ordered.cumsum(-1) >= p
    return logits.masked_fill(gone.scatter(-1, order, gone), -torch.inf)
''',
            "the token that reaches p goes, too, and with it everything where one token is sure",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    ordered, order = logits.softmax(-1).topk(min(1000, logits.shape[-1]))
    goes = ordered.cumsum(-1) - ordered >= p
    gone = torch.ones_like(logits, dtype=torch.bool).scatter(-1, order, goes)
    return logits.masked_fill(gone, -torch.inf)
""",
            "looks at the thousand likeliest only, which may not reach p in a large flat row",
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
        Answer(
            '''
def would_repeat(tokens, n):
    """Return the set of ids that would complete a run of n tokens that stands in the text already."""
    end = tokens[-(n - 1) :]
    found = set()
    for i in range(len(tokens) - n + 1):
        if tokens[i : i + n - 1] == end:
            found.add(tokens[i + n - 1])
    return found
''',
            "a negative start of the slice: with n = 1 it takes the whole text and finds nothing",
        ),
        Answer(
            '''
def would_repeat(tokens, n):
    """Return the set of ids that would complete a run of n tokens that stands in the text already."""
    end = tokens[len(tokens) - n + 1 :]
    for i in range(len(tokens) - n + 1):
        if tokens[i : i + n - 1] == end:
            return {tokens[i + n - 1]}
    return set()
''',
            "stops at the first place found, though the same run went on differently elsewhere",
        ),
        Answer(
            '''
def would_repeat(tokens, n):
    """Return the set of ids that would complete a run of n tokens that stands in the text already."""
    end = tokens[len(tokens) - n + 1 :]
    found = set()
    for i in range(len(tokens) - n):
        if tokens[i : i + n - 1] == end:
            found.add(tokens[i + n - 1])
    return found
''',
            "off by one: the last run of the text is not looked at, which shows where it is one id over and over",
        ),
        Answer(
            '''
def would_repeat(tokens, n):
    """Return the set of ids that would complete a run of n tokens that stands in the text already."""
    end = sorted(tokens[len(tokens) - n + 1 :])
    found = set()
    for i in range(len(tokens) - n + 1):
        if sorted(tokens[i : i + n - 1]) == end:
            found.add(tokens[i + n - 1])
    return found
''',
            "compares runs without regard to their order",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    tail = tokens[len(tokens) - n + 1 :]
    found = set()
    for i in range(len(tokens) - len(tail)):
        if tokens[i : i + len(tail)] == tail:
            found.add(tokens[i + len(tail)])
    return found
""",
            "a text shorter than the run: a negative start gives a shorter tail, which is found",
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
        Answer(
            '''
def write(ask, given, max_new, stop, n):
    """Return the new ids after `given`; ask(tokens) gives logits (vocab,), and no run of n tokens comes twice."""
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        new = tokens[len(given) :]
        for i in range(len(new) - n + 1):
            if new[i : i + n - 1] == new[len(new) - n + 1 :]:
                logits[new[i + n - 1]] = -torch.inf
        token = int(logits.argmax())
        if token in stop:
            break
        tokens.append(token)
    return tokens[len(given) :]
''',
            "looks for repetitions in what is new only, not in the text that was given",
        ),
        Answer(
            '''
def write(ask, given, max_new, stop, n):
    """Return the new ids after `given`; ask(tokens) gives logits (vocab,), and no run of n tokens comes twice."""
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        for i in range(len(tokens) - n + 1):
            if tokens[i : i + n - 1] == tokens[len(tokens) - n + 1 :]:
                logits[tokens[i + n - 1]] = -100.0
        token = int(logits.argmax())
        if token in stop:
            break
        tokens.append(token)
    return tokens[len(given) :]
''',
            "masks with -100, which is the likeliest of all where logits lie below that",
        ),
        Answer(
            '''
def write(ask, given, max_new, stop, n):
    """Return the new ids after `given`; ask(tokens) gives logits (vocab,), and no run of n tokens comes twice."""
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        for i in range(len(tokens) - n + 1):
            if tokens[i : i + n - 1] == tokens[len(tokens) - n + 1 :]:
                logits[tokens[i + n - 1]] = -torch.inf
        token = int(logits.argmax())
        if token == tokenizer.end_of_text:
            break
        tokens.append(token)
    return tokens[len(given) :]
''',
            "stops at GPT-2's end of text whatever stands in `stop`",
        ),
        Answer(
            """
def completing(tokens, n):
    tail = tokens[len(tokens) - n + 1 :]
    return {tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == tail}


def write(ask, given, max_new, stop, n):
    tokens = list(given)
    for _ in range(max_new):
        logits = ask(tokens).clone()
        if int(logits.argmax()) in stop:
            break
        for token in completing(tokens, n):
            logits[token] = -torch.inf
        best = int(logits.argmax())
        if best in stop:
            break
        tokens.append(best)
    return tokens[len(given) :]
""",
            "looks for a stop before masking, so it ends at a stop token that would repeat a run",
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
        Answer(
            """
def tempered(logits, temperature):
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    below = (logits - logits.amax(-1, keepdim=True)) / temperature  # 0 for the likeliest
    return (below - below.logsumexp(-1, keepdim=True)).exp()
""",
            "scatter for zero, else e to the power of what logsumexp leaves",
        ),
        Answer(
            """
import numpy as np


def tempered(logits, temperature):
    rows = logits.detach().cpu().double().numpy()
    made = np.zeros_like(rows)
    for row, out in zip(rows, made):
        if temperature == 0:
            out[row.argmax()] = 1
        else:
            powers = np.exp((row - row.max()) / temperature)
            out[:] = powers / powers.sum()
    return torch.from_numpy(made).to(logits.dtype)
""",
            "row by row in numpy and float64",
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
        Answer(
            """
def keep_min_p(logits, p):
    rows = []
    for row in logits:
        chances = row.softmax(0)
        border = chances.max() * p
        masked = row.clone()
        masked[chances < border] = float("-inf")
        rows.append(masked)
    return torch.stack(rows)
""",
            "row by row, in a copy of each",
        ),
        Answer(
            """
def keep_min_p(logits, p):
    against_best = (logits - logits.amax(1, keepdim=True)).exp()  # 1 for the likeliest of each row
    nothing = torch.full_like(logits, -torch.inf)
    return torch.where(against_best >= p, logits, nothing)
""",
            "odds against the likeliest straight from the difference of logits, no softmax",
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
        Answer(
            """
def keep_top_p(logits, p):
    if p >= 1:
        return logits.clone()
    rows = []
    for row, chances in zip(logits, logits.softmax(-1).tolist()):
        kept, held = [], 0.0
        for token in sorted(range(len(chances)), key=chances.__getitem__, reverse=True):
            kept.append(token)
            held += chances[token]
            if held >= p:
                break
        masked = torch.full_like(row, -torch.inf)
        masked[kept] = row[kept]
        rows.append(masked)
    return torch.stack(rows)
""",
            "Python's sorted and a running sum for each row, early return for p = 1",
        ),
        Answer(
            """
def keep_top_p(logits, p):
    if p >= 1:
        return logits.clone()
    ordered, order = logits.softmax(-1).sort(descending=True, stable=True)
    before = torch.nn.functional.pad(ordered.cumsum(-1)[:, :-1], (1, 0))  # what the likelier ones hold
    rank = order.argsort(-1)  # the inverse of `order`
    goes = (before.gather(-1, rank) >= p) & (rank > 0)
    return torch.where(goes, -torch.inf, logits)
""",
            "ranks by a second argsort and gather, running sums shifted by one",
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
        Answer(
            """
from collections import defaultdict


def would_repeat(tokens, n):
    followers = defaultdict(set)
    for *begin, last in zip(*(tokens[j:] for j in range(n))):
        followers[tuple(begin)].add(last)
    return followers[tuple(tokens[len(tokens) - n + 1 :])]
""",
            "a table of what followed each run of n - 1 tokens, from shifted copies zipped",
        ),
        Answer(
            """
def would_repeat(tokens, n):
    runs = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
    end = tuple(tokens[len(tokens) - n + 1 :])
    return {candidate for candidate in tokens if (*end, candidate) in runs}
""",
            "tries each token of the text as the next one against the set of all runs",
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
        Answer(
            """
def write(ask, given, max_new, stop, n):
    text, new = list(given), []
    while len(new) < max_new:
        likely = torch.argsort(ask(list(text)), descending=True, stable=True).tolist()
        tail = text[len(text) - n + 1 :]
        taboo = [text[i + n - 1] for i in range(len(text) - n + 1) if text[i : i + n - 1] == tail]
        choice = next(token for token in likely if token not in taboo)
        if choice in stop:
            return new
        new.append(choice)
        text.append(choice)
    return new
""",
            "sorts the logits and takes the first token that is allowed, masks nothing",
        ),
        Answer(
            """
from itertools import islice, takewhile


def write(ask, given, max_new, stop, n):
    def goes_on():
        text = list(given)
        while True:
            logits = ask(list(text)).tolist()
            runs = {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}
            end = tuple(text[len(text) - n + 1 :])
            allowed = [token for token in range(len(logits)) if (*end, token) not in runs]
            best = max(allowed, key=logits.__getitem__)
            yield best
            text.append(best)

    return list(islice(takewhile(lambda token: token not in stop, goes_on()), max_new))
""",
            "a generator with takewhile and islice, max over a Python list",
        ),
    ],
}
