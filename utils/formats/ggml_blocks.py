"""How ggml, the tensor library of llama.cpp, packs numbers into bytes: one table of block formats.

A block is a few whole bytes that hold 1, 32 or 256 values of one row: small whole numbers, and the scales that
turn them back. Numbers of several bytes are little-endian. In the comments d is a scale, m an offset, q a code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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


def _codes(raw: Tensor, bits: int, group: int) -> Tensor:
    """Cut bytes into codes of `bits`: first the lowest bits of `group` bytes in a row, then their next ones."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)[:, None]
    parts = raw.unflatten(1, (-1, 1, group)) >> shifts  # (blocks, groups, 8/bits, group)
    return (parts & (1 << bits) - 1).flatten(1)  # (blocks, 8/bits · bytes)


def _scaled(codes: Tensor, d: Tensor, m: Tensor | None = None) -> Tensor:
    """Return d·q − m, where each of d's columns (blocks, groups) serves as many neighbours."""
    groups = codes.float().unflatten(1, (d.shape[1], -1)) * d[..., None]
    return (groups if m is None else groups - m[..., None]).flatten(1)


def _q4_0(raw: Tensor) -> Tensor:  # d 2, q 16 bytes
    return _scaled(_codes(raw[:, 2:], 4, 16).to(torch.int8) - 8, _half(raw, 0))


def _q4_1(raw: Tensor) -> Tensor:  # d 2, m 2, q 16
    return _scaled(_codes(raw[:, 4:], 4, 16), _half(raw, 0), -_half(raw, 2))


def _q5_0(raw: Tensor) -> Tensor:  # d 2, highest bit of q 4, lower four 16
    q = _codes(raw[:, 6:], 4, 16) | _codes(raw[:, 2:6], 1, 1) << 4
    return _scaled(q.to(torch.int8) - 16, _half(raw, 0))


def _q5_1(raw: Tensor) -> Tensor:  # d 2, m 2, highest bit of q 4, lower four 16
    q = _codes(raw[:, 8:], 4, 16) | _codes(raw[:, 4:8], 1, 1) << 4
    return _scaled(q, _half(raw, 0), -_half(raw, 2))


def _q8_0(raw: Tensor) -> Tensor:  # d 2, q 32
    return raw[:, 2:].view(torch.int8).float() * _half(raw, 0)


def _q2_k(raw: Tensor) -> Tensor:  # 16 scales of 4 bits and offsets of 4 bits, q 64, d 2, m 2
    scales = raw[:, :16]
    d, m = _half(raw, 80) * (scales & 15).float(), _half(raw, 82) * (scales >> 4).float()
    return _scaled(_codes(raw[:, 16:80], 2, 32), d, m)


def _q3_k(raw: Tensor) -> Tensor:  # highest bit of q 32, lower two 64, 16 scales of 6 bits 12, d 2
    q = _codes(raw[:, 32:96], 2, 32) | _codes(raw[:, :32], 1, 32) << 2
    scales = _codes(raw[:, 96:104], 4, 8) | _codes(raw[:, 104:108], 2, 4) << 4
    return _scaled(q.to(torch.int8) - 4, _half(raw, 108) * (scales.to(torch.int8) - 32).float())


def _six_bit_scales(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Unpack 12 bytes into 8 scales and 8 offsets; the last four of each are spread over two bytes."""
    first, second, last = raw[:, :4], raw[:, 4:8], raw[:, 8:]
    scales = torch.cat([first & 63, (last & 15) | (first >> 2 & 48)], dim=1)
    offsets = torch.cat([second & 63, (last >> 4) | (second >> 2 & 48)], dim=1)
    return scales.float(), offsets.float()


def _q4_k(raw: Tensor) -> Tensor:  # d 2, m 2, scales and offsets 12, q 128
    scales, offsets = _six_bit_scales(raw[:, 4:16])
    return _scaled(_codes(raw[:, 16:], 4, 32), _half(raw, 0) * scales, _half(raw, 2) * offsets)


def _q5_k(raw: Tensor) -> Tensor:  # d 2, m 2, scales and offsets 12, highest bit of q 32, lower four 128
    scales, offsets = _six_bit_scales(raw[:, 4:16])
    q = _codes(raw[:, 48:], 4, 32) | _codes(raw[:, 16:48], 1, 32) << 4
    return _scaled(q, _half(raw, 0) * scales, _half(raw, 2) * offsets)


def _q6_k(raw: Tensor) -> Tensor:  # lower four bits of q 128, upper two 64, 16 scales of 8 bits, d 2
    q = _codes(raw[:, :128], 4, 64) | _codes(raw[:, 128:192], 2, 32) << 4
    return _scaled(q.to(torch.int8) - 32, _half(raw, 208) * raw[:, 192:208].view(torch.int8).float())


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


_TABLE = [
    _plain("F32", 0, torch.float32, math.inf),
    _plain("F16", 1, torch.float16, HALF_MAX),
    _plain("BF16", 30, torch.bfloat16, torch.finfo(torch.bfloat16).max),
    BlockFormat("Q4_0", 2, 32, 18, _q4_0, _to_q4_0, 8 * HALF_MAX),
    BlockFormat("Q4_1", 3, 32, 20, _q4_1, _to_q4_1, HALF_MAX),
    BlockFormat("Q5_0", 6, 32, 22, _q5_0),
    BlockFormat("Q5_1", 7, 32, 24, _q5_1),
    BlockFormat("Q8_0", 8, 32, 34, _q8_0, _to_q8_0, 127 * HALF_MAX),
    BlockFormat("Q2_K", 10, 256, 84, _q2_k),
    BlockFormat("Q3_K", 11, 256, 110, _q3_k),
    BlockFormat("Q4_K", 12, 256, 144, _q4_k),
    BlockFormat("Q5_K", 13, 256, 176, _q5_k),
    BlockFormat("Q6_K", 14, 256, 210, _q6_k),
    # The others are known by size only, so that a file which holds them can be inspected.
    BlockFormat("Q8_1", 9, 32, 40),
    BlockFormat("Q8_K", 15, 256, 292),
    BlockFormat("IQ2_XXS", 16, 256, 66),
    BlockFormat("IQ2_XS", 17, 256, 74),
    BlockFormat("IQ3_XXS", 18, 256, 98),
    BlockFormat("IQ1_S", 19, 256, 50),
    BlockFormat("IQ4_NL", 20, 32, 18),
    BlockFormat("IQ3_S", 21, 256, 110),
    BlockFormat("IQ2_S", 22, 256, 82),
    BlockFormat("IQ4_XS", 23, 256, 136),
    BlockFormat("I8", 24, 1, 1),
    BlockFormat("I16", 25, 1, 2),
    BlockFormat("I32", 26, 1, 4),
    BlockFormat("I64", 27, 1, 8),
    BlockFormat("F64", 28, 1, 8),
    BlockFormat("IQ1_M", 29, 256, 56),
    BlockFormat("TQ1_0", 34, 256, 54),
    BlockFormat("TQ2_0", 35, 256, 66),
    BlockFormat("MXFP4", 39, 32, 17),
]


FORMATS = {entry.name: entry for entry in _TABLE}


BY_NUMBER = {entry.number: entry for entry in _TABLE}


def writable() -> list[str]:
    """Return the names of the formats that can be written.

    >>> writable()
    ['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q8_0']
    """
    return [entry.name for entry in _TABLE if entry.pack]
