"""GGUF, the file of llama.cpp: open one, read its metadata and tensors; what is not asked for stays on the disk.

Lesson 05 reads one by hand. Ours instead of `gguf.GGUFReader`: it opens GPT-2 in 0.02 s where the library takes 5.9 s,
since that makes a Python object of each of 50,257 strings, and it names the byte that is wrong.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import CourseError
from utils.formats.ggml_blocks import BlockFormat
from utils.formats.gguf_header import Value, Walk, read_header
from utils.formats.safetensors import LazyTensor, map_bytes

CHUNK = 2**18  # values that are turned into floats at a time, so that a cache can hold them


@dataclass(frozen=True)
class GGUFTensor(LazyTensor):
    """One tensor in a GGUF file; it becomes float32, or what it is copied into, a few rows at a time."""

    format: BlockFormat
    offset: int  # bytes from the start of the file
    turned: bool = False  # whether it is to be seen transposed

    @property
    def stored(self) -> tuple[int, ...]:
        """Its shape in the file; rows are packed, so the last dimension is."""
        return self.shape[::-1] if self.turned else self.shape

    @property
    def kind(self) -> str:
        return self.format.name

    @property
    def nbytes(self) -> int:
        return self.format.bytes_of(math.prod(self.shape))

    def turn(self) -> GGUFTensor:
        """Return the same tensor, transposed."""
        return replace(self, shape=self.shape[::-1], turned=not self.turned)

    def read(self) -> Tensor:
        """Return all of it as float32."""
        target = torch.empty(self.stored)
        target = target.T if self.turned else target
        self.read_into(target)
        return target

    def read_into(self, target: Tensor) -> None:
        """Fill `target`, which has this shape, without ever holding a second copy of the whole."""
        rows = (target.T if self.turned else target).view(-1, self.width)
        step = max(1, CHUNK // self.width)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            part.copy_(self.rows(first, len(part)))

    @property
    def width(self) -> int:
        """Values in a row as it is stored."""
        return self.stored[-1] if self.shape else 1

    def rows(self, first: int, count: int) -> Tensor:
        """Return stored rows (count, width) as float32; only their bytes are mapped."""
        row = self.format.bytes_of(self.width)
        return self.format.dequantize(map_bytes(self.path, self.offset + first * row, count * row).view(count, row))


@dataclass(frozen=True)
class GGUFFile:
    """What the header of a GGUF file says."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: dict[str, GGUFTensor]

    def get(self, key: str) -> Any:
        """Read one value, None when it is not there."""
        if key not in self.metadata:
            return None
        place = self.metadata[key]
        with _mapped(self.path) as data:
            return Walk(self.path, data, place.start).value(place.type, keep=True)

    def need(self, key: str, kind: type) -> Any:
        """Read one value that must be there and be an int, a float, a str or a list."""
        value = self.get(key)
        if type(value) is not kind:
            place = self.metadata.get(key)
            found = f"of type {place} at byte {place.start:,}" if place else "missing"
            raise CourseError(f"{self.path}: {key} is {found}, expected {kind.__name__}. Get the file again.")
        return value


def open_gguf(path: str | Path) -> GGUFFile:
    """Parse and check the header of a GGUF file; no tensor is read."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"{path} is not there. Give a .gguf file.")
    with _mapped(path) as data:
        version, metadata, entries, start = read_header(path, data)
    tensors = {
        name: GGUFTensor(path, torch.float32, entry.shape, entry.format, start + entry.offset)
        for name, entry in entries.items()
    }
    return GGUFFile(path, version, metadata, tensors)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    """Give a file's bytes without reading them."""
    with path.open("rb") as file:
        if not path.stat().st_size:  # nothing can't be mapped
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
