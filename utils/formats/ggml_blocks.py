"""Block quantization of ggml (llama.cpp): how numbers are packed into bytes, one table of formats.

A block is a few whole bytes that hold 1, 32 or 256 values of one row: small whole numbers, and the scales that
turn them back. Numbers of several bytes are little-endian. In the comments d is a scale, m an offset, q a code.
By hand are the formats that lessons 04 and 06 teach and that we write; K-quants and the others are unpacked by the
`gguf` library, whose bytes ours equal. Format: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
    unpack: Callable[[Tensor], Tensor] | None = None  # (blocks, nbytes) of uint8 → (blocks, values) of float32
    pack: Callable[[Tensor], Tensor] | None = None  # the way back
    largest: float = math.inf  # value that can be packed

    @property
    def bits(self) -> float:
        """Bits a value takes, scales included."""
        return 8 * self.nbytes / self.values

    def bytes_of(self, count: int) -> int:
        """Return how many bytes `count` values take; they must fill whole blocks."""
        return count // self.values * self.nbytes

    def dequantize(self, raw: Tensor) -> Tensor:
        """Turn bytes (…, row bytes) of uint8 into values (…, row) of float32."""
        if self.unpack is None:
            raise CourseError(
                f"{self.name} can't be read here, only {', '.join(name for name in FORMATS if FORMATS[name].unpack)}. "
                "Get the file in one of these, Q8_0 for instance."
            )
        return self.unpack(raw.reshape(-1, self.nbytes)).view(*raw.shape[:-1], -1)

    def quantize(self, values: Tensor) -> Tensor:
        """Turn values (…, row) into bytes (…, row bytes) of uint8."""
        if self.pack is None:
            raise CourseError(f"{self.name} can't be written here, only {', '.join(writable())}. Choose one of these.")
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


def _half(raw: Tensor, at: int) -> Tensor:
    """Return the float16 that begins at byte `at` of each block: (blocks, 1)."""
    return raw[:, at : at + 2].view(torch.float16).float()


def _four_bits(raw: Tensor) -> Tensor:
    """Cut 16 bytes into 32 codes: first the lower halves of all bytes, then the upper ones."""
    return torch.cat([raw & 15, raw >> 4], dim=1)


def _q4_0(raw: Tensor) -> Tensor:  # d 2, q 16 bytes
    return (_four_bits(raw[:, 2:]).to(torch.int8) - 8).float() * _half(raw, 0)


def _q4_1(raw: Tensor) -> Tensor:  # d 2, m 2, q 16
    return _four_bits(raw[:, 4:]).float() * _half(raw, 0) + _half(raw, 2)


def _q8_0(raw: Tensor) -> Tensor:  # d 2, q 32
    return raw[:, 2:].view(torch.int8).float() * _half(raw, 0)


def _inverse(d: Tensor) -> Tensor:
    """Return 1/d, and 0 where d is 0 or so small that it will be stored as 0."""
    return torch.nan_to_num(torch.ones_like(d) / d, nan=0, posinf=0, neginf=0)


def _pack_four_bits(*scales: Tensor, codes: Tensor) -> Tensor:
    """Join float16 scales (blocks, 1) and codes (blocks, 32) from 0 to 15; a byte holds codes i and i + 16."""
    q = codes.clamp(0, 15).to(torch.uint8)  # the cast drops the fraction
    return torch.cat([*(d.half().view(torch.uint8) for d in scales), q[:, :16] | q[:, 16:] << 4], dim=1)


def _to_q4_0(x: Tensor) -> Tensor:
    d = x.gather(1, x.abs().argmax(1, keepdim=True)) / -8  # the value farthest from 0 becomes code 0, that is −8
    return _pack_four_bits(d, codes=x * _inverse(d) + 8.5)


def _to_q4_1(x: Tensor) -> Tensor:
    m = x.amin(1, keepdim=True)
    d = (x.amax(1, keepdim=True) - m) / 15
    return _pack_four_bits(d, m, codes=(x - m) * _inverse(d) + 0.5)


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


def _unpack_by_library(name: str, raw: Tensor) -> Tensor:
    """Unpack (blocks, bytes) by the `gguf` library; its import takes 0.3 s, so it waits until it is needed."""
    from gguf import GGMLQuantizationType, quants

    return torch.from_numpy(quants.dequantize(raw.numpy(), GGMLQuantizationType[name]))


# Name, ggml's number, values in a block, bytes of a block; the second ones are known by size only, for `inspect`.
BY_LIBRARY = """
    Q5_0 6 32 22, Q5_1 7 32 24, Q2_K 10 256 84, Q3_K 11 256 110, Q4_K 12 256 144, Q5_K 13 256 176, Q6_K 14 256 210,
    IQ2_XXS 16 256 66, IQ2_XS 17 256 74, IQ3_XXS 18 256 98, IQ1_S 19 256 50, IQ4_NL 20 32 18, IQ3_S 21 256 110,
    IQ2_S 22 256 82, IQ4_XS 23 256 136, IQ1_M 29 256 56, TQ1_0 34 256 54, TQ2_0 35 256 66, MXFP4 39 32 17
"""
SIZE_ONLY = "Q8_1 9 32 40, Q8_K 15 256 292, I8 24 1 1, I16 25 1 2, I32 26 1 4, I64 27 1 8, F64 28 1 8"


def _listed(table: str, readable: bool) -> list[BlockFormat]:
    found = []
    for name, *sizes in (row.split() for row in table.split(",")):
        number, values, nbytes = map(int, sizes)
        unpack = partial(_unpack_by_library, name) if readable else None
        found.append(BlockFormat(name, number, values, nbytes, unpack))
    return found


_TABLE = [
    _plain("F32", 0, torch.float32, math.inf),
    _plain("F16", 1, torch.float16, HALF_MAX),
    _plain("BF16", 30, torch.bfloat16, torch.finfo(torch.bfloat16).max),
    BlockFormat("Q4_0", 2, 32, 18, _q4_0, _to_q4_0, 8 * HALF_MAX),
    BlockFormat("Q4_1", 3, 32, 20, _q4_1, _to_q4_1, HALF_MAX),
    BlockFormat("Q8_0", 8, 32, 34, _q8_0, _to_q8_0, 127 * HALF_MAX),
    *_listed(BY_LIBRARY, readable=True),
    *_listed(SIZE_ONLY, readable=False),
]
FORMATS = {entry.name: entry for entry in _TABLE}
BY_NUMBER = {entry.number: entry for entry in _TABLE}


def writable() -> list[str]:
    """Return the names of the formats that can be written.

    >>> writable()
    ['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q8_0']
    """
    return [entry.name for entry in _TABLE if entry.pack]
