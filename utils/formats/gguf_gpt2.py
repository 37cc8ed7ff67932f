"""A GGUF file as a GPT-2: its tensors under the hub's names, its config and its tokenizer."""

from __future__ import annotations

from utils.errors import CourseError
from utils.formats.gguf import GGUFFile
from utils.formats.gguf_header import ARRAY, STRING, Value
from utils.formats.hub_layout import renamed
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
    return renamed(hub_name, NAMES, "blk")


def from_gguf_name(gguf_name: str) -> str:
    """Translate GGUF's name of a GPT-2 tensor; others keep theirs.

    >>> from_gguf_name("blk.3.ffn_up.weight"), from_gguf_name("rope_freqs.weight")
    ('h.3.mlp.c_fc.weight', 'rope_freqs.weight')
    """
    try:
        return renamed(gguf_name, THEIRS, "h")
    except KeyError:
        return gguf_name


def gpt2_from_gguf(file: GGUFFile) -> dict[str, LazyTensor]:
    """Return the tensors under the hub's names and in its layout."""
    if (architecture := file.get("general.architecture")) != "gpt2":
        raise CourseError(
            f"{file.path} holds the architecture {architecture!r}, expected 'gpt2'. llama.cpp may run it."
        )
    if (parts := file.get("split.count")) not in (None, 0, 1):
        raise CourseError(
            f"{file.path} is one of {parts!r} parts. Join them with llama.cpp's gguf-split --merge and load the result."
        )
    for name, tensor in file.tensors.items():
        if not tensor.format.is_readable:
            raise CourseError(
                f"{file.path} packs {name!r} as {tensor.format.name}, which neither this course nor the gguf library "
                "unpacks. Get it in another format, Q8_0 for instance."
            )
    return {
        from_gguf_name(name): tensor.turn() if name.endswith(TURNED) else tensor
        for name, tensor in file.tensors.items()
    }


def config_from_gguf(file: GGUFFile) -> dict:
    """Return the config as the hub's config.json has it."""
    raw = {name: file.need(f"gpt2.{key}", int) for name, key in CONFIG_KEYS.items()}
    epsilon = file.need("gpt2.attention.layer_norm_epsilon", float)
    return raw | {"layer_norm_epsilon": float(f"{epsilon:.6g}")}  # it was rounded to float32


def read_tokenizer(file: GGUFFile) -> Tokenizer:
    """Return the byte-level BPE tokenizer that a GGUF file holds; GPT-2's own when it is that one."""
    path = file.path
    model, split = file.get("tokenizer.ggml.model"), file.get("tokenizer.ggml.pre")
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
