"""Checkpoints of gpt-2-simple to tensors under the hub's names, and back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from utils.config import GPT2Config
from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.safetensors import StoredTensor
from utils.formats.tf_bundle import read_bundle, write_bundle

# GPT-2's variables; all others belong to an optimizer
VARIABLE = re.compile(
    r"model/(?:wte|wpe|(?:ln_f|h\d+/ln_[12])/[gb]|h\d+/(?:attn/c_attn|attn/c_proj|mlp/c_fc|mlp/c_proj)/[wb])"
)


KINDS = {"g": "weight", "w": "weight", "b": "bias"}


LATEST = re.compile(r'^model_checkpoint_path:\s*"([^"\n]+)"', re.MULTILINE)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the .index file that the file `checkpoint` names, or the only one there is."""
    found = sorted(folder.glob("*.index"))
    note = folder / "checkpoint"
    if note.is_file() and note.stat().st_size < 1_000_000:
        named = LATEST.search(note.read_text(encoding="utf-8", errors="replace"))
        name = re.split(r"[/\\]", named[1])[-1] if named else ""
        if folder / f"{name}.index" in found:  # a folder may have moved, so only the last part of a path counts
            return folder / f"{name}.index"
    if len(found) > 1:
        raise CourseError(
            f"{folder} holds {len(found)} checkpoints, and its file `checkpoint` names none of them. "
            f"Give one of them, for instance {found[-1]}."
        )
    return found[0] if found else None


def open_tf_checkpoint(index: Path) -> dict[str, StoredTensor]:
    """Return GPT-2's tensors in a TensorFlow checkpoint under the hub's names; optimizer slots are left out."""
    found = {hub_name_of(name): _without_leading_one(tensor) for name, tensor in read_bundle(index).items()}
    found.pop(None, None)
    if not found:
        raise CourseError(
            f"{index} holds no GPT-2: none of its variables has a name such as model/wte. "
            "Give a checkpoint that gpt-2-simple wrote."
        )
    return found


def hub_name_of(variable: str) -> str | None:
    """Translate a variable's name, or return None for one that is no part of GPT-2.

    >>> hub_name_of("model/h3/attn/c_attn/w"), hub_name_of("model/wte/Adam")
    ('h.3.attn.c_attn.weight', None)
    """
    if VARIABLE.fullmatch(variable) is None:
        return None
    name = re.sub(r"^h(\d+)/", r"h.\1.", variable.removeprefix("model/"))
    module, _, kind = name.rpartition("/")
    return f"{module.replace('/', '.')}.{KINDS[kind]}" if module else f"{name}.weight"


def variable_name_of(name: str) -> str:
    """Translate one of the hub's names.

    >>> variable_name_of("h.3.ln_1.weight"), variable_name_of("wte.weight")
    ('model/h3/ln_1/g', 'model/wte')
    """
    module, _, kind = re.sub(r"^h\.(\d+)\.", r"h\1/", name).rpartition(".")
    if module in ("wte", "wpe"):
        return f"model/{module}"
    letter = "b" if kind == "bias" else "g" if "ln_" in module else "w"
    return f"model/{module.replace('.', '/')}/{letter}"


def _without_leading_one(tensor: StoredTensor) -> StoredTensor:
    """Let linear weights of shape (1, in, out) be (in, out): gpt-2-simple convolves over a width of 1."""
    if len(tensor.shape) != 3 or tensor.shape[0] != 1:
        return tensor
    return replace(tensor, shape=tensor.shape[1:])


def save_tf_checkpoint(model, folder: str | Path, name: str = "model-0", tokenizer=None) -> Path:
    """Write a folder that gpt-2-simple loads: weights, hparams.json, encoder.json, vocab.bpe and `checkpoint`."""
    from utils.formats.hub_layout import hub_tensors
    from utils.tokenizer import Tokenizer

    folder, tokenizer = Path(folder), tokenizer or Tokenizer.gpt2()
    tensors = [(variable_name_of(hub), tensor) for hub, tensor in hub_tensors(model)]
    write_bundle(folder / name, [(n, tensor[None] if n.endswith("/w") else tensor) for n, tensor in tensors])
    merges = "".join(f"{a} {b}\n" for a, b in tokenizer.merges)
    texts = {
        "hparams.json": json.dumps(hparams(model.config)),
        "encoder.json": json.dumps(tokenizer.vocab),
        "vocab.bpe": f"#version: 0.2\n{merges}",
        "checkpoint": f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n',
    }
    for file_name, text in texts.items():
        write_whole(folder / file_name, lambda file, text=text: file.write(text.encode()))
    return folder


def hparams(config: GPT2Config) -> dict[str, int]:
    """Return a shape under OpenAI's names."""
    return {
        "n_vocab": config.vocab_size,
        "n_ctx": config.context,
        "n_embd": config.n_embd,
        "n_head": config.n_head,
        "n_layer": config.n_layer,
    }
