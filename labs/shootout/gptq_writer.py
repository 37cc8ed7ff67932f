"""GPTQ folders written for gptqmodel: each linear layer as four packed tensors, all else in 16 bits.

Frantar et al. 2022, arXiv:2210.17323; the layout is explained where it is read, in `utils/formats/gptq_folder.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.gptq_folder import BITS, CONFIGS
from utils.formats.hub_layout import LINEAR, hub_name, hub_tensors, write_config
from utils.formats.safetensors import write_safetensors
from utils.model import GPT2


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
