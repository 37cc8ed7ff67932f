"""Typical wrong answers to exercise 13, and a part of the message that each must get."""


def largest(body: str) -> str:
    """Return the code of an answer to q1."""
    return f"def largest_rank(shapes, limit):\n    return {body}"


def learners(loop: str, end: str = "[weight for weight in model.parameters() if weight.requires_grad]") -> str:
    """Return the code of an answer to q2."""
    return (
        f"def learners(model, endings):\n    for name, weight in model.named_parameters():\n        {loop}\n"
        f"    return {end}"
    )


def beside(plain: str, second: str) -> str:
    """Return the code of an answer to q3."""
    return f"def beside(x, weight, A, B, alpha, fan_in_fan_out=False):\n    return {plain} + {second}"


def join(body: str) -> str:
    """Return the code of an answer to q4."""
    head = "def join(first, second):\n    (A1, B1, alpha1), (A2, B2, alpha2) = first, second\n"
    return f"{head}    {body}"


def pair(body: str) -> str:
    """Return the code of an answer to q5."""
    head = "def best_pair(delta, rank):\n    U, S, V = torch.linalg.svd(delta, full_matrices=False)\n"
    return f"{head}    return {body}"


SUM = "sum(inputs + outputs for inputs, outputs in shapes)"
MARK = "weight.requires_grad = name.endswith(tuple(endings))"
PLAIN = "x @ (weight if fan_in_fan_out else weight.T)"
SECOND = "alpha / len(A) * (x @ A.T @ B.T)"
B_SCALED = "torch.cat([B1 * alpha1 / len(A1), B2 * alpha2 / len(A2)], 1)"

WRONG = {
    "q1": [
        (largest(f"limit / (4 * {SUM})"), "whole number"),
        (largest(f"limit // {SUM}"), "four bytes"),
        (
            largest("limit // (4 * sum(inputs * outputs for inputs, outputs in shapes))"),
            "as many numbers as the matrix",
        ),
        (largest("min(limit // (4 * (inputs + outputs)) for inputs, outputs in shapes)"), "share the limit"),
        (largest(f"max(1, limit // (4 * {SUM}))"), "Not even rank 1"),
    ],
    "q2": [
        (
            learners(MARK, "[name for name, w in model.named_parameters() if w.requires_grad]"),
            "neither their names nor copies",
        ),
        (learners("pass"), "All weights learn"),
        (
            learners("pass", "[w for name, w in model.named_parameters() if name.endswith(tuple(endings))]"),
            "Who sets requires_grad",
        ),
        (learners("weight.requires_grad = any(e.split('.')[0] in name for e in endings)"), "only hold these words"),
        (learners("weight.requires_grad = weight.requires_grad and name.endswith(tuple(endings))"), "wake up again"),
    ],
    "q3": [
        (
            "def beside(x, weight, A, B, alpha, fan_in_fan_out=False):\n    return alpha / len(A) * (x @ A.T @ B.T)",
            "the adapter alone",
        ),
        (beside(PLAIN, "alpha * (x @ A.T @ B.T)"), "divided by"),
        (beside(PLAIN, "(x @ A.T @ B.T)"), "Where does alpha"),
        (beside(PLAIN, "alpha / A.shape[1] * (x @ A.T @ B.T)"), "by the number of inputs"),
        (
            beside("(x @ weight.T if weight.shape[1] == x.shape[-1] else x @ weight)", SECOND),
            "square here",
        ),
        (beside("x @ weight.T", SECOND), "your code stopped"),
    ],
    "q4": [
        (join("return torch.cat([A1, A2], 1), torch.cat([B1, B2]), alpha1"), "your code stopped"),
        (join("return torch.cat([A1, A2]), torch.cat([B1, B2]).T, alpha1"), "in dimension 0"),
        (join(f"A = torch.cat([A1, A2]); return A, {B_SCALED}, alpha1"), "the rank is larger now"),
        (join("return torch.cat([A1, A2]), torch.cat([B2, B1], 1), len(A1) + len(A2)"), "in another order"),
        (
            join("return torch.cat([A1, A2]), torch.cat([B1, B2], 1), alpha1 + alpha2"),
            "where can the loudness",
        ),
        (
            join(
                "B1 *= alpha1 / len(A1); B2 *= alpha2 / len(A2)\n"
                "    return torch.cat([A1, A2]), torch.cat([B1, B2], 1), len(A1) + len(A2)"
            ),
            "leaves B1",
        ),
    ],
    "q5": [
        (pair("U[:, :rank] * S[:rank], V[:rank]"), "A comes first"),
        (pair("V[:rank], U[:rank] * S"), "rows of U"),
        (pair("V[:rank], U[:, :rank]"), "Where is S"),
        (pair("S[:rank, None] * V[:rank], U[:, :rank] * S[:rank]"), "S is in it twice"),
        (pair("V[-rank:], U[:, -rank:] * S[-rank:]"), "smallest pieces"),
    ],
}
