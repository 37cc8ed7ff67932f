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
        Answer(
            """
def second_moments(batches):
    total, count = 0, 0
    for x in batches:
        total = total + x.T @ x / len(x)
        count = count + 1
    return total / count
""",
            "the mean of the batches' means, wrong where batches differ in size",
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
            "overwrites the total, so only the last batch is in it",
        ),
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        x = x - x.mean(0)
        total = total + x.T @ x
        tokens = tokens + len(x)
    return total / tokens
""",
            "takes the mean away first: a covariance and not the mean of x times x transposed",
        ),
        Answer(
            """
def second_moments(batches):
    total, tokens = 0, 0
    for x in batches:
        total = total + x.T @ x
        tokens = tokens + len(x)
    return total / max(tokens - 1, 1)
""",
            "divides by one token too few, as in an unbiased variance",
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
        Answer(
            """
def output_errors(change, H):
    return change.square() @ H.diagonal()
""",
            "uses the diagonal of H only, right where inputs have nothing to do with each other",
        ),
        Answer(
            """
def output_errors(change, H):
    return (change @ H @ change.T).sum(1)
""",
            "adds the products of a row with all other rows, right for a single output",
        ),
        Answer(
            """
def output_errors(change, H):
    return ((change @ H) * change).mean(1)
""",
            "mean over the inputs in place of the sum",
        ),
        Answer(
            """
def output_errors(change, H):
    root = torch.linalg.cholesky(H)  # lower triangular, H = root @ root.T
    return (change @ root.T).square().sum(1)
""",
            "multiplies by the transpose of the root, right only for a diagonal H",
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
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = H[i, free] / H.diagonal()[free]
    return -error[:, None] * asked
""",
            "lets each free column make up for the error alone, right for one free column",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    inverse = torch.linalg.inv(H)
    asked = inverse[i, free] / inverse[i, i]
    return error[:, None] * asked
""",
            "reads it off the inverse of all of H, where columns in front of i are still free; right for i = 0",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = torch.linalg.inv(H)[free, free] @ H[free, i]
    return -error[:, None] * asked
""",
            "takes a part of the inverse for the inverse of the part",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    asked = torch.linalg.solve(H[free, free], H[free, i])
    return error[:, None] * asked
""",
            "the sign: adds to the error in place of making up for it",
        ),
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    if i + 1 == len(H):  # nobody is left
        return torch.zeros_like(error)
    asked = torch.linalg.solve(H[free, free], H[free, i])
    return -error[:, None] * asked
""",
            "the last column: zeros (out,) instead of a change (out, 0)",
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
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(weight[:, i], scales, bits)
        error = done[:, i] - rest[:, i]
        if i + 1 < weight.shape[1]:
            asked = torch.linalg.solve(H[i + 1 :, i + 1 :], H[i + 1 :, i])
            rest[:, i + 1 :] = rest[:, i + 1 :] - error[:, None] * asked
    return done
""",
            "rounds the original column and not the column as it stands by then",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = done[:, i] - weight[:, i]
        if i + 1 < weight.shape[1]:
            asked = torch.linalg.solve(H[i + 1 :, i + 1 :], H[i + 1 :, i])
            rest[:, i + 1 :] = rest[:, i + 1 :] - error[:, None] * asked
    return done
""",
            "measures the error against the original weight, so corrections are counted again",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = (rest[:, i] / scales).round() * scales
        error = done[:, i] - rest[:, i]
        if i + 1 < weight.shape[1]:
            asked = torch.linalg.solve(H[i + 1 :, i + 1 :], H[i + 1 :, i])
            rest[:, i + 1 :] = rest[:, i + 1 :] - error[:, None] * asked
    return done
""",
            "rounds without a clamp, so corrected weights land on marks that the bits do not have",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    rest, done = weight.clone(), torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        done[:, i] = to_marks(rest[:, i], scales, bits)
        error = done[:, i] - rest[:, i]
        if i + 1 < weight.shape[1]:
            asked = torch.linalg.solve(H[i + 1 :, i + 1 :], H[i + 1 :, i])
            rest[:, i + 1] = rest[:, i + 1] - error * asked[0]
    return done
""",
            "corrects the next column only and not all that are left, right for two columns",
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
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    weight = weight * scales
    norm_weight = norm_weight / scales
    norm_bias = norm_bias.clone()
    return weight, norm_weight, norm_bias
