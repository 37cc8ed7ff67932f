"""safetensors: read the header, memory-map each tensor, write a file without a second copy of the weights.

Eight bytes say how long the header is, the header is JSON, and behind it lie the bytes of all tensors. Format:
https://github.com/huggingface/safetensors. Lesson 05 builds this by hand. Ours instead of the library's `safe_open`,
because it names the damaged byte and peaks at 1.09 × the weights, where one handle of the library peaks at 2 ×.
"""

from __future__ import annotations

import json
import math
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.files.progress import progress
from utils.files.whole_files import LONGEST_JSON, parse_json, write_whole

DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class LazyTensor(ABC):
    """A tensor that stays in its file until it is read; each format says how."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def kind(self) -> str:
        """What its file calls the type of its values."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @abstractmethod
    def read(self) -> Tensor:
        """Return all of it."""

    def read_into(self, target: Tensor) -> None:
        """Fill `target`, which has this shape and may be a transposed view."""
        source = self.read()
        if target.is_contiguous():
            target.copy_(source)
        else:
            target.T.copy_(source.T)  # PyTorch is faster where it writes row after row

    def rows(self, first: int, count: int) -> Tensor:
        """Return some rows of a matrix."""
        return self.read()[first : first + count]


@dataclass(frozen=True)
class StoredTensor(LazyTensor):
    """A memory-mapped tensor: its values lie in the file as they are, row after row."""

    offset: int  # bytes from the start of the file

    def read(self) -> Tensor:
        """Map this tensor's bytes, and no others, into memory; they are read when they are used."""
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        return map_bytes(self.path, self.offset, self.nbytes).view(self.dtype).view(self.shape)

    def rows(self, first: int, count: int) -> Tensor:
        """Map `count` rows of a matrix and nothing beside them."""
        place = self.offset + first * self.shape[1] * self.dtype.itemsize
        return replace(self, shape=(count, self.shape[1]), offset=place).read()


def map_bytes(path: Path, offset: int, count: int) -> Tensor:
    """Map bytes of a file; what is written into them stays in memory."""
    try:
        return torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c", offset=offset, shape=(count,)))
    except (ValueError, OSError) as error:
        raise CourseError(f"{path} can't be read at byte {offset:,}: {error}.") from error


def open_safetensors(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Parse the header once: the tensors by name, none of them read, and the file's own note (__metadata__)."""
    start, header, note = _read_header(path)
    found = {}
    for name, entry in header.items():
        try:
            found[name] = _parse_entry(path, start, entry)
        except (ValueError, TypeError, KeyError) as error:
            raise CourseError(f"{path} has a damaged header: its entry {show(name)} is wrong, {_why(error)}") from error
    _check_layout(path, start, found)
    return found, note


def read_note(path: Path) -> dict[str, str]:
    """Return what a file says about itself, its __metadata__: from the header alone, as a run may replace the file."""
    return _read_header(path)[2]


def _read_header(path: Path) -> tuple[int, dict, dict[str, str]]:
    """Return the byte at which the tensors begin, their entries and the note."""
    with path.open("rb") as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(size - 8, LONGEST_JSON):
            raise CourseError(
                f"{path} is damaged: byte 0 says that the header takes {length:,} bytes, the file has {size:,}. "
                "Fetch it again."
            )
        try:
            header = parse_json(file.read(length))
        except (ValueError, RecursionError) as error:
            raise CourseError(f"{path} has a damaged header at byte 8: {_why(error)}") from error
    if not isinstance(header, dict):
        raise CourseError(f"{path} has a {type(header).__name__} at byte 8, expected an object. Fetch it again.")
    note = header.pop("__metadata__", {})
    return 8 + length, header, note if isinstance(note, dict) else {}


def _why(error: Exception) -> str:
    return f"{error!r:.300}. Fetch or save it again."


def _parse_entry(path: Path, start: int, entry: dict) -> StoredTensor:
    kind = entry["dtype"] if isinstance(entry, dict) else entry
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"dtype {show(kind)} is unknown here, expected one of {', '.join(DTYPES)}")
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape[:MOST_DIMENSIONS], begin, end)):
        raise ValueError(f"sizes {shape[:8]} and offsets {(begin, end)} must be whole numbers of at least 0")
    if len(shape) > MOST_DIMENSIONS or math.prod(max(n, 1) for n in shape) >> 60:
        raise ValueError(f"a shape of {len(shape)} dimensions and up to {max(shape):,} was found, no file can hold it")
    tensor = StoredTensor(path, DTYPES[kind], shape, start + begin)
    if tensor.nbytes != end - begin:
        raise ValueError(f"shape {shape} of {kind} takes {tensor.nbytes:,} bytes, found {end - begin:,}")
    return tensor


def _check_layout(path: Path, start: int, entries: dict[str, StoredTensor]) -> None:
    """Tensors must follow each other without a gap or an overlap and fill the file exactly."""
    at, size = start, path.stat().st_size
    for name, tensor in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if tensor.offset != at:
            raise CourseError(
                f"{path} is damaged: {show(name)} starts at byte {tensor.offset:,}, expected {at:,}. "
                "Fetch or save it again."
            )
        at += tensor.nbytes
    if at != size:
        raise CourseError(
            f"{path} is {'truncated' if size < at else 'too long'}: its header promises {at:,} bytes, "
            f"the file has {size:,}. Fetch it again."
        )


def write_safetensors(path: Path, tensors: Iterable[tuple[str, Tensor]], note: dict[str, str]) -> None:
    """Stream tensors into a file, so that none is copied but the one at hand; never half a file (atomic write)."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt", **note}}
    items, at = list(tensors), 0
    for name, tensor in items:
        end = at + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight

    def write(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in progress(items, f"{path.name}, tensors written", after=2.0):
            file.write(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)

    write_whole(path, write)
