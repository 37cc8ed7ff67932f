"""Parser of the GGUF header: walked byte by byte, never trusted, every error with its byte.

The file: the word GGUF, a version and two counts; then keys with typed values; then for each tensor its name,
sizes, type and place; then the tensors, each at a multiple of the alignment. All numbers are little-endian.
A file from elsewhere may say anything in any of them, so each is held against what the file can hold first.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Lesson 05 reads a header by hand.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import CourseError
from utils.files.whole_files import LONGEST_JSON
from utils.formats.ggml_blocks import BlockFormat, find_format

MAGIC = b"GGUF"
ALIGNMENT = 32  # bytes, unless the file says otherwise
# Real files stay far below these, and they bound the time and memory that a hostile header can cost.
MOST = 32_768  # keys and tensors
LONGEST_KEY = 65_535  # bytes
LONGEST_NAME = 64
LONGEST_TEXT = 2**24
MOST_DIMENSIONS = 4
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # of struct
NAMES = "uint8 int8 uint16 int16 uint32 int32 float32 bool string array uint64 int64 float64"
TYPES = dict(enumerate(NAMES.split()))
GONE = {4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8",
        38: "IQ4_NL_8_8"}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """One value of the metadata: its type and at which byte it lies; of an array also what it holds how many of."""

    type: int
    start: int
    item: int = -1
    count: int = 0

    def __str__(self) -> str:
        return f"{self.count:,} × {TYPES[self.item]}" if self.type == ARRAY else TYPES[self.type]


@dataclass(frozen=True)
class Entry:
    """What the header says of one tensor."""

    at: int  # the byte of the header that says where the tensor lies
    format: BlockFormat
    shape: tuple[int, ...]  # in PyTorch's order: the packed dimension is the last, GGUF writes it first
    offset: int  # from the beginning of the data


class Walk:
    """A place in the header that moves on with all that is read, and tells the byte when something is wrong."""

    def __init__(self, path: Path, data: mmap.mmap | bytes, at: int = 0) -> None:
        self.path, self.data, self.at = path, data, at
        self.end = min(len(data), LONGEST_JSON)

    def wrong(self, found: str, at: int | None = None) -> CourseError:
        place = self.at if at is None else at
        return CourseError(f"{self.path} is damaged at byte {place:,}: {found}. Get the file again.")

    def check(self, nbytes: int, what: str) -> None:
        """Refuse what reaches beyond the end."""
        if nbytes > self.end - self.at:
            place = "file" if self.end == len(self.data) else "longest header we read"
            raise self.wrong(f"{what} takes {nbytes:,} bytes, the {place} ends after {self.end - self.at:,}")

    def number(self, code: str, what: str = "a number") -> Any:
        """Read one number by its struct code."""
        size = struct.calcsize(f"<{code}")
        self.check(size, what)
        self.at += size
        return struct.unpack_from(f"<{code}", self.data, self.at - size)[0]

    def text(self, what: str, longest: int = LONGEST_TEXT) -> str:
        """Read a string: its length in eight bytes, then UTF-8."""
        start, length = self.at, self.number("Q", f"the length of {what}")
        if length > longest:
            raise self.wrong(f"{what} has {length:,} bytes, expected at most {longest:,}", start)
        self.check(length, what)
        self.at += length
        try:
            return self.data[self.at - length : self.at].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.wrong(f"{what} is not UTF-8 ({error.reason})", self.at - length + error.start) from None

    def value(self, kind: int, keep: bool) -> Any:
        """Walk over one value of the metadata, and return it if it is to be kept."""
        if kind == ARRAY:
            item, count = self.array_start()
            if item == STRING:
                return [self.text("a string") for _ in range(count)] if keep else self.skip(count)
            start, self.at = self.at, self.at + count * struct.calcsize(f"<{CODES[item]}")
            return list(struct.unpack_from(f"<{count}{CODES[item]}", self.data, start)) if keep else None
        if kind == STRING:
            return self.text("a string") if keep else self.skip(1)
        if kind not in CODES:
            raise self.wrong(f"the value has type {kind}, expected 0 to 12")
        return self.number(CODES[kind])

    def array_start(self) -> tuple[int, int]:
        """Read what an array holds and how many of it, which must fit in the file; llama.cpp nests none either."""
        start = self.at
        item, count = self.number("I", "the type of an array"), self.number("Q", "the length of an array")
        if item not in CODES and item != STRING:
            raise self.wrong(f"an array holds type {item}, expected 0 to 12 and no array", start)
        smallest = 8 if item == STRING else struct.calcsize(f"<{CODES[item]}")
        self.check(count * smallest, f"an array of {count:,} {TYPES[item]}")
        return item, count

    def skip(self, count: int) -> None:
        """Step over strings one by one; their lengths are all that is looked at."""
        length_at, data, at, last = struct.Struct("<Q").unpack_from, self.data, self.at, self.end - 8
        for i in range(count):
            if at > last:
                raise self.wrong(f"string {i:,} of {count:,} reaches beyond the end of the header or the file")
            self.at = at
            at += 8 + length_at(data, at)[0]
        if at > self.end:
            raise self.wrong(f"string {count:,} of {count:,} reaches beyond the end of the header or the file")
        self.at = at


def read_header(path: Path, data: mmap.mmap | bytes) -> tuple[int, dict[str, Value], dict[str, Entry], int]:
    """Return the version, the metadata, the tensors' entries and the byte at which the tensors begin, all checked."""
    walk = Walk(path, data)
    version, tensors, keys = _read_start(walk)
    metadata: dict[str, Value] = {}
    for _ in range(keys):
        _read_key(walk, metadata)
    entries: dict[str, Entry] = {}
    for _ in range(tensors):
        _read_entry(walk, entries)
    alignment = _alignment(walk, metadata)
    start = -(-walk.at // alignment) * alignment
    _check_places(walk, entries, start, alignment)
    return version, metadata, entries, start


def _read_start(walk: Walk) -> tuple[int, int, int]:
    if walk.data[:4] != MAGIC:
        raise walk.wrong(f"it begins with {bytes(walk.data[:4])!r}, expected {MAGIC!r}")
    walk.at = 4
    version = walk.number("I", "the version")
    if version not in (2, 3):
        why = " (its bytes are in big-endian order)" if version in (2 << 24, 3 << 24) else ""
        raise walk.wrong(f"the version is {version}{why}, expected 2 or 3; llama.cpp can convert it", 4)
    counts = []
    for what in ("tensors", "keys"):
        counts.append(walk.number("Q", f"the number of {what}"))
        if counts[-1] > MOST:
            raise walk.wrong(f"it promises {counts[-1]:,} {what}, expected at most {MOST:,}", walk.at - 8)
    return version, *counts


def _read_key(walk: Walk, metadata: dict[str, Value]) -> None:
    start = walk.at
    key = walk.text("a key", LONGEST_KEY)
    if key in metadata:
        raise walk.wrong(f"the key {key!r} stands there a second time", start)
    try:
        kind, place = walk.number("I", "its type"), walk.at
        item, count = walk.array_start() if kind == ARRAY else (-1, 0)
        walk.at = place
        walk.value(kind, keep=False)
    except CourseError as error:
        raise CourseError(f"{error} The key is {key!r}.") from None
    metadata[key] = Value(kind, place, item, count)


def _read_entry(walk: Walk, entries: dict[str, Entry]) -> None:
    start = walk.at
    name = walk.text("a tensor's name", LONGEST_NAME)
    if name in entries:
        raise walk.wrong(f"the tensor {name!r} stands there a second time", start)
    rank = walk.number("I", f"the number of dimensions of {name!r}")
    if rank > MOST_DIMENSIONS:
        raise walk.wrong(f"{name!r} has {rank:,} dimensions, expected at most {MOST_DIMENSIONS}", walk.at - 4)
    sizes = [walk.number("Q", f"a dimension of {name!r}") for _ in range(rank)]
    if 0 in sizes or math.prod(sizes) >= 2**63:
        found = f"{name!r} has dimensions {sizes}, expected none of 0 and under 2⁶³ values"
        raise walk.wrong(found, walk.at - 8 * rank)
    kind = find_format(number := walk.number("I", f"the type of {name!r}"))
    if kind is None:
        if number in GONE:
            raise CourseError(
                f"{walk.path} packs {name!r} as {GONE[number]}, which llama.cpp gave up too. Get the model as Q4_0, or "
                "convert the original weights with save_gguf."
            )
        raise walk.wrong(f"{name!r} has the unknown type {number}", walk.at - 4)
    width = sizes[0] if sizes else 1
    if width % kind.values:
        raise walk.wrong(f"rows of {name!r} have {width:,} values, {kind.name} packs {kind.values} at a time")
    entries[name] = Entry(walk.at, kind, tuple(reversed(sizes)), walk.number("Q", f"the place of {name!r}"))


def _alignment(walk: Walk, metadata: dict[str, Value]) -> int:
    place = metadata.get("general.alignment")
    if place is None:
        return ALIGNMENT
    found = struct.unpack_from("<I", walk.data, place.start)[0] if place.type == UINT32 else place
    if isinstance(found, Value) or found < 8 or found & (found - 1):
        raise walk.wrong(f"general.alignment is {found}, expected a power of two from 8 as uint32", place.start)
    return found


def _check_places(walk: Walk, entries: dict[str, Entry], data_start: int, alignment: int) -> None:
    """Tensors must be aligned, lie within the file and not overlap."""
    end, before = data_start, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
        if entry.offset % alignment:
            raise walk.wrong(f"{name!r} lies at {entry.offset:,} of the data, no multiple of {alignment}", entry.at)
        start = data_start + entry.offset
        if start < end:
            raise walk.wrong(f"{name!r} begins at byte {start:,}, within {before}, which ends at {end:,}", entry.at)
        end, before = start + entry.format.bytes_of(math.prod(entry.shape)), repr(name)
        if end > len(walk.data):
            raise walk.wrong(f"{name!r} ends at byte {end:,}, the file is truncated at {len(walk.data):,}", entry.at)
