"""Block quantization of ggml (llama.cpp): how numbers are packed into bytes, one table of formats.

A block is a few whole bytes that hold 1, 32 or 256 values of one row: small whole numbers, and the scales that
turn them back. Numbers of several bytes are little-endian. In the comments d is a scale, m an offset, q a code.
By hand are the formats that lessons 05 and 07 teach and that we write; K-quants and the others are unpacked by the
`gguf` library, whose bytes ours equal. Format: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from utils.errors import CourseError

HALF_MAX = 65504.0  # the largest float16: scales are stored as such


@dataclass(frozen=True)
class BlockFormat:
    """One way of packing values: its name, ggml's number for it, and the sizes of a block."""

    name: str
    number: int
    values: int  # in a block
    nbytes: int  # of a block
    unpack: Callable[[Tensor], Tensor]  # (blocks, nbytes) of uint8 → (blocks, values) of float32
    pack: Callable[[Tensor], Tensor] | None = None  # the way back
    largest: float = math.inf  # value that can be packed

    @property
    def is_readable(self) -> bool:
        """Whether ours or the library's code can unpack it; the library knows some formats by their size alone."""
        try:
            self.unpack(torch.zeros(1, self.nbytes, dtype=torch.uint8, device="cpu"))
        except NotImplementedError:
            return False
        return True

    def bytes_of(self, count: int) -> int:
        """Return how many bytes `count` values take; they must fill whole blocks."""
        return count // self.values * self.nbytes

    def dequantize(self, raw: Tensor) -> Tensor:
        """Turn bytes (…, row bytes) of uint8 into values (…, row) of float32."""
        return self.unpack(raw.reshape(-1, self.nbytes)).view(*raw.shape[:-1], -1)

    def quantize(self, values: Tensor) -> Tensor:
        """Turn values (…, row) into bytes (…, row bytes) of uint8."""
        if self.pack is None:
            raise CourseError(f"{self.name} can't be written here, only {', '.join(FORMATS)}. Choose one of these.")
        if values.shape[-1] % self.values:
            raise CourseError(
                f"{self.name} packs rows in blocks of {self.values} values, these rows have {values.shape[-1]}. "
                "Choose F32, F16 or BF16 for a model of this width."
            )
        values = values.float()
        if not (found := float(values.abs().max())) <= self.largest or math.isinf(found):  # also when it is nan
            raise CourseError(
                f"{found:g} was found among the values, {self.name} holds finite ones up to {self.largest:g}. "
                "Look where such a weight comes from, or choose F32."
            )
        return self.pack(values.reshape(-1, self.values)).view(*values.shape[:-1], -1)


def _scale(raw: Tensor) -> Tensor:
    """Return the float16 with which each block begins: (blocks, 1)."""
    return raw[:, :2].view(torch.float16).float()


def _q4_0(raw: Tensor) -> Tensor:  # d 2, q 16 bytes: first the lower halves of all bytes, then the upper ones
    q = torch.cat([raw[:, 2:] & 15, raw[:, 2:] >> 4], dim=1)
    return (q.to(torch.int8) - 8).float() * _scale(raw)


def _q8_0(raw: Tensor) -> Tensor:  # d 2, q 32
    return raw[:, 2:].view(torch.int8).float() * _scale(raw)


def _inverse(d: Tensor) -> Tensor:
    """Return 1/d, and 0 where d is 0 or so small that it will be stored as 0."""
    return torch.nan_to_num(torch.ones_like(d) / d, nan=0, posinf=0, neginf=0)


def _to_q4_0(x: Tensor) -> Tensor:
    d = x.gather(1, x.abs().argmax(1, keepdim=True)) / -8  # the value farthest from 0 becomes code 0, that is −8
    q = (x * _inverse(d) + 8.5).clamp(0, 15).to(torch.uint8)  # the cast drops the fraction
    return torch.cat([d.half().view(torch.uint8), q[:, :16] | q[:, 16:] << 4], dim=1)


def _to_q8_0(x: Tensor) -> Tensor:
    d = x.abs().amax(1, keepdim=True) / 127
    q = x * _inverse(d)
    size, whole = q.abs(), q.abs().floor()
    q = q.sign() * (whole + (2 * (size - whole)).floor())  # halves are rounded away from 0, as ggml does
    return torch.cat([d.half().view(torch.uint8), q.to(torch.int8).view(torch.uint8)], dim=1)


def _plain(name: str, number: int, dtype: torch.dtype, largest: float) -> BlockFormat:
    """Return the format of numbers that are stored one by one."""
    return BlockFormat(
        name,
        number,
        values=1,
        nbytes=dtype.itemsize,
        unpack=lambda raw: raw.view(dtype).float(),
        pack=lambda x: x.to(dtype).view(torch.uint8),
        largest=largest,
    )


FORMATS = {
    entry.name: entry
    for entry in [
        _plain("F32", 0, torch.float32, math.inf),
        _plain("F16", 1, torch.float16, HALF_MAX),
        _plain("BF16", 30, torch.bfloat16, torch.finfo(torch.bfloat16).max),
        BlockFormat("Q4_0", 2, 32, 18, _q4_0, _to_q4_0, 8 * HALF_MAX),
        BlockFormat("Q8_0", 8, 32, 34, _q8_0, _to_q8_0, 127 * HALF_MAX),
    ]
}


@cache
def find_format(number: int) -> BlockFormat | None:
    """Return the format that ggml gives a number; those that aren't ours by the `gguf` library, or None.

    Its import takes 0.3 s, so it waits until a file needs it.
    """
    for entry in FORMATS.values():
        if entry.number == number:
            return entry
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

    if number not in set(GGMLQuantizationType):
        return None
    kind = GGMLQuantizationType(number)
    return BlockFormat(
        kind.name, number, *GGML_QUANT_SIZES[kind], lambda raw: torch.from_numpy(quants.dequantize(raw.numpy(), kind))
    )
