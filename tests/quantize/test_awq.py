"""AWQ: folding changes nothing, searching and clipping gain something."""

from __future__ import annotations

import pytest
import torch
from shapes import random_tokens, tiny_model
from trained import cost_to_rounding, divergence_to_rounding

from utils.quantize.awq import FOLDABLE, attention_loss, awq_model, find_clips, find_input_scales, fold, output_loss
from utils.quantize.calibration import Calibration, Seen, energy, output_error
from utils.quantize.grids import Grid, quantize


@pytest.mark.parametrize("layer", FOLDABLE)
def test_folding_leaves_the_function_and_scales_weights_up_and_inputs_down(layer):
    model, tokens = tiny_model(), random_tokens(2, 20)
    block = model.blocks[0]
    logits, seen, weight = model(tokens), Calibration(model, tokens).observe(block)[layer], block.get_submodule(layer)
    before, scales = weight.weight.clone(), torch.rand(model.config.n_embd) * 4 + 0.25
    fold(block, layer, scales)
    torch.testing.assert_close(model(tokens), logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weight.weight, before * scales)
    after, expected = Calibration(model, tokens).observe(block)[layer], seen.scaled(scales)
    torch.testing.assert_close(after.hessian, expected.hessian, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.magnitude, expected.magnitude, rtol=1e-3, atol=1e-4)


def test_channels_with_large_inputs_are_scaled_up():
    x, weight = torch.randn(400, 64), torch.randn(48, 64)
    x[:, :4] *= 30
    seen = Seen.nothing(64, x.device)
    seen.add(x)
    seen = seen.finish()
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
        off = found.dequantize() - weight
        parts = [(x[:, at : at + width] @ off[:, at : at + width].T).square().sum(0) for at in range(0, 48, width)]
        errors.append(torch.stack(parts, 1))
    before, after = (e.sum() for e in errors) if grid.group == "tensor" else errors
    assert bool((after <= before * 1.0001).all())
    assert float(after.sum()) < float(before.sum())
    none = find_clips(weight, x.T @ x, grid, clips=1)
    assert torch.equal(none, torch.ones_like(none))  # a clip of one is no clip


def test_judges_find_no_fault_with_the_weight_itself():
    block, states = tiny_model().blocks[0], torch.randn(2, 9, 32)
    weight, hessian = block.attention.qkv.weight, torch.eye(32)
    kept = weight.detach().clone()
    with torch.no_grad():
        loss = attention_loss(block, states)
        assert loss(kept) < 1e-10 < loss(kept + 0.01)
    assert torch.equal(block.attention.qkv.weight, kept)  # it was only lent
    expected = float(energy(torch.full_like(kept, 0.5), hessian).sum())
    assert output_loss(weight, hessian)(kept + 0.5) == pytest.approx(expected)


def test_awq_errs_and_costs_less_than_rounding_on_calibration_and_on_held_out_text():
    assert max(divergence_to_rounding(awq_model, 4) + divergence_to_rounding(awq_model, 3)) < 1
    assert cost_to_rounding(awq_model) < 1
