"""TensorFlow's checkpoints in general, read and written without TensorFlow.

`NAME.index` is a sorted table (`utils.formats.sstable`) from the names of variables to entries in protobuf's encoding;
their values lie one after the other in `NAME.data-00000-of-00001`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c
from utils.files.whole_files import write_whole
from utils.formats.safetensors import StoredTensor
from utils.formats.sstable import Damage, read_table, read_varint, write_table, write_varint

# TensorFlow's numbers for the dtypes that PyTorch has too
DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    19: torch.float16,
}


MOST_SHARDS = 100_000  # five digits count them


@dataclass(frozen=True)
class CheckedTensor(StoredTensor):
    """A tensor whose bytes are held to their checksum when they are read."""

    name: str = ""
    checksum: bytes = b""

    def read(self) -> Tensor:
        values = super().read()
        if masked_crc32c(values.reshape(-1).view(torch.uint8).numpy()) != self.checksum:
            raise CourseError(
                f"{self.path} is damaged: {self.name} (bytes {self.offset:,} to {self.offset + self.nbytes:,}) "
                "does not match its checksum. Fetch or save it again."
            )
        return values


def read_bundle(index: Path) -> dict[str, CheckedTensor]:
    """Return every tensor of a TensorFlow checkpoint by its own name; strings and the like are left out."""
    table = read_table(index)
    try:
        shards = _read_header(table.pop(b"", None))
        files = [index.with_name(f"{index.stem}.data-{i:05}-of-{shards:05}") for i in range(shards)]
        sizes = [_size_of(file) for file in files]
        found = dict(_tensors(table, files))
    except ValueError as error:  # of a protobuf message, in which bytes count from its start
        raise CourseError(f"{index} is damaged: {error}. Fetch or save it again.") from error
    _check_places(index, found, dict(zip(files, sizes, strict=True)))
    return found


def _size_of(file: Path) -> int:
    if not file.is_file():
        raise CourseError(f"{file} is not there: an .index needs its .data files beside it. Fetch it too.")
    return file.stat().st_size


def _read_header(message: bytes | None) -> int:
    """Return the number of data files."""
    if message is None:
        raise ValueError("it has no header under the empty key, so it is no TensorFlow checkpoint")
    fields = _fields("the header", message)
    if _number(fields, 2):
        raise ValueError("its numbers are big-endian, expected little-endian")
    shards = _number(fields, 1)
    if not 1 <= shards < MOST_SHARDS:
        raise ValueError(f"its header counts {shards:,} data files, expected 1 to {MOST_SHARDS - 1:,}")
    return shards


def _tensors(table: dict[bytes, bytes], files: list[Path]) -> Iterator[tuple[str, CheckedTensor]]:
    for key, message in table.items():
        name = key.decode("utf-8", errors="backslashreplace")
        fields = _fields(f"the entry of {name[:60]!r}", message)
        dtype = DTYPES.get(_number(fields, 1))
        if dtype is None:  # strings, such as the graph of objects
            continue
        if 7 in fields:
            raise ValueError(f"{name[:60]!r} is cut into slices, expected a variable in one piece")
        shape, shard = _read_shape(name, fields.get(2, [b""])[-1]), _number(fields, 3)
        if shard >= len(files):
            raise ValueError(f"{name[:60]!r} lies in data file {shard:,}, there are {len(files)}")
        checksum = fields.get(6, [b""])[-1]
        tensor = CheckedTensor(files[shard], dtype, shape, _number(fields, 4), None, name, checksum)
        if tensor.nbytes != _number(fields, 5):
            raise ValueError(f"{name[:60]!r} takes {tensor.nbytes:,} bytes, found {_number(fields, 5):,}")
        yield name, tensor


def _check_places(index: Path, tensors: dict[str, CheckedTensor], sizes: dict[Path, int]) -> None:
    """No tensor may overlap another one or leave its file."""
    ends = dict.fromkeys(sizes, 0)
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if tensor.offset < ends[tensor.path]:
            raise CourseError(
                f"{index} is damaged: {name[:60]!r} starts at byte {tensor.offset:,} of {tensor.path.name}, "
                f"inside the tensor before it, which ends at {ends[tensor.path]:,}. Fetch or save it again."
            )
        ends[tensor.path] = tensor.offset + tensor.nbytes
        if ends[tensor.path] > sizes[tensor.path]:
            raise CourseError(
                f"{tensor.path} is truncated: {name[:60]!r} ends at byte {ends[tensor.path]:,}, "
                f"the file has {sizes[tensor.path]:,}. Fetch it again."
            )


def _fields(where: str, message: bytes) -> dict[int, list]:
    """Return the values of each field of a message by the field's number."""
    found: dict[int, list] = {}
    at, end = 0, len(message)
    try:
        while at < end:
            tag, place = read_varint(message, at, end)
            if tag & 7 == 0:
                value, at = read_varint(message, place, end)
            else:
                length = {1: 8, 5: 4}.get(tag & 7)
                if tag & 7 == 2:
                    length, place = read_varint(message, place, end)
                if length is None or place + length > end:
                    raise Damage(at, "begins a field that is not protobuf's or does not end")
                value, at = message[place : place + length], place + length
            found.setdefault(tag >> 3, []).append(value)
    except Damage as damage:
        raise ValueError(f"{where}: {damage}") from damage
    return found