""",
            "forgets to divide the bias of the norm, which does not show while it is zero",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    weight = weight * scales
    norm_weight = norm_weight / scales
    norm_bias /= scales
    return weight, norm_weight, norm_bias
""",
            "divides the bias in place and so changes what it was handed",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    weight = weight / scales
    norm_weight = norm_weight * scales
    norm_bias = norm_bias * scales
    return weight, norm_weight, norm_bias
""",
            "the wrong way round: outputs stay, but the weights are divided where they should be multiplied",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    s = scales / (scales.max() * scales.min()).sqrt()  # around 1, as in the lesson
    weight = weight * s
    norm_weight = norm_weight / s
    norm_bias = norm_bias / s
    return weight, norm_weight, norm_bias
""",
            "normalizes the scales first: outputs stay, but inputs are not scaled by the scales that were given",
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
        Answer(
            """
def second_moments(batches):
    x = torch.cat(list(batches))
    return torch.einsum("ti,tj->ij", x, x) / x.shape[0]
""",
            "all batches in one, then einsum",
        ),
        Answer(
            """
def second_moments(batches):
    H, seen = None, 0
    for x in batches:
        if len(x) == 0:
            continue
        seen += len(x)
        here = x.T @ x / len(x)
        H = here if H is None else H + (here - H) * (len(x) / seen)
    return H
""",
            "a running mean that each batch moves by its share of the tokens",
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
        Answer(
            """
def output_errors(change, H):
    return torch.bmm((change @ H)[:, None, :], change[:, :, None]).flatten()
""",
            "a batch of products of one row by one column",
        ),
        Answer(
            """
def output_errors(change, H):
    errors = torch.zeros(change.shape[0], dtype=change.dtype)
    for i in range(H.shape[0]):
        errors = errors + change[:, i] * torch.mv(change, H[i])
    return errors
""",
            "a loop over inputs, each row of H in turn",
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
        Answer(
            """
def make_up(error, H, i):
    free = slice(i + 1, None)
    if i + 1 == len(H):
        return error.new_zeros(len(error), 0)
    asked = -torch.outer(error, H[i, free])
    return torch.linalg.solve(H[free, free], asked, left=False)
""",
            "solves the equation as it stands, d on the left of H, for all outputs at once",
        ),
        Answer(
            """
import numpy as np


def make_up(error, H, i):
    behind = range(i + 1, H.shape[0])
    A = H.double().numpy()[np.ix_(behind, behind)]
    b = H.double().numpy()[i + 1 :, i]
    unit = np.linalg.solve(A, b) if len(behind) else b
    return torch.from_numpy(np.multiply.outer(-error.double().numpy(), unit)).to(H.dtype)
""",
            "numpy in double precision, a unit of error first",
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
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    columns = list(weight.unbind(1))
    n = len(columns)
    for i in range(n):
        rounded = to_marks(columns[i], scales, bits)
        lost = columns[i] - rounded
        columns[i] = rounded
        if i + 1 == n:
            break
        asked = torch.linalg.solve(H[i + 1 :, i + 1 :], H[i + 1 :, i])
        for j in range(i + 1, n):
            columns[j] = columns[j] + lost * asked[j - i - 1]
    return torch.stack(columns, dim=1)
""",
            "a list of columns, each corrected by itself",
        ),
        Answer(
            """
def small_gptq(weight, scales, bits, H):
    done = torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        column = weight[:, i]
        if i > 0:
            off = done[:, :i] - weight[:, :i]  # (out, i): all that has been changed for good
            needed = torch.linalg.solve(H[i:, i:], H[i:, :i])  # (free, i)
            column = column - off @ needed[0]
        done[:, i] = to_marks(column, scales, bits)
    return done
""",
            "works out each column anew from all errors so far, which comes to the same as correcting step by step",
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
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    weight = torch.einsum("oi,i->oi", weight, scales)
    norm_weight, norm_bias = torch.stack([norm_weight, norm_bias]).div(scales).unbind(0)
    return weight, norm_weight, norm_bias
""",
            "einsum for the weights, both vectors of the norm divided together",
        ),
        Answer(
            """
def fold(weight, norm_weight, norm_bias, scales):
    w, g, b = (tensor.detach().clone() for tensor in (weight, norm_weight, norm_bias))
    for i, s in enumerate(scales.tolist()):
        w[:, i] = w[:, i] * s
        g[i] = g[i] / s
        b[i] = b[i] / s
    return w, g, b
""",
            "copies first, then input by input",
        ),
    ],
}
