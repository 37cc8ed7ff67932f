"""Help with exercise 03: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "Write the table for four tokens on paper. Which side of the diagonal is the future, and is the "
        "diagonal in it?",
        "`torch.ones(time, time)` is a full table, and `triu` keeps an upper triangle. It takes a number "
        "that says where the triangle begins.",
        "`torch.ones(time, time).triu(1)` has ones where the future is. What is missing is the dtype: `.bool()`.",
    ),
    "q2": (
        "There are three steps: scores, hide the future, softmax. The order matters, since rows sum to 1 "
        "after a softmax and no longer once something is changed.",
        "A score for each query (row) and key (column) is `q @ k.T`, divided by the square root of "
        "`q.shape[-1]`. A hidden score must get a share of 0: which number has an exponential of 0?",
        "`scores.masked_fill(future(len(q)), -torch.inf)` hides them, then `.softmax(-1)` goes along each row.",
    ),
    "q3": (
        "The three equal parts are q, k and v of all heads. Which columns of such a part belong to head "
        "0, and which to head 1?",
        "Head number `head` owns `config.head_width` columns from `head * config.head_width` on: in q, in k and in v.",
        "With `own = slice(head * config.head_width, (head + 1) * config.head_width)` the shares come "
        "from `q[:, own]` and `k[:, own]`, and are multiplied with `v[:, own]`.",
    ),
    "q4": (
        "You have one head. All of them are as many calls, and two steps remain: side by side, and mixed.",
        "`torch.cat` puts a list of tensors together, along the axis that you name: here the last. "
        "`attention.out` is the layer that mixes.",
        "`torch.cat([one_head(x, attention, head) for head in range(config.n_head)], dim=-1)`, and that "
        "goes through `attention.out`.",
    ),
    "q5": (
        "There are two lines of the same form: the stream, plus what a part finds in a normed copy of it.",
        "The first line is attention with `block.norm1`, the second the MLP with `block.norm2`. The "
        "second reads what the first has made.",
        "`x = x + attend(block.norm1(x), block.attention)`, then the same with `block.mlp` and `block.norm2`.",
    ),
    "q6": (
        "Mean and variance are taken along the width, for each token. What has to stay so that they can be "
        "subtracted from and divided by row?",
        "`x.mean(-1, keepdim=True)` keeps the axis. The variance is the mean of the squares of what is left "
        "after the mean is taken away; `x.var` divides by one less unless you say `correction=0`.",
        "With `centered` and `variance`, the result is `centered / (variance + layer.eps).sqrt() * layer.weight` "
        "plus `layer.bias`.",
    ),
    "q7": (
        "Three steps: where the stream begins, what every block makes of it, what is read off at its end.",
        "A table indexed by `tokens` gives one row for each; the positions are the first `len(tokens)` rows of "
        "theirs. The blocks are a list that you can walk over.",
        "After the loop: `norm(x, model.final_norm) @ model.token_embedding.weight.T`, one product with each "
        "token's row.",
    ),
}

WHY = {
    "q1": "`triu(1)` keeps what lies above the diagonal: there the column comes after the row. The diagonal "
    "stays False, since a token may look at itself; without it the first token would have nothing to look "
    "at, and a softmax over nothing is no number.",
    "q2": "The future is hidden before the softmax, so that each row still sums to 1. The square root of the "
    "width keeps scores at the same size however wide q and k are; without it the softmax of a wide head "
    "gives nearly everything to one token.",
    "q3": "A head is the same slice of q, k and v. It looks by q and k, and takes what v holds. Heads share "
    "nothing until attention.out, so real code does all of them at once, with one more axis.",
    "q4": "Side by side in their order, the heads fill the width of the stream again. attention.out is the only "
    "place where what one head found meets what another found.",
    "q5": "Each part adds to the stream and never replaces it, so a gradient has a straight way from the last "
    "block to the first. The norm stands before each part (pre-norm): the stream itself is normed only "
    "once, after the last block.",
    "q6": "Centered and divided by their spread, a token's numbers have mean 0 and variance 1 whatever their size was; "
    "weight and bias then give each column the size and place that training found. eps keeps the division possible "
    "where all numbers are the same. Unlike batch norm, no token looks at another.",
    "q7": "The same table stands at both ends (tied weights): a row says what a token brings into the stream, and how "
    "much a stream at its end looks like that token. All else is blocks that add. Nothing here knows how large "
    "the model is: the same lines run GPT-2 small, medium, large and XL.",
}
