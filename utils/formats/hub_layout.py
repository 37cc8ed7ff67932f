"""GPT-2's state dict as the hub's files have it: names, shapes (Conv1D, in × out), config.json, and checks of them.

Lesson 05 reads the names and turns the matrices by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from utils.config import SIZES, GPT2Config
from utils.errors import CourseError, show
from utils.files.whole_files import write_whole
from utils.formats.safetensors import LazyTensor
from utils.model import GPT2
from utils.tokenizer import Tokenizer

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
TABLE, HEAD = "wte.weight", "lm_head.weight"
# Settings of `transformers` that would change the logits without changing a single tensor.
SAME_NETWORK = {
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}
CONFIG_NAMES = ("n_layer", "n_embd", "vocab_size", "n_positions")
MOST_LAYERS = 1000  # the largest GPT-2 has 48; a header may claim millions
Tensors = Mapping[str, LazyTensor]


def renamed(name: str, modules: Mapping[str, str], block: str) -> str:
    """Translate the name of a parameter, module by module; `block` is what comes before the number of a block."""
    module, _, kind = name.rpartition(".")
    if inside := re.fullmatch(r"[a-z]+\.(\d+)\.(.+)", module):
        return f"{block}.{inside[1]}.{modules[inside[2]]}.{kind}"
    return f"{modules[module]}.{kind}"


def hub_name(name: str) -> str:
    """Translate one of our parameter names.

    >>> hub_name("blocks.3.mlp.up.weight")
    'h.3.mlp.c_fc.weight'
    """
    return renamed(name, HUB_NAMES, "h")


def found_shape(stored: Tensors, path: Path) -> tuple[int, int, int, int]:
    """Return layers, width, vocabulary and context as the tensors tell them."""
    for name in (TABLE, "wpe.weight"):
        if name not in stored or len(stored[name].shape) != 2:
            raise CourseError(
                f"{path} holds no GPT-2: the matrix {name} is missing. Its tensors start with "
                f"{', '.join(show(name) for name in sorted(stored)[:3]) or 'nothing'}."
            )
    vocab, width = stored[TABLE].shape
    context = stored["wpe.weight"].shape[0]
    layers = len({name.split(".")[1] for name in stored if name.startswith("h.") and name.endswith("ln_1.weight")})
    return layers, width, vocab, context


def parse_config(raw: dict, path: Path, found: tuple[int, int, int, int], names: tuple = CONFIG_NAMES) -> GPT2Config:
    """Turn a config into ours, and refuse one that describes other tensors or another network."""
    kind, activation = raw.get("model_type", "gpt2"), raw.get("activation_function", "gelu_new")
    if kind != "gpt2" or activation not in ("gelu_new", "gelu_pytorch_tanh"):
        raise CourseError(
            f"{path} describes {str(kind)[:60]} with {str(activation)[:60]}, expected gpt2 with gelu_new."
        )
    for name, expected in SAME_NETWORK.items():
        if raw.get(name, expected) != expected:
            raise CourseError(
                f"{path} says {name} is {show(raw[name])}, expected {expected}: that is a network which this course "
                "does not build. Take the weights of a plain GPT-2."
            )
    for name, actual in zip(names, found, strict=True):
        if raw.get(name, actual) != actual:
            raise CourseError(
                f"{path} says {name} is {show(raw[name])}, the tensors beside it say {actual}. "
                "The config belongs to other weights: fetch both again from one place."
            )
    layers, width, vocab, context = found
    if layers > MOST_LAYERS:
        raise CourseError(f"{path} belongs to {layers:,} layers, expected at most {MOST_LAYERS:,}.")
    heads = raw.get("n_head", max(1, width // 64))  # 64 wide, as all published ones
    return GPT2Config(layers, heads, width, vocab, context)


def hub_shapes(config: GPT2Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a GPT-2 of this shape needs, as the hub's files store it."""
    with torch.device("meta"):
        model = GPT2(config)
    return {hub_name(name): tuple(as_stored(name, weight).shape) for name, weight in model.named_parameters()}


def as_stored(name: str, weight: Tensor) -> Tensor:
    """Turn a parameter of ours into the hub's layout, or the hub's into ours: linear weights lie in × out there."""
    return weight.T if name.endswith(LINEAR) else weight


