"""Checkpoint loading: any file of GPT-2 weights to `GPT2` and its tokenizer, and back to files for `transformers`.

Lesson 06 loads one model from seven formats; what they look like inside is in `utils/formats/`.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import psutil
import torch
from torch import Tensor

from utils.bpe import parse_merges
from utils.config import format_bytes
from utils.errors import CourseError, guarded, show
from utils.files.progress import progress
from utils.files.whole_files import read_json
from utils.formats.gguf import GGUFFile, open_gguf
from utils.formats.gguf_gpt2 import read_tokenizer
from utils.formats.hub_layout import hub_name, hub_tensors, read_parameter, write_config
from utils.formats.open_file import ModelFile, open_model_file
from utils.formats.peft_files import CONFIG, GRIDS, base_grids, load_lora, read_adapter_config
from utils.formats.quantized_files import load_quantized
from utils.formats.safetensors import write_safetensors
from utils.lora import merge_lora, remove_lora
from utils.machine import pick_device, prepare_for_speed
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import plan_of, quantize_model
from utils.tokenizer import META, CharTokenizer, Tokenizer, choose_bpe, read_meta, read_tokenizer_json

Codec = Tokenizer | CharTokenizer
USUAL = "'transformer.' before their names"  # as transformers itself saves them


def load_gpt2(
    name_or_path: str | Path | ModelFile = "nano",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> GPT2:
    """Load a GPT-2 by size (nano, small, medium, large, xl), from a folder, one file of weights or an opened file."""
    file = open_model_file(name_or_path)
    if told := [each for each in file.wrappers if each != USUAL]:
        warnings.warn(f"{file.file}: left off {', '.join(told)}.", stacklevel=2)
    load = load_adapted if file.is_adapter else load_quantized if file.is_packed else load_plain
    with guarded(file.file):
        model = load(file, dtype, device)
    model.origin = file.name
    return prepare_for_speed(model)


def load_plain(file: ModelFile, dtype: torch.dtype, device: str | torch.device) -> GPT2:
    """Fill a model on the meta device, the largest tensor first, so that no two copies meet at the peak."""
    config = file.config
    with torch.device("meta"):
        model = GPT2(config)
    filled: dict[str, Tensor] = {}
    ordered = sorted(model.named_parameters(), key=lambda pair: -file.stored[hub_name(pair[0])].nbytes)
    for name, weight in progress(ordered, f"{file.file.name}, tensors read", after=2.0):
        filled[name] = torch.empty(weight.shape, dtype=dtype, device=device)
        read_parameter(file.stored, name, filled[name])
    model.load_state_dict(filled | {"head.weight": filled["token_embedding.weight"]}, assign=True)
    model.tie_head()
    return model.eval()


def load_adapted(file: ModelFile, dtype: torch.dtype, device: str | torch.device) -> GPT2:
    """Load the model that an adapter names and the adapter with it, merged where the base is not packed."""
    from utils.files.hub import PINNED

    base = read_adapter_config(file.folder).get("base_model_name_or_path")
    if not base:
        raise CourseError(f"{file.folder / CONFIG} names no model. Load the model first, then call load_lora on it.")
    sizes = {model.repo: size for size, model in PINNED.items()}
    under = open_model_file(sizes.get(base, base))
    if under.is_adapter:
        raise CourseError(
            f"{file.folder / CONFIG} names {show(base)}, an adapter itself. Name the model that it changes."
        )
    model = load_gpt2(under, dtype, device)
    grids = json.loads(file.note.get(GRIDS, "{}"))
    if not plan_of(model):
        quantize_model(model, {name: Grid(**fields) for name, fields in grids.items()})
    load_lora(model, file.folder)
    return model if base_grids(model) else remove_lora(merge_lora(model))


def save_gpt2(model: GPT2, folder: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write config.json, model.safetensors and the tokenizer, which this course and `transformers` both load."""
    folder = Path(folder)
    tensors = [(name, tensor.to(dtype or tensor.dtype)) for name, tensor in hub_tensors(model)]
    write_safetensors(folder / "model.safetensors", tensors, {})
    write_config(model.config, folder)
    return folder


def load_with_tokenizer(name: str | Path | ModelFile) -> tuple[GPT2, Codec]:
    """Load a model by size, folder or file together with the tokenizer beside it, if this machine has room for it."""
    file = open_model_file(name)
    needed, free = file.loaded_bytes, psutil.virtual_memory().available
    if needed > free:
        raise CourseError(
            f"{show(file.name)} takes about {format_bytes(needed)} of memory, {format_bytes(free)} are available here. "
            "Take a smaller or a quantized one."
        )
    return load_gpt2(file, device=pick_device()), load_tokenizer(file)


def load_tokenizer(place: str | Path | ModelFile) -> Codec:
    """Return the tokenizer that a folder names or holds (meta.json, or a vocabulary, else GPT-2's), or a GGUF file."""
    opened = place.gguf if isinstance(place, ModelFile) else None
    folder = place.tokenizer_place if isinstance(place, ModelFile) else Path(place)
    if not folder.is_dir() and not folder.is_file():
        raise CourseError(f"{folder} is not a folder. Hand in the folder of a model or of tokenized text.")
    with guarded(folder):
        return _tokenizer_in(folder, opened)


def _tokenizer_in(folder: Path, opened: GGUFFile | None) -> Codec:
    if folder.is_file():
        return read_tokenizer(opened or open_gguf(folder))
    if (folder / META).exists():
        return read_meta(folder / META)
    if (folder / "tokenizer.json").exists():
        return read_tokenizer_json(folder / "tokenizer.json")
    for vocab_name, merges_name in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocab_name).exists() and (folder / merges_name).exists():
            with guarded(folder / merges_name):
                merges = parse_merges((folder / merges_name).read_text(encoding="utf-8"))
            with guarded(folder / vocab_name):
                return choose_bpe(read_json(folder / vocab_name), merges)
    packed = sorted(folder.glob("*.gguf"))
    return read_tokenizer(opened or open_gguf(packed[0])) if len(packed) == 1 else Tokenizer.gpt2()
