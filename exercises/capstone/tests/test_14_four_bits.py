"""Part 14: weights in four bits: how far they are from what they were, how many bytes they take, and a product."""

import torch
from safetensors import safe_open

from tools.capstone.meter import tensor_bytes
from utils.checks import compare


def unpacked(mine, weight, group):
    """Return the weights that a packed matrix stands for: its product with the identity."""
    outputs = weight.shape[1]
    with torch.no_grad():
        return mine.linear4(torch.eye(weight.shape[0]), mine.pack4(weight.clone(), group), torch.zeros(outputs))


def check_distance(mine, weight, group):
    """Hold every weight to 1/14 of the largest of its group, and as much again in a thousand for a scale of 16 bits."""
    got = unpacked(mine, weight, group)
    given = f"Given weight ({weight.shape[0]} × {weight.shape[1]} numbers), group={group},"
    assert got.shape == weight.shape, f"{given} x = identity gives {tuple(got.shape)}, expected {tuple(weight.shape)}."
    largest = weight.unflatten(0, (-1, group)).abs().amax(1, keepdim=True).expand(-1, group, -1).flatten(0, 1)
    excess = (got - weight).abs() - largest * (1 / 14 + 2e-3) - 1e-6
    assert bool(excess.isfinite().all()), (
        f"{given} {int((~excess.isfinite()).sum())} weights come back infinite or nan."
    )
    place = tuple(int(i) for i in torch.unravel_index(excess.argmax(), excess.shape))
    assert excess[place] <= 0, (
        f"{given} the weight at {list(place)} is {weight[place]:.4f} and comes back as {got[place]:.4f}, "
        f"expected within {largest[place] / 14:.4f} of it: the largest of its group, {group} inputs of one "
        f"output, is {largest[place]:.4f}.{hint(weight, got)}"
    )


def hint(weight, got) -> str:
    """Return the question for a whole matrix that comes back in another order."""
    near = (got - weight).norm() < 0.3 * weight.norm()
    swapped = weight.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    if not near and (got - swapped).norm() < 0.3 * weight.norm():
        return " Do the two weights of a byte come back in their order?"
    return ""


def test_eight_weights(mine):
    check_distance(mine, torch.tensor([0.7, -0.1, 0.3, 0.2, -0.05, 0.04, 0.01, 0.02])[:, None], 4)


def test_a_matrix(mine):
    check_distance(mine, torch.randn(24, 7), 8)
    check_distance(mine, torch.randn(6, 11) * torch.logspace(-3, 1, 11), 6)


def test_a_group_of_zeros(mine):
    weight = torch.randn(12, 5)
    weight[4:8, 2] = 0
    check_distance(mine, weight, 4)


def test_nanos_weights(mine, nano_folder):
    with safe_open(nano_folder / "model.safetensors", "pt") as file:
        for name in ("h.0.attn.c_attn.weight", "h.5.mlp.c_proj.weight"):
            check_distance(mine, file.get_tensor(name).float(), 64)


def test_the_product(mine):
    for inputs, outputs, group, rows in ((24, 7, 8, (2, 5)), (8, 11, 4, (3,)), (6, 4, 2, (1, 1))):
        weight = torch.randn(inputs, outputs)
        packed, plain = mine.pack4(weight, group), unpacked(mine, weight, group)
        compare(
            lambda x, bias, packed=packed: mine.linear4(x, packed, bias),
            lambda x, bias, plain=plain: x @ plain + bias,
            (torch.randn(*rows, inputs), torch.randn(outputs)),
            question="Is the bias added once, and are all rows of x multiplied by the same weights?",
        )


def test_its_bytes(mine):
    inputs, outputs, group = 256, 96, 64
    weight = torch.randn(inputs, outputs)
    found, most = tensor_bytes(mine.pack4(weight, group)), inputs * outputs // 2 + 2 * inputs * outputs // group
    assert found <= most + 64, (
        f"Given weight ({inputs} × {outputs} numbers), group={group}, what pack4 returns holds {found:,} bytes, "
        f"expected {most:,}: half a byte for each weight, two for each scale. Do two codes share a byte, and are "
        "scales float16?"
    )
    assert found >= inputs * outputs // 2, (
        f"Given weight ({inputs} × {outputs} numbers), what pack4 returns holds {found:,} bytes in tensors, expected "
        f"{most:,}. Return what it packs; keep nothing elsewhere."
    )
