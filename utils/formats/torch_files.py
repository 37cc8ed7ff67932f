"""Checkpoints of `torch.save` (.bin, .pt, .pth), opened by torch.load: weights only and memory-mapped.

A pickle is a program, and weights_only lets it build tensors and nothing else; lesson 05 shows what it keeps out.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.formats.safetensors import LazyTensor

MOST_TIMES = 4  # tensors may share bytes (tied weights), but not to fill the memory from a small file
ASKS = re.compile(r"GLOBAL (\S+)|Unsupported operand (\d+)")  # how torch names what weights don't need
PARTS = 20  # mapped pages stay in memory, so a file is mapped anew after each twentieth of it


class TorchFile:
    """A state dict that is memory-mapped anew now and then, so that what was read takes no memory any more."""

    def __init__(self, path: Path) -> None:
        self.path, self.is_zip = path, zipfile.is_zipfile(path)
        self.state: dict[str, Any] | None = None
        self.read_bytes = 0
        self.inside = ""  # the name under which a checkpoint of more than weights keeps the state dict

    def load(self, name: str) -> Tensor:
        """Return one tensor by name."""
        if self.is_zip and self.read_bytes > self.path.stat().st_size // PARTS:
            self.state, self.read_bytes = None, 0
        if self.state is None:
            self.state = self.build("cpu")
        self.read_bytes += self.state[name].nbytes
        return self.state[name]

    def build(self, device: str) -> dict[str, Tensor]:
        """Let torch build the state dict, weights only, and return its tensors by name."""
        try:
            with warnings.catch_warnings(action="ignore"):  # of pickles that others than torch wrote
                content = torch.load(self.path, weights_only=True, mmap=self.is_zip, map_location=device)
        except Exception as error:  # whatever torch meets in a damaged file, it raises
            raise _refusal(self.path, error) from error
        self.inside, state = _state_dict(self.path, content)
        for name, value in state.items():
            if value.layout is not torch.strided or value.is_quantized or value.is_complex() or value.is_nested:
                raise CourseError(
                    f"{self.path}: {show(name)} is a {value.layout} tensor of {value.dtype}, expected plain numbers."
                )
        return state


@dataclass(frozen=True)
class TorchTensor(LazyTensor):
    """One tensor of a state dict."""

    source: TorchFile
    name: str

    def read(self) -> Tensor:
        return self.source.load(self.name)


def open_torch_file(path: Path) -> dict[str, TorchTensor]:
    """Return the tensors of a checkpoint by name, none of them read; what could run code is refused."""
    if packed := _compressed(path):
        raise CourseError(f"{path}: {show(packed[0])} is compressed, as torch.save never does it. Save it with torch.")
    source = TorchFile(path)
    # The format of before 2020 can't be mapped; on the meta device its tensors have a shape and no bytes.
    state = source.build("cpu" if source.is_zip else "meta")
    found = {name: TorchTensor(path, t.dtype, tuple(t.shape), source, name) for name, t in state.items()}
    size, claimed = path.stat().st_size, sum(tensor.nbytes for tensor in found.values())
    if claimed > MOST_TIMES * size:
        raise CourseError(
            f"{path} is refused: its {len(found)} tensors share their bytes and would take {claimed:,} in memory, "
            f"the file holds {size:,}. Save model.state_dict() alone."
        )
    return found


def _compressed(path: Path) -> list[str]:
    """Name the compressed entries of a zip, which could unpack to any size; what is damaged is left to torch."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return []


def _state_dict(path: Path, content: object) -> tuple[str, dict[str, Tensor]]:
    """Return the tensors by name, or those of the only dictionary within that has a matrix, after its name.

    Beside such a dictionary a training script keeps single numbers and states of RNGs, which are tensors too.
    """
    if not isinstance(content, dict):
        raise CourseError(f"{path} holds a {type(content).__name__}, expected tensors by name.")
    found, within = _tensors(content), {str(name): value for name, value in content.items() if isinstance(value, dict)}
    inner = {name: tensors for name, value in within.items() if _has_matrix(tensors := _tensors(value))}
    if _has_matrix(found) or not within or (found and not inner):
        return "", found
    if len(inner) != 1:
        raise CourseError(
            f"{path} holds {', '.join(show(name) for name in list(content)[:5])}, expected one state dict. "
            "Load it with torch where it was made, and save model.state_dict() alone."
        )
    return next(iter(inner.items()))


def _has_matrix(tensors: dict[str, Tensor]) -> bool:
    return any(tensor.dim() > 1 for tensor in tensors.values())


def _tensors(content: dict) -> dict[str, Tensor]:
    return {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}


def _refusal(path: Path, error: Exception) -> CourseError:
    """Say whether a file asks for more than weights, or is damaged."""
    if found := ASKS.search(str(error)):
        what = show(found[1]) if found[1] else f"the instruction {found[2]}, which torch.save never writes"
        return CourseError(
            f"{path} is refused: its pickle asks for more than weights, and loading it could run code. It asks for "
            f"{what}. Get a .safetensors file from its author."
        )
    reason = str(error).partition("WeightsUnpickler error: ")[2] or str(error) or repr(error)
    reason = re.split(r"\n|\. This is an internal", reason.strip())[0]  # the first sentence is about the file
    return CourseError(f"{path} is damaged: {show(reason, 300)}. Fetch or save it again.")
