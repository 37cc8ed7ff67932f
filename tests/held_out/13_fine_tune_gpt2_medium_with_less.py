"""Answers to exercise 13, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def largest_rank(shapes, limit):
    return limit // sum(inputs + outputs for inputs, outputs in shapes)
""",
            "numbers instead of bytes",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return limit // (4 * sum(inputs * outputs for inputs, outputs in shapes))
""",
            "the whole matrix instead of its two sides",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    inputs, outputs = shapes[0]
    return limit // (4 * (inputs + outputs))
""",
            "the first layer only",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return limit / (4 * sum(inputs + outputs for inputs, outputs in shapes))
""",
            "wrong type: parts of ranks",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return -(-limit // (4 * sum(inputs + outputs for inputs, outputs in shapes)))
""",
            "rounds up",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return min(limit // len(shapes) // (4 * (inputs + outputs)) for inputs, outputs in shapes)
""",
            "shares the file among the layers",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return (limit - 1) // (4 * sum(inputs + outputs for inputs, outputs in shapes))
""",
            "off by one: the file must not be full",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return limit // (2 * sum(inputs + outputs for inputs, outputs in shapes))
""",
            "half as precise: two bytes a number",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return max(1, limit // (4 * sum(inputs + outputs for inputs, outputs in shapes)))
""",
            "at least one",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    for_one_rank = 2 * sum(inputs + outputs for inputs, outputs in shapes)
    return limit // for_one_rank
""",
            "two bytes a number (float16) instead of four",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    for_one_rank = 4 * sum(inputs + outputs for inputs, outputs in set(shapes))
    return limit // for_one_rank
""",
            "layers of the same shape are counted once only",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    for_one_rank = 4 * sum(inputs + outputs for inputs, outputs in shapes)
    rank = 0
    while (rank + 1) * for_one_rank < limit:
        rank += 1
    return rank
""",
            "a file of exactly the limit is refused (less instead of at most)",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    share = limit / len(shapes)
    return min(int(share // (4 * (inputs + outputs))) for inputs, outputs in shapes)
""",
            "gives every layer an equal share of the bytes instead of one sum over all layers",
        ),
    ],
    "q2": [
        Answer(
            """
def learners(model, endings):
    chosen = []
    for name, weight in model.named_parameters():
        weight.requires_grad_(any(ending in name for ending in endings))
        if weight.requires_grad:
            chosen.append(weight)
    return chosen
""",
            "anywhere in the name, not at its end",
        ),
        Answer(
            """
def learners(model, endings):
    chosen = []
    for name, weight in model.named_parameters():
        if name.endswith(tuple(endings)):
            weight.requires_grad_(True)
            chosen.append(weight)
    return chosen
""",
            "forgotten step: the others still learn",
        ),
        Answer(
            """
def learners(model, endings):
    chosen = []
    for name, weight in model.named_parameters():
        if name.endswith(tuple(endings)):
            chosen.append(weight)
        else:
            weight.requires_grad_(False)
    return chosen
""",
            "forgotten step: what was frozen stays frozen",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith(tuple(endings)))
    return [name for name, weight in model.named_parameters() if weight.requires_grad]
""",
            "wrong type: names",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith(endings[0]))
    return [weight for weight in model.parameters() if weight.requires_grad]
""",
            "the first ending only",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(not name.endswith(tuple(endings)))
    return [weight for weight in model.parameters() if weight.requires_grad]
""",
            "the complement: these are frozen",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith(tuple(endings)))
    return list(model.parameters())
""",
            "returns all weights",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith(tuple(endings)))
    return (weight for weight in model.parameters() if weight.requires_grad)
