"""Open any file or folder of GPT-2 weights: find it, recognize the format by its first bytes, parse its header once.

Lesson 06 walks through the formats; each has a module of its own in this room.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from utils.config import SIZES, GPT2Config, format_bytes, total_parameters
from utils.errors import CourseError, guarded, show
from utils.files.places import DATA
from utils.files.whole_files import read_json
from utils.formats.gguf import GGUFFile, open_gguf
from utils.formats.gguf_gpt2 import config_from_gguf, gpt2_from_gguf
from utils.formats.gguf_header import MAGIC
from utils.formats.gptq_folder import unpack_layers
from utils.formats.hub_layout import CONFIG_NAMES, check_tensors, found_shape, parse_config, tie_tables
from utils.formats.safetensors import LazyTensor, open_safetensors
from utils.formats.tf_checkpoint import gpt2_variables, latest_checkpoint, open_tf_checkpoint
from utils.formats.torch_files import TorchTensor, open_torch_file

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
WEIGHT_FILES = (SAFE, f"{SAFE}.index.json", PICKLED, f"{PICKLED}.index.json", "quantized.safetensors")
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")  # peft wrote the second until 2023
WRAPPED = re.compile(r"(_orig_mod\.|module\.|model\.|transformer\.)+")  # of torch.compile, DDP, Lightning, transformers
HPARAMS = ("n_layer", "n_embd", "n_vocab", "n_ctx")


@dataclass(frozen=True)
class ModelFile:
    """An opened model file: its header is parsed, its weights stay on the disk.

    `kind` is safetensors, torch, shards, tensorflow or gguf; `tensors` have the names of the file itself.
    """

    name: str  # what was asked for: a size, a folder or a file
    place: Path  # the folder or file that it stands for
    file: Path  # the file of weights
    kind: str
    tensors: Mapping[str, LazyTensor]
    note: dict[str, str] = field(default_factory=dict)  # what a .safetensors file says about itself
    gguf: GGUFFile | None = None

    @property
    def tokenizer_place(self) -> Path:
        """Where the tokenizer of these weights lies: in the same GGUF file, or in the folder."""
        return self.place if self.place.is_dir() or self.gguf else self.place.parent

    @property
    def folder(self) -> Path:
        return self.file.parent

    @cached_property
    def parts(self) -> set[str]:
        """The last parts of the tensors' names, which tell packed weights: weight, qweight, absmax …"""
        return {name.rpartition(".")[2] for name in self.tensors}

    @cached_property
    def wrappers(self) -> list[str]:
        """What stood around the weights and is left off, such as 'transformer.' before each name."""
        around = {f"{show(each.source.inside)} around them" for each in self.tensors.values()
                  if isinstance(each, TorchTensor) and each.source.inside}  # fmt: skip
        before = {f"{show(found[0])} before their names" for name in self.tensors if (found := WRAPPED.match(name))}
        return sorted(around) + sorted(before)

    @property
    def is_packed(self) -> bool:
        """Whether it holds packed layers, as `save_quantized` writes them."""
        return "packed" in self.parts and self.kind == "safetensors"

    @property
    def is_adapter(self) -> bool:
        """Whether it holds LoRA matrices and no model."""
        return any(".lora_A." in name for name in self.tensors)

    @cached_property
    def stored(self) -> dict[str, LazyTensor]:
        """The tensors under the hub's names and in its layout; what GPTQ packed unpacks itself when it is read."""
        with guarded(self.file):
            if self.gguf:
                stored = gpt2_from_gguf(self.gguf)
            elif self.kind == "tensorflow":
                stored = gpt2_variables(self.file, self.tensors)
            else:
                stored = _unwrapped(self.tensors, self.file)
            if any(name.endswith(".qweight") for name in stored):
                stored = unpack_layers(stored, self.folder)
            tie_tables(stored, self.file)
            return stored

    @cached_property
    def config(self) -> GPT2Config:
        """The shape that config.json, hparams.json, a GGUF header or the tensors tell, held against the tensors."""
        found, path, raw, names = found_shape(self.stored, self.file), self.file, {}, CONFIG_NAMES
        if self.gguf:
            raw = config_from_gguf(self.gguf)
        elif (beside := self.folder / "config.json").is_file():
            path, raw = beside, read_json(beside)
        elif (beside := self.folder / "hparams.json").is_file():
            path, raw, names = beside, read_json(beside), HPARAMS
        with guarded(path):
            config = parse_config(raw, path, found, names)
            check_tensors(config, self.stored, self.file)
            return config

    @property
    def loaded_bytes(self) -> int:
        """The bytes that it takes in memory as float32, at most."""
        if self.is_packed or self.is_adapter:
            return 2 * sum(tensor.nbytes for tensor in self.tensors.values())  # 16 bits become 32, packed ones stay
        return 4 * total_parameters(self.config)


