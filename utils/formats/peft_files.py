"""LoRA adapters as files, under the names and in the layout that `peft` writes and reads: a few hundred kilobytes.

Hu et al. 2021, arXiv:2106.09685; lesson 13 builds adapters by hand and saves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import CourseError, show
from utils.files.whole_files import read_json, write_whole
from utils.formats.hub_layout import HUB_NAMES, hub_name
from utils.formats.open_file import ADAPTERS, open_weights
from utils.formats.safetensors import LazyTensor, write_safetensors
from utils.lora import add_lora, chosen_layers, lora_settings, need_adapters, remove_lora
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import QuantizedLinear, layer_names

WEIGHTS, CONFIG = ADAPTERS[0], "adapter_config.json"
KINDS = ("lora_A", "lora_B")
GRIDS = "grids"  # how the weights under the adapters were packed while they were trained
PREFIX = "base_model.model.transformer."
# Settings of peft that don't change what the tensors mean; any other one must be off.
HARMLESS = {
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "r"),
    *("target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "fan_in_fan_out", "layers_to_transform"),
    *("layers_pattern", "megatron_core", "qalora_group_size", "loftq_config", "eva_config"),
}
PLAIN = {"peft_type": ("LORA",), "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva")}
OFF: tuple = (None, False, "none", {}, [])


def save_lora(model: GPT2, folder: str | Path) -> Path:
    """Write the adapters alone, and where the model under them came from, for us and for `peft`."""
    folder = Path(folder)
    note = {GRIDS: json.dumps({name: asdict(grid) for name, grid in base_grids(model).items()})}
    write_safetensors(folder / WEIGHTS, list(adapter_tensors(model)), note)
    text = json.dumps(peft_config(model), indent=2) + "\n"
    write_whole(folder / CONFIG, lambda file: file.write(text.encode()))
    return folder


def adapter_tensors(model: GPT2) -> Iterator[tuple[str, Tensor]]:
    """Yield the matrices of all adapters under peft's names: A (rank, in) and B (out, rank)."""
    for name, layer in need_adapters(model).items():
        for kind in KINDS:
            yield f"{PREFIX}{hub_layer(name)}.{kind}.weight", layer.get_parameter(f"{kind}.weight").detach()


def hub_layer(name: str) -> str:
    """Translate the name of one of our layers.

    >>> hub_layer("blocks.3.mlp.up")
    'h.3.mlp.c_fc'
    """
    return hub_name(f"{name}.weight").removesuffix(".weight")


def peft_config(model: GPT2) -> dict:
    """Return the adapter_config.json that `peft` expects for a model's adapters."""
    from utils.files.hub import PINNED

    settings, origin = lora_settings(model), model.origin
    kinds = list(dict.fromkeys(name.split(".", 2)[2] for name in settings.layers))
    in_all = chosen_layers(model, kinds) == list(settings.layers)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": PINNED[origin].repo if origin in PINNED else origin or None,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "target_modules": [HUB_NAMES[kind] for kind in kinds] if in_all else [hub_layer(n) for n in settings.layers],
        "fan_in_fan_out": True,  # transformers' GPT-2 keeps its weights as in × out
        "bias": "none",
        "inference_mode": True,
    }


def load_lora(model: GPT2, folder: str | Path) -> GPT2:
    """Put saved adapters, ours or peft's, beside the layers of the model that they were trained on, in place."""
    path = next((file for name in ADAPTERS if (file := Path(folder) / name).is_file()), Path(folder) / WEIGHTS)
    raw, stored = read_adapter_config(path.parent), open_weights(path)
    layers = _adapted_layers(model, stored, path)
    if odd := [name for name in stored if raw["r"] not in stored[name].shape]:
        raise CourseError(
            f"{path.parent / CONFIG} says r is {raw['r']}, {show(odd[0], 90)} has shape {stored[odd[0]].shape}. "
            "The config belongs to another adapter."
        )
    add_lora(model, raw["r"], raw["lora_alpha"], layers)
    try:
        fill_adapters(model, stored, path)
    except CourseError:
        remove_lora(model)
        raise
    return model.eval()


def read_adapter_config(folder: Path) -> dict:
    """Read adapter_config.json and refuse what would be another network than a plain LoRA."""
    path = folder / CONFIG
    if not path.is_file():
        raise CourseError(f"{path} is not there. A folder with an adapter holds {CONFIG} and {WEIGHTS}.")
    raw = read_json(path)
    for name, value in raw.items():
        expected = PLAIN.get(name, OFF)
        if name not in HARMLESS and value not in expected:
            raise CourseError(
                f"{path} says {name} is {show(value)}, expected {show(expected[0])}: this course loads plain LoRA. "
                "Merge the adapter with peft and load the whole model."
            )
    base = raw.get("base_model_name_or_path")
    if not isinstance(base, str | None):
        raise CourseError(f"{path} names the model {show(base)}, expected a name. Save the adapter again.")
    if type(raw.get("r")) is not int or not isinstance(raw.get("lora_alpha"), int | float):
        raise CourseError(
            f"{path} has r {show(raw.get('r'))} and lora_alpha {show(raw.get('lora_alpha'))}, "
            "expected numbers. Save the adapter again."
        )
    return raw


def _adapted_layers(model: GPT2, stored: Mapping[str, LazyTensor], path: Path) -> list[str]:
    """Return which of our layers the tensors of a file belong to; refuse a tensor that belongs to none."""
    ours = {f"{PREFIX}{hub_layer(name)}.{kind}.weight": name for name in layer_names(model) for kind in KINDS}
    if odd := [name for name in stored if name not in ours]:
        raise CourseError(
            f"{path} holds {show(odd[0], 90)}, which belongs to no linear layer of a GPT-2 with "
            f"{model.config.n_layer} blocks. Load the model that this adapter was made for."
        )
    return list(dict.fromkeys(ours[name] for name in stored))


@torch.no_grad()
def fill_adapters(model: GPT2, stored: Mapping[str, LazyTensor], source: Path | str) -> None:
    """Copy stored matrices into a model's adapters; all must be there and fit."""
    wanted = dict(adapter_tensors(model))
    for name, tensor in wanted.items():
        if name not in stored:
            raise CourseError(f"{source} lacks {name}. Save the adapter again.")
        if stored[name].shape != tuple(tensor.shape):
            raise CourseError(
                f"{source}: {name} has shape {stored[name].shape}, expected {tuple(tensor.shape)}. "
                "The adapter belongs to a model of another width, or its config to another adapter."
            )
    for name, tensor in wanted.items():
        tensor.copy_(stored[name].read())


def base_grids(model: GPT2) -> dict[str, Grid]:
    """Return the grids of the packed layers under a model's adapters, by name."""
    found = need_adapters(model).items()
    return {name: layer.base.grid for name, layer in found if isinstance(layer.base, QuantizedLinear)}