""",
            "wrong type: an iterator that is empty after one look",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith(tuple(endings)))
    return [weight.detach().clone().requires_grad_() for weight in model.parameters() if weight.requires_grad]
""",
            "copies, which the model doesn't know",
        ),
        Answer(
            """
def learners(model, endings):
    found = []
    for name, weight in model.named_parameters():
        weight.requires_grad_(any(ending in name for ending in endings))
        if weight.requires_grad:
            found.append(weight)
    return found
""",
            "looks for the ending anywhere in the name",
        ),
        Answer(
            """
def learners(model, endings):
    found = []
    for name, weight in model.named_parameters():
        if name.endswith(tuple(endings)):
            found.append(weight)
        else:
            weight.requires_grad = False
    return found
""",
            "freezes the others but never wakes those that had been frozen before",
        ),
        Answer(
            """
def learners(model, endings):
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.split(".")[-1] in endings)
    return [weight for weight in model.parameters() if weight.requires_grad]
""",
            "compares only what stands behind the last dot, as a whole",
        ),
        Answer(
            """
def learners(model, endings):
    found = []
    for name, weight in model.named_parameters():
        learns = name.endswith(tuple(endings))
        weight.data.requires_grad = learns
        if learns:
            found.append(weight)
    return found
""",
            "sets the flag on weight.data, a passing tensor, so nothing is frozen",
        ),
    ],
    "q3": [
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ weight if fan_in_fan_out else x @ weight.T
    return plain + x @ A.T @ B.T
""",
            "forgotten step: the scale",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ weight if fan_in_fan_out else x @ weight.T
    return plain + alpha * x @ A.T @ B.T
""",
            "alpha without the rank",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ (weight.T if weight.shape[1] == x.shape[-1] else weight)
    return plain + alpha / len(A) * x @ A.T @ B.T
""",
            "ignores an argument: guesses the layout from the shape",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    square = weight.shape[0] == weight.shape[1]
    turned = fan_in_fan_out if square else weight.shape[1] == x.shape[-1]
    plain = x @ weight.T if turned else x @ weight
    return plain + alpha / len(A) * x @ A.T @ B.T
""",
            "swapped layouts of square weights",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ weight if fan_in_fan_out else x @ weight.T
    return plain + alpha / A.shape[1] * x @ A.T @ B.T
""",
            "divides by the inputs, not by the rank",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ weight if fan_in_fan_out else x @ weight.T
    return alpha / len(A) * (plain + x @ A.T @ B.T)
""",
            "scales the plain layer, too",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    return alpha / len(A) * x @ A.T @ B.T
""",
            "the adapter alone",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = torch.mm(x, weight if fan_in_fan_out else weight.T)
    return plain + alpha / len(A) * torch.mm(torch.mm(x, A.T), B.T)
""",
            "crashes at a batch: matrices only",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ weight if fan_in_fan_out else x @ weight.T
    return plain + len(A) / alpha * x @ A.T @ B.T
""",
            "the scale upside down",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    change = alpha / len(A) * B @ A
    weight += change.T if fan_in_fan_out else change
    return x @ weight if fan_in_fan_out else x @ weight.T
""",
            "in-place damage: the adapter is merged into the weight that was given",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    if weight.shape[1] == x.shape[-1]:
        plain = x @ weight.T
    else:
        plain = x @ weight
    return plain + alpha / A.shape[0] * (x @ A.T) @ B.T
""",
            "guesses the layout from the shape, so square weights of the other layout are turned wrongly",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ (weight if fan_in_fan_out else weight.T)
    scale = alpha // len(A)
    return plain + scale * (x @ A.T @ B.T)
""",
            "whole-number division of alpha by the rank",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    flat = x.reshape(-1, x.shape[-1])
    plain = flat @ (weight if fan_in_fan_out else weight.T)
    return plain + (alpha / A.shape[0]) * (flat @ A.T) @ B.T
""",
            "flattens the leading dimensions and never restores them",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ (weight if fan_in_fan_out else weight.T)
    rank = A.shape[1]
    return plain + (alpha / rank) * ((x @ A.T) @ B.T)
""",
            "takes the number of inputs for the rank",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = x @ (weight if fan_in_fan_out else weight.T)
    rank = min(A.shape)
    return plain + alpha / rank * (x @ A.T @ B.T)
""",
            "takes the smaller side of A for the rank, wrong when the rank exceeds the inputs",
        ),
    ],
    "q4": [
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    rank = min(len(A1), len(A2))
    A, B = A1[:rank] + A2[:rank], B1[:, :rank] + B2[:, :rank]
    return A, B, alpha1 + alpha2
""",
            "adds instead of joining",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    return torch.cat([A1, A2]), torch.cat([B1, B2], dim=1), alpha1 + alpha2
""",
            "fits equal adapters only: alphas are added",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    return torch.cat([A1, A2]), torch.cat([B1, B2], dim=1), len(A1) + len(A2)
""",
            "forgotten step: no scales",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    s1, s2 = alpha1 / len(A1), alpha2 / len(A2)
    A = torch.cat([s1 * A1, s2 * A2])
    B = torch.cat([s1 * B1, s2 * B2], dim=1)
    return A, B, len(A)
""",
            "scales twice, in A and in B",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    B = torch.cat([alpha1 / len(A1) * B1, alpha2 / len(A2) * B2], dim=1)
    return torch.cat([A1, A2]), B, 1.0
""",
            "a wrong alpha: 1 for the new rank",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    B = torch.cat([alpha1 * B1, alpha2 * B2], dim=1)
    return torch.cat([A1, A2]), B, len(A1) + len(A2)
""",
            "scales by alpha without the rank",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    B = torch.cat([alpha2 / len(A2) * B2, alpha1 / len(A1) * B1], dim=1)
    return torch.cat([A1, A2]), B, B.shape[1]
""",
            "swapped: the second B beside the first A",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    B1.mul_(alpha1 / len(A1))
    B2.mul_(alpha2 / len(A2))
    return torch.cat([A1, A2]), torch.cat([B1, B2], dim=1), len(A1) + len(A2)
""",
            "in-place damage: the adapters that were given are scaled",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    B = torch.cat([alpha1 / len(A1) * B1, B2], dim=1)
    return torch.cat([A1, A2]), B, len(A1) + len(A2)
""",
            "forgets the second adapter's scale",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    A = torch.cat([A1, A2], dim=0)
    B = torch.cat([B1, B2], dim=1)
    return A, B, alpha1 + alpha2
""",
            "adds the alphas: right only if alpha/rank is the same in both",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    B1.mul_(alpha1 / len(A1))
    B2.mul_(alpha2 / len(A2))
    A = torch.cat([A1, A2])
    B = torch.cat([B1, B2], dim=1)
    return A, B, len(A)
""",
            "scales the adapters' own B in place",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    rank = A1.shape[0]
    A = torch.cat((A1, A2), 0)
    B = torch.cat((B1 * (alpha1 / rank), B2 * (alpha2 / rank)), 1)
    return A, B, 2 * rank
""",
            "takes the first adapter's rank for both",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    s1, s2 = alpha1 / A1.shape[0], alpha2 / A2.shape[0]
    A = torch.cat([s1 * A1, s2 * A2])
    B = torch.cat([s1 * B1, s2 * B2], dim=1)
    return A, B, A.shape[0]
""",
            "the factor goes into A and into B, so it is squared",
        ),
    ],
    "q5": [
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    return V[:rank], U[:, :rank]
""",
            "forgotten step: how large each piece is",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    return V[-rank:], U[:, -rank:] * S[-rank:]
""",
            "the smallest pieces",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    return S[:rank, None] * V[:rank], U[:, :rank] * S[:rank]
""",
            "counts the sizes twice",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    return U[:, :rank] * S[:rank], V[:rank]
""",
            "swapped results",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    return V[:, :rank].T, U[:, :rank] * S[:rank]
""",
            "columns of V instead of its rows",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    S = torch.where(torch.arange(len(S)) < max(rank - 1, 1), S, 0.0)
    return V[:rank], U[:, :rank] * S[:rank]
""",
            "off by one: a piece too few",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    return V, U * S
""",
            "the rank is ignored: all pieces",
        ),
        Answer(
            """
def best_pair(delta, rank):
    A = delta[:rank]
    return A, torch.eye(len(delta))[:, :rank]
""",
            "the delta's own first rows and columns",
        ),
        Answer(
            """
def best_pair(delta, rank):
    Q, R = torch.linalg.qr(delta)
    B = Q[:, :rank]
    A = B.T @ delta
    return A, B
""",
            "QR in place of the SVD: the first columns instead of the largest pieces",
        ),
        Answer(
            """
def best_pair(delta, rank):
    tall = delta if delta.shape[0] >= delta.shape[1] else delta.T
    U, S, V = torch.linalg.svd(tall, full_matrices=False)
    return V[:rank], U[:, :rank] * S[:rank]
""",
            "turns wide matrices to make them tall and does not turn the result back",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta - delta.mean(0), full_matrices=False)
    A = V[:rank]
    B = U[:, :rank] * S[:rank]
    return A, B
""",
            "takes the columns' means away first, as in PCA, and forgets to put them back",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    A = V[:rank] * S[:rank, None]
    B = U[:, :rank] * S[:rank]
    return A, B
""",
            "the singular values go into both matrices",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    S = torch.where(S > 1e-3, S, torch.zeros_like(S))  # the rest is noise
    return V[:rank], U[:, :rank] * S[:rank]
""",
            "pieces below a fixed size are called noise, so a small change is lost",
        ),
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    B = U[:, :rank] * S[:rank]
    A = (U[:, :rank].T @ delta) / S[:rank, None]
    return A, B