def open_model_file(name: str | Path | ModelFile, values: bool = True) -> ModelFile:
    """Open a size (nano, small …), a folder or a file, and parse its header, once; no weights are read.

    Without `values` TensorFlow's checkpoints are only listed, for `inspect`.
    """
    if isinstance(name, ModelFile):
        return name
    place = find_model(name)
    opened = partial(ModelFile, str(name), place, file := find_weights(place))
    with guarded(file):
        if file.suffix == ".index":
            return opened("tensorflow", open_tf_checkpoint(file, values))
        if file.name.endswith(".index.json"):
            return opened("shards", _open_shards(file))
        if first_bytes(file).startswith(MAGIC):
            return opened("gguf", (gguf := open_gguf(file)).tensors, gguf=gguf)
        return opened(*_open_single(file))


def open_weights(path: Path) -> Mapping[str, LazyTensor]:
    """Return the tensors of one file, or of an index of shards, under the file's own names."""
    return open_model_file(path).tensors


def first_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(1024)
    except OSError as error:
        raise CourseError(f"{file} can't be read: {error.strerror}. Fetch it again, or give another file.") from error


def _open_single(file: Path) -> tuple[str, Mapping[str, LazyTensor], dict[str, str]]:
    """Open one file of safetensors or of torch.save."""
    start = first_bytes(file)
    if (other := describe_other(file, start)) is not None:
        raise CourseError(f"{file} is no file of weights: it is {other}. Fetch or save it again.")
    if start[8:9] == b"{":
        return "safetensors", *open_safetensors(file)
    return "torch", open_torch_file(file), {}


def _open_shards(index: Path) -> dict[str, LazyTensor]:
    found: dict[str, LazyTensor] = {}
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CourseError(f"{index} has no weight_map from tensor names to file names. Fetch it again.")
    for shard in sorted(set(places.values())):
        if not shard.endswith((".safetensors", ".bin")) or set(shard) & set("/\\:\0"):
            raise CourseError(f"{index} names the shard {show(shard)}, expected a file beside it. Fetch it again.")
        tensors = _open_single(index.parent / shard)[1]
        if twice := found.keys() & tensors.keys():
            raise CourseError(f"{index}: {show(min(twice))} is in {shard} and in a shard before it. Fetch it again.")
        found |= tensors
    if missing := sorted(set(places) - set(found)):
        raise CourseError(f"{index} promises {show(missing[0])} (and {len(missing) - 1} more), its shards lack it.")
    return found


def _unwrapped(tensors: Mapping[str, LazyTensor], file: Path) -> dict[str, LazyTensor]:
    """Strip what wrappers put before the names."""
    found: dict[str, LazyTensor] = {}
    for name, tensor in tensors.items():
        short = WRAPPED.sub("", name, count=1) if WRAPPED.match(name) else name
        if short in found:
            raise CourseError(f"{file} holds {show(short)} with and without a wrapper's prefix. Save it again.")
        found[short] = tensor
    return found


def find_model(name_or_path: str | Path) -> Path:
    """Return where a size or path lies on this disk, downloading a hub size when it is not here yet."""
    if name_or_path in SIZES and name_or_path != "nano":
        from utils.files.hub import fetch

        return fetch(str(name_or_path))
    path = DATA / "nano" if name_or_path == "nano" else Path(name_or_path)
    if not is_there(path) and (index := path.with_name(f"{path.name}.index")).is_file():
        return index  # TensorFlow calls a checkpoint by what the names of its files have in common
    if not is_there(path):
        raise CourseError(
            f"{path} is neither a file, a folder nor a size. Sizes are {', '.join(SIZES)}; "
            "a folder holds config.json and model.safetensors or pytorch_model.bin."
        )
    return path


