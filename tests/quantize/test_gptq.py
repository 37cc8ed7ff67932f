"""GPTQ against a slow reference, what calibration collects, and what it gains on a trained model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from shapes import random_tokens, tiny_model
from trained import cost_to_rounding, divergence_to_rounding

from utils.errors import CourseError
from utils.model import record_activations
from utils.quantize.awq import awq_model
from utils.quantize.calibration import Calibration, Seen, draw_rows, output_error
from utils.quantize.gptq import GPTQ, gptq, gptq_model, inverse_factor
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import LAYERS, plan_for, plan_of


def layer(out: int = 12, columns: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a weight (out, columns) and the hessian of inputs that have much in common."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, columns, generator=generator)
    mixing = torch.randn(columns, columns, generator=generator) * torch.rand(columns, generator=generator)
    x = torch.randn(500, columns, generator=generator) @ mixing
    return weight, x.T @ x / len(x)


def slow_reference(weight, hessian, grid: Grid, order: list[int], damping: float, fixed: bool) -> np.ndarray:
    """Round column by column in float64; after each, solve anew for the columns that are still free."""
    w = weight.double().numpy().copy()
    h = hessian.double().numpy().copy()
    h[np.diag_indices(len(h))] += damping * np.diag(h).mean()
    width = w.shape[1] if grid.group == "row" else grid.group
    chosen, free = {}, list(order)
    if fixed:
        found = quantize(weight, grid)
        zeros = [None] * found.scales.shape[1] if found.zeros is None else found.zeros.T
        chosen = dict(enumerate(zip(found.scales.T, zeros, strict=True)))
    for column in order:
        group = column // width
        if group not in chosen:
            part = quantize(torch.from_numpy(w[:, column : column + width]).float(), replace(grid, group="row"))
            chosen[group] = (part.scales[:, 0], None if part.zeros is None else part.zeros[:, 0])
        scale, zero = chosen[group]
        scale = scale.double().numpy()
        zero = grid.middle if zero is None else zero.double().numpy()
        rounded = (np.clip(np.rint(w[:, column] / scale) + zero, 0, grid.top) - zero) * scale
        inverse = np.linalg.inv(h[np.ix_(free, free)])
        place = free.index(column)
        error = (w[:, column] - rounded) / inverse[place, place]
        w[:, free] -= np.outer(error, inverse[place])
        w[:, column] = rounded
        free.remove(column)
    return w


@pytest.mark.parametrize("act_order", [False, True])  # as they stand, or those with the largest inputs first
@pytest.mark.parametrize("grid", [Grid(4, "row"), Grid(3, 8), Grid(4, 16, symmetric=False), Grid(2, 36)], ids=str)
def test_gptq_rounds_like_the_slow_reference(grid, act_order):
    weight, hessian = layer(seed=int(act_order))
    found = gptq(weight, hessian, grid, GPTQ(act_order=act_order)).dequantize()
    order = hessian.diagonal().argsort(descending=True).tolist() if act_order else list(range(40))
    expected = slow_reference(weight, hessian, grid, order, 0.01, fixed=act_order)
    assert np.isclose(found.numpy(), expected, atol=1e-4).mean() > 0.99  # a tie may fall to the other side
    assert output_error(weight, found, hessian) < 0.9 * output_error(weight, quantize(weight, grid), hessian)


def test_more_columns_than_a_block_has_are_rounded_the_same(monkeypatch):
    weight, hessian = layer(6, 90, seed=2)
    for grid in (Grid(4, "row"), Grid(4, 64), Grid(3, "tensor"), Grid(4, 64, "nf4")):
        monkeypatch.setattr("utils.quantize.gptq.BLOCK", 7)
        small = gptq(weight, hessian, grid)
        monkeypatch.setattr("utils.quantize.gptq.BLOCK", 1000)
        assert float((small.codes == gptq(weight, hessian, grid).codes).float().mean()) > 0.98
        assert small.scales.shape == grid.scale_shape(6, 90)


def test_inputs_without_anything_in_common_need_no_correction():
    weight, _ = layer()
    for act_order in (False, True):
        found = gptq(weight, torch.diag(torch.rand(40) + 0.1), Grid(4, 8), GPTQ(act_order=act_order))
        assert torch.equal(found.codes, quantize(weight, Grid(4, 8)).codes)


def test_weights_that_meet_no_input_do_no_harm_and_do_not_stretch_the_ruler():
    chance = torch.Generator().manual_seed(4)
    weight, x = torch.randn(8, 32, generator=chance), torch.randn(400, 32, generator=chance)
    weight[:, 5], x[:, 5] = 100.0, 0.0
    hessian = x.T @ x / len(x)
    assert output_error(weight, gptq(weight, hessian, Grid(4, "row")), hessian) < 0.05
    assert output_error(weight, quantize(weight, Grid(4, "row")), hessian) > 0.9


def test_the_factor_is_that_of_the_damped_inverse():
    _, hessian = layer()
    upper = inverse_factor(hessian, 0.01)
    assert torch.equal(upper, upper.triu())
    damped = hessian.double() + 0.01 * hessian.diagonal().mean() * torch.eye(40)
    torch.testing.assert_close((upper.T @ upper).double(), damped.inverse(), rtol=1e-2, atol=1e-2)


def test_mistakes_end_in_a_sentence():
    weight, hessian = layer()
    with pytest.raises(CourseError, match=r"\(5, 5\)"):
        gptq(weight, hessian[:5, :5], Grid())
    with pytest.raises(CourseError, match="damping"):
        GPTQ(damping=0)
    with pytest.raises(CourseError, match="damping 0.01"):
        gptq(weight, torch.full((40, 40), torch.nan), Grid())


# Calibration


def test_calibration_sees_what_the_layers_get():
    model = tiny_model()
    tokens = random_tokens(3, 20)
    records = record_activations(model, tokens)
    calibration = Calibration(model, tokens, batch=2)
    for number, block in enumerate(model.blocks):
        seen = calibration.observe(block)
        inputs = {
            "attention.qkv": records[f"blocks.{number}.norm1"],
            "mlp.up": records[f"blocks.{number}.norm2"],
            "mlp.down": torch.nn.functional.gelu(records[f"blocks.{number}.mlp.up"], approximate="tanh"),
        }
        assert set(seen) == set(LAYERS)
        for name, x in inputs.items():
            x = x.flatten(0, 1)
            torch.testing.assert_close(seen[name].hessian, x.T @ x / 60, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(seen[name].magnitude, x.abs().mean(0), rtol=1e-4, atol=1e-5)
            assert seen[name].tokens == 60
        calibration.advance(block)
    states = torch.cat(calibration.states)
    torch.testing.assert_close(model.final_norm(states), records["final_norm"], rtol=1e-4, atol=1e-4)


def test_sums_are_of_all_inputs_whatever_their_shape():
    x = torch.randn(30, 17)
    seen = Seen.nothing(17, x.device)
    seen.add(x[:10])
    seen.add(x[10:].view(4, 5, 17))
    seen = seen.finish()
    torch.testing.assert_close(seen.hessian, x.T @ x / 30)
    with pytest.raises(CourseError, match="No calibration token"):
        Seen.nothing(3, x.device).finish()


def test_rows_are_drawn_from_the_text_the_same_ones_for_the_same_seed():
    text = torch.arange(1000)
    rows = draw_rows(text, 8, 50, seed=3)
    assert rows.shape == (8, 50)
    assert bool((rows.diff(dim=1) == 1).all())
    assert torch.equal(rows, draw_rows(text, 8, 50, seed=3))
    assert not torch.equal(rows, draw_rows(text, 8, 50, seed=4))


def test_output_error_is_measured_on_the_inputs():
    weight, x = torch.randn(5, 8), torch.randn(200, 8)
    rounded = quantize(weight, Grid(3, "row"))
    expected = (x @ (rounded.dequantize() - weight).T).square().sum() / (x @ weight.T).square().sum()
    assert output_error(weight, rounded, x.T @ x) == pytest.approx(float(expected), rel=1e-3)


# On a trained model


@pytest.mark.parametrize(("bits", "act_order"), [(4, False), (3, True)])
def test_gptq_errs_less_than_rounding_on_calibration_and_on_held_out_text(bits, act_order):
    quantizer = partial(gptq_model, settings=GPTQ(act_order=act_order))
    assert max(divergence_to_rounding(quantizer, bits)) < 0.6


def test_gptq_costs_less_perplexity_than_rounding():
    assert cost_to_rounding(gptq_model) < 0.7


@pytest.mark.parametrize("quantizer", [gptq_model, awq_model])
def test_the_plan_is_followed_the_head_rounded_and_nothing_packed_twice(quantizer):
    model = tiny_model()
    plan = plan_for(model, Grid(4, 16), Grid(8, "row"))
    del plan["blocks.1.mlp.up"]
    quantizer(model, plan, random_tokens(4, 20))
    assert plan_of(model) == plan
    with pytest.raises(CourseError, match="blocks.0.attention.qkv is a QuantizedLinear"):
        quantizer(model, plan, random_tokens(4, 20))
