"""Bit packing of quantized codes, 2 to 8 bits: eight codes of b bits fill b bytes, without a gap between them.

A row of codes is cut into eight parts, and a row of bytes into b parts. The n-th codes of all eight parts share
the n-th bytes of all b parts, the first code in the lowest bits. So whole parts are shifted at a time.
Codes of 8 bits are kept as signed numbers, code − 128, as int8 matmuls read them. Lesson 07 packs bits by hand.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIGN = 128  # flipping this bit turns a code into the signed byte code − 128, and back


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Pack codes (rows, columns) of uint8 into bytes (rows, bits · ⌈columns/8⌉).

    >>> pack_bits(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]], dtype=torch.uint8), 4)
    tensor([[ 33,  67, 101, 135]], dtype=torch.uint8)
    """
    codes = F.pad(codes, (0, -codes.shape[1] % 8))
    if bits == 8:
        return codes ^ SIGN
    parts = codes.unflatten(1, (8, -1))
    packed = torch.zeros(len(codes), bits, parts.shape[2], dtype=torch.uint8, device=codes.device)
    for number in range(8):
        byte, shift = divmod(number * bits, 8)
        packed[:, byte] |= parts[:, number] << shift
        if shift + bits > 8:  # the upper bits of this code go into the next byte
            packed[:, byte + 1] |= parts[:, number] >> (8 - shift)
    return packed.flatten(1)


def unpack_bits(packed: Tensor, bits: int, columns: int) -> Tensor:
    """Return the codes (rows, columns) of uint8 that `pack_bits` packed."""
    if bits == 8:
        return (packed ^ SIGN)[:, :columns]
    parts = packed.unflatten(1, (bits, -1))
    codes = torch.empty(len(packed), 8, parts.shape[2], dtype=torch.uint8, device=packed.device)
    for number in range(8):
        byte, shift = divmod(number * bits, 8)
        code = parts[:, byte] >> shift
        if shift + bits > 8:
            code |= parts[:, byte + 1] << (8 - shift)
        torch.bitwise_and(code, 2**bits - 1, out=codes[:, number])
    return codes.flatten(1)[:, :columns]
