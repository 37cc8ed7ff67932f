"""Packed checkpoint of a quantized model: quantized.safetensors, with the packed bytes as they are, and config.json.

Lesson 08 saves one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.config import GPT2Config
from utils.errors import CourseError, show
from utils.files.whole_files import read_json
from utils.formats.hub_layout import CONFIG_NAMES, parse_config, write_config
from utils.formats.open_file import ModelFile
from utils.formats.safetensors import LazyTensor, write_safetensors
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import HEAD, QuantizedLinear, plain_layer, plan_of, put_layer

FILE = "quantized.safetensors"
MOST_VALUES = 10_000_000  # in one dimension: a config may claim anything
NOTE = "grids"  # where the file says on which grid each layer lies


def save_quantized(model: GPT2, folder: str | Path, dtype: torch.dtype | None = torch.float16) -> Path:
    """Write a quantized model; what is not quantized takes `dtype`, or keeps its own if that is None."""
    plan = plan_of(model)
    if not plan:
        raise CourseError("No layer of this model is quantized. Call quantize_model first, or save it with save_gpt2.")
    stored = [(name, _as_stored(name, tensor, dtype)) for name, tensor in _own_tensors(model).items()]
    note = {NOTE: json.dumps({name: asdict(grid) for name, grid in plan.items()})}
    write_safetensors(Path(folder) / FILE, stored, note)
    write_config(model.config, folder)
    return Path(folder)


def _own_tensors(model: GPT2) -> dict[str, Tensor]:
    """Return parameters and packed buffers by name; what is shared comes once."""
    lasting = model.state_dict()
    buffers = {name: tensor for name, tensor in model.named_buffers() if name in lasting}
    return {**dict(model.named_parameters()), **buffers}


def _as_stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if name.endswith(".scales"):
        return tensor.view(torch.float16)
    return tensor.to(dtype) if tensor.is_floating_point() and dtype else tensor


def open_quantized(file: ModelFile) -> GPT2:
    """Return the model that an opened file describes, on the meta device; its tensors are checked and not yet read."""
    config = _read_config(file.folder / "config.json")
    with torch.device("meta"):
        model = GPT2(config)
        for name, grid in _read_grids(file).items():
            plain = plain_layer(model, name)
            put_layer(model, name, QuantizedLinear(grid, plain.in_features, plain.out_features, plain.bias is not None))
    _check(file.file, file.tensors, _own_tensors(model))
    return model


def load_quantized(file: ModelFile, dtype: torch.dtype, device: str | torch.device) -> GPT2:
    """Load what `save_quantized` wrote; the packed bytes stay packed, all else takes `dtype`."""
    model, state = open_quantized(file), {}
    for name, tensor in _own_tensors(model).items():
        value = file.tensors[name].read().clone()  # no longer mapped to the file
        value = value.to(dtype) if isinstance(tensor, nn.Parameter) else value.view(tensor.dtype)
        state[name] = value.to(device)
    model.load_state_dict(state, strict=False, assign=True)
    if HEAD in plan_of(model):
        model.token_embedding.to(dtype)
    else:
        model.tie_head()
    return model.eval()


def _read_grids(file: ModelFile) -> dict[str, Grid]:
    try:
        return {name: Grid(**fields) for name, fields in json.loads(file.note[NOTE]).items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CourseError(
            f"{file.file} doesn't say on which grids its layers lie ({error!r}). Write it again with save_quantized."
        ) from error


def _read_config(path: Path) -> GPT2Config:
    raw = read_json(path)
    for name in CONFIG_NAMES:
        if type(size := raw.get(name)) is not int or not 1 <= size <= MOST_VALUES:
            raise CourseError(
                f"{path} says {name} is {show(size)}, expected a whole number from 1 to {MOST_VALUES:,}. "
                "Copy the config.json that was written beside the weights."
            )
    return parse_config(raw, path, tuple(raw[name] for name in CONFIG_NAMES))


def _check(file: Path, stored: Mapping[str, LazyTensor], wanted: Mapping[str, Tensor]) -> None:
    """Every tensor must be there, in its shape, and nothing else."""
    if odd := sorted(set(wanted) ^ set(stored)):
        found = "holds" if odd[0] in stored else "lacks"
        raise CourseError(f"{file} {found} {odd[0]}, against its config and its grids. Write it again.")
    for name, tensor in wanted.items():
        kind = torch.float16 if tensor.dtype == torch.int16 else tensor.dtype
        same = stored[name].dtype == kind or (tensor.is_floating_point() and stored[name].dtype.is_floating_point)
        if stored[name].shape != tuple(tensor.shape) or not same:
            raise CourseError(
                f"{file}: {name} is {stored[name].dtype} {stored[name].shape}, expected {kind} "
                f"{tuple(tensor.shape)}. Weights, config and grids belong together: copy the whole folder again."
            )