""",
            "divides by the sizes, which is 0/0 where nothing has changed",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def largest_rank(shapes, limit):
    rank = 0
    while sum((rank + 1) * (inputs + outputs) * 4 for inputs, outputs in shapes) <= limit:
        rank += 1
    return rank
""",
            "counts up until it doesn't fit",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    return int(limit // sum(4 * side for shape in shapes for side in shape))
""",
            "sides flattened",
        ),
        Answer(
            """
def largest_rank(shapes, limit):
    numbers = [side for pair in shapes for side in pair]

    def fits(rank):
        return sum(4 * rank * side for side in numbers) <= limit

    high = 1
    while fits(high):
        high *= 2
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
""",
            "doubling, then binary search for the last rank that fits",
        ),
        Answer(
            """
import numpy


def largest_rank(shapes, limit):
    table = numpy.array(list(shapes), dtype=numpy.int64)
    for_one_rank = int(table.sum()) * numpy.dtype(numpy.float32).itemsize
    rank, _rest = divmod(limit, for_one_rank)
    return int(rank)
""",
            "numpy sum over the table of shapes, size of a float32 asked from numpy, divmod",
        ),
    ],
    "q2": [
        Answer(
            """
def learners(model, endings):
    model.requires_grad_(False)
    chosen = [weight for name, weight in model.named_parameters() if any(map(name.endswith, endings))]
    for weight in chosen:
        weight.requires_grad = True
    return chosen
""",
            "freezes everything, then wakes some",
        ),
        Answer(
            """
def learners(model, endings):
    backwards = tuple(ending[::-1] for ending in endings)
    model.requires_grad_(False)
    chosen = [weight for name, weight in model.named_parameters() if name[::-1].startswith(backwards)]
    for weight in chosen:
        weight.requires_grad_(True)
    return chosen
""",
            "freezes everything, then compares reversed names with reversed endings",
        ),
        Answer(
            """
def learners(model, endings):
    learn = {}
    for name, weight in model.named_parameters():
        weight.requires_grad = False
        for ending in endings:
            if name[len(name) - len(ending) :] == ending:
                weight.requires_grad = True
                learn[name] = weight
    return list(learn.values())
""",
            "cuts the end off each name by its length, collected in a dictionary by name",
        ),
    ],
    "q3": [
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    weight = weight.T if fan_in_fan_out else weight
    return torch.nn.functional.linear(x, weight + alpha / A.shape[0] * (B @ A))
""",
            "merged first",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    plain = torch.einsum("...i,io->...o" if fan_in_fan_out else "...i,oi->...o", x, weight)
    return plain + torch.einsum("...i,ri,or->...o", x, A, B) * (alpha / B.shape[1])
""",
            "by einsum",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    letters = "...i,io->...o" if fan_in_fan_out else "...i,oi->...o"
    plain = torch.einsum(letters, x, weight)
    inner = torch.einsum("...i,ri->...r", x, A)
    added = torch.einsum("...r,or->...o", inner, B)
    return plain + added * (alpha / B.shape[1])
""",
            "einsum for each product, the rank read from B",
        ),
        Answer(
            """
def beside(x, weight, A, B, alpha, fan_in_fan_out=False):
    merged = weight.t() if fan_in_fan_out else weight
    merged = merged + B.matmul(A) * alpha / len(A)
    return torch.nn.functional.linear(x, merged)
""",
            "merges the adapter into a new matrix first, then one linear layer",
        ),
    ],
    "q4": [
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    rank = len(A1) + len(A2)
    A = torch.vstack([A1 * (alpha1 / len(A1)), A2 * (alpha2 / len(A2))]) * rank / 16
    return A, torch.hstack([B1, B2]), 16
""",
            "scales A, and another alpha",
        ),
        Answer(
            """
def join(first, second):
    parts = [(A, alpha / A.shape[0] * B) for A, B, alpha in (second, first)]
    A, B = torch.cat([A for A, _ in parts], dim=0), torch.cat([B for _, B in parts], dim=-1)
    return A, B, float(A.shape[0])
""",
            "the second adapter first",
        ),
        Answer(
            """
def join(first, second):
    (A1, B1, alpha1), (A2, B2, alpha2) = first, second
    r1, r2 = len(A1), len(A2)
    factors = [(r1 + r2) * alpha1 / r1, (r1 + r2) * alpha2 / r2]
    A = torch.vstack([factors[0] * A1, factors[1] * A2])
    B = torch.hstack([B1, B2])
    return A, B, 1
""",
            "all scales go into A, alpha is 1",
        ),
        Answer(
            """
def join(first, second):
    rows, columns = [], []
    for A, B, alpha in (first, second):
        rank = A.shape[0]
        for k in range(rank):
            rows.append(A[k].clone())
            columns.append(B[:, k] * (alpha / rank))
    return torch.stack(rows), torch.stack(columns, dim=1), float(len(rows))
""",
            "piece by piece: one row of A and one scaled column of B at a time, alpha equal to the new rank",
        ),
    ],
    "q5": [
        Answer(
            """
def best_pair(delta, rank):
    U, S, V = torch.linalg.svd(delta, full_matrices=False)
    root = S[:rank].sqrt()
    return root[:, None] * V[:rank], U[:, :rank] * root
""",
            "shares the sizes between both",
        ),
        Answer(
            """
def best_pair(delta, rank):
    wide = delta.double()
    _, directions = torch.linalg.eigh(wide.T @ wide)
    A = directions[:, -rank:].T.to(delta.dtype)
    return A, delta @ A.T
""",
            "directions of the inputs, and what delta makes of them",
        ),
        Answer(
            """
def best_pair(delta, rank):
    exact = delta.detach().double()
    _values, vectors = torch.linalg.eigh(exact @ exact.T)  # the smallest first
    B = vectors.flip(1)[:, :rank]
    A = B.T @ exact
    missing = rank - B.shape[1]
    A = torch.nn.functional.pad(A, (0, 0, 0, missing))
    B = torch.nn.functional.pad(B, (0, missing))
    return A.to(delta.dtype), B.to(delta.dtype)
""",
            "projection on the leading eigenvectors of delta times its transpose, in float64",
        ),
        Answer(
            """
import numpy


def best_pair(delta, rank):
    whole = delta.detach().cpu().double().numpy()
    U, S, V = numpy.linalg.svd(whole, full_matrices=False)
    root = numpy.sqrt(S[:rank])
    A, B = numpy.zeros((rank, whole.shape[1])), numpy.zeros((whole.shape[0], rank))
    A[: len(root)] = root[:, None] * V[:rank]
    B[:, : len(root)] = U[:, :rank] * root[None, :]
    return torch.from_numpy(A).to(delta), torch.from_numpy(B).to(delta)
""",
            "numpy's SVD, the root of each singular value in A and in B",
        ),
    ],
}
