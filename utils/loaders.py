"""Any file of GPT-2 weights to `GPT2`, and back to files that `transformers` loads."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from utils.config import SIZES, GPT2Config, format_bytes
from utils.errors import CourseError
from utils.model import GPT2
from utils.weights import StoredTensor, open_weights, read_json, write_safetensors, write_whole

DATA = Path(__file__).resolve().parent.parent / "data"

# Our names to the names that the hub's GPT-2 files use; {} is the number of the block.
HUB_NAMES = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "final_norm": "ln_f",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}
# Weights of linear layers, which those files store in × out.
LINEAR = ("attention.qkv.weight", "attention.out.weight", "mlp.up.weight", "mlp.down.weight")
# Settings of `transformers` that would change the logits without changing a single tensor.
SAME_NETWORK = {
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "quantized.safetensors",
)


def hub_name(name: str) -> str:
    """Translate one of our parameter names.

    >>> hub_name("blocks.3.mlp.up.weight")
    'h.3.mlp.c_fc.weight'
    """
    module, _, kind = name.rpartition(".")
    if module.startswith("blocks."):
        _, layer, part = module.split(".", 2)
        return f"h.{layer}.{HUB_NAMES[part]}.{kind}"
    return f"{HUB_NAMES[module]}.{kind}"


def load_gpt2(
    name_or_path: str | Path = "nano",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> GPT2:
    """Load a GPT-2 by size (nano, small, medium, large, xl), from a folder or from one file of weights."""
    path = find_model(name_or_path)
    if path is None:
        return provisional_nano(dtype, device)
    weights_file = _weights_file(path)
    stored = {name.removeprefix("transformer."): tensor for name, tensor in open_weights(weights_file).items()}
    if any(name.endswith(".packed") for name in stored):
        from utils.quantized_files import load_quantized

        return load_quantized(weights_file, dtype, device)
    config = read_config(weights_file.parent, stored)
    with torch.device("meta"):
        model = GPT2(config)
    _fill(model, stored, dtype, torch.device(device), weights_file)
    return model.eval()


def find_model(name_or_path: str | Path) -> Path | None:
    """Return where a size or path lies on this disk, downloading a hub size when it is not here yet."""
    if name_or_path == "nano":
        return DATA / "nano" if (DATA / "nano" / "model.safetensors").is_file() else None
    if name_or_path in SIZES:
        from utils.hub import fetch

        return fetch(str(name_or_path))
    path = Path(name_or_path)
    if not path.exists():
        raise CourseError(
            f"{path} is neither a file, a folder nor a size. Sizes are {', '.join(SIZES)}; "
            "a folder holds config.json and model.safetensors or pytorch_model.bin."
        )
    return path


def provisional_nano(dtype: torch.dtype, device: str | torch.device) -> GPT2:
    """Return random weights of nano's shape, the same ones on every machine, until data/nano holds trained ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2(SIZES["nano"])
    return model.to(device=device, dtype=dtype).eval()


def _weights_file(path: Path) -> Path:
    if path.is_file():
        return path
    for name in WEIGHT_FILES:
        if (path / name).is_file():
            return path / name
    names = sorted(entry.name for entry in path.iterdir())[:5]
    raise CourseError(f"{path} holds {names or 'nothing'}, expected one of {', '.join(WEIGHT_FILES)}.")


