"""`inspect`: what a file or folder of weights is, its tensors, dtypes and bytes, and which loaders open it.

Told from headers alone; nothing is loaded. Lessons 05 and 06 use it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from math import prod
from pathlib import Path

from utils.config import format_bytes
from utils.errors import CourseError
from utils.formats.gguf import GGUFFile
from utils.formats.gguf_header import ARRAY
from utils.formats.gptq_folder import PackedMatrix, quantization_config, read_quantization
from utils.formats.open_file import (
    WEIGHT_FILES,
    ModelFile,
    describe_other,
    find_model,
    find_weights,
    first_bytes,
    is_there,
    open_model_file,
)
from utils.formats.quantized_files import open_quantized
from utils.formats.safetensors import LazyTensor
from utils.formats.tf_checkpoint import hub_name_of
from utils.quantize.quantized_linear import layer_shapes, plan_of

WHAT = {
    "safetensors": "safetensors",
    "torch": "file of torch.save",
    "shards": "index of {} shards",
    "tensorflow": "TensorFlow checkpoint",
    "gguf": "GGUF version {}",
}
# What is stored beside the parameters: causal masks, the tied head, a state of training
NO_PARAMETER = re.compile(r"(.*\.)?(attn\.(masked_)?bias|lm_head\.weight)|optimizer\..*|random\..*")
# Floating-point numbers that say what packed codes stand for
SCALES = ("scales", "absmax", "nested_absmax", "quant_map", "nested_quant_map", "SCB", "q_scale_max")
Told = tuple[str, int | None]  # how weights are packed, and how many the packed tensors stand for, if that can be told


def _ending_in(weights: ModelFile, part: str) -> dict[str, LazyTensor]:
    """Return the tensors of this part by the names of their layers."""
    ending = f".{part}"
    return {name.removesuffix(ending): each for name, each in weights.tensors.items() if name.endswith(ending)}


def problem_of(weights: ModelFile) -> str | None:
    """Why load_gpt2 would refuse it, or None; its own checks answer, up to where weights are read."""
    try:
        if weights.is_packed:
            open_quantized(weights)
        elif not weights.is_adapter:
            weights.config  # noqa: B018
    except CourseError as error:
        return str(error)
    return None


def describe_quantization(weights: ModelFile) -> Told:
    """Say how the weights are packed, and how many weights the packed tensors stand for."""
    if weights.gguf:
        kinds = Counter(tensor.kind for tensor in weights.tensors.values() if tensor.kind not in ("F32", "F16", "BF16"))
        return ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common()) or "none", 0
    return next((describe(weights) for mark, describe in QUANTIZED.items() if mark in weights.parts), ("none", 0))


def _gptq_or_awq(weights: ModelFile) -> Told:
    config = quantization_config(weights.folder) or {}
    if "g_idx" not in weights.parts or config.get("quant_method", "gptq") != "gptq":
        bits = config.get("bits", config.get("w_bit", 4))
        bits = bits if bits in (2, 3, 4, 8) else 4
        count = sum(prod(tensor.shape) * 32 // bits for tensor in _ending_in(weights, "qweight").values())
        return f"{config.get('quant_method', 'AWQ')!s:.20}, {bits} bits: weights scaled, rounded and packed", count
    try:
        layers = [tensor for tensor in weights.stored.values() if isinstance(tensor, PackedMatrix)]
        kind = read_quantization(weights.folder)["format"]
    except CourseError as error:
        return f"GPTQ, but {error}", None
    bits = ", ".join(f"{count} × {bits} bits" for bits, count in sorted(Counter(t.bits for t in layers).items()))
    groups = " and ".join(str(size) for size in sorted({t.shape[0] // t.groups for t in layers}))
    return f"GPTQ, {bits}, groups of {groups}, format {kind}", sum(prod(t.shape) for t in layers)


def _exl2(weights: ModelFile) -> Told:
    inputs, packed = _ending_in(weights, "q_invperm"), _ending_in(weights, "q_weight")
    layers = [(inputs[name].shape, packed[name].shape) for name in inputs.keys() & packed]
    count = sum(prod(perm) * words[-1] for perm, words in layers if words)
    used = sum(tensor.nbytes for tensor in packed.values())
    return f"EXL2, {8 * used / max(count, 1):.2f} bits on average, more where a layer is sensitive", count


def _bitsandbytes(weights: ModelFile) -> Told:
    sizes = {name: prod(tensor.shape) for name, tensor in weights.tensors.items()}
    if "SCB" in weights.parts:
        count = sum(size for name, size in sizes.items() if name.removesuffix("weight") + "SCB" in sizes)
        return "bitsandbytes, 8 bits, one scale per row", count
    count = sum(2 * size for name, size in sizes.items() if f"{name}.absmax" in sizes)
    return "bitsandbytes, 4 bits, blocks with one scale each", count


def _ours(weights: ModelFile) -> Told:
    what = "packed by this course's save_quantized"
    if problem_of(weights):
        return f"codes {what}", None
    model = open_quantized(weights)
    plan, shapes = plan_of(model), layer_shapes(model)
    counts = [f"{count} × {grid}" for grid, count in Counter(plan.values()).most_common()]
    return f"{'; '.join(counts)}; {what}", sum(prod(shapes[name]) for name in plan)


# By the last part of a tensor's name
QUANTIZED: dict[str, Callable[[ModelFile], Told]] = {
    "qweight": _gptq_or_awq,
    "q_weight": _exl2,
    "absmax": _bitsandbytes,
    "SCB": _bitsandbytes,
    "packed": _ours,
}


def _load_gpt2(weights: ModelFile) -> str:
    if "q_weight" in weights.parts:
        return "no, its weights are packed by EXL2: open it with exllamav2"
    if {"absmax", "SCB"} & weights.parts:
        return "no, its weights are packed by bitsandbytes: open it with transformers and bitsandbytes"
    if weights.is_adapter:
        return "yes, its folder, where adapter_config.json names a model; else load_lora beside one"
    problem = problem_of(weights)
    return f"no, {problem}" if problem else "yes"


def _transformers(weights: ModelFile) -> str:
    if weights.gguf:
        takes_config = weights.gguf.get("gpt2.context_length") not in (None, 1024)  # not taken from the file
        return "yes, with gguf_file= and config=" if takes_config else f"{_knowing(weights)}, with gguf_file="
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
    if not weights.gguf:
        return "no, it reads GGUF: use load_gpt2 and save_gguf"
    return _knowing(weights) if "tokenizer.ggml.tokens" in weights.gguf.metadata else "no, it holds no tokens"


def _knowing(weights: ModelFile) -> str:
    known = weights.gguf and weights.gguf.get("general.architecture") == "gpt2"
    return "yes" if known else "yes, if it knows the architecture"


def _gptqmodel(weights: ModelFile) -> str:
    if "qweight" not in weights.parts:
        return "no, these weights are not packed by GPTQ or AWQ"
    return "yes" if "g_idx" in weights.parts else "yes, on a GPU with CUDA"


def _exllamav2(weights: ModelFile) -> str:
    return "yes, on a GPU with CUDA" if "q_weight" in weights.parts else "no, these weights are not EXL2"


def _gpt_2_simple(weights: ModelFile) -> str:
    if weights.kind != "tensorflow":
        return "no, it reads TensorFlow checkpoints: use load_gpt2 and save_tf_checkpoint"
    for name in ("checkpoint", "hparams.json", "encoder.json", "vocab.bpe"):
        if not (weights.folder / name).is_file():
            return f"no, {name} is missing beside it"
    problem = problem_of(weights)
    return f"no, {problem}" if problem else "yes"


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
    file = find_weights(find_model(Path(path) if is_there(Path(path)) else path))
    start = b"" if file.name.endswith((".index", ".index.json")) else first_bytes(file)
    size = f"{printable(file.name)}: {file.stat().st_size:,} bytes"
    if start and (other := describe_other(file, start)):
        return [size, other, "load_gpt2: no, it holds no weights that it reads"]
    try:
        return describe(open_model_file(file, values=False))
    except CourseError as error:
        if start[:1] != b"\x80":
            raise
        return [size, "a pickle", f"load_gpt2: no, {error}"]


def describe(weights: ModelFile) -> list[str]:
    """Say what opened weights are, line by line: in all, then each loader, then each tensor."""
    total = sum(tensor.nbytes for tensor in weights.tensors.values())
    number = weights.gguf.version if weights.gguf else len({tensor.path for tensor in weights.tensors.values()})
    quantization, packed = describe_quantization(weights)
    kinds = Counter(tensor.kind for tensor in weights.tensors.values())
    dtypes = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
    return [
        f"{printable(weights.file.name)}: {len(weights.tensors)} tensors, {format_bytes(total)}",
        f"{WHAT[weights.kind].format(number)}, {dtypes or 'empty'}",
        _count(weights, packed),
        f"quantization: {quantization}",
        *([f"left off: {', '.join(weights.wrappers)}"] if weights.wrappers else []),
        *(f"{name}: {answer(weights)}" for name, answer in LOADERS.items()),
        *([f"{printable(key)}: {_value(weights.gguf, key)}" for key in weights.gguf.metadata] if weights.gguf else []),
        *(_line(name, tensor) for name, tensor in weights.tensors.items()),
    ]


def _count(weights: ModelFile, packed: int | None) -> str:
    """Say how many parameters there are and how many bits each takes, scales and zeros included."""
    found = {name: tensor for name, tensor in weights.tensors.items() if not _is_beside(name, weights)}
    plain = sum(
        prod(tensor.shape)
        for name, tensor in found.items()
        if tensor.dtype.is_floating_point and name.rpartition(".")[2] not in SCALES
    )
    if packed is None or plain + packed == 0:
        return "parameters: can't be told from the header alone"
    bits, beside = 8 * sum(tensor.nbytes for tensor in found.values()), len(weights.tensors) - len(found)
    text = f"{plain + packed:,} parameters, {bits / (plain + packed):.2f} bits per weight"
    return text + (f"; {beside} tensors beside them" if beside else "")


def _is_beside(name: str, weights: ModelFile) -> bool:
    """Tell whether a tensor is no parameter: a mask, a tied head, a moment of an optimizer."""
    if weights.kind == "tensorflow" and not problem_of(weights):
        return hub_name_of(name) is None
    return NO_PARAMETER.fullmatch(name) is not None


def _value(file: GGUFFile, key: str) -> str:
    """Show a value of GGUF's metadata in at most a line; of an array what it holds."""
    place = file.metadata[key]
    value = str(place) if place.type == ARRAY else file.get(key)
    shown = printable(value) if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _line(name: str, tensor: LazyTensor) -> str:
    return f"{printable(name):32} {tensor.kind:9} {str(list(tensor.shape)):16} {tensor.nbytes:>12,} bytes"


def printable(text: str) -> str:
    """Escape what could move the cursor of a terminal, and cut what is too long for a line."""
    return (text if text.isprintable() else ascii(text))[:100]
