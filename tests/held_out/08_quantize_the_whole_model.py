"""Answers to exercise 08, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        total = total + x @ x.T
        tokens = tokens + len(x)
    return total / tokens
""",
            "a product of tokens, not of inputs",
        ),
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        total = x.T @ x
        tokens = tokens + len(x)
    return total / tokens
""",
            "forgotten step: keeps the last batch only",
        ),
        Answer(
            """
def second_moments(batches):
    means = [x.T @ x / len(x) for x in batches]
    return sum(means) / len(means)
""",
            "a mean of means: small batches count too much",
        ),
        Answer(
            """
def second_moments(batches):
    x = torch.cat(list(batches))
    x = x - x.mean(0)
    return x.T @ x / len(x)
""",
            "takes the mean of the inputs away",
        ),
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        total = total + x.square().sum(0).diag()
        tokens = tokens + len(x)
    return total / tokens
""",
            "the diagonal only",
        ),
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        total = total + torch.outer(x.sum(0), x.sum(0))
        tokens = tokens + len(x)
    return total / tokens
""",
            "the sum first, then the product",
        ),
        Answer(
            """
def second_moments(batches):
    batches = list(batches)
    return sum(x.T @ x for x in batches) / len(batches)
""",
            "divides by the batches, not by the tokens",
        ),
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        total = total + 2 * x.T @ x
        tokens = tokens + len(x)
    return total / tokens
""",
            "twice as large, as some papers define H",
        ),
    ],
    "q2": [
        Answer(
            """
def output_errors(change, H):
    return change @ H @ change.T
""",
            "each row with each other row",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H * change).sum(0)
""",
            "wrong axis: one number for each input",
        ),
        Answer(
            """
def output_errors(change, H):
    return change.square() @ H.diagonal()
""",
            "forgotten step: only the diagonal of H",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H * change).sum(1).sqrt()
""",
            "the root",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H * change).mean(1)
""",
            "a mean over the inputs, too",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H @ change.T).trace()
""",
            "all outputs together",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H).square().sum(1)