def read_config(folder: Path, stored: dict[str, StoredTensor]) -> GPT2Config:
    """Read config.json, or recognize the shape where there is none, and check that the tensors agree."""
    for name in ("wte.weight", "wpe.weight"):
        if name not in stored or len(stored[name].shape) != 2:
            raise CourseError(
                f"{folder} holds no GPT-2: the matrix {name} is missing. Its tensors start with "
                f"{', '.join(sorted(stored)[:3]) or 'nothing'}."
            )
    vocab, width = stored["wte.weight"].shape
    context = stored["wpe.weight"].shape[0]
    layers = len({name.split(".")[1] for name in stored if name.startswith("h.") and name.endswith("ln_1.weight")})
    if not (folder / "config.json").is_file():
        heads = max(1, width // 64)  # every published GPT-2 has heads of width 64
        return GPT2Config(layers, heads, width, vocab, context)
    raw = read_json(folder / "config.json")
    return parse_config(raw, folder / "config.json", (layers, width, vocab, context))


def parse_config(raw: dict, path: Path, found: tuple[int, int, int, int]) -> GPT2Config:
    """Turn the hub's config into ours, and refuse one that describes other tensors or another network."""
    kind, activation = raw.get("model_type", "gpt2"), raw.get("activation_function", "gelu_new")
    if kind != "gpt2" or activation not in ("gelu_new", "gelu_pytorch_tanh"):
        raise CourseError(f"{path} describes {kind} with {activation}, expected gpt2 with gelu_new.")
    for name, expected in SAME_NETWORK.items():
        if raw.get(name, expected) != expected:
            raise CourseError(
                f"{path} says {name} is {raw[name]}, expected {expected}: that is a network which this course "
                "does not build. Take the weights of a plain GPT-2."
            )
    names = ("n_layer", "n_embd", "vocab_size", "n_positions")
    for name, actual in zip(names, found, strict=True):
        if raw.get(name, actual) != actual:
            raise CourseError(
                f"{path} says {name} is {raw[name]}, the tensors beside it say {actual}. "
                "The config belongs to other weights: fetch both again from one place."
            )
    layers, width, vocab, context = found
    return GPT2Config(layers, raw.get("n_head", max(1, width // 64)), width, vocab, context)


def _fill(model: GPT2, stored: dict[str, StoredTensor], dtype: torch.dtype, device: torch.device, path: Path) -> None:
    """Give a model on the meta device its weights, the largest first, so that no two copies meet at the peak."""
    wanted = {name: hub_name(name) for name, _ in model.named_parameters()}
    if missing := [theirs for theirs in wanted.values() if theirs not in stored]:
        raise CourseError(f"{path} lacks {missing[0]} and {len(missing) - 1} other tensors of a GPT-2 of this depth.")
    filled: dict[str, Tensor] = {}
    for ours, theirs in sorted(wanted.items(), key=lambda pair: -stored[pair[1]].nbytes):
        transposed = ours.endswith(LINEAR)
        shape = tuple(model.get_parameter(ours).shape)
        expected = shape[::-1] if transposed else shape
        if stored[theirs].shape != expected:
            raise CourseError(
                f"{path}: {theirs} has shape {stored[theirs].shape}, expected {expected}. "
                "Fetch weights and config from one place."
            )
        if not stored[theirs].dtype.is_floating_point:
            raise CourseError(
                f"{path}: {theirs} holds {stored[theirs].dtype}, expected floating-point numbers. "
                "Take the unquantized weights."
            )
        value = stored[theirs].read()
        target = torch.empty(shape, dtype=dtype, device=device)
        filled[ours] = target.copy_(value.T if transposed else value)
    model.load_state_dict(filled | {"head.weight": filled["token_embedding.weight"]}, assign=True)
    model.tie_head()


def hub_tensors(model: GPT2) -> list[tuple[str, Tensor]]:
    """Return the parameters under the hub's names and in its layout (linear weights in × out)."""
    found = [
        (hub_name(name), weight.detach().T if name.endswith(LINEAR) else weight.detach())
        for name, weight in model.named_parameters()
    ]
    if len(found) != (expected := 12 * model.config.n_layer + 4):
        raise CourseError(
            f"This model has {len(found)} plain tensors, expected {expected}: its weights are packed. "
            "Save the model that it was made from, or a quantized one with save_quantized."
        )
    return found


def hub_config(config: GPT2Config) -> dict:
    """Return the config.json that `transformers` expects for this shape."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": min(50256, config.vocab_size - 1),
        "eos_token_id": min(50256, config.vocab_size - 1),
        "tie_word_embeddings": True,
    }


def save_gpt2(model: GPT2, folder: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write config.json and model.safetensors, which this course and `transformers` both load."""
    folder = Path(folder)
    tensors = [(name, tensor.to(dtype or tensor.dtype)) for name, tensor in hub_tensors(model)]
    write_safetensors(folder / "model.safetensors", tensors, {})
    text = json.dumps(hub_config(model.config), indent=2) + "\n"
    write_whole(folder / "config.json", lambda file: file.write(text.encode()))
    return folder


def inspect_file(path: str | Path) -> list[str]:
    """Describe a file or folder of weights line by line, without loading it."""
    found = Path(path) if Path(path).exists() else find_model(path)
    if found is None:
        raise CourseError(f"{path} has no file yet: its weights are drawn when it is loaded. Give a file or a folder.")
    weights_file = _weights_file(found)
    stored = open_weights(weights_file)
    total = sum(tensor.nbytes for tensor in stored.values())
    lines = [f"{weights_file.name}: {len(stored)} tensors, {format_bytes(total)}"]
    for name, tensor in stored.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        lines.append(f"{name:32} {kind:9} {str(list(tensor.shape)):16} {tensor.nbytes:>12,} bytes")
    return lines
