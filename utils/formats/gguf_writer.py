"""GGUF writer: a GPT-2 as one file, tokenizer and settings inside, which llama.cpp runs as it is.

Lesson 05 looks into what it writes. Ours instead of `gguf.GGUFWriter`: weights stream from the model into the file a
few rows at a time, and what can't be packed is named before anything stands on the disk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from utils.bpe import END_OF_TEXT
from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.ggml_blocks import FORMATS, BlockFormat
from utils.formats.gguf import CHUNK
from utils.formats.gguf_gpt2 import CONFIG_KEYS, gguf_name
from utils.formats.gguf_header import ALIGNMENT, ARRAY, BOOL, FLOAT32, INT32, MAGIC, STRING, UINT32
from utils.formats.hub_layout import hub_config, hub_name
from utils.model import GPT2
from utils.tokenizer import Tokenizer

VERSION = 3
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}  # llama.cpp's numbers for whole files
NORMAL, CONTROL = 1, 3  # kinds of tokens


def save_gguf(model: GPT2, path: str | Path, kind: str = "F16", tokenizer: Tokenizer | None = None) -> Path:
    """Write `model` with its matrices as `kind` (F32, F16, BF16, Q8_0, Q4_0), never half a file.

    Norms, biases and positions stay float32; the token table is the head too and is stored once.
    `tokenizer` is GPT-2's unless another one is handed in.
    """
    if kind not in FORMATS:
        raise CourseError(f"kind {kind!r} can't be written, expected one of {', '.join(FORMATS)}.")
    path, tensors = Path(path), _tensors(model, FORMATS[kind])
    metadata = _shape(model, kind) | _vocabulary(tokenizer or Tokenizer.gpt2(), model.config.vocab_size)
    header = _header(metadata, tensors)

    def write(file: BinaryIO) -> None:
        file.write(header)
        for name, weight, packing in tensors:
            try:
                written = sum(file.write(part) for part in _packed(weight, packing))
            except CourseError as error:
                raise CourseError(f"{name}: {error}") from None
            file.write(bytes(-written % ALIGNMENT))

    write_whole(path, write)
    return path


def _tensors(model: GPT2, packing: BlockFormat) -> list[tuple[str, Tensor, BlockFormat]]:
    """Return each parameter under GGUF's name with the format it is to take; linear weights are out × in already."""
    found = []
    for name, weight in model.named_parameters():
        exact = weight.dim() == 1 or name.startswith("position")
        found.append((gguf_name(hub_name(name)), weight.detach(), FORMATS["F32"] if exact else packing))
    return found


def _packed(weight: Tensor, packing: BlockFormat) -> Iterator[memoryview]:
    """Yield the bytes of a tensor, a few rows at a time."""
    rows = weight.reshape(-1, weight.shape[-1])
    for part in rows.split(max(1, CHUNK // rows.shape[1])):
        yield packing.quantize(part.cpu()).contiguous().numpy().data


def _shape(model: GPT2, kind: str) -> dict[str, Any]:
    hub = hub_config(model.config)
    return {
        "general.architecture": "gpt2",
        "general.name": "GPT-2",
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        **{f"gpt2.{key}": hub[name] for name, key in CONFIG_KEYS.items()},
        "gpt2.feed_forward_length": 4 * model.config.n_embd,
        "gpt2.attention.layer_norm_epsilon": hub["layer_norm_epsilon"],
    }


def _vocabulary(tokenizer: Tokenizer, vocab_size: int) -> dict[str, Any]:
    """Return what llama.cpp needs to turn text into this model's tokens and back."""
    if not isinstance(tokenizer, Tokenizer):
        raise CourseError(f"{type(tokenizer).__name__} was found, GGUF takes byte-level BPE. Hand in a Tokenizer.")
    tokens = sorted(tokenizer.vocab, key=tokenizer.vocab.__getitem__)
    if len(tokens) != vocab_size or tokenizer.vocab[tokens[-1]] != vocab_size - 1:
        raise CourseError(
            f"the tokenizer has {len(tokens):,} tokens, the model {vocab_size:,}. Hand in the tokenizer that the model "
            "was trained with: save_gguf(..., tokenizer=...)."
        )
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if token == END_OF_TEXT else NORMAL for token in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        "tokenizer.ggml.bos_token_id": tokenizer.end_of_text,
        "tokenizer.ggml.eos_token_id": tokenizer.end_of_text,
        "tokenizer.ggml.add_bos_token": False,
    }


def _header(metadata: dict[str, Any], tensors: list[tuple[str, Tensor, BlockFormat]]) -> bytes:
    """Return all bytes before the first tensor."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    parts += [_string(key) + _typed(value) for key, value in metadata.items()]
    offset = 0
    for name, weight, packing in tensors:
        sizes = weight.shape[::-1]  # GGUF names the packed dimension first
        place = struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, packing.number, offset)
        parts.append(_string(name) + place)
        offset += -(-packing.bytes_of(weight.numel()) // ALIGNMENT) * ALIGNMENT
    header = b"".join(parts)
    return header + bytes(-len(header) % ALIGNMENT)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _typed(value: Any) -> bytes:
    """Pack a value of the metadata after its type.

    >>> _typed(7).hex(), _typed("ab").hex()
    ('0400000007000000', '0800000002000000000000006162')
    """
    match value:
        case bool():
            return struct.pack("<I?", BOOL, value)
        case int():
            return struct.pack("<II", UINT32, value)
        case float():
            return struct.pack("<If", FLOAT32, value)
        case str():
            return struct.pack("<I", STRING) + _string(value)
        case [] | [str(), *_]:
            return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
    return struct.pack(f"<IIQ{len(value)}i", ARRAY, INT32, len(value), *value)
