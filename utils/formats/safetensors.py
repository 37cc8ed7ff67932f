"""Where each tensor lies in a file of weights, found without reading the weights themselves.

safetensors is eight bytes of length, a JSON header and the bytes of the tensors. Other formats have their
own modules: `torch_files` for .bin, `tf_checkpoint` for gpt-2-simple, `gptq_folder` for what GPTQ packed.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.files.whole_files import LONGEST_JSON, parse_json, write_whole

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a file: where its first value lies and how to walk from there."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file
    stride: tuple[int, ...] | None = None  # in values; None when rows follow each other

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> Tensor:
        """Map this tensor's bytes, and no others, into memory; they are read when they are used."""
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        count = math.prod(self.shape)
        if self.stride is not None:
            count = 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        length = (count * self.dtype.itemsize,)
        try:
            data = np.memmap(self.path, dtype=np.uint8, mode="c", offset=self.offset, shape=length)
        except (ValueError, OSError) as error:
            raise CourseError(f"{self.path} can't be read at byte {self.offset:,}: {error}.") from error
        values = torch.from_numpy(data).view(self.dtype)
        return values.view(self.shape) if self.stride is None else values.as_strided(self.shape, self.stride)

    def read_into(self, target: Tensor) -> None:
        """Fill `target`, which has this shape and may be a transposed view."""
        if target.is_contiguous():
            target.copy_(self.read())
        else:  # PyTorch turns a matrix faster while it writes row after row
            target.T.copy_(self.read().T)


def _open_safetensors(path: Path) -> dict[str, StoredTensor]:
    start, header = _read_header(path)
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        try:
            found[name] = _safetensors_entry(path, start, entry)
        except (ValueError, TypeError, KeyError) as error:
            raise CourseError(
                f"{path} has a damaged header: its entry {show(name)} is wrong, {error!r:.300}. Fetch or save it again."
            ) from error
    _check_layout(path, start, path.stat().st_size, found)
    return found


def _read_header(path: Path) -> tuple[int, dict]:
    """Return the byte at which the tensors begin, and the JSON before it."""
    with path.open("rb") as file:
        size, head = path.stat().st_size, file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(size - 8, LONGEST_JSON):
            raise CourseError(
                f"{path} is damaged: byte 0 says that the header takes {length:,} bytes, the file has {size:,}. "
                "Fetch it again."
            )
        try:
            header = parse_json(file.read(length))
            if not isinstance(header, dict):
                raise ValueError(f"a {type(header).__name__} was found, expected an object")
        except (ValueError, RecursionError) as error:
            raise CourseError(
                f"{path} has a damaged header at byte 8: {error!r:.300}. Fetch or save it again."
            ) from error
    return 8 + length, header


def read_note(path: Path) -> dict[str, str]:
    """Return what a .safetensors file says about itself, its __metadata__."""
    note = _read_header(path)[1].get("__metadata__", {})
    return note if isinstance(note, dict) else {}


def _safetensors_entry(path: Path, start: int, entry: dict) -> StoredTensor:
    if not isinstance(entry, dict) or not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        kind = entry.get("dtype") if isinstance(entry, dict) else entry
        raise ValueError(f"dtype {show(kind)} is unknown here, expected one of {', '.join(DTYPES)}")
    dtype, shape, (begin, end) = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape[:8], begin, end)):
        raise ValueError(f"sizes {shape[:8]} and offsets {(begin, end)} must be whole numbers of at least 0")
    if len(shape) > 8 or math.prod(max(n, 1) for n in shape) >> 60:
        raise ValueError(f"a shape of {len(shape)} dimensions and up to {max(shape):,} was found, no file can hold it")
    tensor = StoredTensor(path, dtype, shape, start + begin)
    if tensor.nbytes != end - begin:
        raise ValueError(f"shape {shape} of {entry['dtype']} takes {tensor.nbytes:,} bytes, found {end - begin:,}")
    return tensor


def _check_layout(path: Path, start: int, size: int, entries: dict[str, StoredTensor]) -> None:
    """Tensors must follow each other without a gap or an overlap and fill the file exactly."""
    at = start
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
    """Write tensors one after the other, so that none is copied but the one at hand; never half a file."""
    header: dict = {"__metadata__": {"format": "pt", **note}}
    items, at = list(tensors), 0
    for name, tensor in items:
        end = at + tensor.numel() * tensor.dtype.itemsize
        header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight

    def write(file) -> None:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in items:
            file.write(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())

    write_whole(path, write)
