"""GPTQ checkpoints in gptqmodel's layout, read into plain matrices.

Frantar et al. 2022, arXiv:2210.17323; lesson 08 computes such codes by hand, lesson 06 looks at the folder, which
`labs/shootout/gptq_writer.py` writes. Ours, because gptqmodel wants a C compiler.

A linear layer is four tensors. `qweight` holds the codes, `qzeros` the codes that stand for 0, both packed into
words of 32 bits; `scales` holds one step width per group and output; `g_idx` says in which group an input is.

    weight[input, output] = scales[group, output] · (code[input, output] − zero[group, output])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.files.whole_files import read_json
from utils.formats.safetensors import LazyTensor

BITS = (2, 3, 4, 8)
PARTS = ("qweight", "qzeros", "scales", "g_idx")
CONFIGS = ("config.json", "quantize_config.json")
OTHERS = {
    "awq": "AWQ; its kernels want CUDA: open it with gptqmodel on a GPU",
    "bitsandbytes": "bitsandbytes; open it with transformers",
    "exl2": "ExLlamaV2; open it with exllamav2 on a GPU",
    "torchao": "torchao; open it with transformers",
}


def unpack_words(words: np.ndarray, bits: int) -> np.ndarray:
    """Return the codes (rows, columns) that lie in words (rows · bits / 32, columns), packed down the columns.

    >>> unpack_words(np.array([[0x87654321]] * 4, dtype=np.uint32), 4)[:, 0]
    array([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6,
           7, 8, 1, 2, 3, 4, 5, 6, 7, 8], dtype=uint8)
    """
    blocks = words.view(np.uint32).reshape(-1, bits, words.shape[1])
    codes = np.empty((len(blocks), 32, words.shape[1]), dtype=np.uint8)
    for number in range(32):
        word, shift = divmod(number * bits, 32)
        code = blocks[:, word] >> np.uint32(shift)
        if shift + bits > 32:  # the upper bits of this code lie in the next word
            code |= blocks[:, word + 1] << np.uint32(32 - shift)
        codes[:, number] = code & np.uint32(2**bits - 1)
    return codes.reshape(-1, words.shape[1])


def _unpack_zeros(words: np.ndarray, bits: int, less_one: bool) -> np.ndarray:
    """Return zeros (groups, outputs) from words, which in the first format store each zero less one.

    gptqmodel adds the ones to whole words, in which a zero of 0 borrows from its neighbor; only at 3 bits,
    where zeros lie across words, does it add them to each zero.
    """
    if less_one and bits != 3:
        words = words.view(np.uint32) + np.uint32(sum(1 << place for place in range(0, 32, bits)))
    zeros = unpack_words(words.T.copy(), bits).T
    return zeros + 1 & 7 if less_one and bits == 3 else zeros


@dataclass(frozen=True)
class PackedMatrix(LazyTensor):
    """A linear layer's weight (inputs, outputs) that unpacks itself when it is read."""

    name: str
    parts: Mapping[str, LazyTensor]
    bits: int
    zeros_less_one: bool

    @property
    def groups(self) -> int:
        return self.parts["scales"].shape[0]

    def read(self) -> Tensor:
        """Unpack the matrix (inputs, outputs)."""
        words = {part: self.parts[part].read().numpy() for part in ("qweight", "qzeros")}
        groups = self.parts["g_idx"].read().long()
        if not 0 <= int(groups.min()) <= int(groups.max()) < self.groups:
            raise CourseError(
                f"{self.path}: {self.name}.g_idx names groups from {int(groups.min())} to "
                f"{int(groups.max())}, expected 0 to {self.groups - 1}. Fetch or quantize it again."
            )
        codes = torch.from_numpy(unpack_words(words["qweight"], self.bits))
        zeros = torch.from_numpy(_unpack_zeros(words["qzeros"], self.bits, self.zeros_less_one))
        return (codes.float() - zeros.float()[groups]) * self.parts["scales"].read().float()[groups]


def unpack_layers(stored: Mapping[str, LazyTensor], folder: Path) -> dict[str, LazyTensor]:
    """Replace the four tensors of each GPTQ layer by one matrix under the hub's name."""
    less_one = read_quantization(folder)["format"] == "gptq"
    found = {name: tensor for name, tensor in stored.items() if name.rpartition(".")[2] not in PARTS}
    for name in (name.removesuffix(".qweight") for name in stored if name.endswith(".qweight")):
        if f"{name}.weight" in stored:
            raise CourseError(f"{folder} holds {show(name)} both packed and as a plain weight. Fetch it again.")
        if missing := [part for part in PARTS if f"{name}.{part}" not in stored]:
            raise CourseError(f"{folder} lacks {show(f'{name}.{missing[0]}')}, a part of a GPTQ layer. Fetch it again.")
        parts = {part: stored[f"{name}.{part}"] for part in PARTS}
        bits, shape = _bits_of(name, parts), (*parts["g_idx"].shape, parts["scales"].shape[1])
        found[f"{name}.weight"] = PackedMatrix(parts["qweight"].path, torch.float32, shape, name, parts, bits, less_one)
    return found


def quantization_config(folder: Path) -> dict | None:
    """Return what a folder says of how its weights are packed, or None."""
    for name in CONFIGS:
        if (folder / name).is_file():
            raw = read_json(folder / name)
            if isinstance(found := raw.get("quantization_config", raw if name == CONFIGS[1] else None), dict):
                return found
    return None


def read_quantization(folder: Path) -> dict:
    """Return what a folder says of its GPTQ: format gptq (zeros less one) or gptq_v2, bits, group_size and so on."""
    found = quantization_config(folder)
    if found is None:
        raise CourseError(
            f"{folder} holds GPTQ's packed tensors but no quantization_config in {' or '.join(CONFIGS)}, "
            "so nobody can say how they are packed. Fetch the whole folder."
        )
    if (method := found.get("quant_method", found.get("method", "gptq"))) != "gptq":
        other = OTHERS.get(str(method), show(method))
        raise CourseError(f"{folder} says in its config that its weights were quantized by {other}.")
    kind = found.get("checkpoint_format", found.get("format", "gptq"))
    if kind not in ("gptq", "gptq_v2"):
        raise CourseError(f"{folder} says in its config format {show(kind)}, expected gptq or gptq_v2.")
    return {**found, "format": kind}


def _bits_of(name: str, parts: Mapping[str, LazyTensor]) -> int:
    """Return the bits per code that the shapes tell, and refuse shapes that don't belong together."""
    shapes = {part: tensor.shape for part, tensor in parts.items()}
    kinds_fit = all((tensor.dtype == torch.int32) == (part != "scales") for part, tensor in parts.items())
    whole = kinds_fit and parts["scales"].dtype.is_floating_point and 0 not in sum(shapes.values(), ())
    if whole and [len(shapes[part]) for part in PARTS] == [2, 2, 2, 1]:
        (groups, outputs), (inputs,) = shapes["scales"], shapes["g_idx"]
        for bits in BITS:
            words = (inputs * bits // 32, outputs), (groups, outputs * bits // 32)
            if not inputs % 32 and not outputs % 32 and (shapes["qweight"], shapes["qzeros"]) == words:
                return bits
    raise CourseError(
        f"{parts['qweight'].path}: the parts of {show(name)} have shapes {shapes} and dtypes that fit no layer of "
        f"{', '.join(map(str, BITS))} bits in words of 32. Fetch or quantize it again."
    )
