"""GPTQ (Frantar et al. 2022, arXiv:2210.17323): quantize weights column by column with second-order corrections.

Round the columns of a weight one after the other, and let the rest make up for each error. Lesson 08 builds it, after
optimal brain quantization (Frantar and Alistarh 2022, arXiv:2208.11580).

Rounding one column changes the output. The columns that are still free can take back what the inputs have in
common with it, which the inputs' second moments tell, the Hessian of the squared error: H = mean of x · xᵀ.
With the upper triangular U of H⁻¹ = Uᵀ · U, an error e in column i asks for −e · U[i, j] / U[i, i] in column j.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import CourseError
from utils.model import GPT2, Block
from utils.quantize.calibration import Calibration, quantize_blocks
from utils.quantize.grids import TENSOR, Grid, Quantized, find_scales, from_codes, to_codes
from utils.quantize.quantized_linear import plain_layer

BLOCK = 32  # columns whose corrections are made one by one; those behind them get theirs in one matmul


@dataclass(frozen=True)
class GPTQ:
    """How GPTQ works: damping as a part of the mean of the Hessian's diagonal, and in which order it rounds."""

    damping: float = 0.01
    act_order: bool = False  # the columns with the largest inputs first, while all others can still make up for them

    def __post_init__(self) -> None:
        if not 0 < self.damping < float("inf"):
            raise CourseError(f"damping is {self.damping}, expected a number above 0, like 0.01.")


@torch.no_grad()
def gptq(weight: Tensor, hessian: Tensor, grid: Grid, settings: GPTQ = GPTQ()) -> Quantized:
    """Quantize a weight (out, in) for inputs with this hessian (in, in)."""
    out, columns = weight.shape
    if hessian.shape != (columns, columns):
        raise CourseError(f"The hessian has shape {tuple(hessian.shape)}, expected {(columns, columns)}.")
    rest = weight.detach().float().T.clone()  # (in, out): columns of the weight lie as rows, in one piece each
    rest[hessian.diagonal() == 0] = 0  # inputs that are never seen
    order = hessian.diagonal().argsort(descending=True) if settings.act_order else torch.arange(columns)
    order = order.to(rest.device)
    width = columns if isinstance(grid.group, str) else grid.group
    scales = [group_scales(group, grid) for group in rest.split(width)] if settings.act_order else []
    rest, upper = rest[order], inverse_factor(hessian[order][:, order], settings.damping)
    codes = torch.empty(columns, out, dtype=torch.uint8, device=rest.device)
    for start, end in _blocks(columns, width):
        errors = torch.empty(end - start, out, device=rest.device)
        if start % width == 0 and not settings.act_order:  # only now, after the corrections
            scales.append(group_scales(rest[start : start + width], grid))
        for i in range(start, end):
            scale, zero = scales[int(order[i]) // width]
            codes[i] = to_codes(rest[i], scale, zero, grid)
            errors[i - start] = (rest[i] - from_codes(codes[i], scale, zero, grid)) / upper[i, i]
            rest[i + 1 : end].addr_(upper[i, i + 1 : end], errors[i - start], alpha=-1)
        rest[end:].addmm_(upper[start:end, end:].T, errors, alpha=-1)
    zeros = [zero for _, zero in scales if zero is not None]
    stacked = torch.stack([scale for scale, _ in scales], 1), torch.stack(zeros, 1) if zeros else None
    return Quantized(codes[order.argsort()].T.contiguous(), *stacked, grid)


def group_scales(group: Tensor, grid: Grid) -> tuple[Tensor, Tensor | None]:
    """Return scales and zeros, each (out,), for one group (columns, out) of a weight that lies as its transpose."""
    return find_scales(group.T.reshape(1, -1) if grid.group == TENSOR else group.T, grid)


def inverse_factor(hessian: Tensor, damping: float) -> Tensor:
    """Return the upper triangular U with Uᵀ · U = (H + damping)⁻¹.

    Read backwards, H has a Cholesky factor too: H = R · Rᵀ with R upper triangular. Then U is the inverse of R.
    """
    diagonal = hessian.diagonal()
    shift = torch.where(diagonal == 0, 1.0, damping * diagonal.mean())  # an input never seen is on its own
    backwards = (hessian + shift.diag()).flip(0, 1)
    factor, failed = torch.linalg.cholesky_ex(backwards)
    if int(failed) or not bool(factor.isfinite().all()):
        raise CourseError(
            f"The hessian can't be factored with damping {damping}. Calibrate with more text, or with more damping."
        )
    ones = torch.eye(len(hessian), device=hessian.device)
    return torch.linalg.solve_triangular(factor, ones, upper=False).flip(0, 1)


def _blocks(columns: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each block of columns; none reaches across the border of a group of this width."""
    for first in range(0, columns, width):
        last = min(first + width, columns)
        for start in range(first, last, BLOCK):
            yield start, min(start + BLOCK, last)


def gptq_model(model: GPT2, plan: Grid | Mapping[str, Grid], tokens: Tensor, settings: GPTQ = GPTQ()) -> GPT2:
    """Quantize the layers of a plan in place by GPTQ, with calibration tokens (rows, time); the head is rounded."""

    def quantize_block(block: Block, grids: dict[str, Grid], calibration: Calibration) -> dict[str, Quantized]:
        weights, seen = {layer: plain_layer(block, layer).weight for layer in grids}, calibration.observe(block)
        return {layer: gptq(weights[layer], seen[layer].hessian, grid, settings) for layer, grid in grids.items()}

    return quantize_blocks(model, plan, tokens, "GPTQ", quantize_block)
