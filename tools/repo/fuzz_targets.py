"""What the fuzzer damages: one small sound file of each kind that the course opens, and how it is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from utils.batches import Batches
from utils.bpe import train_bpe
from utils.config import GPT2Config
from utils.files.places import DATA
from utils.files.settings import read_settings
from utils.formats.gguf_writer import save_gguf
from utils.formats.hub_layout import hub_tensors
from utils.formats.inspect_model import inspect_file
from utils.formats.peft_files import save_lora
from utils.formats.quantized_files import save_quantized
from utils.formats.safetensors import write_safetensors
from utils.formats.tf_checkpoint import save_tf_checkpoint
from utils.loaders import load_gpt2, load_tokenizer, save_gpt2
from utils.lora import add_lora
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import quantize_model
from utils.texts.reading import read_documents
from utils.texts.records import ReadReport
from utils.tokenizer import CharTokenizer, Tokenizer
from utils.training.checkpoints import LAST
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.distributed import World
from utils.training.loop import Trainer
from utils.training.recipes import TrainingRecipe

TINY = GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=300, context=16)
TEXTS = ("Mia said: “Ünïcode, too.”\r\nShe went home; it was 7 o'clock.", "A fox & a <hen> met.\n\nThey spoke.")


class Target(NamedTuple):
    """The file to damage, and what a learner does with it: an open function that gets the file."""

    file: Path
    visit: Callable[[Path], object]


def tiny() -> GPT2:
    torch.manual_seed(0)
    return GPT2(TINY).eval()


def weights(path: Path) -> None:
    """Inspect a file of weights and load it, by its folder where it lies in one."""
    inspect_file(path)
    load_gpt2(path)


def folder_of(path: Path) -> None:
    """Inspect and load the folder in which the damaged file lies."""
    weights(path.parent)


def tokenizer_of(path: Path) -> None:
    tokenizer = load_tokenizer(path.parent)
    tokenizer.decode(tokenizer.encode("Mia went home. 7 Ü"))


def documents(path: Path) -> None:
    read_documents(path, ReadReport(), errors="replace")


def _safetensors(folder: Path) -> Target:
    save_gpt2(tiny(), folder)
    return Target(folder / "model.safetensors", weights)


def _config(folder: Path) -> Target:
    save_gpt2(tiny(), folder)
    return Target(folder / "config.json", folder_of)


def _shards(folder: Path) -> Target:
    tensors = list(hub_tensors(tiny()))
    places: dict[str, str] = {}
    for number, part in enumerate((tensors[:8], tensors[8:]), 1):
        name = f"model-{number:05}-of-00002.safetensors"
        write_safetensors(folder / name, part, {})
        places |= {tensor: name for tensor, _ in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    return Target(index, weights)


def _torch(folder: Path, zipped: bool) -> Target:
    file = folder / "pytorch_model.bin"
    state = {f"transformer.{name}": tensor.clone() for name, tensor in hub_tensors(tiny())}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    return Target(file, weights)


def _gptq(folder: Path) -> Target:
    """Write a folder in gptqmodel's layout, all its layers of one step and zeros alone."""
    save_gpt2(tiny(), folder)
    file, tensors = folder / "model.safetensors", []
    for name, tensor in hub_tensors(tiny()):
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            (inputs, outputs), layer = tensor.shape, name.removesuffix(".weight")
            parts = {"qweight": torch.zeros(inputs // 8, outputs, dtype=torch.int32),
                     "qzeros": torch.zeros(1, outputs // 8, dtype=torch.int32),
                     "scales": torch.ones(1, outputs), "g_idx": torch.zeros(inputs, dtype=torch.int32)}  # fmt: skip
            tensors += [(f"{layer}.{part}", value) for part, value in parts.items()]
        else:
            tensors.append((name, tensor))
    write_safetensors(file, tensors, {})
    note = {"bits": 4, "group_size": -1, "desc_act": False, "quant_method": "gptq", "checkpoint_format": "gptq"}
    (folder / "quantize_config.json").write_text(json.dumps(note), encoding="utf-8")
    return Target(folder / "quantize_config.json", folder_of)


def _tensorflow(folder: Path) -> Target:
    """Write the index of a checkpoint; TensorFlow reads it in a process of its own, which takes seconds a file."""
    save_tf_checkpoint(tiny(), folder, tokenizer=small_tokenizer())
    return Target(folder / "model-0.index", weights)


def small_tokenizer() -> Tokenizer:
    """Return a BPE tokenizer of 300 tokens at most."""
    merges, vocab = train_bpe(" ".join(TEXTS) * 3, 43)
    return Tokenizer(vocab, merges)


def _gguf(folder: Path, kind: str) -> Target:
    return Target(save_gguf(tiny(), folder / "model.gguf", kind, small_tokenizer()), weights)


def _packed(folder: Path, name: str) -> Target:
    save_quantized(quantize_model(tiny(), Grid(4, 16)), folder)
    return Target(folder / name, folder_of)


def _lora(folder: Path, name: str) -> Target:
    base = save_gpt2(tiny(), folder / "base")
    model = add_lora(load_gpt2(base), rank=2)
    save_lora(model, folder / "adapter")
    config = folder / "adapter" / "adapter_config.json"
    told = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": str(base)}
    config.write_text(json.dumps(told), encoding="utf-8")
    return Target(folder / "adapter" / name, folder_of)


def _tokenizer(folder: Path) -> Target:
    small_tokenizer().save_for_transformers(folder)
    return Target(folder / "tokenizer.json", tokenizer_of)


def _vocabulary(folder: Path, name: str) -> Target:
    """Write a tokenizer as GPT-2's own two files."""
    tokenizer = small_tokenizer()
    (folder / "vocab.json").write_text(json.dumps(tokenizer.vocab), encoding="utf-8")
    merges = "#version: 0.2\n" + "".join(f"{first} {second}\n" for first, second in tokenizer.merges)
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return Target(folder / name, tokenizer_of)


def _characters(folder: Path) -> Target:
    CharTokenizer.from_text(" ".join(TEXTS)).save(folder)
    return Target(folder / "meta.json", tokenizer_of)


def _text(folder: Path, name: str, content: str | bytes) -> Target:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return Target(file, documents)


def _recipe(folder: Path) -> Target:
    fields = {key: value for key, value in asdict(TrainingRecipe()).items() if not isinstance(value, (list, dict))}
    file = folder / "recipe.yaml"
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in fields.items()]
    file.write_text("# a recipe\n" + "".join(lines), encoding="utf-8")
    return Target(file, lambda path: read_settings(TrainingRecipe, [], path))


def _trainer(folder: Path, resume: bool) -> Trainer:
    tokens = torch.arange(200) * 7 % 300
    config = TrainConfig(context=8, batch_size=2, max_steps=2, warmup_steps=0, dtype="float32", resume=resume,
                         out=str(folder), evaluate_every=1000)  # fmt: skip
    trainer = Trainer(tiny(), TrainingData(Batches(tokens, 2, 8), None), config, World())
    trainer.begin()
    return trainer


def _checkpoint(folder: Path) -> Target:
    trainer = _trainer(folder, resume=False)
    trainer.step()
    trainer.checkpoints.save(trainer.state)
    return Target(folder / LAST, lambda path: _trainer(path.parent, resume=True))


RECORDS = [{"title": f"No. {number}", "text": text} for number, text in enumerate(TEXTS * 3)]
XML = "".join(f"<row><title>{r['title']}</title><text><![CDATA[{r['text']}]]></text></row>\n" for r in RECORDS)
CSV = "title,text\n" + "".join(f'{r["title"]},"{r["text"]}"\n' for r in RECORDS)


def one_page(text: str) -> bytes:
    """Return the smallest PDF that holds a line of text."""
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode("latin-1")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]  # fmt: skip
    content, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(content))
    return content + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


