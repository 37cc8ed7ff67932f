"""A GGUF file as a GPT-2: its tensors under the hub's names, its config, its tokenizer, and what to say about it."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

from utils.config import format_bytes
from utils.errors import CourseError
from utils.formats.ggml_blocks import FORMATS
from utils.formats.gguf import GGUFFile
from utils.formats.gguf_header import ARRAY, STRING, Value
from utils.formats.safetensors import LazyTensor
from utils.tokenizer import Tokenizer, choose_bpe

# The hub's names of modules to GGUF's; blocks are h.N there and blk.N here.
NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
THEIRS = {theirs: hub for hub, theirs in NAMES.items()} | {"output": "lm_head"}
TURNED = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")  # out × in, the hub's in × out
PER_BLOCK, BESIDES = 12, 4  # tensors of a GPT-2
MOST_TOKENS = 2**20
CONFIG_KEYS = {
    "n_layer": "block_count",
    "n_positions": "context_length",
    "n_embd": "embedding_length",
    "n_head": "attention.head_count",
}


def gguf_name(hub_name: str) -> str:
    """Translate the hub's name of a parameter.

    >>> gguf_name("h.3.mlp.c_fc.weight")
    'blk.3.ffn_up.weight'
    """
    module, _, kind = hub_name.rpartition(".")
    if not module.startswith("h."):
        return f"{NAMES[module]}.{kind}"
    _, block, part = module.split(".", 2)
    return f"blk.{block}.{NAMES[part]}.{kind}"


def from_gguf_name(gguf_name: str) -> str:
    """Translate GGUF's name of a GPT-2 tensor; others keep theirs.

    >>> from_gguf_name("blk.3.ffn_up.weight"), from_gguf_name("rope_freqs.weight")
    ('h.3.mlp.c_fc.weight', 'rope_freqs.weight')
    """
    parts = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", gguf_name)
    if not parts or parts[2] not in THEIRS:
        return gguf_name
    return f"{f'h.{parts[1]}.' if parts[1] else ''}{THEIRS[parts[2]]}.{parts[3]}"


def gpt2_from_gguf(file: GGUFFile) -> tuple[dict[str, LazyTensor], dict]:
    """Return the tensors as the hub's files have them, and the config as the hub's config.json has it."""
    if problem := gpt2_problem(file):
        raise CourseError(f"{file.path} {problem}")
    stored: dict[str, LazyTensor] = {
        from_gguf_name(name): replace(tensor, turned=name.endswith(TURNED)) for name, tensor in file.tensors.items()
    }
    raw = {name: file.need(f"gpt2.{key}", int) for name, key in CONFIG_KEYS.items()}
    epsilon = file.need("gpt2.attention.layer_norm_epsilon", float)
    return stored, raw | {"layer_norm_epsilon": float(f"{epsilon:.6g}")}  # it was rounded to float32


def gpt2_problem(file: GGUFFile) -> str | None:
    """Say why a file can't be loaded as a GPT-2, as far as its header tells; None when it can."""
    architecture = file.get("general.architecture", str)
    if architecture != "gpt2":
        return f"holds the architecture {architecture!r}, expected 'gpt2'. llama.cpp may run it."
    if (parts := file.get("split.count")) not in (None, 0, 1):
        return f"is one of {parts!r} parts. Join them with llama.cpp's gguf-split --merge and load the result."
    layers = file.need("gpt2.block_count", int)
    if len(file.tensors) < PER_BLOCK * layers + BESIDES:
        return (
            f"holds {len(file.tensors):,} tensors, gpt2.block_count says {layers:,} blocks, which take "
            f"{PER_BLOCK * layers + BESIDES:,}. Get the file again."
        )
    for name, tensor in file.tensors.items():
        if tensor.format.unpack is None:
            readable = ", ".join(name for name, kind in FORMATS.items() if kind.unpack)
            return f"packs {name!r} as {tensor.format.name}; read here are {readable}. Get it in one of these."
    return None


