"""TFRecord without TensorFlow: frames with checksums, and the protocol buffer tf.train.Example inside of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

import numpy as np

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c
from utils.texts.records import ReadReport, Record, Source, open_source, whole_fields

HEAD, TAIL = 12, 4  # length and its checksum before a payload, the payload's checksum after it


LONGEST = 1 << 30  # bytes of one record


WINDOW = 1 << 16  # bytes searched at a time for the next whole frame


def read_tfrecord(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield a record for each tf.train.Example of a file."""
    with open_source(source) as file:
        for number, payload in enumerate(_frames(file, source, report), 1):
            place = f"record {number}"
            if payload is None:
                continue  # reported, and counted
            try:
                fields = decode_example(payload)
            except CourseError as error:
                report.skip(f"{source.name}, {place}", str(error))
                continue
            if record := whole_fields(source, place, fields, report):
                yield record


def _frames(file: IO[bytes], source: Source, report: ReadReport) -> Iterator[bytes | None]:
    """Yield each payload whose checksums are right, and None for one that was left out."""
    number = 0
    while True:
        start, number = file.tell(), number + 1
        where = f"{source.name}, record {number}"
        head = file.read(HEAD)
        if not head:
            return
        length = _length(head)
        if length is None:
            found = _next_frame(file, start + 1)
            upto = "the rest of the file" if found is None else f"{found - start:,} bytes"
            report.skip(where, f"its length and the checksum of it don't agree at byte {start:,}; {upto} passed over")
            if found is None:
                return
            file.seek(found)
            yield None
            continue
        payload, check = file.read(length), file.read(TAIL)
        if len(check) < TAIL:
            report.skip(where, f"the file ends in the middle of it, at byte {file.tell():,}")
            return
        if masked_crc32c(payload) != check:
            report.skip(where, f"its checksum is wrong: some of the {length:,} bytes at {start + HEAD:,} changed")
            payload = None
        yield payload


def _length(head: bytes) -> int | None:
    """Return the length that a frame's first bytes give, or None where they begin no frame."""
    if len(head) < HEAD or masked_crc32c(head[:8]) != head[8:]:
        return None
    (length,) = struct.unpack("<Q", head[:8])
    return length if length <= LONGEST else None


def _next_frame(file: IO[bytes], start: int) -> int | None:
    """Return the next byte from `start` on where a frame begins; all places of a window are tried at once."""
    while True:
        file.seek(start)
        window = np.frombuffer(file.read(WINDOW + HEAD), dtype=np.uint8)
        if len(window) < HEAD:
            return None
        places = np.lib.stride_tricks.sliding_window_view(window, HEAD)
        small = np.flatnonzero((places[:, 4:8] == 0).all(1))  # lengths below 4 GiB
        for place in small:
            if _length(places[place].tobytes()) is not None:
                return start + int(place)
        start += len(places)


def to_tfrecord(records: Iterable[Mapping[str, str]]) -> bytes:
    """Frame each record as length, checksum of the length, tf.train.Example, checksum of the Example."""
    return b"".join(_frame(encode_example(record)) for record in records)


def _frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return b"".join([length, masked_crc32c(length), payload, masked_crc32c(payload)])


def encode_example(record: Mapping[str, str]) -> bytes:
    """Encode a record as the protocol buffer tf.train.Example, each field a list of one byte string.

    >>> encode_example({"a": "bc"}).hex(" ")
    '0a 0d 0a 0b 0a 01 61 12 06 0a 04 0a 02 62 63'
    """
    features = b""
    for name, value in sorted(record.items()):
        feature = _field(1, _field(1, value.encode()))  # Feature{bytes_list: BytesList{value}}
        features += _field(1, _field(1, name.encode()) + _field(2, feature))  # map entry {key, value}
    return _field(1, features)


def _field(number: int, payload: bytes) -> bytes:
    """One length-delimited field: tag, length in groups of 7 bits with the lowest first, bytes."""
    length, size = b"", len(payload)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


def decode_example(payload: bytes) -> dict[str, str]:
    """Return the fields of a tf.train.Example; of several values, each is a line.

    >>> decode_example(encode_example({"a": "bc"}))
    {'a': 'bc'}
    """
    fields = {}
    for _, features in _parts(payload):
        for _, entry in _parts(features):
            pair = dict(_parts(entry))
            values = [line for kind, part in _parts(pair.get(2, b"")) for line in _values(kind, part)]
            fields[pair.get(1, b"").decode("utf-8", errors="surrogateescape")] = "\n".join(values)
    return fields


def _values(kind: int, packed: bytes) -> Iterator[str]:
    """Yield the values of a BytesList (1), FloatList (2) or Int64List (3) as text."""
    for _, value in _parts(packed):
        if kind == 1 and isinstance(value, bytes):
            yield value.decode("utf-8", errors="surrogateescape")
        elif kind == 2 and isinstance(value, bytes) and len(value) % 4 == 0:
            yield from (str(number) for number in np.frombuffer(value, "<f4"))
        elif kind == 3:
            numbers = [value] if isinstance(value, int) else _varints(value)
            yield from (str(number - (number >> 63 << 64)) for number in numbers)
        else:
            raise CourseError("it is no tf.train.Example: a list holds what it can't hold")


def _varints(data: bytes) -> Iterator[int]:
    place = 0
    while place < len(data):
        number, place = _varint(data, place)
        yield number


def _parts(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield (number, content) of each field of a protocol buffer."""
    if not isinstance(data, bytes):
        raise CourseError("it is no tf.train.Example: a number stands where a part should")
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            value, place = _varint(data, place)
        else:
            size, place = _varint(data, place) if tag & 7 == 2 else ({1: 8, 5: 4}.get(tag & 7, LONGEST), place)
            value, place = data[place : place + size], place + size
        if place > len(data):
            raise CourseError("it is no tf.train.Example: a field is longer than the record")
        yield tag >> 3, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number in groups of 7 bits and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise CourseError("it is no tf.train.Example: a number goes on after its end")
        number |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            return number, place
    raise CourseError("it is no tf.train.Example: a number of more than 64 bits")