def _number(fields: dict[int, list], field: int) -> int:
    """Return a whole number; a field that is not there is 0."""
    value = fields.get(field, [0])[-1]
    if not isinstance(value, int) or value >> 63:
        raise ValueError(f"field {field} holds {value!r}, expected a whole number of at least 0")
    return value


def _read_shape(name: str, message: bytes) -> tuple[int, ...]:
    if not isinstance(message, bytes):
        raise ValueError(f"{name[:60]!r} has no shape, only the number {message}")
    sizes = _fields(f"the shape of {name[:60]!r}", message).get(2, [])
    if len(sizes) > 8 or not all(isinstance(size, bytes) for size in sizes):
        raise ValueError(f"{name[:60]!r} has {len(sizes)} dimensions, expected at most 8")
    shape = tuple(_number(_fields(f"the shape of {name[:60]!r}", size), 1) for size in sizes)
    if math.prod(max(size, 1) for size in shape) >> 60:
        raise ValueError(f"{name[:60]!r} has the shape {shape}, which no file can hold")
    return shape


def _pack_entry(shape: tuple[int, ...], offset: int, size: int, checksum: bytes) -> bytes:
    """Write a BundleEntryProto: dtype float32, shape, offset and size in the one data file, checksum."""
    sizes = b"".join(b"\x12" + _with_length(b"\x08" + write_varint(size)) for size in shape)
    places = b"".join(tag + write_varint(value) for tag, value in ((b"\x20", offset), (b"\x28", size)) if value)
    return b"\x08\x01\x12" + _with_length(sizes) + places + b"\x35" + checksum


def _with_length(message: bytes) -> bytes:
    return write_varint(len(message)) + message


HEADER = b"\x08\x01\x1a\x02\x08\x01"  # one data file, little-endian, version 1 of the format


def write_bundle(prefix: Path, tensors: list[tuple[str, Tensor]]) -> None:
    """Write float32 tensors as prefix.index and prefix.data-00000-of-00001."""
    entries: dict[bytes, bytes] = {}

    def write(file) -> None:
        for name, tensor in tensors:
            data = tensor.detach().to("cpu", torch.float32).contiguous().view(-1).view(torch.uint8).numpy()
            entries[name.encode()] = _pack_entry(tuple(tensor.shape), file.tell(), len(data), masked_crc32c(data))
            file.write(data)

    write_whole(prefix.with_name(f"{prefix.name}.data-00000-of-00001"), write)
    table = write_table([(b"", HEADER), *sorted(entries.items())])
    write_whole(prefix.with_name(f"{prefix.name}.index"), lambda file: file.write(table))