def read_tokenizer(file: GGUFFile) -> Tokenizer:
    """Return the byte-level BPE tokenizer that a GGUF file holds; GPT-2's own when it is that one."""
    path = file.path
    model, split = file.get("tokenizer.ggml.model", str), file.get("tokenizer.ggml.pre", str)
    if model != "gpt2" or split not in (None, "gpt-2"):
        raise CourseError(
            f"{path} holds a tokenizer of the kind {model!r} that cuts text like {split!r}, expected 'gpt2' and "
            "'gpt-2'. Use the tokenizer of llama.cpp or transformers for this file."
        )
    tokens, lines = (_strings(file, f"tokenizer.ggml.{name}") for name in ("tokens", "merges"))
    vocab, merges = {token: i for i, token in enumerate(tokens)}, [line.partition(" ")[::2] for line in lines]
    if len(vocab) < len(tokens):
        raise CourseError(f"{path}: tokenizer.ggml.tokens holds {len(tokens) - len(vocab)} twice. Get the file again.")
    if bad := [line for line in lines if line.count(" ") != 1]:
        raise CourseError(f"{path}: tokenizer.ggml.merges holds {bad[0]!r}, expected two symbols. Get the file again.")
    return choose_bpe(vocab, merges)


def _strings(file: GGUFFile, key: str) -> list[str]:
    place = file.metadata.get(key, Value(STRING, 0))
    if place.type != ARRAY or place.item != STRING or place.count > MOST_TOKENS:
        found = place if key in file.metadata else "missing"
        raise CourseError(
            f"{file.path}: {key} is {found}, expected an array of at most {MOST_TOKENS:,} strings. Get the file again."
        )
    return file.need(key, list)


def describe_gguf(file: GGUFFile) -> list[str]:
    """Say line by line what a GGUF file is, what opens it and what it holds, without loading it."""
    total = sum(tensor.nbytes for tensor in file.tensors.values())
    lines = [f"{file.path.name}: {len(file.tensors)} tensors, {format_bytes(total)}"]
    lines += [f"GGUF version {file.version}, {_bits_per_weight(file, total)}", *_loaders(file)]
    lines += [f"{printable(key)}: {_summary(file, key)}" for key in file.metadata]
    for name, tensor in file.tensors.items():
        shape = str(list(tensor.shape))
        lines.append(f"{printable(name):32} {tensor.format.name:9} {shape:16} {tensor.nbytes:>12,} bytes")
    return lines


def _bits_per_weight(file: GGUFFile, total: int) -> str:
    """Say how many bits a weight takes on average, and how many tensors are of which type."""
    weights = sum(math.prod(tensor.shape) for tensor in file.tensors.values())
    counts = Counter(tensor.format.name for tensor in file.tensors.values())
    types = ", ".join(f"{count} × {name}" for name, count in counts.most_common())
    return f"{8 * total / max(1, weights):.2f} bits per weight: {types or 'no tensors'}"


def _loaders(file: GGUFFile) -> list[str]:
    """Say of each loader whether it opens the file."""
    try:
        problem = gpt2_problem(file)
    except CourseError as error:  # a value of the config is missing or of another type
        problem = f"is not whole: {error}"
    known = file.get("general.architecture") == "gpt2"
    perhaps = "yes" if known else "yes, if it knows the architecture"
    tokens = "tokenizer.ggml.tokens" in file.metadata
    other_length = known and file.get("gpt2.context_length") != 1024  # which transformers does not take from the file
    return [
        f"load_gpt2: {f'no, it {problem}' if problem else 'yes'}",
        f"llama.cpp: {perhaps if tokens else 'no, it holds no tokens'}",
        f"transformers, gguf_file=: {'yes, with config=' if other_length else perhaps}",
    ]


def _summary(file: GGUFFile, key: str) -> str:
    """Show a value of the metadata in at most a line; of an array what it holds."""
    place = file.metadata[key]
    if place.type == ARRAY:
        return str(place)
    value = file.get(key)
    shown = printable(value) if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def printable(text: str) -> str:
    """Escape what could move the cursor of a terminal, and cut what is too long for a line."""
    return (text if text.isprintable() else ascii(text))[:100]
