"""GPTQ checkpoints in gptqmodel's layout: read into plain matrices, and written for gptqmodel.

Frantar et al. 2022, arXiv:2210.17323; lesson 07 computes such codes by hand, lesson 05 looks at the folder. Ours,
because gptqmodel wants a C compiler.

A linear layer is four tensors. `qweight` holds the codes, `qzeros` the codes that stand for 0, both packed into
words of 32 bits; `scales` holds one step width per group and output; `g_idx` says in which group an input is.

    weight[input, output] = scales[group, output] · (code[input, output] − zero[group, output])
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.files.whole_files import read_json, write_whole
from utils.formats.hub_layout import LINEAR, hub_name, hub_tensors, write_config
from utils.formats.safetensors import LazyTensor, write_safetensors
from utils.model import GPT2

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


def pack_words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes (rows, columns) down the columns into words (rows · bits / 32, columns)."""
    blocks = codes.astype(np.uint32).reshape(-1, 32, codes.shape[1])
    words = np.zeros((len(blocks), bits, codes.shape[1]), dtype=np.uint32)
    for number in range(32):
        word, shift = divmod(number * bits, 32)
        words[:, word] |= blocks[:, number] << np.uint32(shift)
        if shift + bits > 32:
            words[:, word + 1] |= blocks[:, number] >> np.uint32(32 - shift)
    return words.reshape(-1, codes.shape[1]).view(np.int32)


def _zeros_plus_one(words: np.ndarray, bits: int) -> np.ndarray:
    """Return zeros (groups, outputs) from words of the first format, which stores each zero less one.

    gptqmodel adds the ones to whole words, in which a zero of 0 borrows from its neighbor; only at 3 bits,
    where zeros lie across words, does it add them to each zero.
    """
    if bits == 3:
        return unpack_words(words.T.copy(), bits).T + 1 & 7
    ones = np.uint32(sum(1 << place for place in range(0, 32, bits)))
    return unpack_words((words.view(np.uint32) + ones).T.copy(), bits).T


