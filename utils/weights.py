"""Where each tensor lies in a file of weights, found without reading the weights themselves.

safetensors is eight bytes of length, a JSON header and the bytes of the tensors. A `.bin` is a zip with a
pickle inside; it is only ever unpickled as weights, so it can't run code.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError

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
LONGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors library too


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


def open_weights(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a .safetensors or .bin file, or of an index of shards, by name."""
    if path.name.endswith(".index.json"):
        return _open_shards(path)
    if not path.is_file():
        raise CourseError(f"{path} is not there. Give a file or folder of weights, or a size such as small.")
    with path.open("rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":  # asked first: the length before it may begin with any byte, those below too
        return _open_safetensors(path)
    if start[:2] == b"PK":
        return _open_pickle(path)
    if start[:1] == b"\x80":
        raise CourseError(f"{path} is in PyTorch's format of before 2020. Load it with torch once and save it again.")
    raise CourseError(f"{path} is no file of weights: {_describe_start(start)}. Fetch or save it again.")


def _describe_start(start: bytes) -> str:
    if not start:
        return "it is empty"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, most likely an error page that was saved as weights"
    if start.startswith(b"version https://"):
        return "it is a pointer of Git LFS, the weights themselves were not fetched"
    return f"it begins with {start[:8]!r}, and not like safetensors or .bin"


def _open_shards(index: Path) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CourseError(f"{index} has no weight_map from tensor names to file names. Fetch it again.")
    for shard in sorted(set(places.values())):
        if Path(shard).name != shard or shard in ("", ".", "..") or shard.endswith(".index.json"):
            raise CourseError(
                f"{index} names the shard {shard!r}, expected a plain file name beside the index. Fetch it again."
            )
        found |= open_weights(index.parent / shard)
    if missing := sorted(set(places) - set(found)):
        raise CourseError(f"{index} promises {missing[0]} (and {len(missing) - 1} more), the shards don't hold it.")
    return found


def read_json(path: Path) -> dict:
    """Read a JSON object, or say what is wrong with the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} is not there. A model folder needs config.json and weights.") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CourseError(f"{path} is not readable as JSON: {error}. Fetch it again.") from error
    if not isinstance(content, dict):
        raise CourseError(f"{path} holds a {type(content).__name__}, expected a JSON object.")
    return content


def _open_safetensors(path: Path) -> dict[str, StoredTensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, LONGEST_HEADER):
            raise CourseError(
                f"{path} is damaged: byte 0 says that the header takes {length:,} bytes, the file has {size:,}. "
                "Fetch it again."
            )
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            entries = {name: _safetensors_entry(path, 8 + length, entry) for name, entry in header.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CourseError(f"{path} has a damaged header: {error!r}. Fetch or save it again.") from error
    _check_layout(path, 8 + length, size, entries)
    return entries


def read_note(path: Path) -> dict[str, str]:
    """Return what a .safetensors file says about itself, its __metadata__."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(min(length, LONGEST_HEADER))).get("__metadata__", {})


def _safetensors_entry(path: Path, start: int, entry: dict) -> StoredTensor:
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"dtype {entry['dtype']!r} is unknown here, expected one of {', '.join(DTYPES)}")
    dtype, shape, (begin, end) = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"sizes {shape} and offsets {(begin, end)} must be whole numbers of at least 0")
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
                f"{path} is damaged: {name} starts at byte {tensor.offset:,}, expected {at:,}. Fetch or save it again."
            )
        at += tensor.nbytes
    if at != size:
        raise CourseError(
            f"{path} is {'truncated' if size < at else 'too long'}: its header promises {at:,} bytes, "
            f"the file has {size:,}. Fetch it again."
        )


def _open_pickle(path: Path) -> dict[str, StoredTensor]:
    """Find the tensors of a .bin through PyTorch's weights-only unpickler; their bytes stay on the disk."""
    try:
        records = _zip_records(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0].partition("(1)")[0]
        raise CourseError(
            f"{path} is refused: its pickle asks for more than weights, and loading it could run code. {reason} "
            "Get a .safetensors file from its author."
        ) from error
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise CourseError(f"{path} is damaged: {str(error).splitlines()[0]} Fetch or save it again.") from error
    if not isinstance(content, dict):
        raise CourseError(f"{path} holds a {type(content).__name__}, expected tensors by name.")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if odd := [name for name, value in tensors.items() if value.layout != torch.strided]:
        raise CourseError(f"{path}: {odd[0]} is sparse, expected plain tensors. Save it again with .to_dense().")
    return _locate(path, tensors, records)


def _zip_records(path: Path) -> list[int]:
    """Return at which byte each storage of a .bin begins, in the order of the file."""
    offsets = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename} is compressed, which PyTorch never does.")
            if "/data/" in entry.filename and entry.file_size:
                file.seek(entry.header_offset + 26)  # a local header: 30 bytes, a name, an extra field
                offsets.append(entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4))))
    return sorted(offsets)


def _locate(path: Path, tensors: dict[str, Tensor], records: list[int]) -> dict[str, StoredTensor]:
    """Turn tensors that PyTorch mapped into places in the file: the n-th storage is the n-th record."""
    pointers = sorted({t.untyped_storage().data_ptr() for t in tensors.values() if t.numel()})
    place = dict(zip(pointers, records, strict=False))
    if len(pointers) != len(records) or len({p - at for p, at in place.items()}) > 1:
        raise CourseError(
            f"{path} holds {len(records)} records for {len(pointers)} tensors; expected a plain state dict. "
            "Load it with torch where it was made, and save model.state_dict() alone."
        )
    found = {}
    for name, tensor in tensors.items():
        start = place.get(tensor.untyped_storage().data_ptr(), 0) + tensor.storage_offset() * tensor.dtype.itemsize
        stride = None if tensor.is_contiguous() else tuple(tensor.stride())
        found[name] = StoredTensor(path, tensor.dtype, tuple(tensor.shape), start, stride)
    return found


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


def write_whole(path: Path, write) -> None:
    """Call `write(file)` on a temporary neighbor and put it in place of `path` only when all of it is on disk."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise CourseError(
            f"{path} could not be written: {error.strerror or error}. What was there before is untouched; "
            "make room or choose another folder."
        ) from error
    finally:
        if part.exists():
            part.unlink()
