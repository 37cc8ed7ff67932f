"""Find the weights behind a name, a folder or a file, and open them in whatever format they are."""

from __future__ import annotations

from pathlib import Path

from utils.config import SIZES, GPT2Config
from utils.errors import CourseError, show
from utils.files.places import DATA
from utils.files.whole_files import read_json
from utils.formats.gguf import is_gguf
from utils.formats.gguf_gpt2 import gpt2_from_gguf
from utils.formats.hub_layout import check_tensors, found_shape, parse_config
from utils.formats.safetensors import StoredTensor, _open_safetensors
from utils.formats.tf_checkpoint import latest_checkpoint


def open_weights(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a .safetensors or .bin file, or of an index of shards, by name."""
    if path.name.endswith(".index.json"):
        return _open_shards(path)
    if path.suffix == ".index":
        from utils.formats.tf_checkpoint import open_tf_checkpoint

        return open_tf_checkpoint(path)
    if not path.is_file():
        raise CourseError(f"{path} is not there. Give a file or folder of weights, or a size such as small.")
    with path.open("rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":  # asked first: the length before it may begin with any byte, those below too
        return _open_safetensors(path)
    if start[:2] == b"PK":
        from utils.formats.torch_files import open_torch_file

        return open_torch_file(path)
    if start[:1] == b"\x80":
        raise CourseError(f"{path} is in PyTorch's format of before 2020. Load it with torch once and save it again.")
    raise CourseError(f"{path} is no file of weights: {_describe_start(start)}. Fetch or save it again.")


def _describe_start(start: bytes) -> str:
    if not start:
        return "it is empty"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, most likely an error page that was saved as weights"
    if start.startswith(b"version https://"):
        return "it is a pointer of Git LFS, the weights themselves were not fetched"
    return f"it begins with {start[:8]!r}, and not like safetensors or .bin"


def _open_shards(index: Path) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CourseError(f"{index} has no weight_map from tensor names to file names. Fetch it again.")
    for shard in sorted(set(places.values())):
        if not shard.endswith((".safetensors", ".bin")) or set(shard) & set("/\\:\0"):
            raise CourseError(
                f"{index} names the shard {show(shard)}, expected a plain file name beside the index. Fetch it again."
            )
        tensors = open_weights(index.parent / shard)
        if twice := found.keys() & tensors.keys():
            raise CourseError(f"{index}: {show(min(twice))} is in {shard} and in a shard before it. Fetch it again.")
        found |= tensors
    if missing := sorted(set(places) - set(found)):
        raise CourseError(
            f"{index} promises {show(missing[0])} (and {len(missing) - 1} more), the shards don't hold it."
        )
    return found


SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"


WEIGHT_FILES = (SAFE, f"{SAFE}.index.json", PICKLED, f"{PICKLED}.index.json", "quantized.safetensors")


def is_packed(weights_file: Path) -> bool:
    """Say whether a file holds packed layers, as `save_quantized` writes them."""
    plain = weights_file.suffix == ".safetensors" and not is_gguf(weights_file)
    return plain and any(name.endswith(".packed") for name in open_weights(weights_file))


def open_with_config(weights_file: Path) -> tuple[dict, GPT2Config]:
    """Find tensors and config, under the hub's names and in its layout, and check that they agree."""
    if is_gguf(weights_file):
        stored, raw = gpt2_from_gguf(weights_file)
        config = parse_config(raw, weights_file, found_shape(stored, weights_file))
    else:
        stored = open_model(weights_file)
        config = read_config(weights_file.parent, stored)
    check_tensors(config, stored, weights_file)
    return stored, config


def open_model(weights_file: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file under the hub's names, those that GPTQ packed as matrices that unpack themselves."""
    opened = open_weights(weights_file)
    stored = {name.removeprefix("transformer."): tensor for name, tensor in opened.items()}
    if len(stored) < len(opened):
        twice = next(name for name in opened if f"transformer.{name}" in opened)
        raise CourseError(f"{weights_file} holds {show(twice)} with and without the prefix transformer. Save it again.")
    if any(name.endswith(".qweight") for name in stored):
        from utils.formats.gptq_folder import unpack_layers

        return unpack_layers(stored, weights_file.parent)
    return stored


def find_model(name_or_path: str | Path) -> Path:
    """Return where a size or path lies on this disk, downloading a hub size when it is not here yet."""
    if name_or_path in SIZES and name_or_path != "nano":
        from utils.files.hub import fetch

        return fetch(str(name_or_path))
    path = DATA / "nano" if name_or_path == "nano" else Path(name_or_path)
    if not path.exists():
        raise CourseError(
            f"{path} is neither a file, a folder nor a size. Sizes are {', '.join(SIZES)}; "
            "a folder holds config.json and model.safetensors or pytorch_model.bin."
        )
    return path


def find_weights(path: Path) -> Path:
    """Return the file of weights in a folder, or the file itself."""
    if path.is_file():
        index = path.name.partition(".data-")[0] + ".index"  # a TensorFlow checkpoint has two files
        return path.with_name(index) if ".data-" in path.name else path
    for name in WEIGHT_FILES:
        if (path / name).is_file():
            return path / name
    if (checkpoint := latest_checkpoint(path)) is not None:
        return checkpoint
    for kind in ("*.safetensors", "*.gguf"):
        if len(alone := list(path.glob(kind))) == 1:
            return alone[0]
    names = sorted(entry.name for entry in path.iterdir())[:5]
    raise CourseError(
        f"{path} holds {names or 'nothing'}, expected one of {', '.join(WEIGHT_FILES)}, "
        "a checkpoint of gpt-2-simple, or one .safetensors or .gguf file."
    )


def read_config(folder: Path, stored: dict[str, StoredTensor]) -> GPT2Config:
    """Read config.json or hparams.json, or recognize the shape without them, and check that the tensors agree."""
    found = layers, width, vocab, context = found_shape(stored, folder)
    if (folder / "config.json").is_file():
        return parse_config(read_json(folder / "config.json"), folder / "config.json", found)
    if (folder / "hparams.json").is_file():
        raw = read_json(folder / "hparams.json")
        return parse_config(raw, folder / "hparams.json", found, ("n_layer", "n_embd", "n_vocab", "n_ctx"))
    heads = max(1, width // 64)  # every published GPT-2 has heads of width 64
    return GPT2Config(layers, heads, width, vocab, context)
