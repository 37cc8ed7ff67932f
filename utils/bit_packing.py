"""Codes of 2 to 8 bits, side by side without a gap: eight codes of b bits fill b bytes, the first in the lowest bits.

Codes of 8 bits are kept as signed numbers, code − 128, since that is what fast products with int8 weights read.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIGN = 128  # flipping this bit turns a code into the signed byte code − 128, and back


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Pack codes (rows, columns) of uint8 into bytes (rows, ⌈columns/8⌉ · bits).

    >>> pack_bits(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]], dtype=torch.uint8), 4)
    tensor([[ 33,  67, 101, 135]], dtype=torch.uint8)
    """
    codes = F.pad(codes, (0, -codes.shape[1] % 8))
    if bits == 8:
        return codes ^ SIGN
    places = torch.arange(8, device=codes.device) * bits
    words = (codes.unflatten(1, (-1, 8)).long() << places).sum(-1)  # eight codes in one number of 64 bits
    pieces = words[..., None] >> (8 * torch.arange(bits, device=codes.device))
    return (pieces & 255).to(torch.uint8).flatten(1)


def unpack_bits(packed: Tensor, bits: int, columns: int) -> Tensor:
    """Return the codes (rows, columns) of uint8 that `pack_bits` packed."""
    if bits == 8:
        return (packed ^ SIGN)[:, :columns]
    if bits in (2, 4):  # no code lies across two bytes
        places = torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)
        return (packed[..., None] >> places).bitwise_and_(2**bits - 1).flatten(1)[:, :columns]
    kind = torch.int32 if bits == 3 else torch.int64  # eight codes of three bits fit into 32
    pieces = packed.unflatten(1, (-1, bits)).to(kind)
    words = (pieces << (8 * torch.arange(bits, dtype=kind, device=packed.device))).sum(-1, dtype=kind)
    codes = words[..., None] >> (bits * torch.arange(8, dtype=kind, device=packed.device))
    return codes.bitwise_and_(2**bits - 1).to(torch.uint8).flatten(1)[:, :columns]
