"""CRC-32C (Castagnoli), the checksum in our checkpoints and in TensorFlow's files, by google-crc32c."""

from __future__ import annotations

import struct
from typing import Any


def crc32c(data: Any, before: int = 0) -> int:
    """Return the checksum of bytes, or of an array of them, which is not copied, behind what `before` is that of.

    >>> f"{crc32c(b'123456789'):x}"  # as in RFC 3720
    'e3069283'
    >>> crc32c(b"6789", crc32c(b"12345")) == crc32c(b"123456789")
    True
    """
    import google_crc32c

    return google_crc32c.extend(before, data)


def masked_crc32c(data: bytes) -> bytes:
    """Return the checksum as TensorFlow stores it: turned by 15 bits, moved by a constant, little-endian.

    >>> masked_crc32c(b"123456789").hex()
    'e5b08ac7'
    """
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