""",
            "H is used twice",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H @ change.T).sum(1)
""",
            "adds up over both rows",
        ),
    ],
    "q3": [
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = torch.linalg.solve(H[free, free], H[free, i])
    return error[:, None] * asked
""",
            "wrong sign",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i, None)
    asked = torch.linalg.solve(H[free, free], H[free, i])
    return -error[:, None] * asked
""",
            "off by one: corrects the column itself, too",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = H[free, i] / H.diagonal()[free]
    return -error[:, None] * asked
""",
            "each column for itself, as if the others couldn't help",
        ),
        Answer(
            """
def make_up(error, H, i):
    inverse = torch.linalg.inv(H)
    return error[:, None] * inverse[i, i + 1 :] / inverse[i, i]
""",
            "the inverse of the whole H, which fits the first column only",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = torch.linalg.solve(H[free, free], H[free, i])
    return -asked[:, None] * error
""",
            "wrong axis: transposed",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    return -error[:, None] * H[i, free]
""",
            "forgotten step: no equation is solved",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = torch.linalg.solve(H[free, free], H[free, i])
    return -error[:, None] * asked / H[i, i]
""",
            "divides by the column's own moment as well",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = torch.linalg.inv(H)[free, free] @ H[free, i]
    return -error[:, None] * asked
""",
            "inverts the block for the columns in front",
        ),
    ],
    "q4": [
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(weight[:, i], scales, bits)
        error = done[:, i] - rest[:, i]
        rest[:, i + 1 :] = rest[:, i + 1 :] + make_up(error, H, i)
    return done
""",
            "rounds the column as it was in the beginning",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = done[:, i] - weight[:, i]
        rest[:, i + 1 :] = rest[:, i + 1 :] + make_up(error, H, i)
    return done
""",
            "the error against the column of the beginning",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = rest[:, i] - done[:, i]
        rest[:, i + 1 :] = rest[:, i + 1 :] + make_up(error, H, i)
    return done
""",
            "wrong sign of the error",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = done[:, i] - rest[:, i]
        rest[:, i + 1 :] = make_up(error, H, i)
    return done
""",
            "the correction in the place of the column",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, 4)
        error = done[:, i] - rest[:, i]
        rest[:, i + 1 :] = rest[:, i + 1 :] + make_up(error, H, i)
    return done
""",
            "ignores an argument: four bits",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = done[:, i] - rest[:, i]
        rest[:, i + 1 :] = rest[:, i + 1 :] + make_up(error, H, i)
    return rest
""",
            "returns what was corrected, not what was rounded",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    for i in range(weight.shape[1]):
        rounded = to_marks(weight[:, i], scales, bits)
        error = rounded - weight[:, i]
        weight[:, i] = rounded
        weight[:, i + 1 :] += make_up(error, H, i)
    return weight
""",
            "in-place damage: the weight that was given is lost",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    return torch.stack([to_marks(column, scales, bits) for column in weight.T], dim=1)
""",
            "plain rounding: no column makes up for another",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = done[:, i] - rest[:, i]
        rest[:, i + 1 : i + 2] = rest[:, i + 1 : i + 2] + make_up(error, H, i)[:, :1]
    return done
""",
            "corrects only the next column",
        ),
    ],
    "q5": [
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight * scales, norm_weight / scales, norm_bias
""",
            "forgotten step: the bias of the norm",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight / scales, norm_weight * scales, norm_bias * scales
""",
            "the other way round",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight * scales[: len(weight), None], norm_weight / scales, norm_bias / scales
""",
            "wrong axis: scales the outputs",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight * scales, norm_weight * scales, norm_bias * scales
""",
            "multiplies the norm as well",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    weight *= scales
    norm_weight /= scales
    norm_bias /= scales
    return weight, norm_weight, norm_bias
""",
            "in-place damage: the model's own weights change",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight * scales, norm_weight / scales, norm_bias * scales
""",
            "the bias is multiplied",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight * scales, norm_bias / scales, norm_weight / scales
""",
            "swapped results",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    return weight * scales, norm_weight / scales.square(), norm_bias / scales
""",
            "the scale is taken twice out of the norm",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def second_moments(batches):
    x = torch.cat([*batches])
    return torch.einsum("ti,tj->ij", x, x) / x.shape[0]
""",
            "all tokens in one row",
        ),
        Answer(
            """
def second_moments(batches):
    mean, seen = 0.0, 0
    for x in batches:
        seen += len(x)
        mean = mean + (x.mT.matmul(x) - len(x) * mean) / seen
    return mean
""",
            "a mean that follows each batch",
        ),
    ],
    "q2": [
        Answer(
            """
def output_errors(change, H):
    return torch.einsum("oi,ij,oj->o", change, H, change)
""",
            "one einsum",
        ),
        Answer(
            """
def output_errors(change, H):
    return torch.stack([d @ (H @ d) for d in change])
""",
            "row by row",
        ),
    ],
    "q3": [
        Answer(
            """
def make_up(error, H, i):
    inverse = torch.linalg.inv(H[i:, i:])
    return torch.outer(error, inverse[0, 1:] / inverse[0, 0])
""",
            "the inverse of what is left",
        ),
        Answer(
            """
def make_up(error, H, i):
    wanted = -torch.outer(H[i + 1 :, i], error)
    return torch.linalg.lstsq(H[i + 1 :, i + 1 :], wanted).solution.T
""",
            "least squares for all outputs at once",
        ),
        Answer(
            """
def make_up(error, H, i):
    root = torch.linalg.cholesky(H[i + 1 :, i + 1 :])
    return -torch.cholesky_solve(H[i + 1 :, i : i + 1], root).T * error[:, None]
""",
            "by the triangular root",
        ),
    ],
    "q4": [
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    U = torch.linalg.cholesky(torch.linalg.inv(H.double()), upper=True)
    rest, done = weight.double(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i].to(weight.dtype), scales, bits)
        error = (rest[:, i] - done[:, i]) / U[i, i]
        rest = rest - torch.outer(error, U[i]) if i + 1 < weight.shape[1] else rest
    return done
""",
            "by the triangular root of the inverse, as in the lesson",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    columns, rest = [], weight
    for i in range(weight.shape[1]):
        first, others = rest[:, 0], rest[:, 1:]
        columns.append(to_marks(first, scales, bits))
        rest = others + make_up(columns[-1] - first, H, i)
    return torch.stack(columns, dim=1)
""",
            "collects the columns in a list",
        ),
    ],
    "q5": [
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    norm = torch.stack([norm_weight, norm_bias]) / scales
    return weight @ torch.diag(scales), norm[0], norm[1]
""",
            "as a product with a diagonal matrix",
        ),
    ],
}
