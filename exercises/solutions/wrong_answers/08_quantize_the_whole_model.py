"""Typical wrong answers to exercise 08, and a part of the message that each must get."""

MOMENTS = "def second_moments(batches):\n"
ERRORS = "def output_errors(change, H):\n"
MAKE_UP = "def make_up(error, H, i):\n    free = slice(i + 1, None)\n"
GPTQ = (
    "def small_gptq(weight, scales, bits, H):\n"
    "    rest, done = weight.clone(), torch.zeros_like(weight)\n"
    "    for i in range(weight.shape[1]):\n"
)
ROUND = "        done[:, i] = to_marks(rest[:, i], scales, bits)\n"
CORRECT = "        rest[:, i + 1 :] += make_up(error, H, i)\n"
FOLD = "def fold(weight, norm_weight, norm_bias, scales):\n"

WRONG = {
    "q1": [
        (MOMENTS + "    return sum(x @ x.T for x in batches) / sum(len(x) for x in batches)", "x @ x.T?"),
        (MOMENTS + "    return sum(x.T @ x / len(x) for x in batches) / len(batches)", "mean of means"),
        (MOMENTS + "    return sum(x.T @ x for x in batches)", "By what do you divide"),
        (MOMENTS + "    x = batches[-1]\n    return x.T @ x / len(x)", "of the last batch alone"),
        (
            MOMENTS + "    x = torch.cat(batches)\n    x = x - x.mean(0)\n    return x.T @ x / len(x)",
            "mean of the inputs taken away",
        ),
    ],
    "q2": [
        (ERRORS + "    return change @ H @ change.T", "Each row meets only itself"),
        (ERRORS + "    return ((change @ H) * change).sum()", "Which axis is summed"),
        (ERRORS + "    return (change.square() * H.diagonal()).sum(-1)", "or its diagonal"),
        (ERRORS + "    return (change @ H).square().sum(-1)", "How often is each in it"),
    ],
    "q3": [
        (MAKE_UP + "    return error[:, None] * torch.linalg.solve(H[free, free], H[free, i])", "Which sign"),
        (MAKE_UP + "    return -error[:, None] * H[i, free] / H[i, i]", "divided by H[i, i]"),
        (
            MAKE_UP + "    return -torch.linalg.solve(H[free, free], H[free, i])",
            "Is each output, with its own error, asked",
        ),
        (
            MAKE_UP + "    asked = torch.linalg.solve(H[free, free], H[free, i])\n"
            "    return -torch.ones_like(error)[:, None] * asked",
            "Where does error come in",
        ),
        (MAKE_UP + "    return -error[:, None] * H[i, i:]", "Column i is among"),
    ],
    "q4": [
        (GPTQ + ROUND + "    return done", "This is plain rounding"),
        (GPTQ + ROUND + "        error = rest[:, i] - done[:, i]\n" + CORRECT + "    return done", "minus the old one"),
        (GPTQ + ROUND + "        error = done[:, i] - rest[:, i]\n" + CORRECT + "    return rest", "stand on no mark"),
        (
            GPTQ
            + "        done[:, i] = (rest[:, i] / scales).round() * scales\n        error = done[:, i] - rest[:, i]\n"
            + CORRECT
            + "    return done",
            "beyond the ruler",
        ),
        (
            GPTQ + ROUND + "        error = done[:, i] - weight[:, i]\n" + CORRECT + "    return done",
            "as it stood by then",
        ),
        (
            GPTQ
            + ROUND
            + "        error = done[:, i] - rest[:, i]\n"
            + CORRECT.replace(
                "[:, i + 1 :] += make_up(error, H, i)", "[:, i + 1 : i + 2] += make_up(error, H, i)[:, :1]"
            )
            + "    return done",
            "Only the next column",
        ),
    ],
    "q5": [
        (FOLD + "    return weight * scales, norm_weight / scales, norm_bias", "through the same weights"),
        (FOLD + "    return weight * scales[:, None], norm_weight / scales, norm_bias / scales", "or its columns"),
        (FOLD + "    return weight / scales, norm_weight * scales, norm_bias * scales", "Which is divided"),
        (FOLD + "    return weight * scales, norm_weight * scales, norm_bias * scales", "both become larger"),
        (FOLD + "    return weight * scales, norm_weight, norm_bias", "Does the norm divide"),
    ],
}
