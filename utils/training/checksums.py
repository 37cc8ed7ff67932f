"""Checksums of a checkpoint (CRC-32C for each tensor and for its note): a flipped bit is told, with the tensor's name.

A disk or a memory stick that changes one bit in a billion leaves a file that loads, and a run that is a little wrong.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.files.crc32c import crc32c
from utils.files.whole_files import parse_json
from utils.formats.safetensors import LazyTensor

CHECKSUMS, STATE = "crc32c", "training"  # what the note of a checkpoint holds
NUMBER = (int, float)


def checksum(name: str, tensor: Tensor) -> str:
    """Return eight hex digits of a tensor's bytes, and of its name, type and shape before them.

    >>> checksum("bias", torch.zeros(2)) == checksum("bias", torch.zeros(1, 2))
    False
    """
    values = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    return f"{crc32c(values, text_checksum(f'{name} {tensor.dtype} {list(tensor.shape)}')):08x}"


def text_checksum(text: str) -> int:
    return crc32c(text.encode("utf-8", "surrogatepass"))  # a damaged name may be no Unicode


def checked_note(tensors: Iterable[tuple[str, Tensor]], state: dict) -> dict[str, str]:
    """Return the note of a checkpoint: the state of training, and the checksums of all of it."""
    text = json.dumps(state)
    sums = {STATE: f"{text_checksum(text):08x}", **{name: checksum(name, tensor) for name, tensor in tensors}}
    return {STATE: text, CHECKSUMS: json.dumps(sums)}


def check_intact(path: Path, stored: Mapping[str, LazyTensor], note: Mapping[str, str]) -> None:
    """Refuse a checkpoint of which something is no longer what was written."""
    if CHECKSUMS not in note:
        warnings.warn(
            f"{path} is older than checksums: it is taken as it is. The next one will have them.", stacklevel=2
        )
        return
    sums = check_fields(path, CHECKSUMS, parse_note(path, CHECKSUMS, note[CHECKSUMS]), {STATE: (str,)})
    wrong = [STATE] if sums[STATE] != f"{text_checksum(note[STATE]):08x}" else []
    wrong += sorted(stored.keys() ^ (sums.keys() - {STATE}))  # lost, or never written
    wrong += [name for name, tensor in stored.items() if sums.get(name, "") != checksum(name, tensor.read())]
    if wrong:
        names = ", ".join(show(name) for name in dict.fromkeys(wrong[:8])) + (", …" if len(wrong) > 8 else "")
        raise damaged(path, f"{names} {'is' if len(wrong) == 1 else 'are'} not what was saved")


def parse_note(path: Path, name: str, text: object) -> object:
    try:
        return parse_json(str(text))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its note {show(name)} is no JSON, {error}") from error


def check_fields(path: Path, name: str, found: object, kinds: Mapping[str, tuple[type, ...]]) -> dict:
    """Return what a part of the note holds, or say which of its fields is not of its kind."""
    if not isinstance(found, dict):
        raise damaged(path, f"its note {show(name)} holds {show(found)}, expected an object")
    for field, kind in kinds.items():
        if type(value := found.get(field)) not in kind:
            expected = " or ".join(one.__name__ for one in kind)
            raise damaged(path, f"{show(f'{name}.{field}')} in its note is {show(value)}, expected {expected}")
    return found


def check_shape(path: Path, stored: Mapping[str, LazyTensor], name: str, like: Tensor) -> None:
    """Refuse a tensor that is missing, or of another shape than what it is to fill."""
    if name not in stored:
        raise damaged(path, f"the tensor {show(name)} is missing")
    if tuple(stored[name].shape) != tuple(like.shape):
        found, expected = list(stored[name].shape), list(like.shape)
        raise damaged(path, f"the tensor {show(name)} has the shape {found}, expected {expected}")


def damaged(path: Path, what: str) -> CourseError:
    return CourseError(
        f"{path} is damaged: {what}. Put a copy of it back if there is one, or train anew with resume=false; the best "
        f"weights so far may still be whole: weights={path.parent} begins with them."
    )
