"""Quantization grids: linear int2 to int8, symmetric and asymmetric, and NF4; per tensor, per row, per group.

Fewer bits: each weight becomes a small whole number, its code, and a group of codes shares one scale. NF4 is from QLoRA
(Dettmers et al. 2023, arXiv:2305.14314), scales per row and group from LLM.int8() (Dettmers et al. 2022,
arXiv:2208.07339) and ZeroQuant (Yao et al. 2022, arXiv:2206.01861). Lesson 07 builds all of it by hand.

linear: weight ≈ (code − zero) · scale, steps of equal width. Symmetric grids put the zero in the middle and
        need not store it; asymmetric ones store it and use the range that is there, from minimum to maximum.
nf4:    weight ≈ NF4[code] · scale, sixteen steps that lie closer together where normal weights are frequent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.errors import CourseError

ROW, TENSOR = "row", "tensor"  # one scale for each row (output channel), one for the whole matrix
KINDS = ("linear", "nf4")


@dataclass(frozen=True)
class Grid:
    """Which values a weight may take: how many bits, which weights share a scale, and how the steps lie."""

    bits: int = 4
    group: int | str = 64  # neighbors within a row that share a scale, or "row", or "tensor"
    kind: str = "linear"
    symmetric: bool = True

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 2 <= self.bits <= 8:
            raise CourseError(f"bits is {self.bits!r}, expected a whole number from 2 to 8.")
        if self.group not in (ROW, TENSOR) and (type(self.group) is not int or self.group < 1):
            raise CourseError(f"group is {self.group!r}, expected a number of columns like 64, or {ROW} or {TENSOR}.")
        if self.kind not in KINDS or (self.kind == "nf4" and (self.bits != 4 or not self.symmetric)):
            raise CourseError(
                f"kind is {self.kind!r} with {self.bits} bits, symmetric={self.symmetric}; expected linear with any, "
                "or nf4 with 4 bits, symmetric."
            )

    @property
    def top(self) -> int:
        """The largest code."""
        return 2**self.bits - 1

    @property
    def middle(self) -> int:
        """The code that stands for 0 in a symmetric grid."""
        return 2 ** (self.bits - 1)

    def scale_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Return how many scales a matrix has: (rows, groups of a row)."""
        if self.group == TENSOR:
            return 1, 1
        return rows, 1 if isinstance(self.group, str) else -(-columns // self.group)

    def nbytes(self, rows: int, columns: int) -> int:
        """Return the bytes of a matrix: codes packed eight at a time, 16 bits a scale, 8 bits a zero if it has any.

        >>> Grid(bits=4, group=64).nbytes(768, 768) * 8 / 768**2
        4.25
        """
        down, across = self.scale_shape(rows, columns)
        return rows * -(-columns // 8) * self.bits + down * across * (2 if self.symmetric else 3)

    def __str__(self) -> str:
        steps = self.kind if self.kind == "nf4" else f"{self.bits} bits{'' if self.symmetric else ' asymmetric'}"
        return f"{steps}, {'one scale per ' + self.group if isinstance(self.group, str) else f'group {self.group}'}"


@dataclass(frozen=True)
class Quantized:
    """A matrix on a grid: codes (rows, columns) of uint8, scales and maybe zeros (rows, groups)."""

    codes: Tensor
    scales: Tensor  # float16
    zeros: Tensor | None  # uint8, None where the grid is symmetric
    grid: Grid

    def dequantize(self) -> Tensor:
        """Return the float32 matrix (rows, columns) that the codes stand for."""
        zeros = None if self.zeros is None else self.zeros[..., None]
        groups = from_codes(to_groups(self.codes, self.grid), self.scales[..., None], zeros, self.grid)
        return from_groups(groups, self.codes.shape)

    @property
    def nbytes(self) -> int:
        """The bytes once the codes are packed."""
        return self.grid.nbytes(*self.codes.shape)


def quantize(weight: Tensor, grid: Grid, shrink: float | Tensor = 1.0) -> Quantized:
    """Round a matrix (rows, columns) to the nearest values of a grid; `shrink` < 1 clips the largest ones.

    >>> quantize(torch.tensor([[0.1, -0.7, 0.7]]), Grid(4, group="row")).codes
    tensor([[ 9,  1, 15]], dtype=torch.uint8)
    """
    if weight.dim() != 2:
        raise CourseError(f"A tensor of shape {tuple(weight.shape)} was given, expected a matrix (rows, columns).")
    groups = to_groups(weight.detach().float(), grid)
    scales, zeros = find_scales(groups, grid, shrink)
    codes = to_codes(groups, scales[..., None], None if zeros is None else zeros[..., None], grid)
    return Quantized(from_groups(codes, weight.shape).contiguous(), scales, zeros, grid)


def to_groups(matrix: Tensor, grid: Grid) -> Tensor:
    """View a matrix as (rows, groups, columns of a group); zeros fill up the last group of a row if need be."""
    if grid.group == TENSOR:
        return matrix.reshape(1, 1, -1)
    width = matrix.shape[1] if isinstance(grid.group, str) else grid.group
    padding = -matrix.shape[1] % width
    return (F.pad(matrix, (0, padding)) if padding else matrix).unflatten(1, (-1, width))


def from_groups(groups: Tensor, shape: torch.Size) -> Tensor:
    """View (rows, groups, columns of a group) as the matrix of this shape again."""
    return groups.reshape(shape[0], -1)[:, : shape[1]]


def find_scales(groups: Tensor, grid: Grid, shrink: float | Tensor = 1.0) -> tuple[Tensor, Tensor | None]:
    """Return scales in float16 and zeros in uint8 (or None) for groups (..., columns): one for each group.

    A scale is rounded upwards, so that without shrinking no weight is farther than half a step from its value.
    """
    low, high = groups.aminmax(dim=-1)
    low, high = low.clamp(max=0) * shrink, high.clamp(min=0) * shrink
    reach = torch.maximum(high, -low)
    if grid.kind == "nf4":
        scales = half_upwards(reach)
    else:
        scales = half_upwards((2 * reach if grid.symmetric else high - low) / grid.top)
    if grid.symmetric:
        return scales, None
    return scales, (-low / scales.float()).round().clamp(0, grid.top).to(torch.uint8)


def half_upwards(values: Tensor) -> Tensor:
    """Round values of at least 0 up to float16, and to more than 0.

    >>> half_upwards(torch.tensor([0.0, 1.0, 1.0001])).tolist()
    [5.960464477539063e-08, 1.0, 1.0009765625]
    """
    if not bool((values <= 65504).all()):
        raise CourseError(
            f"A scale would be {float(values.max())}, float16 ends at 65504: the weights are broken or far too large."
        )
    half = values.half()
    bits = half.view(torch.int16)  # positive floats are ordered as their bits are
    return (bits + (half.float() < values).short()).clamp(min=1).view(torch.float16)


def to_codes(weight: Tensor, scales: Tensor, zeros: Tensor | None, grid: Grid) -> Tensor:
    """Return the nearest codes, of uint8; scales and zeros must have one entry for each weight, or broadcast to it."""
    steps = weight / scales.float()
    if grid.kind == "nf4":
        values = nf4_values(str(weight.device))
        return torch.bucketize(steps, (values[1:] + values[:-1]) / 2, out_int32=True).to(torch.uint8)
    zero = grid.middle if zeros is None else zeros.float()
    return steps.round_().add_(zero).clamp_(0, grid.top).to(torch.uint8)


def from_codes(codes: Tensor, scales: Tensor, zeros: Tensor | None, grid: Grid) -> Tensor:
    """Return the float32 values that codes stand for; scales and zeros broadcast to them."""
    if grid.kind == "nf4":
        return nf4_values(str(codes.device))[codes.int()] * scales.float()
    return (codes.float() - (grid.middle if zeros is None else zeros.float())) * scales.float()


@cache
def nf4_values(device: str = "cpu") -> Tensor:
    """Return the 16 values of NF4 (4-bit NormalFloat), from −1 to 1."""
    return torch.tensor(normal_values(4), device=device)


def normal_values(bits: int) -> list[float]:
    """Return 2^bits values that a normal weight takes about equally often, scaled to −1 … 1, with 0 among them.

    Seven of NF4's values are negative and eight positive, each side at quantiles in equal steps. Both start from
    the tail that leaves half a step of probability outside, on average of the two sides. Weights over their group's
    largest are no longer normal, and take them less equally (Yoshida 2023, arXiv:2306.06965).

    >>> [round(value, 3) for value in normal_values(3)]
    [-1.0, -0.535, -0.247, 0.0, 0.183, 0.382, 0.623, 1.0]
    """
    half, quantile = 2 ** (bits - 1), NormalDist().inv_cdf
    tail = (1 / (4 * half) + 1 / (4 * half - 2)) / 2
    positive = [quantile(1 - tail - (0.5 - tail) * i / half) for i in range(half)]
    negative = [-quantile(1 - tail - (0.5 - tail) * i / (half - 1)) for i in range(half - 1)]
    return [value / positive[0] for value in sorted([*negative, 0.0, *positive])]


def relative_error(weight: Tensor, quantized: Quantized) -> float:
    """Return the squared error of all weights over their own square: 0 is perfect, 1 as bad as zeros.

    >>> relative_error(torch.tensor([[1.0, -1.0]]), quantize(torch.tensor([[1.0, -1.0]]), Grid(4))) < 0.01
    True
    """
    weight = weight.detach().float()
    return float((quantized.dequantize() - weight).square().sum() / weight.square().sum())
