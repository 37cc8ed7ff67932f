"""AWQ (Lin et al. 2023, arXiv:2306.00978): activation-aware weight quantization, by scaling salient channels.

Before rounding, scale up the weights whose inputs are large, and scale their inputs down in return. Lesson
08 builds it.

An input channel that is large on average carries most of the output. Multiplying its weights by s makes their
rounding error s times smaller in effect; dividing the input by s keeps the function as it was. The division costs
nothing where it can be folded into what makes the input. In GPT-2 that is at three of the four layers:

    norm1 → qkv, norm2 → up   the norm's scale and shift are divided;
    values → out              attention mixes values linearly, so the rows of qkv that make them are divided.

Between up and down stands GELU, which bends: there is nothing to fold into, and down is only clipped. Clipping
shrinks the range of a group, which gives its many small weights finer steps at the cost of the few large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.model import GPT2, Block
from utils.quantize.calibration import Calibration, Seen, energy, quantize_blocks
from utils.quantize.grids import Grid, Quantized, quantize, to_groups
from utils.quantize.quantized_linear import plain_layer

FOLDABLE = ("attention.out", "attention.qkv", "mlp.up")  # out first: folding it changes rows of qkv
Loss = Callable[[Tensor], float]  # how bad a rounded weight (out, in) is


@dataclass(frozen=True)
class AWQ:
    """What AWQ tries: exponents of the inputs' mean size, how far to clip, and on how many rows to judge attention."""

    exponents: int = 10  # 0, 0.1, … 0.9; 0 scales nothing
    clips: int = 5  # 1, 0.9, … 0.6; 1 clips nothing
    rows: int = 16


@torch.no_grad()
def find_input_scales(weight: Tensor, seen: Seen, grid: Grid, loss: Loss, settings: AWQ = AWQ()) -> Tensor:
    """Return the scales (in,) = mean |x|^a, with the exponent a at which the weight, rounded or clipped, errs least."""
    weight = weight.detach().float()
    best, least = torch.ones_like(seen.magnitude), None
    for number in range(settings.exponents):
        scales = seen.magnitude.clamp(min=1e-4).pow(number / settings.exponents)
        scales = scales / (scales.max() * scales.min()).sqrt()
        clips = find_clips(weight * scales, seen.scaled(scales).hessian, grid, settings.clips)
        tries = [quantize(weight * scales, grid, shrink).dequantize() / scales for shrink in (1.0, clips)]
        found = min(map(loss, tries))
        if least is None or found < least:
            best, least = scales, found
    return best


@torch.no_grad()
def find_clips(weight: Tensor, hessian: Tensor, grid: Grid, clips: int = 5) -> Tensor:
    """Return for each group (rows, groups) how far to shrink its range, so that its part of the output errs least."""
    weight = weight.detach().float()
    blocks = _diagonal_blocks(hessian, grid)  # (groups, columns, columns)
    best = least = torch.empty(0)
    for number in range(clips):
        shrink = 1 - number / (2 * clips)
        error = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        if isinstance(grid.group, str):  # the groups of "tensor" are its rows here, added up below
            error = error.view(len(weight), 1, -1)
        loss = torch.einsum("rgi,gij,rgj->rg", error, blocks, error)
        loss = loss.sum((0, 1), keepdim=True) if grid.group == "tensor" else loss
        if number == 0:
            best, least = torch.ones_like(loss), loss
        better = loss < least
        best, least = torch.where(better, shrink, best), torch.where(better, loss, least)
    return best


def _diagonal_blocks(hessian: Tensor, grid: Grid) -> Tensor:
    """Cut the blocks (groups, width, width) on the diagonal out of a matrix; zeros fill up the last one."""
    width = len(hessian) if isinstance(grid.group, str) else grid.group
    padding = -len(hessian) % width
    padded = F.pad(hessian, (0, padding, 0, padding))
    return torch.stack([padded[at : at + width, at : at + width] for at in range(0, len(padded), width)])


@torch.no_grad()
def fold(block: Block, layer: str, scales: Tensor) -> None:
    """Multiply a layer's input channels by scales (in,) and divide what makes them: the function stays the same."""
    plain_layer(block, layer).weight.mul_(scales)
    if layer == "attention.out":
        values = slice(-len(scales), None)  # of queries, keys and values the last third
        block.attention.qkv.weight[values].div_(scales[:, None])
        block.attention.qkv.bias[values].div_(scales)
        return
    norm = {"attention.qkv": block.norm1, "mlp.up": block.norm2}[layer]
    norm.weight.div_(scales)
    norm.bias.div_(scales)


def output_loss(weight: Tensor, hessian: Tensor) -> Loss:
    """Judge a rounded weight by the squared error of the layer's own output."""
    weight = weight.detach().float()
    return lambda rounded: float(energy(rounded - weight, hessian).sum())


def attention_loss(block: Block, states: Tensor) -> Loss:
    """Judge a rounded weight of qkv by what attention makes of states (batch, time, width).

    Its own output would be a poor judge: a softmax turns small errors of large scores into large ones.
    """
    layer, x = block.attention.qkv, block.norm1(states)
    before, expected = layer.weight.data, block.attention(x)

    def loss(rounded: Tensor) -> float:
        layer.weight.data = rounded.to(before.dtype)
        found = float((block.attention(x) - expected).square().mean())
        layer.weight.data = before
        return found

    return loss


@torch.no_grad()
def awq_block(block: Block, grids: dict[str, Grid], calibration: Calibration, settings: AWQ) -> dict[str, Quantized]:
    """Fold scales into a block, and return its layers (names as in LAYERS) clipped and rounded."""
    seen = calibration.observe(block)
    states = torch.cat(calibration.states)[: settings.rows]
    for layer in FOLDABLE:
        if layer in grids:
            weight = plain_layer(block, layer).weight
            judge = _judge(block, layer, seen[layer], states)
            scales = find_input_scales(weight, seen[layer], grids[layer], judge, settings)
            fold(block, layer, scales)
            seen[layer] = seen[layer].scaled(scales)
    return {layer: _round(block, layer, seen[layer], grid, states, settings.clips) for layer, grid in grids.items()}


def _judge(block: Block, layer: str, seen: Seen, states: Tensor) -> Loss:
    if layer == "attention.qkv":
        return attention_loss(block, states)
    return output_loss(plain_layer(block, layer).weight, seen.hessian)


def _round(block: Block, layer: str, seen: Seen, grid: Grid, states: Tensor, clips: int) -> Quantized:
    """Round with clipped groups; qkv only if attention gains by it, since its large weights make the sharp scores."""
    weight, loss = plain_layer(block, layer).weight, _judge(block, layer, seen, states)
    clipped = quantize(weight, grid, find_clips(weight, seen.hessian, grid, clips))
    return min(quantize(weight, grid), clipped, key=lambda quantized: loss(quantized.dequantize()))


def awq_model(model: GPT2, plan: Grid | Mapping[str, Grid], tokens: Tensor, settings: AWQ = AWQ()) -> GPT2:
    """Quantize the layers of a plan in place by AWQ, with calibration tokens (rows, time); the head is rounded."""
    return quantize_blocks(model, plan, tokens, "AWQ", partial(awq_block, settings=settings))
