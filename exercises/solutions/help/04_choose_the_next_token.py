"""Help with exercise 04: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "Two cases: a temperature of 0, and all others. Where in the second do you divide, before the "
        "softmax or after it?",
        "Above 0 it is `(logits / temperature).softmax(-1)`. At 0 you need a row of zeros with a single "
        "1, where `logits.argmax(-1)` says.",
        "`torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])` has the 1 in its place, as "
        "whole numbers: `.float()` makes probabilities of them.",
    ),
    "q2": (
        "What must a token reach, so that it may stay? It is another number in each row.",
        "The greatest probability of each row is `probabilities.amax(-1, keepdim=True)`, (batch, 1). The "
        "least that may stay is p times that.",
        "`logits.masked_fill(probabilities < least, -torch.inf)`: those below go, all others keep their logits.",
    ),
    "q3": (
        "In sorted order, ask of each token: what do the likelier ones before it hold together? When have "
        "they done the job without it?",
        "`ordered.cumsum(-1)` counts the token itself as well; take `ordered` off again. Those for whom "
        "the sum before has reached p go.",
        "`gone = ordered.cumsum(-1) - ordered >= p`, then `torch.zeros_like(gone).scatter(-1, order, "
        "gone)` is the same mask where each token stands, and `masked_fill` uses it.",
    ),
    "q4": (
        "What are the last n - 1 tokens of the text? Whatever followed the same tokens earlier would complete a run.",
        "Go through all places where n - 1 tokens and one more after them fit. Where the tokens equal the "
        "last ones, the one after them goes into the set.",
        "`last = tokens[len(tokens) - n + 1 :]`; for `i in range(len(tokens) - n + 1)`: if `tokens[i : i "
        "+ n - 1] == last`, add `tokens[i + n - 1]`.",
    ),
    "q5": (
        "One round: ask, mask, choose, look whether it is a stop token, append. In which order?",
        "Keep one list that begins with a copy of `given`, and hand all of it to `ask`. What you return is its tail.",
        "`logits = ask(tokens)`, then `logits[token] = -torch.inf` for each of `would_repeat(tokens, n)`, "
        "then `token = int(logits.argmax())`; break if it is in `stop`, else append it.",
    ),
}

WHY = {
    "q1": "Dividing logits by the temperature raises the odds to a power: 3 to 1 becomes 9 to 1 at one half. At "
    "0 that power would be infinite, so greedy choice is a case of its own. A softmax subtracts the "
    "greatest logit first, which is why it stands numbers far from 0.",
    "q2": "The bound follows the likeliest token: where the model is sure, nearly everything goes; where it is "
    "not, much stays. keepdim lets a column of bounds meet all columns of the batch. Strictly below goes, "
    "so with p = 1 the likeliest itself is left.",
    "q3": "A token goes when the likelier ones have reached p already, so the one with which the sum gets there "
    "stays, and the likeliest always does. The mask is made in sorted order, and scatter brings each "
    "row's mask back to the places of its own tokens.",
    "q4": "With the length in the slice, n = 1 works as well: no token has to match, so every token that was "
    "there would repeat. tokens[-(n - 1):] would be the whole text then. Too short a text gives an empty "
    "range and an empty set.",
    "q5": "A language model knows nothing but the tokens that it is handed, so it must get all of them again in "
    "each round. The mask is -inf and not 0, since the logits of GPT-2 lie far below 0, and 0 would be "
    "the best of all. The list is a copy: whoever called has the given tokens as they were.",
}
