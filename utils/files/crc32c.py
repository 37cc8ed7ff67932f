"""CRC-32C, the checksum in TensorFlow's files, of whole model files in NumPy.

A checksum of this kind is linear: that of two parts is the first one's, advanced by the length of the
second, XORed with the second one's. So words are folded in pairs, pairs in pairs, all at the same time.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits in reverse


CHUNK = 18  # 2**18 bytes are folded at a time: what that makes fits a processor's cache


ONES = 0xFFFFFFFF


def crc32c(data) -> int:
    """Return the CRC-32C of anything that holds bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    values = np.frombuffer(data, dtype=np.uint8)
    first = len(values) % (1 << CHUNK)
    total = _fold(_padded(values[:first]))
    for start in range(first, len(values), 1 << CHUNK):
        total = _advance(total, CHUNK) ^ _fold(values[start : start + (1 << CHUNK)].view("<u4"))
    return int(total[0]) ^ _skip(ONES, len(values)) ^ ONES


def masked_crc32c(data) -> bytes:
    """Return the checksum as TensorFlow stores it: turned by 15 bits, moved by a constant, little-endian."""
    return mask(crc32c(data))


def mask(crc: int) -> bytes:
    """Return the four bytes that stand for a checksum in a file."""
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & ONES)


def _padded(values: np.ndarray) -> np.ndarray:
    """Put zeros in front, which change no checksum that starts at 0, up to a power of two: (2**k,) words."""
    size = max(4, 1 << max(len(values) - 1, 0).bit_length())
    whole = np.zeros(size, dtype=np.uint8)
    whole[size - len(values) :] = values
    return whole.view("<u4")


def _fold(words: np.ndarray) -> np.ndarray:
    """Return the checksum, started at 0, of (2**k,) words of four bytes: (1,)."""
    level = 2  # each word stands for 2**level bytes
    while len(words) > 1:
        words = _advance(words[0::2], level) ^ words[1::2]
        level += 1
    return _advance(words, 2)


def _advance(crcs: np.ndarray, level: int) -> np.ndarray:
    """Let 2**level bytes of zeros pass through each checksum."""
    low, high = _tables(level)
    return low.take(crcs & 0xFFFF) ^ high.take(crcs >> 16)


@cache
def _tables(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where 2**level bytes of zeros take each lower and each upper half of a checksum."""
    if level:
        low, high = _tables(level - 1)
        return _advance(low, level - 1), _advance(high, level - 1)
    crcs = np.arange(1 << 16, dtype=np.uint32)
    crcs = np.concatenate([crcs, crcs << 16])
    for _ in range(8):
        crcs = crcs >> 1 ^ (crcs & 1) * np.uint32(POLYNOMIAL)
    return crcs[: 1 << 16], crcs[1 << 16 :]


def _skip(crc: int, count: int) -> int:
    """Let `count` bytes of zeros pass through one checksum."""
    one = np.array([crc], dtype=np.uint32)
    for level in range(count.bit_length()):
        if count >> level & 1:
            one = _advance(one, level)
    return int(one[0])
