"""Part 10: a model to be trained: how many numbers, how large, and whether a gradient reaches them all."""

import math

import torch
import torch.nn.functional as F

LAYERS, HEADS, WIDTH, VOCAB, CONTEXT = 8, 3, 24, 211, 19
SHAPE = {"n_layer": LAYERS, "n_head": HEADS, "width": WIDTH, "vocab": VOCAB, "context": CONTEXT}
GIVEN = f"Given {', '.join(f'{name}={value}' for name, value in SHAPE.items())}"


def made(mine):
    model = mine.new_model(*SHAPE.values())
    return model, list(mine.parameters(model))


def test_the_number_of_parameters(mine):
    """The head is the token table again and has none of its own."""
    _, weights = made(mine)
    count = sum(weight.numel() for weight in weights)
    expected = (VOCAB + CONTEXT) * WIDTH + LAYERS * (12 * WIDTH**2 + 13 * WIDTH) + 2 * WIDTH
    asked = {VOCAB * WIDTH: " Is the head tied to the token table?", -2 * WIDTH: " Is the last norm there?"}
    assert count == expected, (
        f"{GIVEN} your parameters hold {count:,} numbers, expected {expected:,}.{asked.get(count - expected, '')}"
    )


def test_each_is_a_leaf_that_stands_there_once(mine):
    _, weights = made(mine)
    bad = sum(not (weight.is_leaf and weight.requires_grad) for weight in weights)
    assert not bad, f"{GIVEN} {bad} of {len(weights)} tensors are no leaves that require a gradient, expected 0."
    twice = len(weights) - len({id(weight) for weight in weights})
    assert not twice, (
        f"{GIVEN} {twice} tensors stand in the list twice, expected 0: an optimizer would change them twice."
    )


def test_their_sizes(mine):
    _, weights = made(mine)
    small, usual, other = 0, 0, []
    for weight in (each.detach() for each in weights if each.dim() > 1):
        spread = float(weight.std())
        if math.isclose(spread, 0.02, rel_tol=0.16):
            usual += weight.numel()
        elif math.isclose(spread, 0.02 / math.sqrt(2 * LAYERS), rel_tol=0.16):
            small += weight.numel()
        else:
            other.append(f"{tuple(weight.shape)}: {spread:.4f}")
    scaled = 0.02 / math.sqrt(2 * LAYERS)
    assert not other, (
        f"{GIVEN} the matrix {other[0]} is the standard deviation of, expected 0.02, or {scaled:g} for c_proj."
    )
    expected = LAYERS * 5 * WIDTH**2
    assert small == expected, (
        f"{GIVEN} {small:,} numbers have a standard deviation of {scaled:g}, expected {expected:,}: both c_proj "
        f"of each block. {usual:,} have 0.02."
    )


def test_biases_and_norms(mine):
    _, weights = made(mine)
    flat = torch.cat([weight.detach().flatten() for weight in weights if weight.dim() == 1])
    ones, zeros = int((flat == 1).sum()), int((flat == 0).sum())
    expected = (2 * LAYERS + 1) * WIDTH
    assert ones == expected and ones + zeros == len(flat), (
        f"{GIVEN} {ones:,} numbers of vectors are 1 and {zeros:,} are 0, of {len(flat):,}; expected {expected:,} "
        "ones (the norms' weights) and zeros everywhere else."
    )


def test_another_model_has_other_weights(mine):
    (_, first), (_, second) = made(mine), made(mine)
    same = sum(torch.equal(one, other) for one, other in zip(first, second, strict=True) if one.dim() > 1)
    assert not same, f"{GIVEN}, asked for twice, {same} matrices are the same, expected 0: is a seed set inside?"


def test_it_knows_nothing_at_the_start(mine):
    model, _ = made(mine)
    tokens = torch.randint(VOCAB, (2, 6))
    loss = float(F.cross_entropy(mine.logits(model, tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()))
    expected = math.log(VOCAB)
    assert abs(loss - expected) < 0.15, (
        f"{GIVEN} the loss of the new model is {loss:.3f}, expected about ln {VOCAB} = {expected:.3f}: it should "
        "have no opinion yet."
    )


def test_a_gradient_reaches_every_parameter(mine):
    model, weights = made(mine)
    tokens = torch.randint(VOCAB, (2, CONTEXT))
    mine.logits(model, tokens).square().mean().backward()
    missed = [tuple(weight.shape) for weight in weights if weight.grad is None]
    assert not missed, (
        f"{GIVEN} {len(missed)} of {len(weights)} parameters get no gradient, the first of shape {missed[0]}; "
        "expected 0. Does `logits` use them, and no copies of them?"
    )