def check_tensors(config: GPT2Config, stored: Tensors, path: Path) -> None:
    """Refuse tensors that are missing or have another shape, before anything is made."""
    shapes = hub_shapes(config)
    if missing := [name for name in shapes if name not in stored]:
        raise CourseError(f"{path} lacks {missing[0]} and {len(missing) - 1} other tensors of a GPT-2 of this depth.")
    for name, expected in shapes.items():
        found = stored[name]
        if found.shape != expected or not found.dtype.is_floating_point:
            advice = "Fetch weights and config from one place, unquantized."
            if found.shape != expected and found.shape == expected[::-1]:
                advice = "It lies out × in, as nanoGPT has it: transpose the weights of linear layers and save it anew."
            raise CourseError(
                f"{path}: {name} is {found.kind} of shape {found.shape}, expected floats of {expected}. {advice}"
            )


def tie_tables(stored: dict[str, LazyTensor], path: Path) -> None:
    """Weight tying: keep the better copy where a file stores the head beside the token table, refuse another matrix.

    About 64 rows are compared, which proves a difference and takes no time for XL either; a head that was trained on
    its own differs in every row, since the softmax moves all of them at each step.
    """
    if HEAD not in stored or TABLE not in stored:
        return
    table, head = stored[TABLE], stored.pop(HEAD)
    if table.shape != head.shape or len(head.shape) != 2:
        raise CourseError(f"{path}: {HEAD} has shape {head.shape}, {TABLE} {table.shape}. Get the file again.")
    bits = [8 * tensor.nbytes / max(1, prod(tensor.shape)) for tensor in (table, head)]
    most = 0.01 if min(bits) >= 16 else 0.5  # relative difference: more than rounding or packing changes
    for row in range(0, head.shape[0], max(1, head.shape[0] // 64)):
        ours, theirs = table.rows(row, 1).float(), head.rows(row, 1).float()
        if not (ours - theirs).norm() <= most * max(ours.norm(), theirs.norm()):
            raise CourseError(
                f"{path}: row {row:,} of {HEAD} is not that of {TABLE}. This course builds GPT-2 with one matrix "
                "for both. transformers, or llama.cpp if it is GGUF, runs this file."
            )
    stored[TABLE] = head if bits[1] > bits[0] else table


def read_parameter(stored: Tensors, name: str, target: Tensor) -> None:
    """Fill `target` with the parameter that we call `name`, whichever way round its file holds it."""
    stored[hub_name(name)].read_into(as_stored(name, target))


def hub_tensors(model: GPT2) -> list[tuple[str, Tensor]]:
    """Return the parameters under the hub's names and in its layout (linear weights in × out)."""
    if any(name.endswith("lora_A.weight") for name, _ in model.named_parameters()):
        raise CourseError("This model has adapters: save those with save_lora, or first merge_lora and remove_lora.")
    found = [(hub_name(name), as_stored(name, weight.detach())) for name, weight in model.named_parameters()]
    if len(found) != (expected := 12 * model.config.n_layer + 4):
        raise CourseError(
            f"This model has {len(found)} plain tensors, expected {expected}: its weights are packed. "
            "Save the model that it was made from, or a quantized one with save_quantized."
        )
    return found


def hub_config(config: GPT2Config) -> dict:
    """Return the config.json that `transformers` expects for this shape."""
    last = config.vocab_size - 1
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
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), config.dropout),
        "bos_token_id": min(50256, last),
        "eos_token_id": min(50256, last),
        "tie_word_embeddings": True,
    }


def write_config(config: GPT2Config, folder: str | Path, more: Mapping | None = None) -> None:
    """Write config.json, and GPT-2's tokenizer beside it where the vocabulary has room and the folder has none."""
    text = json.dumps({**hub_config(config), **(more or {})}, indent=2) + "\n"
    write_whole(Path(folder) / "config.json", lambda file: file.write(text.encode()))
    if config.vocab_size >= SIZES["small"].vocab_size and not (Path(folder) / "tokenizer.json").exists():
        Tokenizer.gpt2().save_for_transformers(folder)
