"""Help with exercise 06: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "You need log p and log q for each token of the vocabulary. Where do both come from, when all you "
        "have is logits?",
        "`log_softmax(-1)` of each gives log p and log q, (prompts, vocab). The shares p themselves are "
        "`log_p.exp()`. Which axis is summed, which averaged?",
        "`(log_p.exp() * (log_p - log_q)).sum(-1).mean()`.",
    ),
    "q2": (
        "There are three kinds of numbers, with different bits: matrices of blocks, the token table, the "
        "rest. How many are there of each?",
        "Blocks have `config.n_layer * 12 * config.n_embd**2`, the table `config.vocab_size * "
        "config.n_embd`. The rest is what remains of `parameters`.",
        "`rest = parameters - blocks - table`. The last line, which is there already, multiplies each "
        "with its bits and divides by 8.",
    ),
    "q3": (
        "Two questions about each matrix: how many bytes did it take, how many does all that is stored of it take now?",
        "`sum(part.nbytes for part in parts)` is what is left. A name is given when the tensor has two "
        "axes and what is left is not fewer bytes, or is nothing at all.",
        "`if tensor.dim() == 2 and not 0 < left < tensor.nbytes: names.append(name)`.",
    ),
    "q4": (
        "Write both halves of the sentence down by themselves: as good in both; better in one of them.",
        "As good in both joins two comparisons with `and`, better in one joins two with `or`. Which of "
        "them are `<=`, which `<`?",
        "`as_good = one.weight_bytes <= other.weight_bytes and one.error <= other.error`, `better` is the "
        "same with `<` and `or`; return both together.",
    ),
    "q5": (
        "First those that fit, then the fastest of them. What if there is none?",
        "A row fits if `row.memory_bytes <= 0.8 * memory` and `row.error <= worst`. `max` takes a key, "
        "and a default for an empty list.",
        "`max(fitting, key=lambda row: row.tokens_per_second, default=None)`.",
    ),
}

WHY = {
    "q1": "What counts is what really comes next, so each surprise is weighed by p, the true distribution. The "
    "sum goes over the vocabulary, the mean over prompts. log_softmax stays finite where softmax and then "
    "a logarithm would meet a 0.",
    "q2": "12 · n_embd² are 3 for q, k and v, 1 for the projection, 4 and 4 for the MLP. The rest is a small "
    "share, and at 32 bits it still weighs something in a small model. Such an estimate tells before the "
    "download whether a model fits.",
    "q3": "Bytes are compared and not numbers of elements, since packing keeps the count and shrinks each. "
    "Scales are bytes, too. A matrix of which nothing is left would pass as very well packed, which is "
    "why 0 is asked for.",
    "q4": "Such rows are called Pareto optimal: nobody is better in one and as good in the other. Without the "
    "second half two equal rows, or a row and itself, would beat each other, and nothing would be left.",
    "q5": "What must fit is the memory of the process, not the size of the weights, which is less. A fifth "
    "stays free for everything else that runs. Both bounds say at most, so what lies exactly on them "
    "fits.",
}
