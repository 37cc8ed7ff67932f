"""Any file of GPT-2 weights to `GPT2`, and back to files that `transformers` loads."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import torch
from torch import Tensor

from utils.bpe import parse_merges
from utils.config import SIZES, format_bytes, total_parameters
from utils.errors import CourseError, show
from utils.files.whole_files import read_json
from utils.formats.gguf import is_gguf
from utils.formats.hub_layout import hub_name, hub_tensors, read_parameter, write_config
from utils.formats.open_file import find_model, find_weights, is_packed, open_with_config
from utils.formats.peft_files import CONFIG, GRIDS, WEIGHTS, base_grids, load_lora, read_adapter_config
from utils.formats.safetensors import StoredTensor, read_note, write_safetensors
from utils.lora import merge_lora, remove_lora
from utils.machine import pick_device, prepare_for_speed
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import plan_of, quantize_model
from utils.tokenizer import META, CharTokenizer, Tokenizer, choose_bpe, read_meta, read_tokenizer_json


def load_gpt2(
    name_or_path: str | Path = "nano",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> GPT2:
    """Load a GPT-2 by size (nano, small, medium, large, xl), from a folder or from one file of weights."""
    model = _load(find_model(name_or_path), dtype, device)
    model.origin = str(name_or_path)
    return prepare_for_speed(model)


def _load(place: Path, dtype: torch.dtype, device: str | torch.device) -> GPT2:
    if (place / "adapter_config.json").is_file() and not (place / "model.safetensors").is_file():
        return load_adapted(place, dtype, device)
    weights_file = find_weights(place)
    if is_packed(weights_file):
        from utils.formats.quantized_files import load_quantized

        return load_quantized(weights_file, dtype, device)
    stored, config = open_with_config(weights_file)
    with torch.device("meta"):
        model = GPT2(config)
    _fill(model, stored, dtype, torch.device(device))
    return model.eval()


def _fill(model: GPT2, stored: dict[str, StoredTensor], dtype: torch.dtype, device: torch.device) -> None:
    """Give a model on the meta device its weights, the largest first, so that no two copies meet at the peak."""
    wanted = {name: hub_name(name) for name, _ in model.named_parameters()}
    filled: dict[str, Tensor] = {}
    for ours, _ in sorted(wanted.items(), key=lambda pair: -stored[pair[1]].nbytes):
        filled[ours] = torch.empty(model.get_parameter(ours).shape, dtype=dtype, device=device)
        read_parameter(stored, ours, filled[ours])
    model.load_state_dict(filled | {"head.weight": filled["token_embedding.weight"]}, assign=True)
    model.tie_head()


def save_gpt2(model: GPT2, folder: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write config.json, model.safetensors and the tokenizer, which this course and `transformers` both load."""
    folder = Path(folder)
    tensors = [(name, tensor.to(dtype or tensor.dtype)) for name, tensor in hub_tensors(model)]
    write_safetensors(folder / "model.safetensors", tensors, {})
    write_config(model.config, folder)
    return folder


def load_adapted(folder: Path, dtype: torch.dtype, device: str | torch.device) -> GPT2:
    """Load the model that an adapter names and the adapter with it, merged where the base is not packed."""
    from utils.files.hub import PINNED

    base = read_adapter_config(folder).get("base_model_name_or_path")
    if not base:
        raise CourseError(f"{folder / CONFIG} names no model. Load the model first, then call load_lora on it.")
    sizes = {model.repo: size for size, model in PINNED.items()}
    model = load_gpt2(sizes.get(base, base), dtype, device)
    grids = json.loads(read_note(folder / WEIGHTS).get(GRIDS, "{}"))
    if not plan_of(model):
        quantize_model(model, {name: Grid(**fields) for name, fields in grids.items()})
    load_lora(model, folder)
    return model if base_grids(model) else remove_lora(merge_lora(model))


Codec = Tokenizer | CharTokenizer


def load_with_tokenizer(name: str | Path) -> tuple[GPT2, Codec]:
    """Load a model by size, folder or file together with the tokenizer beside it, if this machine has room for it."""
    place = find_model(name)
    needed, free = memory_needed(name, place), psutil.virtual_memory().available
    if needed > free:
        raise CourseError(
            f"{show(str(name))} takes about {format_bytes(needed)} of memory, {format_bytes(free)} are available here. "
            "Take a smaller or a quantized one."
        )
    beside = place if place.is_dir() or is_gguf(place) else place.parent
    return load_gpt2(name, device=pick_device()), load_tokenizer(beside)


def memory_needed(name: str | Path, place: Path) -> int:
    """Return the bytes that a model takes when it is loaded, at most: files may hold 16 bits where we use 32."""
    if name in SIZES:
        return 4 * total_parameters(SIZES[name])
    file = find_weights(place)
    parts = file.parent.glob("*" + file.name.split(".")[1]) if file.suffix == ".json" else [file]  # or shards
    return 2 * sum(part.stat().st_size for part in parts)


def load_tokenizer(folder: str | Path) -> Tokenizer | CharTokenizer:
    """Return the tokenizer that a folder names or holds (meta.json, or a vocabulary, else GPT-2's), or a GGUF file."""
    folder = Path(folder)
    if folder.is_file():
        from utils.formats.gguf import is_gguf

        if is_gguf(folder):
            return _from_gguf(folder)
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder. Hand in the folder of a model or of tokenized text.")
    if (folder / META).exists():
        return read_meta(folder / META)
    if (folder / "tokenizer.json").exists():
        return read_tokenizer_json(folder / "tokenizer.json")
    for vocab_name, merges_name in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocab_name).exists() and (folder / merges_name).exists():
            merges = parse_merges((folder / merges_name).read_text(encoding="utf-8"))
            return choose_bpe(read_json(folder / vocab_name), merges)
    packed = sorted(folder.glob("*.gguf"))
    return _from_gguf(packed[0]) if len(packed) == 1 else Tokenizer.gpt2()


def _from_gguf(path: Path) -> Tokenizer:
    from utils.formats.gguf_gpt2 import read_tokenizer

    return read_tokenizer(path)
