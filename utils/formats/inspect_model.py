"""`inspect`: what a file or folder of weights is, its tensors, dtypes and bytes, and which loaders open it.

Told from headers alone; nothing is loaded. Lessons 04 and 05 use it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from math import prod
from pathlib import Path

from utils.config import format_bytes
from utils.errors import CourseError
from utils.files.whole_files import read_json
from utils.formats.gguf_gpt2 import describe_gguf, printable
from utils.formats.gptq_folder import PackedMatrix, read_quantization
from utils.formats.open_file import (
    WEIGHT_FILES,
    ModelFile,
    describe_other,
    find_model,
    find_weights,
    first_bytes,
    open_model_file,
)
from utils.formats.quantized_files import open_quantized
from utils.formats.safetensors import LazyTensor
from utils.formats.tf_checkpoint import hub_name_of
from utils.formats.torch_files import pickle_requests
from utils.quantize.quantized_linear import layer_shapes, plan_of

WHAT = {
    "safetensors": "safetensors",
    "torch": "file of torch.save",
    "shards": "index of {} shards",
    "tensorflow": "TensorFlow checkpoint",
}
NOTHING = "it holds no weights that it reads"
UNKNOWN = re.compile("empty|a web page|no format known")  # these are refused
# What is stored beside the parameters: causal masks, the tied head, a state of training
NO_PARAMETER = re.compile(r"(.*\.)?(attn\.(masked_)?bias|lm_head\.weight)|optimizer\..*|random\..*")
# Floating-point numbers that say what packed codes stand for
SCALES = ("scales", "absmax", "nested_absmax", "quant_map", "nested_quant_map", "SCB", "q_scale_max")


def ending_in(weights: ModelFile, part: str) -> list[tuple[str, LazyTensor]]:
    return [(name, tensor) for name, tensor in weights.tensors.items() if name.endswith(f".{part}")]


def describe_quantization(weights: ModelFile) -> tuple[str, int]:
    """Say how the weights are packed, and how many weights the packed tensors stand for."""
    return next((describe(weights) for mark, describe in QUANTIZED.items() if mark in weights.parts), ("none", 0))


def _gptq_or_awq(weights: ModelFile) -> tuple[str, int]:
    config = _quantization_config(weights.folder)
    if "g_idx" not in weights.parts or config.get("quant_method", "gptq") != "gptq":
        bits = config.get("bits", config.get("w_bit", 4))
        bits = bits if bits in (2, 3, 4, 8) else 4
        count = sum(prod(tensor.shape) * 32 // bits for _, tensor in ending_in(weights, "qweight"))
        return f"{config.get('quant_method', 'AWQ')!s:.20}, {bits} bits: weights scaled, rounded and packed", count
    try:
        layers = [tensor for tensor in weights.stored.values() if isinstance(tensor, PackedMatrix)]
        kind = read_quantization(weights.folder)["format"]
    except CourseError as error:
        return f"GPTQ, but {error}", 0
    bits = ", ".join(f"{count} × {bits} bits" for bits, count in sorted(Counter(t.bits for t in layers).items()))
    groups = sorted({t.shape[0] // t.groups for t in layers})
    return f"GPTQ, {bits}, groups of {' and '.join(map(str, groups))}, format {kind}", sum(
        prod(t.shape) for t in layers
    )


def _exl2(weights: ModelFile) -> tuple[str, int]:
    inputs = {name.removesuffix(".q_invperm"): prod(tensor.shape) for name, tensor in ending_in(weights, "q_invperm")}
    packed = {name.removesuffix(".q_weight"): tensor for name, tensor in ending_in(weights, "q_weight")}
    count = sum(inputs.get(name, 0) * tensor.shape[-1] for name, tensor in packed.items() if tensor.shape)
    used = sum(tensor.nbytes for tensor in packed.values())
    return f"EXL2, {8 * used / max(count, 1):.2f} bits on average, more where a layer is sensitive", count


def _bitsandbytes(weights: ModelFile) -> tuple[str, int]:
    sizes = {name: prod(tensor.shape) for name, tensor in weights.tensors.items()}
    if "SCB" in weights.parts:
        count = sum(size for name, size in sizes.items() if name.removesuffix("weight") + "SCB" in sizes)
        return "bitsandbytes, 8 bits, one scale per row", count
    count = sum(2 * size for name, size in sizes.items() if f"{name}.absmax" in sizes)
    return "bitsandbytes, 4 bits, blocks with one scale each", count


def _ours(weights: ModelFile) -> tuple[str, int]:
    what = "packed by this course's save_quantized"
    if weights.problem:
        return f"codes {what}", 0
    model = open_quantized(weights)
    plan, shapes = plan_of(model), layer_shapes(model)
    counts = [f"{count} × {grid}" for grid, count in Counter(plan.values()).most_common()]
    return f"{'; '.join(counts)}; {what}", sum(prod(shapes[name]) for name in plan)


QUANTIZED: dict[str, Callable[[ModelFile], tuple[str, int]]] = {
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


def _load_gpt2(weights: ModelFile) -> str:
    for mark, (what, opener) in FOREIGN.items():
        if mark in weights.parts:
            return f"no, its weights are packed by {what}: open it with {opener}"
    if weights.is_adapter:
        return "yes, its folder, where adapter_config.json names a model; else load_lora beside one"
    return f"no, {weights.problem}" if weights.problem else "yes"


def _transformers(weights: ModelFile) -> str:
    if weights.kind == "tensorflow":
        return "no, it reads no TensorFlow checkpoints any more: use load_gpt2 and save_gpt2"
    if "packed" in weights.parts:
        return "no, these codes are this course's own"
    if "q_weight" in weights.parts:
        return "no, it reads no EXL2"
    if weights.is_adapter:
        return "yes, with peft"
    if not (weights.folder / "config.json").is_file():
        return "no, config.json is missing beside it"
    if weights.file.name not in WEIGHT_FILES:
        return f"no, it looks for {', '.join(WEIGHT_FILES[:4])}"
    if {"absmax", "SCB"} & weights.parts:
        return "yes, with bitsandbytes"
    return "yes, with gptqmodel or optimum" if "qweight" in weights.parts else "yes"


def _llama_cpp(weights: ModelFile) -> str:
    return "no, it reads GGUF: use load_gpt2 and save_gguf"


def _gptqmodel(weights: ModelFile) -> str:
    if "qweight" not in weights.parts:
        return "no, these weights are not packed by GPTQ or AWQ"
    return "yes" if "g_idx" in weights.parts else "yes, on a GPU with CUDA"


def _exllamav2(weights: ModelFile) -> str:
    return "yes, on a GPU with CUDA" if "q_weight" in weights.parts else "no, these weights are not EXL2"


def _gpt_2_simple(weights: ModelFile) -> str:
    if weights.kind != "tensorflow":
        return "no, it reads TensorFlow checkpoints: use load_gpt2 and save_tf_checkpoint"
    wanted = ("checkpoint", "hparams.json", "encoder.json", "vocab.bpe")
    missing = [name for name in wanted if not (weights.folder / name).is_file()]
    return (
        f"no, {missing[0]} is missing beside it" if missing else f"no, {weights.problem}" if weights.problem else "yes"
    )


LOADERS: dict[str, Callable[[ModelFile], str]] = {
    "load_gpt2": _load_gpt2,
    "transformers": _transformers,
    "llama.cpp": _llama_cpp,
    "gptqmodel": _gptqmodel,
    "exllamav2": _exllamav2,
    "gpt-2-simple": _gpt_2_simple,
}


def inspect_file(path: str | Path) -> list[str]:
    """Describe a file or folder of weights line by line, without loading it."""
    file = find_weights(find_model(Path(path) if Path(path).exists() else path))
    other = None if file.name.endswith((".index", ".index.json")) else describe_other(file, first_bytes(file))
    if other and not UNKNOWN.match(other):
        return [f"{printable(file.name)}: {file.stat().st_size:,} bytes", other, f"load_gpt2: no, {NOTHING}"]
    try:
        opened = open_model_file(file, values=False)
    except CourseError:
        if file.suffix == ".index" or first_bytes(file)[:1] != b"\x80":
            raise
        asks = ", ".join(printable(name) for name in pickle_requests(file)[:8]) or "nothing in its first bytes"
        size = f"{printable(file.name)}: {file.stat().st_size:,} bytes"
        return [size, f"a pickle; it asks for {asks}", "load_gpt2: no, unpickling it could run any code"]
    return describe_gguf(opened.gguf) if opened.gguf else describe(opened)


def describe(weights: ModelFile) -> list[str]:
    """Say what opened weights are, line by line: in all, then each loader, then each tensor."""
    total = sum(tensor.nbytes for tensor in weights.tensors.values())
    shards = {getattr(tensor, "path", None) for tensor in weights.tensors.values()}
    quantization, packed = describe_quantization(weights)
    kinds = Counter(_kind(tensor) for tensor in weights.tensors.values())
    dtypes = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
    lines = [
        f"{printable(weights.file.name)}: {len(weights.tensors)} tensors, {format_bytes(total)}",
        f"{WHAT[weights.kind].format(len(shards))}, {dtypes or 'empty'}",
        _count(weights, packed, quantization),
        f"quantization: {quantization}",
        *(f"{name}: {answer(weights)}" for name, answer in LOADERS.items()),
    ]
    return lines + [_line(name, tensor) for name, tensor in weights.tensors.items()]


def _count(weights: ModelFile, packed: int, quantization: str) -> str:
    """Say how many parameters there are and how many bits each takes, scales and zeros included."""
    names = [name for name in weights.tensors if not _is_beside(name, weights)]
    plain = sum(
        prod(weights.tensors[name].shape)
        for name in names
        if weights.tensors[name].dtype.is_floating_point and name.rpartition(".")[2] not in SCALES
    )
    used = sum(weights.tensors[name].nbytes for name in names)
    if plain + packed == 0 or (packed == 0 and quantization != "none"):
        return "parameters: can't be told from the header alone"
    beside = len(weights.tensors) - len(names)
    text = f"{plain + packed:,} parameters, {8 * used / (plain + packed):.2f} bits per weight"
    return text + (f"; {beside} tensors beside them" if beside else "")


def _is_beside(name: str, weights: ModelFile) -> bool:
    """Tell whether a tensor is no parameter: a mask, a tied head, a moment of an optimizer."""
    if weights.kind == "tensorflow" and not weights.problem:
        return hub_name_of(name) is None
    return NO_PARAMETER.fullmatch(name) is not None


def _kind(tensor: LazyTensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _line(name: str, tensor: LazyTensor) -> str:
    return f"{printable(name):32} {_kind(tensor):9} {str(list(tensor.shape)):16} {tensor.nbytes:>12,} bytes"
