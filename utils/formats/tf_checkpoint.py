"""Checkpoints of gpt-2-simple (TensorFlow's .index and .data files) to tensors under the hub's names, and back.

TensorFlow itself reads and writes them (`utils.formats.tf_child`). Lessons 06 and 16 meet them; exercise 00 makes them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from utils.errors import CourseError, show
from utils.files.places import ROOT
from utils.files.whole_files import write_whole
from utils.formats.hub_layout import hub_tensors
from utils.formats.safetensors import DTYPES, LazyTensor, StoredTensor
from utils.formats.tf_child import answer_request
from utils.model import GPT2
from utils.tokenizer import Tokenizer

# GPT-2's variables; all others belong to an optimizer
VARIABLE = r"model/(?:wte|wpe|(?:ln_f|h\d+/ln_[12])/[gb]|h\d+/(?:attn/c_attn|attn/c_proj|mlp/c_fc|mlp/c_proj)/[wb])"
KINDS = {"g": "weight", "w": "weight", "b": "bias"}
LATEST = re.compile(r'^model_checkpoint_path:\s*"([^"\n]+)"', re.MULTILINE)
TORCH_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES.values()}
LONGEST = 600  # seconds for TensorFlow to start and to do its work


@dataclass(frozen=True)
class Variable(StoredTensor):
    """A variable whose value TensorFlow unpacked into a temporary file; that goes when the last one is forgotten."""

    keeper: object = None


class _FlatFile:
    """Values of variables, one after the other, in a temporary folder that is gone when nobody refers to it."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="course-tf-")
        self.path = Path(folder) / "values"
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)  # Windows keeps what is still mapped


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


def open_tf_checkpoint(index: Path, values: bool = True) -> dict[str, StoredTensor]:
    """Return all variables of a checkpoint by name; only those of GPT-2 can be read, and without `values` none."""
    if not index.is_file() or not list(index.parent.glob(f"{index.stem}.data-*-of-*")):
        raise CourseError(f"{index} needs {index.stem}.data-00000-of-00001 beside it, one of the two is missing.")
    flat = _FlatFile()
    found = _ask_tensorflow(index, "read", wanted=VARIABLE if values else "none", target=str(flat.path))
    return {
        each["name"]: Variable(flat.path, TORCH_DTYPES[each["dtype"]], tuple(each["shape"]), each["offset"] or 0, flat)
        for each in found
        if each["dtype"] in TORCH_DTYPES  # strings, such as the graph of objects, are left out
    }


def _ask_tensorflow(index: Path, work: str, **words: Any) -> list[dict[str, Any]]:
    """Let TensorFlow read or write, here if it is imported already, else in a process of its own."""
    if find_spec("tensorflow") is None:
        raise CourseError(f"{index} needs TensorFlow, which is not installed. Get it by: pip install tensorflow")
    asked = {"work": work, "prefix": str(index.resolve().with_suffix("")), **words}
    if "tensorflow" in sys.modules:
        answer = answer_request(asked)
    else:
        command, said = [sys.executable, "-m", "utils.formats.tf_child"], json.dumps(asked)
        done = subprocess.run(command, input=said, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
        last = (done.stderr if done.returncode else done.stdout).strip().rpartition("\n")[2]
        answer = {"error": last or f"it ended with {done.returncode}"} if done.returncode else json.loads(last)
    if "error" in answer:
        raise CourseError(f"TensorFlow can't use {index}: {show(answer['error'], 300)}. Fetch or save it again.")
    return answer["found"] or []


def gpt2_variables(index: Path, variables: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Return GPT-2's own variables under the hub's names; linear weights of shape (1, in, out) become (in, out)."""
    named = {hub: tensor for name, tensor in variables.items() if (hub := hub_name_of(name)) is not None}
    if not named:
        raise CourseError(
            f"{index} holds no GPT-2: none of its variables has a name such as model/wte. "
            "Give a checkpoint that gpt-2-simple wrote."
        )
    for hub, tensor in named.items():
        if isinstance(tensor, Variable) and tensor.shape[:-2] == (1,):  # gpt-2-simple convolves over a width of 1
            named[hub] = replace(tensor, shape=tensor.shape[1:])
    return named


def hub_name_of(variable: str) -> str | None:
    """Translate a variable's name, or return None for one that is no part of GPT-2.

    >>> hub_name_of("model/h3/attn/c_attn/w"), hub_name_of("model/wte/Adam")
    ('h.3.attn.c_attn.weight', None)
    """
    if re.fullmatch(VARIABLE, variable) is None:
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


def save_tf_checkpoint(
    model: GPT2, folder: str | Path, name: str = "model-0", tokenizer: Tokenizer | None = None
) -> Path:
    """Write a folder that gpt-2-simple loads: weights, hparams.json, encoder.json, vocab.bpe and `checkpoint`."""
    folder, tokenizer, config = Path(folder), tokenizer or Tokenizer.gpt2(), model.config
    folder.mkdir(parents=True, exist_ok=True)
    _write_weights(folder / f"{name}.index", model)
    merges = "".join(f"{a} {b}\n" for a, b in tokenizer.merges)
    shape = {"n_vocab": config.vocab_size, "n_ctx": config.context, "n_embd": config.n_embd}
    texts = {
        "hparams.json": json.dumps(shape | {"n_head": config.n_head, "n_layer": config.n_layer}),
        "encoder.json": json.dumps(tokenizer.vocab),
        "vocab.bpe": f"#version: 0.2\n{merges}",
        "checkpoint": f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n',
    }
    for file_name, text in texts.items():
        write_whole(folder / file_name, lambda file, text=text: file.write(text.encode()))
    return folder


def _write_weights(index: Path, model: GPT2) -> None:
    """Write the weights as float32 into a checkpoint; their values go to TensorFlow by way of a flat file."""
    flat, places = _FlatFile(), []
    with flat.path.open("wb") as file:
        for hub, weight in hub_tensors(model):
            name = variable_name_of(hub)
            shape = [1, *weight.shape] if name.endswith("/w") else [*weight.shape]  # a convolution of width 1
            places.append({"name": name, "shape": shape, "offset": file.tell()})
            file.write(weight.to("cpu", torch.float32).contiguous().numpy().data)
    _ask_tensorflow(index, "write", variables=places, source=str(flat.path))