def is_there(path: Path) -> bool:
    """Say whether a file or folder is there; a text that can't be a path is refused."""
    try:
        return path.exists()
    except OSError as error:
        raise CourseError(f"{show(str(path))} is no path: {error.strerror}. Check the spelling.") from error


def find_weights(path: Path) -> Path:
    """Return the file of weights in a folder, or the file itself."""
    if path.is_file():
        index = path.name.partition(".data-")[0] + ".index"  # a TensorFlow checkpoint has two files
        return path.with_name(index) if ".data-" in path.name else path
    if not path.is_dir():
        raise CourseError(f"{path} is a device, a pipe or a socket, expected a file or a folder of weights.")
    for name in (*WEIGHT_FILES, *ADAPTERS):  # a run of adapters keeps its checkpoint beside it
        if (path / name).is_file():
            return path / name
    if (checkpoint := latest_checkpoint(path)) is not None:
        return checkpoint
    for kind in ("*.safetensors", "*.gguf"):
        if len(alone := list(path.glob(kind))) == 1:
            return alone[0]
    names = sorted(entry.name for entry in path.iterdir())[:5]
    if "saved_model.pb" in names:
        raise CourseError(
            f"{path} is a SavedModel, a graph of TensorFlow. Load it with TensorFlow where it was made, and save its "
            "weights as safetensors."
        )
    raise CourseError(
        f"{path} holds {names or 'nothing'}, expected one of {', '.join(WEIGHT_FILES)}, "
        "a checkpoint of gpt-2-simple, or one .safetensors or .gguf file."
    )


LFS = re.compile(rb"version https://\S+\noid sha256:([0-9a-f]{1,64})\nsize (\d{1,20})\n")
MSGPACK = re.compile(rb"[\x81-\x8f][\xa1-\xbf][a-z]")  # a map of few names, the first of which is short
ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x3a]")
# Files that hold no weights which anything here opens, by how they begin
STARTS = (
    (b"\x93NUMPY", "one array of NumPy"),
    (b"\x89HDF\r\n", "HDF5, in which Keras saved weights (tf_model.h5); the same model is published as safetensors"),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (b"lmgg", "GGML, the format before GGUF: convert the original weights with save_gguf"),
    (b"tjgg", "GGML, the format before GGUF: convert the original weights with save_gguf"),
)


def describe_other(file: Path, start: bytes) -> str | None:
    """Say what a file is that is none of weights; None for safetensors, GGUF, and what may be of torch.save."""
    if start[8:9] == b"{" or start.startswith(MAGIC):  # asked first: safetensors may begin with any byte
        return None
    if pointer := LFS.match(start):
        size, digest = format_bytes(int(pointer[2])), pointer[1].decode()
        return f"a pointer of Git LFS to {size} with SHA-256 {digest}: run `git lfs pull` to fetch them"
    for mark, what in STARTS:
        if start.startswith(mark):
            return what
    if not start.strip():
        return "empty"
    if start.lstrip()[:1] == b"<":
        return "a web page, most likely an error page that was saved as weights"
    if start[4:8] == b"TFL3":
        return "TFLite, a graph for small devices: take the weights that it was converted from"
    if MSGPACK.match(start):
        return "msgpack, in which Flax saved weights: the same model is published as safetensors"
    if ONNX.match(start):
        return "ONNX, a graph for onnxruntime: take the weights that it was exported from"
    if start[:2] == b"PK":
        return _describe_zip(file)
    if start[:1] != b"\x80":
        return f"no format known here, it begins with {start[:8]!r}"
    return None


def _describe_zip(file: Path) -> str | None:
    """Tell .npz and .keras from what torch.save wrote; what can't be read as a zip is left to torch."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return f"a zip of {len(names)} arrays of NumPy (.npz)"
    if "model.weights.h5" in names:
        return "a model of Keras (.keras): load it with Keras and save its weights anew"
    return None if any(name.endswith("data.pkl") for name in names) else f"a zip of {show(names[:3])}"
