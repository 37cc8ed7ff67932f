"""Sorted tables of keys and values as LevelDB stores them: the .index file of a TensorFlow checkpoint is one.

Blocks of entries, each key written as what differs from the key before it; then a block that says where
the blocks are; then a footer of 48 bytes that says where that block is. Each block has a checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)


FOOTER = 48


TRAILER = 5  # bytes after each block: how it is compressed, and its checksum


BLOCK_SIZE = 4096


RESTART_EVERY = 16  # entries between two keys that are written in full


LARGEST_TABLE = 64_000_000  # bytes; the index of the largest GPT-2 takes 40,000


class Damage(ValueError):
    """What is wrong, and at which byte."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(f"byte {at:,} {what}")


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a whole number of 7 bits a byte, the lowest first, and return it with the place behind it.

    >>> read_varint(bytes([0xAC, 0x02]), 0, 2)
    (300, 2)
    """
    value = 0
    for place in range(at, min(at + 10, end)):
        value |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            if value >> 64:
                raise Damage(at, "begins a number of more than 64 bits")
            return value, place + 1
    raise Damage(at, "begins a number that does not end")


def write_varint(value: int) -> bytes:
    """Write a whole number of 7 bits a byte, the lowest first.

    >>> write_varint(300).hex()
    'ac02'
    """
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def read_table(path: Path) -> dict[bytes, bytes]:
    """Read all keys and values of a table file, or say which byte is wrong."""
    size = path.stat().st_size
    if not FOOTER <= size <= LARGEST_TABLE:
        raise CourseError(
            f"{path} has {size:,} bytes, expected a table of {FOOTER} to {LARGEST_TABLE:,} bytes. Fetch it again."
        )
    data = path.read_bytes()
    try:
        return dict(_entries(data))
    except Damage as damage:
        raise CourseError(f"{path} is damaged: {damage}. Fetch or save it again.") from damage


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = len(data) - FOOTER
    if data[-8:] != MAGIC:
        raise Damage(len(data) - 8, f"holds {data[-8:].hex()}, expected the mark of a table, {MAGIC.hex()}")
    _, at = _read_handle(data, footer, len(data))  # the first handle is that of a block of remarks
    handle, _ = _read_handle(data, at, len(data))
    keys, before, last, free = 0, 0, b"", 8 * len(data)
    for _, value, place in _block(data, handle, footer):
        handle, _ = _read_handle(data, place, place + len(value))
        if handle[0] < before:
            raise Damage(place, f"points to byte {handle[0]:,}, inside the block before")
        before = sum(handle) + TRAILER
        for key, entry, at in _block(data, handle, footer):
            if keys and key <= last:
                raise Damage(at, f"belongs to the key {key[:60]!r}, which is not behind {last[:60]!r}")
            keys, last, free = keys + 1, key, free - len(key)
            if free < 0:  # each key may repeat the one before it, so a small file could hold gigabytes of them
                raise Damage(at, "belongs to keys that take eight times as many bytes as the file")
            yield key, entry


def _read_handle(data: bytes, at: int, end: int) -> tuple[tuple[int, int], int]:
    offset, at = read_varint(data, at, end)
    size, at = read_varint(data, at, end)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int], limit: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield each key and value of a block, and the place of the value."""
    start, size = handle
    end = start + size
    if end + TRAILER > limit or size < 4:
        raise Damage(start, f"should begin a block of {size:,} bytes, the blocks end at byte {limit:,}")
    if masked_crc32c(data[start : end + 1]) != data[end + 1 : end + TRAILER]:
        raise Damage(end + 1, f"holds the checksum of other bytes than {start:,} to {end:,}")
    if data[end] != 0:
        raise Damage(end, f"says that the block is compressed (kind {data[end]}), which TensorFlow's index never is")
    (restarts,) = struct.unpack("<I", data[end - 4 : end])
    if 4 * restarts + 4 > size:
        raise Damage(end - 4, f"counts {restarts:,} places to restart in a block of {size:,} bytes")
    at, stop, key = start, end - 4 - 4 * restarts, b""
    while at < stop:
        shared, place = read_varint(data, at, stop)
        added, place = read_varint(data, place, stop)
        length, place = read_varint(data, place, stop)
        if shared > len(key) or place + added + length > stop:
            raise Damage(at, f"begins an entry of {shared:,} + {added:,} + {length:,} bytes, which does not fit")
        key = key[:shared] + data[place : place + added]
        at = place + added + length
        yield key, data[place + added : at], place + added


def write_table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a table file; keys must ascend."""
    file, places, block = bytearray(), [], []

    def close(pairs: list[tuple[bytes, bytes]], every: int = RESTART_EVERY) -> bytes:
        content = _pack_block(pairs, every)
        handle = write_varint(len(file)) + write_varint(len(content))
        file.extend(content + b"\0" + masked_crc32c(content + b"\0"))
        return handle

    for key, value in entries:
        block.append((key, value))
        if sum(len(k) + len(v) for k, v in block) >= BLOCK_SIZE:
            places.append((block[-1][0], close(block)))
            block = []
    if block:
        places.append((block[-1][0], close(block)))
    handles = close([]) + close(places, every=1)
    return bytes(file) + handles.ljust(FOOTER - len(MAGIC), b"\0") + MAGIC


def _pack_block(pairs: list[tuple[bytes, bytes]], every: int) -> bytes:
    content, restarts, last = bytearray(), [0], b""
    for number, (key, value) in enumerate(pairs):
        shared = 0
        if number % every:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        elif number:
            restarts.append(len(content))
        content += write_varint(shared) + write_varint(len(key) - shared) + write_varint(len(value))
        content += key[shared:] + value
        last = key
    return bytes(content) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
