"""What a file or folder of weights is, what is in it and who can open it, told from its headers alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

from utils.config import format_bytes
from utils.errors import CourseError
from utils.files.whole_files import read_json
from utils.formats.gguf import is_gguf
from utils.formats.gguf_gpt2 import describe_gguf
from utils.formats.gptq_folder import PackedMatrix, read_quantization
from utils.formats.hub_layout import check_tensors
from utils.formats.open_file import WEIGHT_FILES, find_model, find_weights, open_model, open_weights, read_config
from utils.formats.pickle_machine import Damaged, pickle_requests
from utils.formats.quantized_files import open_quantized
from utils.formats.safetensors import StoredTensor
from utils.formats.tf_bundle import read_bundle
from utils.formats.tf_checkpoint import hub_name_of
from utils.formats.torch_files import read_zip
from utils.quantize.quantized_linear import layer_shapes, plan_of

# What is stored beside the parameters: causal masks, the tied head, a state of training
NO_PARAMETER = re.compile(r"(.*\.)?(attn\.(masked_)?bias|lm_head\.weight)|optimizer\..*|random\..*")


# Floating-point numbers that say what packed codes stand for
SCALES = ("scales", "absmax", "nested_absmax", "quant_map", "nested_quant_map", "SCB", "q_scale_max")


@dataclass(frozen=True)
class Weights:
    """An opened file of weights: what it is and its tensors as they are stored."""

    file: Path
    what: str
    tensors: dict[str, StoredTensor]

    @cached_property
    def names(self) -> set[str]:
        return {name.rpartition(".")[2] for name in self.tensors}

    @cached_property
    def problem(self) -> str | None:
        """Why load_gpt2 would refuse it, or None; its own checks answer, up to where weights are read."""
        try:
            if "packed" in self.names:
                open_quantized(self.file)
                return None
            stored = open_model(self.file)
            check_tensors(read_config(self.file.parent, stored), stored, self.file)
        except CourseError as error:
            return str(error)
        return None

    @property
    def is_adapter(self) -> bool:
        return any(".lora_A." in name for name in self.tensors)

    @cached_property
    def quantization(self) -> tuple[str, int]:
        """How the weights are packed, and how many weights the packed tensors stand for."""
        for mark, describe in QUANTIZED.items():
            if mark in self.names:
                return describe(self)
        return "none", 0

    def ending_in(self, part: str) -> list[tuple[str, StoredTensor]]:
        return [(name, tensor) for name, tensor in self.tensors.items() if name.endswith(f".{part}")]


def _gptq_or_awq(weights: Weights) -> tuple[str, int]:
    config = _quantization_config(weights.file.parent)
    if "g_idx" not in weights.names or config.get("quant_method", "gptq") != "gptq":
        bits = config.get("bits", config.get("w_bit", 4))
        bits = bits if bits in (2, 3, 4, 8) else 4
        count = sum(prod(tensor.shape) * 32 // bits for _, tensor in weights.ending_in("qweight"))
        return f"{config.get('quant_method', 'AWQ')!s:.20}, {bits} bits: weights scaled, rounded and packed", count
    try:
        layers = [t for t in open_model(weights.file).values() if isinstance(t, PackedMatrix)]
        kind = read_quantization(weights.file.parent)["format"]
    except CourseError as error:
        return f"GPTQ, but {error}", 0
    bits = ", ".join(f"{count} × {bits} bits" for bits, count in sorted(Counter(t.bits for t in layers).items()))
    groups = sorted({t.shape[0] // t.groups for t in layers})
    return f"GPTQ, {bits}, groups of {' and '.join(map(str, groups))}, format {kind}", sum(
        prod(t.shape) for t in layers
    )


def _exl2(weights: Weights) -> tuple[str, int]:
    inputs = {name.removesuffix(".q_invperm"): prod(tensor.shape) for name, tensor in weights.ending_in("q_invperm")}
    packed = {name.removesuffix(".q_weight"): tensor for name, tensor in weights.ending_in("q_weight")}
    count = sum(inputs.get(name, 0) * tensor.shape[-1] for name, tensor in packed.items() if tensor.shape)
    used = sum(tensor.nbytes for tensor in packed.values())
    return f"EXL2, {8 * used / max(count, 1):.2f} bits on average, more where a layer is sensitive", count


def _bitsandbytes(weights: Weights) -> tuple[str, int]:
    sizes = {name: prod(tensor.shape) for name, tensor in weights.tensors.items()}
    if "SCB" in weights.names:
        count = sum(size for name, size in sizes.items() if name.removesuffix("weight") + "SCB" in sizes)
        return "bitsandbytes, 8 bits, one scale per row", count
    count = sum(2 * size for name, size in sizes.items() if f"{name}.absmax" in sizes)
    return "bitsandbytes, 4 bits, blocks with one scale each", count


def _ours(weights: Weights) -> tuple[str, int]:
    what = "packed by this course's save_quantized"
    if weights.problem:
        return f"codes {what}", 0
    model, _ = open_quantized(weights.file)
    plan, shapes = plan_of(model), layer_shapes(model)
    counts = [f"{count} × {grid}" for grid, count in Counter(plan.values()).most_common()]
    return f"{'; '.join(counts)}; {what}", sum(prod(shapes[name]) for name in plan)


QUANTIZED: dict[str, Callable[[Weights], tuple[str, int]]] = {
    "qweight": _gptq_or_awq,
    "q_weight": _exl2,
    "absmax": _bitsandbytes,
    "SCB": _bitsandbytes,
    "packed": _ours,
}


def _quantization_config(folder: Path) -> dict:
    for name in ("config.json", "quantize_config.json"):
        if (folder / name).is_file():
            raw = read_json(folder / name)
            found = raw.get("quantization_config", raw if name.startswith("quantize") else None)
            if isinstance(found, dict):
                return found
    return {}


# Packed weights that ours does not read, by the last part of a tensor's name: what they are, and what opens them
FOREIGN = {
    "q_weight": ("EXL2", "exllamav2"),
    "absmax": ("bitsandbytes", "transformers and bitsandbytes"),
    "SCB": ("bitsandbytes", "transformers and bitsandbytes"),
}


def _load_gpt2(weights: Weights) -> str:
    for mark, (what, opener) in FOREIGN.items():
        if mark in weights.names:
            return f"no, its weights are packed by {what}: open it with {opener}"
    if weights.is_adapter:
        return "yes, its folder, where adapter_config.json names a model; else load_lora beside one"
    return f"no, {weights.problem}" if weights.problem else "yes"


def _transformers(weights: Weights) -> str:
    if weights.file.suffix == ".index":
        return "no, it reads no TensorFlow checkpoints any more: use load_gpt2 and save_gpt2"
    if "packed" in weights.names:
        return "no, these codes are this course's own"
    if "q_weight" in weights.names:
        return "no, it reads no EXL2"
    if weights.is_adapter:
        return "yes, with peft"
    if not (weights.file.parent / "config.json").is_file():
        return "no, config.json is missing beside it"
    if weights.file.name not in WEIGHT_FILES:
        return f"no, it looks for {', '.join(WEIGHT_FILES[:4])}"
    if {"absmax", "SCB"} & weights.names:
        return "yes, with bitsandbytes"
    return "yes, with gptqmodel or optimum" if "qweight" in weights.names else "yes"


def _llama_cpp(weights: Weights) -> str:
    return "no, it reads GGUF: use load_gpt2 and save_gguf"


def _gptqmodel(weights: Weights) -> str:
    if "qweight" not in weights.names:
        return "no, these weights are not packed by GPTQ or AWQ"
    return "yes" if "g_idx" in weights.names else "yes, on a GPU with CUDA"


def _exllamav2(weights: Weights) -> str:
    return "yes, on a GPU with CUDA" if "q_weight" in weights.names else "no, these weights are not EXL2"


def _gpt_2_simple(weights: Weights) -> str:
    if weights.file.suffix != ".index":
        return "no, it reads TensorFlow checkpoints: use load_gpt2 and save_tf_checkpoint"
    wanted = ("checkpoint", "hparams.json", "encoder.json", "vocab.bpe")
    missing = [name for name in wanted if not (weights.file.parent / name).is_file()]
    return (
        f"no, {missing[0]} is missing beside it" if missing else f"no, {weights.problem}" if weights.problem else "yes"
    )


LOADERS: dict[str, Callable[[Weights], str]] = {
    "load_gpt2": _load_gpt2,
    "transformers": _transformers,
    "llama.cpp": _llama_cpp,
    "gptqmodel": _gptqmodel,
    "exllamav2": _exllamav2,
    "gpt-2-simple": _gpt_2_simple,
}


def inspect_file(path: str | Path) -> list[str]:
    """Describe a file or folder of weights line by line, without loading it."""
    found = Path(path) if Path(path).exists() else find_model(path)
    file = find_weights(found)
    with file.open("rb") as opened:
        start = opened.read(1024)
    if is_gguf(file):
        return describe_gguf(file)
    if (other := describe_other(file, start)) is not None:
        return [f"{printable(file.name)}: {file.stat().st_size:,} bytes", *other]
    return describe(_open(file))


def _open(file: Path) -> Weights:
    if file.suffix == ".index":
        return Weights(file, "TensorFlow checkpoint", dict(read_bundle(file)))
    tensors = open_weights(file)
    if file.name.endswith(".index.json"):
        shards = len({tensor.path for tensor in tensors.values()})
        return Weights(file, f"index of {shards} shards", tensors)
    with file.open("rb") as opened:
        return Weights(file, "file of torch.save" if opened.read(2) == b"PK" else "safetensors", tensors)


def describe(weights: Weights) -> list[str]:
    """Say what opened weights are, line by line: in all, then each loader, then each tensor."""
    total = sum(tensor.nbytes for tensor in weights.tensors.values())
    quantization, packed = weights.quantization
    kinds = Counter(_kind(tensor) for tensor in weights.tensors.values())
    dtypes = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
    lines = [
        f"{printable(weights.file.name)}: {len(weights.tensors)} tensors, {format_bytes(total)}",
        f"{weights.what}, {dtypes or 'empty'}",
        _count(weights, packed),
        f"quantization: {quantization}",
        *(f"{name}: {answer(weights)}" for name, answer in LOADERS.items()),
    ]
    return lines + [_line(name, tensor) for name, tensor in weights.tensors.items()]


def _count(weights: Weights, packed: int) -> str:
    """Say how many parameters there are and how many bits each takes, scales and zeros included."""
    names = [name for name in weights.tensors if not _is_beside(name, weights)]
    plain = sum(
        prod(weights.tensors[name].shape)
        for name in names
        if weights.tensors[name].dtype.is_floating_point and name.rpartition(".")[2] not in SCALES
    )
    used = sum(weights.tensors[name].nbytes for name in names)
    if plain + packed == 0 or (packed == 0 and weights.quantization[0] != "none"):
        return "parameters: can't be told from the header alone"
    beside = len(weights.tensors) - len(names)
    text = f"{plain + packed:,} parameters, {8 * used / (plain + packed):.2f} bits per weight"
    return text + (f"; {beside} tensors beside them" if beside else "")


def _is_beside(name: str, weights: Weights) -> bool:
    """Tell whether a tensor is no parameter: a mask, a tied head, a moment of an optimizer."""
    if weights.file.suffix == ".index" and not weights.problem:
        return hub_name_of(name) is None
    return NO_PARAMETER.fullmatch(name) is not None


def _kind(tensor: StoredTensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _line(name: str, tensor: StoredTensor) -> str:
    return f"{printable(name):32} {_kind(tensor):9} {str(list(tensor.shape)):16} {tensor.nbytes:>12,} bytes"


LFS = re.compile(rb"version https://\S+\noid sha256:([0-9a-f]{64})\nsize (\d{1,20})\n")


# Files that hold no weights which anything here opens, by how they begin
STARTS = (
    (b"\x93NUMPY", "one array of NumPy"),
    (b"\x89HDF\r\n", "HDF5, in which Keras saved weights (tf_model.h5); the same model is published as safetensors"),
    (b"\x7fELF", "a program for Linux"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (b"lmgg", "GGML, the format before GGUF: convert the original weights with save_gguf"),
    (b"tjgg", "GGML, the format before GGUF: convert the original weights with save_gguf"),
)


def describe_other(file: Path, start: bytes) -> list[str] | None:
    """Say what a file is that holds no weights, or weights that nothing should open; None for all others."""
    if start[8:9] == b"{" or file.suffix == ".index":  # weights, whatever their first bytes look like
        return None
    if pointer := LFS.match(start):
        size = format_bytes(int(pointer[2]))
        return [f"a pointer of Git LFS to {size} with SHA-256 {pointer[1].decode()}: run `git lfs pull` to fetch them"]
    for mark, what in STARTS:
        if start.startswith(mark):
            return [what, "load_gpt2: no, it holds no weights that it reads"]
    if start[:1] == b"\x80":
        with file.open("rb") as opened:
            wanted = list(dict.fromkeys(pickle_requests(opened.read(1_000_000))))
        asks = ", ".join(map(printable, wanted[:8])) or "nothing in its first million bytes"
        return [f"a pickle; it asks for {asks}", "load_gpt2: no, unpickling it could run any code: get a .safetensors"]
    if start[:2] == b"PK" and (arrays := _npz(file)) is not None:
        return [f"a zip of {arrays} arrays of NumPy (.npz)", "load_gpt2: no, it holds no weights that it reads"]
    return None


def _npz(file: Path) -> int | None:
    try:
        names = list(read_zip(file))
    except (Damaged, OSError):
        return None  # open_weights tells what is wrong
    return len(names) if names and all(name.endswith(".npy") for name in names) else None


def printable(text: str) -> str:
    """Escape what could move the cursor of a terminal, and cut what is too long for a line."""
    return (text if text.isprintable() else ascii(text))[:100]
