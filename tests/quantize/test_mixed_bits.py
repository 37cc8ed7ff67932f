"""Mixed bits: every average is met, by the choice that costs least."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import random_tokens, tiny_model
from trained import SHAPE, trained_model

from utils.config import SIZES
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.model import GPT2
from utils.quantize.calibration import draw_rows
from utils.quantize.grids import Grid, quantize
from utils.quantize.mixed_bits import CHOICES, choose_bits, measure_sensitivity, mixed_plan, output_gradients
from utils.quantize.quantized_linear import layer_names, layer_shapes, quantize_model

PROTOCOL = Protocol(SHAPE.context, SHAPE.context, 64)


def made_up(names: list[str], seed: int) -> dict[str, dict[int, float]]:
    """Return sensitivities that fall by about four with each bit."""
    weights = torch.rand(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    return {name: {b: w * 4.0**-b for b in CHOICES} for name, w in zip(names, weights, strict=True)}


def average(chosen: dict[str, int], sizes: dict[str, int]) -> float:
    return sum(bits * sizes[name] for name, bits in chosen.items()) / sum(sizes.values())


@settings(max_examples=15)
@given(target=st.floats(2, 8), size=st.sampled_from(["nano", "xl"]), seed=st.integers(0, 99))
def test_any_average_from_two_to_eight_is_met(target, size, seed):
    with torch.device("meta"):
        model = GPT2(SIZES[size])
    shapes = layer_shapes(model)
    sizes = {name: shapes[name][0] * shapes[name][1] for name in layer_names(model)}
    assert abs(average(choose_bits(made_up(list(sizes), seed), sizes, target), sizes) - target) < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_no_other_choice_costs_less(seed):
    sizes = {"a": 1, "b": 3, "c": 4}
    costs = made_up(list(sizes), seed)
    chosen = choose_bits(costs, sizes, 3.5)
    every = [dict(zip(sizes, bits, strict=True)) for bits in product(CHOICES, repeat=3)]
    allowed = [one for one in every if average(one, sizes) == average(chosen, sizes)]
    cheapest = min(allowed, key=lambda one: sum(costs[name][bits] for name, bits in one.items()))
    assert chosen == cheapest


def test_an_average_that_can_not_be_is_refused():
    for target in (1.9, 8.1):
        with pytest.raises(CourseError, match=str(target)):
            choose_bits(made_up(["a"], 0), {"a": 1}, target)


def test_gradients_of_outputs_are_those_of_autograd_squared_one_by_one_and_then_averaged():
    model, tokens = tiny_model(), random_tokens(5, 9)  # more rows than are taken at a time
    nudge = torch.zeros(5, 8, 32, requires_grad=True)  # added to each output
    handle = model.blocks[1].mlp.down.register_forward_hook(lambda module, inputs, output: output + nudge)
    logits, targets = model(tokens[:, :-1]), tokens[:, 1:]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    (slopes,) = torch.autograd.grad(loss, nudge)
    handle.remove()
    found = output_gradients(model, tokens)
    torch.testing.assert_close(found["blocks.1.mlp.down"], slopes.square().mean((0, 1)), rtol=1e-3, atol=1e-8)
    assert set(found) == set(layer_names(model))
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())


def test_sensitivity_tells_by_how_much_the_loss_rises():
    trained = trained_model()
    rows = draw_rows(trained.text, 48, SHAPE.context)
    found = measure_sensitivity(trained.model, rows, Grid(4, 64), (2,))
    flat = rows.flatten()
    before = measure_loss(trained.model, flat, PROTOCOL).loss
    measured, estimated = [], []
    for name in found:
        model = copy.deepcopy(trained.model)
        quantize_model(model, {name: Grid(2, 64)})
        measured.append(measure_loss(model, flat, PROTOCOL).loss - before)
        estimated.append(found[name][2])
    ranks = torch.tensor([measured, estimated]).argsort().argsort().float()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.6


def test_a_mixed_plan_beats_the_same_bits_for_all():
    trained = trained_model()
    rows = draw_rows(trained.text, 48, SHAPE.context)
    plan = mixed_plan(trained.model, rows, 3, Grid(4, 64))
    assert len({grid.bits for grid in plan.values()}) > 1
    losses = [
        measure_loss(quantize_model(copy.deepcopy(trained.model), one), trained.held_out, PROTOCOL).loss
        for one in (plan, Grid(3, 64))
    ]
    assert losses[0] < losses[1]


def test_the_plan_leaves_the_model_alone():
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    plan = mixed_plan(model, random_tokens(2, 12), 5, Grid(4, 16, symmetric=False))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert {(grid.group, grid.symmetric) for grid in plan.values()} == {(16, False)}
    assert quantize(model.blocks[0].mlp.up.weight, plan["blocks.0.mlp.up"]).grid.bits in CHOICES