KINDS: dict[str, Callable[[Path], Target]] = {
    "safetensors": _safetensors,
    "config.json": _config,
    "shards": _shards,
    "bin": partial(_torch, zipped=True),
    "bin of 2019": partial(_torch, zipped=False),
    "gptq config": _gptq,
    "tensorflow": _tensorflow,
    "gguf F32": partial(_gguf, kind="F32"),
    "gguf Q4_0": partial(_gguf, kind="Q4_0"),
    "packed weights": partial(_packed, name="quantized.safetensors"),
    "packed config": partial(_packed, name="config.json"),
    "adapter weights": partial(_lora, name="adapter_model.safetensors"),
    "adapter config": partial(_lora, name="adapter_config.json"),
    "tokenizer.json": _tokenizer,
    "vocab.json": partial(_vocabulary, name="vocab.json"),
    "merges.txt": partial(_vocabulary, name="merges.txt"),
    "meta.json": _characters,
    "txt": lambda folder: _text(folder, "a.txt", "\n".join(TEXTS)),
    "csv": lambda folder: _text(folder, "a.csv", CSV),
    "json": lambda folder: _text(folder, "a.json", json.dumps(RECORDS, indent=1)),
    "nested json": lambda folder: _text(folder, "a.json", json.dumps({"version": 1, "data": RECORDS})),
    "jsonl": lambda folder: _text(folder, "a.jsonl", "\n".join(map(json.dumps, RECORDS))),
    "xml": lambda folder: _text(folder, "a.xml", f'<?xml version="1.0" encoding="utf-8"?>\n<rows>\n{XML}</rows>\n'),
    "xml in UTF-16": lambda folder: _text(
        folder, "a.xml", f'<?xml version="1.0" encoding="utf-16"?><r>{XML}</r>'.encode("utf-16")
    ),
    "nested xml": lambda folder: _text(folder, "a.xml", "<x><y a='1'>" * 30 + "a" + "</y>b</x>" * 30),
    "txt in UTF-16": lambda folder: _text(folder, "a.txt", "\n".join(TEXTS).encode("utf-16")),
    "csv of old Macs": lambda folder: _text(folder, "a.csv", CSV.replace("\n", "\r")),
    "tfrecord": lambda folder: _text(folder, "a.tfrecord", (DATA / "quiz" / "quiz.tfrecord").read_bytes()),
    "pdf": lambda folder: _text(folder, "a.pdf", one_page(TEXTS[1].replace("\n", " "))),
    "recipe": _recipe,
    "checkpoint": _checkpoint,
}
FEW = {"tensorflow": 8}  # most files of a kind that are opened in one go: each of these starts a process
