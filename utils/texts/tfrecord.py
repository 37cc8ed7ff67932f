"""TFRecord without TensorFlow: frames with CRC-32C checksums around protocol buffers of tf.train.Example.

Length, checksum of the length, payload, checksum of the payload; the payload is fields by name, in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c
from utils.texts.readers import Source
from utils.texts.records import Record

HEAD, TAIL = 12, 4  # length and its checksum before a payload, the payload's checksum after it
LONGEST = 1 << 30  # bytes of one record


def read_tfrecord(source: Source) -> Iterator[Record]:
    """Yield a record for each tf.train.Example of a file."""
    for number, payload in _frames(source):
        try:
            fields = decode_example(payload)
        except CourseError as error:
            source.skip(f"record {number}", str(error))
        else:
            yield from source.record(f"record {number}", fields)


def _frames(source: Source) -> Iterator[tuple[int, bytes]]:
    """Yield (number, payload) of each frame whose checksum is right; where its length is damaged, nothing follows."""
    with source.open_bytes() as file:
        for number in count(1):
            start, head = file.tell(), file.read(HEAD)
            length, wrong = int.from_bytes(head[:8], "little"), ""
            if not head:
                return
            if masked_crc32c(head[:8]) != head[8:] or length > LONGEST:
                reason = f"the length at byte {start:,} and its checksum don't agree; what follows was left out too"
                return source.skip(f"record {number}", reason)
            payload, check = file.read(length), file.read(TAIL)
            if len(check) < TAIL:
                wrong = f"the file ends in the middle of it, at byte {file.tell():,}"
            elif masked_crc32c(payload) != check:
                wrong = f"its checksum is wrong: some of the {length:,} bytes at {start + HEAD:,} changed"
            if wrong:
                source.skip(f"record {number}", wrong)
            else:
                yield number, payload


def decode_example(payload: bytes) -> dict[str, str]:
    """Return the fields of a tf.train.Example; of several values, each is a line.

    >>> decode_example(bytes.fromhex("0a0d 0a0b 0a0161 1206 0a04 0a026263"))
    {'a': 'bc'}
    """
    fields = {}
    try:
        for _, features in _parts(payload):
            for _, entry in _parts(features):
                pair = dict(_parts(entry))
                values = [line for kind, part in _parts(pair.get(2, b"")) for line in _values(kind, part)]
                fields[pair.get(1, b"").decode("utf-8", errors="surrogateescape")] = "\n".join(values)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # numbers for parts, parts beyond the end
        raise CourseError(f"it is no tf.train.Example: {error}") from None
    return fields


def _values(kind: int, packed: Any) -> Iterator[str]:
    """Yield the values of a BytesList (1), FloatList (2) or Int64List (3) as text."""
    for _, value in _parts(packed):
        if kind == 1:
            yield value.decode("utf-8", errors="surrogateescape")
        elif kind == 2:
            yield from map(str, np.frombuffer(value, "<f4"))
        elif kind == 3:
            numbers = [value] if isinstance(value, int) else _varints(value)
            yield from (str(number - (number >> 63 << 64)) for number in numbers)
        else:
            raise ValueError(f"a list of kind {kind}, expected 1 to 3")


def _varints(data: bytes) -> Iterator[int]:
    place = 0
    while place < len(data):
        number, place = _varint(data, place)
        yield number


def _parts(data: Any) -> Iterator[tuple[int, Any]]:
    """Yield (number, content) of each field of a protocol buffer: bytes, or for a varint an int."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        value, after = _varint(data, place) if tag & 7 in (0, 2) else (0, place)
        if tag & 7:
            size = value if tag & 7 == 2 else {1: 8, 5: 4}[tag & 7]
            value, after = data[after : after + size], after + size
        if after > len(data):
            raise ValueError("a field is longer than the record")
        yield tag >> 3, value
        place = after


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number in groups of 7 bits, the lowest first, and the place after it."""
    number = shift = 0
    while data[place] > 127:
        if shift > 63:
            raise ValueError(f"a number at byte {place:,} takes more than ten bytes")
        number |= (data[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return number | data[place] << shift, place + 1
