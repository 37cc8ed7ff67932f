"""Hints for exercise 08 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "The outer products of all tokens are added up. One matrix product does it for a whole batch.",
        "Keep two running sums, of products and of tokens, and divide only after the last batch.",
        "For a batch x of shape (tokens, in), x.T @ x is (in, in): add it to `total`.",
    ),
    "q2": (
        "Write d · H · dᵀ as a sum over pairs of inputs. Which sum can a matrix product do for all rows at once?",
        "`change @ H` is d · H for each row d. What is left is the dot product of each row with its own d.",
        "Multiply `change @ H` number by number with `change`, and sum over the last axis.",
    ),
    "q3": (
        "There is one equation for each free column, and all of them hold at once: a linear system.",
        "Solve for one unit of error first: which x has H[free, free] · x = H[free, i]?",
        "`asked = torch.linalg.solve(H[free, free], H[free, i])`; each output wants -its error times `asked`.",
    ),
    "q4": (
        "`rest` holds the columns as they stand by now, `done` the rounded ones. Which one is rounded, which one read?",
        "Round column i of `rest` into `done`; the error is the new column minus the old one.",
        "After that, `rest[:, i + 1 :]` grows by `make_up(error, H, i)`.",
    ),
    "q5": (
        "Follow one input: the norm makes it, one column of the weight multiplies it. Their product must stay.",
        "The norm's output is normed * norm_weight + norm_bias. Both terms go through the same column.",
        "The weight times `scales` (they fit its last axis), both parts of the norm divided by `scales`.",
    ),
}

WHY = {
    "q1": "A mean over all tokens is a sum over all tokens divided by their number; a mean of the batches' means "
    "would weigh a token in a short batch more. Since only sums are kept, calibration text can be as long as "
    "you like.",
    "q2": "The mean of (d · x)² is d · (mean of x · xᵀ) · dᵀ, so H replaces the text. (change @ H) * change, summed"
    " over inputs, is the diagonal of change @ H @ change.T without the products of different rows, which "
    "nobody asked for.",
    "q3": "The error is a quadratic function of d, and its slope is zero where d · H[free, free] = -error · H[i, "
    "free]. Free columns know of each other, so all are solved for together. The lesson reads the same "
    "numbers from the inverse of H[i:, i:]: its first row divided by its corner, for one unit of error.",
    "q4": "Each column is rounded as it stands, errors of earlier ones included, and what rounding changed is made "
    "up for by those that are still free. The last column has nobody behind it, so its error stays.",
    "q5": "Column j of the weight meets input j only, so multiplying one and dividing the other by the same number "
    "leaves their product. The norm's bias is a part of the input, and is divided, too. New tensors leave the"
    " model as it was.",
}
