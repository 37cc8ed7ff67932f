"""A run from its settings: which model, which data, how to train, where to keep it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from utils.batches import Batches, load_bin
from utils.config import SIZES, count_parameters
from utils.devices import pick_device
from utils.distributed import ProcessGroup
from utils.errors import CourseError
from utils.loaders import load_gpt2, save_gpt2
from utils.lora import add_lora, pack_base, trained_parameters
from utils.model import GPT2
from utils.run_log import RunLog
from utils.settings import read_settings
from utils.tokenizer import META, load_tokenizer
from utils.training import TrainConfig, TrainingData, TrainResult, train
from utils.vocabulary import compact, expand, used_tokens


@dataclass(frozen=True)
class Recipe(TrainConfig):
    """A whole run: TrainConfig and what it is applied to."""

    out: str = "runs/latest"
    data: str = "data/prepared"  # a folder with train.bin and validate.bin
    size: str = "nano"  # the shape of a model that starts from zero
    weights: str = ""  # a size, folder or file to start from; empty starts from zero
    n_layer: int = 0  # 0 keeps the size's own figure, here and below
    n_head: int = 0
    n_embd: int = 0
    lora_rank: int = 0  # 0 trains the weights themselves; above, adapters beside weights that stay as they are
    lora_alpha: float = 16.0
    lora_layers: str = "attention.qkv,attention.out,mlp.up,mlp.down"
    base_bits: int = 0  # with lora_rank: pack the weights to so many bits (QLoRA); 0 leaves them alone
    compact: bool = False  # train on the tokens that the data uses, and add the others at the end
    device: str = ""  # empty takes the best there is


def run_recipe(words: Sequence[str]) -> TrainResult:
    """Train as a recipe and key=value words say, and keep checkpoints and logs in its folder."""
    recipe = read_settings(Recipe, words)
    torch.manual_seed(recipe.seed)
    group = ProcessGroup()
    data, tokenizer = open_data(recipe, group), load_tokenizer(recipe.data)
    used = used_tokens(data.batches.tokens, data.validate) if recipe.compact else None
    if used is not None:
        data.batches.tokens = compact(data.batches.tokens, used)
        data = TrainingData(data.batches, compact(data.validate, used))
    model = build_model(recipe, tokenizer.vocab_size if used is None else len(used), group.local_rank)
    log = RunLog(recipe.out, every=recipe.log_every)
    if group.is_first:
        count = sum(count_parameters(model.config).values())
        trained = f", {trained_parameters(model):,} of them trained," if recipe.lora_rank else ""
        print(f"{count:,} parameters{trained} on {model.device}; {len(data.batches.tokens):,} tokens to learn from")
    result = train(model, data, loop_settings(recipe), log)
    if used is not None and group.is_first:
        save_gpt2(expand(model.cpu(), used, tokenizer.vocab_size, expansion_sample(data, recipe)), recipe.out)
    if group.is_first:
        tokenizer.save(Path(recipe.out) / META)  # so that chat knows how to read and write
        print(f"{result.reason}; weights and logs are in {recipe.out}")
    return result


def expansion_sample(data: TrainingData, recipe: Recipe) -> torch.Tensor:
    """Return windows (16, context) that begin anywhere in the text, and as many of tokens drawn by chance."""
    chance = torch.Generator().manual_seed(recipe.seed)
    texts = torch.from_numpy(data.validate.astype("int64"))
    starts = torch.randint(len(texts) - recipe.context, (16,), generator=chance).tolist()
    windows = torch.stack([texts[start : start + recipe.context] for start in starts])
    return torch.cat([windows, torch.randint(int(texts.max()), windows.shape, generator=chance)])


def loop_settings(recipe: Recipe) -> TrainConfig:
    """Return the part of a recipe that the loop needs."""
    return TrainConfig(**{field.name: getattr(recipe, field.name) for field in fields(TrainConfig)})


def build_model(recipe: Recipe, vocab_size: int = 50257, local_rank: int = 0) -> GPT2:
    """Return the model to train: pretrained weights, or new ones in the recipe's shape."""
    device = pick_device(recipe.device or None)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    shape = {name: getattr(recipe, name) for name in ("n_layer", "n_head", "n_embd") if getattr(recipe, name)}
    if recipe.weights:
        if shape:
            raise CourseError(f"{', '.join(shape)} can't be set together with weights={recipe.weights}; drop one.")
        model = load_gpt2(recipe.weights, device=device)
        if model.config.vocab_size != vocab_size:
            raise CourseError(
                f"{recipe.weights} has {model.config.vocab_size:,} tokens, {recipe.data} was made with {vocab_size:,}. "
                "Prepare the text again with this model's tokenizer."
            )
        return adapt(model, recipe)
    if recipe.size not in SIZES:
        raise CourseError(f"size is {recipe.size!r}, expected one of {', '.join(SIZES)}.")
    model = GPT2(replace(SIZES[recipe.size], vocab_size=vocab_size, **shape))
    return adapt(model.to(device), recipe)


def adapt(model: GPT2, recipe: Recipe) -> GPT2:
    """Pack the weights and put adapters beside them, in place, where the recipe asks for that."""
    if not recipe.lora_rank:
        if recipe.base_bits:
            raise CourseError(f"base_bits is {recipe.base_bits}, but packed weights can't learn: set lora_rank, too.")
        return model
    if recipe.compact:
        raise CourseError("compact trains the token table, LoRA leaves it alone: drop compact or lora_rank.")
    if recipe.base_bits:
        pack_base(model, recipe.base_bits)
    return add_lora(
        model, recipe.lora_rank, recipe.lora_alpha, [name.strip() for name in recipe.lora_layers.split(",")]
    )


def open_data(recipe: Recipe, group: ProcessGroup) -> TrainingData:
    """Open train.bin and validate.bin of a prepared folder."""
    folder = Path(recipe.data)
    if not (folder / "train.bin").is_file():
        raise CourseError(f"{folder / 'train.bin'} is not there. Make it: python -m utils prepare TEXTS --out {folder}")
    batches = Batches(
        load_bin(folder / "train.bin"),
        recipe.batch_size,
        recipe.context,
        seed=recipe.seed,
        rank=group.rank,
        world_size=group.world_size,
    )
    held_out = folder / "validate.bin"
    return TrainingData(batches, load_bin(held_out) if held_out.is_file() else None)
