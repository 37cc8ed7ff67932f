"""CRC-32C (Castagnoli), the checksum in TFRecord files and TensorFlow's event files, by google-crc32c."""

from __future__ import annotations

import struct


def masked_crc32c(data: bytes) -> bytes:
    """Return the checksum as TensorFlow stores it: turned by 15 bits, moved by a constant, little-endian.

    >>> masked_crc32c(b"123456789").hex()  # the checksum itself is e3069283, as in RFC 3720
    'e5b08ac7'
    """
    import google_crc32c

    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
