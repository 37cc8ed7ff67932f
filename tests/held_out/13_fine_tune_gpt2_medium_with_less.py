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
    ],
}