@dataclass(frozen=True)
class PackedMatrix:
    """A linear layer's weight (inputs, outputs) that unpacks itself when it is read."""

    name: str
    parts: Mapping[str, LazyTensor]
    bits: int
    zeros_less_one: bool
    dtype: torch.dtype = torch.float32

    @property
    def path(self) -> Path:
        return self.parts["qweight"].path

    @property
    def shape(self) -> tuple[int, int]:
        return self.parts["g_idx"].shape[0], self.parts["scales"].shape[1]

    @property
    def nbytes(self) -> int:
        """The bytes of the unpacked matrix."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def groups(self) -> int:
        return self.parts["scales"].shape[0]

    def read(self) -> Tensor:
        """Unpack the matrix (inputs, outputs)."""
        words = {part: self.parts[part].read().numpy() for part in ("qweight", "qzeros")}
        groups = self.parts["g_idx"].read().long()
        if not 0 <= int(groups.min()) <= int(groups.max()) < self.groups:
            raise CourseError(
                f"{self.parts['g_idx'].path}: {self.name}.g_idx names groups from {int(groups.min())} to "
                f"{int(groups.max())}, expected 0 to {self.groups - 1}. Fetch or quantize it again."
            )
        codes = torch.from_numpy(unpack_words(words["qweight"], self.bits))
        if self.zeros_less_one:
            zeros = torch.from_numpy(_zeros_plus_one(words["qzeros"], self.bits))
        else:
            zeros = torch.from_numpy(unpack_words(words["qzeros"].T.copy(), self.bits).T)
        return (codes.float() - zeros.float()[groups]) * self.parts["scales"].read().float()[groups]

    def read_into(self, target: Tensor) -> None:
        target.copy_(self.read())

    def rows(self, first: int, count: int) -> Tensor:
        return self.read()[first : first + count]


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
        found[f"{name}.weight"] = PackedMatrix(name, parts, _bits_of(name, parts), less_one)
    return found


def read_quantization(folder: Path) -> dict:
    """Return what a folder says of its GPTQ: format gptq (zeros less one) or gptq_v2, bits, group_size and so on."""
    for name in CONFIGS:
        if not (folder / name).is_file():
            continue
        raw = read_json(folder / name)
        if isinstance(found := raw.get("quantization_config", raw if name == CONFIGS[1] else None), dict):
            method = found.get("quant_method", found.get("method", "gptq"))
            if method != "gptq":
                other = OTHERS.get(method if isinstance(method, str) else "", show(method))
                raise CourseError(f"{folder / name} says that its weights were quantized by {other}.")
            kind = found.get("checkpoint_format", found.get("format", "gptq"))
            if kind not in ("gptq", "gptq_v2"):
                raise CourseError(f"{folder / name} says format {show(kind)}, expected gptq or gptq_v2.")
            return {**found, "format": kind}
    raise CourseError(
        f"{folder} holds GPTQ's packed tensors but no quantization_config in {' or '.join(CONFIGS)}, "
        "so nobody can say how they are packed. Fetch the whole folder."
    )


def _bits_of(name: str, parts: Mapping[str, LazyTensor]) -> int:
    """Return the bits per code that the shapes tell, and refuse shapes that don't belong together."""
    shapes = {part: tensor.shape for part, tensor in parts.items()}
    if [len(shapes[part]) for part in PARTS] == [2, 2, 2, 1] and 0 not in sum(shapes.values(), ()):
        (groups, outputs), (inputs,) = shapes["scales"], shapes["g_idx"]
        for bits in BITS:
            words = (inputs * bits // 32, outputs), (groups, outputs * bits // 32)
            whole = not inputs % 32 and not outputs % 32
            if whole and (shapes["qweight"], shapes["qzeros"]) == words and _have_dtypes(parts):
                return bits
    raise CourseError(
        f"{parts['qweight'].path}: the parts of {show(name)} have shapes {shapes} and dtypes that fit no layer of "
        f"{', '.join(map(str, BITS))} bits in words of 32. Fetch or quantize it again."
    )


def _have_dtypes(parts: Mapping[str, LazyTensor]) -> bool:
    words = all(parts[part].dtype == torch.int32 for part in ("qweight", "qzeros", "g_idx"))
    return words and parts["scales"].dtype.is_floating_point


@dataclass(frozen=True)
class LayerCodes:
    """A quantized linear layer: codes (outputs, inputs), scales and zeros (outputs, groups).

    `zeros` of None means the middle code, as symmetric grids have it; `g_idx` (inputs,) is only needed where
    groups are not neighbors. `group` is how many inputs share a scale, -1 for all of a row.
    """

    bits: int
    group: int
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None
    g_idx: Tensor | None = None

    @property
    def groups(self) -> Tensor:
        """The group of each input, (inputs,) of int32."""
        inputs = self.codes.shape[1]
        if self.g_idx is not None:
            return self.g_idx.int()
        return torch.arange(inputs, dtype=torch.int32) // (inputs if self.group == -1 else self.group)

    @property
    def zero_codes(self) -> Tensor:
        """The codes that stand for 0: (outputs, groups) of uint8."""
        middle = torch.full(self.scales.shape, 2 ** (self.bits - 1), dtype=torch.uint8)
        return middle if self.zeros is None else self.zeros.to(torch.uint8)

    @property
    def is_symmetric(self) -> bool:
        """Whether every group has its zero in the middle."""
        return bool((self.zero_codes == 2 ** (self.bits - 1)).all())

    def check(self, name: str) -> None:
        """Refuse what the format can't hold."""
        (outputs, inputs), groups = self.codes.shape, self.scales.shape[-1]
        if self.bits not in BITS or inputs % 32 or outputs % 32:
            raise CourseError(
                f"{name} has {self.bits} bits and {inputs} × {outputs} weights, a GPTQ folder holds "
                f"{', '.join(map(str, BITS))} bits and multiples of 32."
            )
        expected = (outputs, int(self.groups.max()) + 1)
        if tuple(self.scales.shape) != expected or self.zero_codes.shape != self.scales.shape:
            raise CourseError(f"{name} has scales {tuple(self.scales.shape)} and {groups} groups, expected {expected}.")
        if int(self.codes.max()) >> self.bits or int(self.zero_codes.max()) >> self.bits:
            raise CourseError(f"{name} has codes up to {int(self.codes.max())}, expected {self.bits} bits.")


def save_gptq_folder(model: GPT2, codes_by_layer: Mapping[str, LayerCodes], folder: str | Path) -> Path:
    """Write a folder that gptqmodel loads: these layers (blocks.0.attention.qkv, …) packed, all else in 16 bits."""
    folder, layers = Path(folder), {hub_name(f"{name}.weight"): codes for name, codes in codes_by_layer.items()}
    for name, codes in layers.items():
        codes.check(name)
    if not layers:
        raise CourseError("No quantized layer was given, expected codes by name, such as blocks.0.attention.qkv.")
    first_format = all(codes.is_symmetric for codes in layers.values())  # a zero of 0, less one, does not fit
    tensors: list[tuple[str, Tensor]] = []
    for name, tensor in hub_tensors(model):
        if name in layers:
            module = f"transformer.{name.removesuffix('.weight')}"
            tensors += [(f"{module}.{part}", value) for part, value in _pack(layers[name], first_format)]
        else:
            tensors.append((f"transformer.{name}", tensor.half()))
    write_safetensors(folder / "model.safetensors", tensors, {})
    plain = [hub_name(name) for name, _ in model.named_parameters() if name.endswith(LINEAR)]
    quantization = describe_codes(layers, "gptq" if first_format else "gptq_v2", set(plain) - set(layers))
    write_config(model.config, folder, {"dtype": "float16", "quantization_config": quantization})
    text = json.dumps(quantization, indent=2) + "\n"
    write_whole(folder / CONFIGS[1], lambda file: file.write(text.encode()))
    return folder


def _pack(codes: LayerCodes, less_one: bool) -> list[tuple[str, Tensor]]:
    zeros = codes.zero_codes - int(less_one)
    return [
        ("qweight", torch.from_numpy(pack_words(codes.codes.T.numpy(), codes.bits))),
        ("qzeros", torch.from_numpy(pack_words(zeros.numpy(), codes.bits).T.copy())),
        ("scales", codes.scales.T.half()),
        ("g_idx", codes.groups),
    ]


def describe_codes(layers: Mapping[str, LayerCodes], kind: str, plain: Iterable[str] = ()) -> dict:
    """Return the quantization_config of these layers; those that differ from the first or are plain are named."""
    first = next(iter(layers.values()))
    described = {
        "quant_method": "gptq",
        "format": kind,
        "checkpoint_format": kind,
        "bits": first.bits,
        "group_size": first.group,
        "desc_act": any(bool((codes.groups.diff() < 0).any()) for codes in layers.values()),
        "sym": all(codes.is_symmetric for codes in layers.values()),
        "lm_head": False,
        "pack_dtype": "int32",
        "meta": {"quantizer": ["hands-on-gpt2:0.1"]},
    }
    rules: dict[str, dict] = {f"-:{_pattern(name)}": {} for name in sorted(plain)}
    for name, codes in layers.items():
        if (codes.bits, codes.group) != (first.bits, first.group):
            rules[f"+:{_pattern(name)}"] = {"bits": codes.bits, "group_size": codes.group}
    return described | ({"dynamic": rules} if rules else {})


def _pattern(name: str) -> str:
    """Return the regular expression that only this layer matches."""
    return "^" + f"transformer.{name.removesuffix('.weight')}".replace(".", "\\.") + "$"
