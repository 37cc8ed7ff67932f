"""AWQ: folding changes nothing, searching and clipping gain something."""

from __future__ import annotations

import pytest
import torch
from shapes import random_tokens, tiny_model
from trained import cost_to_rounding, divergence_to_rounding

from utils.quantize.awq import FOLDABLE, attention_loss, awq_model, find_clips, find_input_scales, fold, output_loss
from utils.quantize.calibration import Calibration, Seen, energy, output_error
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import plan_for, plan_of


def seen_with_outliers(width: int = 64) -> Seen:
    """Return what a layer sees whose inputs have four channels that are thirty times larger."""
    x = torch.randn(400, width)
    x[:, :4] *= 30
    seen = Seen.nothing(width, x.device)
    seen.add(x)
    return seen.finish()


@pytest.mark.parametrize("layer", FOLDABLE)
def test_folding_leaves_the_function_as_it_was(layer):
    model = tiny_model()
    tokens = random_tokens(2, 20)
    before, weight = model(tokens), model.blocks[1].get_submodule(layer).weight.clone()
    scales = torch.rand(model.config.n_embd) * 4 + 0.25
    fold(model.blocks[1], layer, scales)
    torch.testing.assert_close(model(tokens), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.blocks[1].get_submodule(layer).weight, weight * scales)


@pytest.mark.parametrize("layer", FOLDABLE)
def test_after_folding_a_layer_sees_scaled_inputs(layer):
    model = tiny_model()
    block, tokens = model.blocks[0], random_tokens(2, 20)
    before = Calibration(model, tokens).observe(block)[layer]
    scales = torch.rand(model.config.n_embd) * 4 + 0.25
    fold(block, layer, scales)
    after = Calibration(model, tokens).observe(block)[layer]
    torch.testing.assert_close(after.hessian, before.scaled(scales).hessian, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.magnitude, before.scaled(scales).magnitude, rtol=1e-3, atol=1e-4)


def test_channels_with_large_inputs_are_scaled_up():
    seen, weight = seen_with_outliers(), torch.randn(48, 64)
    scales = find_input_scales(weight, seen, Grid(3, 64), output_loss(weight, seen.hessian))
    assert float(scales[:4].min()) > 1.2 * float(scales[4:].max())
    clips = find_clips(weight * scales, seen.scaled(scales).hessian, Grid(3, 64))
    rounded = quantize(weight * scales, Grid(3, 64), clips).dequantize() / scales
    nearest = quantize(weight, Grid(3, 64))
    assert output_error(weight, rounded, seen.hessian) < 0.7 * output_error(weight, nearest, seen.hessian)


@pytest.mark.parametrize(
    "grid", [Grid(3, 16), Grid(3, 20), Grid(4, "row"), Grid(4, "tensor"), Grid(4, 16, "nf4")], ids=str
)
def test_clipping_never_makes_a_group_worse(grid):
    weight, x = torch.randn(10, 48), torch.randn(100, 48)
    weight[:, ::7] *= 4
    width = 48 if isinstance(grid.group, str) else grid.group
    errors = []
    for found in (quantize(weight, grid), quantize(weight, grid, find_clips(weight, x.T @ x, grid))):
        difference = found.dequantize() - weight
        parts = [
            (x[:, at : at + width] @ difference[:, at : at + width].T).square().sum(0) for at in range(0, 48, width)
        ]
        errors.append(torch.stack(parts, 1))
    before, after = (e.sum() for e in errors) if grid.group == "tensor" else errors
    assert bool((after <= before * 1.0001).all())
    assert float(after.sum()) < float(before.sum())


def test_a_clip_of_one_is_no_clip():
    weight, x = torch.randn(10, 48), torch.randn(100, 48)
    assert torch.equal(find_clips(weight, x.T @ x, Grid(4, 16), clips=1), torch.ones(10, 3))


def test_judges_find_no_fault_with_the_weight_itself():
    model = tiny_model()
    block, states = model.blocks[0], torch.randn(2, 9, 32)
    weight = block.attention.qkv.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        loss = attention_loss(block, states)
        assert loss(kept) < 1e-10 < loss(kept + 0.01)
    assert torch.equal(block.attention.qkv.weight, kept)  # it was only lent
    hessian = torch.eye(32)
    assert output_loss(weight, hessian)(kept + 0.5) == pytest.approx(
        float(energy(torch.full_like(kept, 0.5), hessian).sum())
    )


@pytest.mark.parametrize("bits", [4, 3])
def test_awq_errs_less_than_rounding_on_calibration_and_on_held_out_text(bits):
    assert max(divergence_to_rounding(awq_model, bits)) < 1


def test_awq_costs_less_perplexity_than_rounding():
    assert cost_to_rounding(awq_model) < 1


def test_awq_follows_the_plan_and_rounds_the_head():
    model = tiny_model()
    plan = plan_for(model, Grid(4, 16), Grid(8, "row"))
    del plan["blocks.1.attention.qkv"]
    awq_model(model, plan, random_tokens(4, 20))
    assert plan_of(model) == plan
