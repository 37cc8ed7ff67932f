"""Training recipes: a whole run from its settings; which model, which data, how to train, where to keep it.

Lesson 11 writes one; `python course.py train` and the labs run them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from utils.batches import Tokens, open_batches
from utils.config import SIZES, count_parameters
from utils.errors import CourseError
from utils.files.beginnings import write_beginnings
from utils.files.progress import progress
from utils.files.settings import read_settings
from utils.loaders import load_gpt2, load_tokenizer, save_gpt2
from utils.lora import add_lora, pack_base, trained_parameters
from utils.machine import pick_device
from utils.model import GPT2, set_dropout
from utils.run_log import RunLog
from utils.sampling import Sampling
from utils.system_log import SystemLog
from utils.texts.bins import load_bin, names_of_texts
from utils.texts.memorization import Phrases
from utils.tokenizer import CharTokenizer, Tokenizer
from utils.training.checkpoints import BEST
from utils.training.compact_vocabulary import CompactTokenizer, CompactVocabulary
from utils.training.config import TrainConfig, check_ranges
from utils.training.data import MemorizationMeter, TrainingData, epoch_sentence, texts_between
from utils.training.distributed import World
from utils.training.loop import TrainResult, train
from utils.training.run_folder import claimed


@dataclass(frozen=True)
class TrainingRecipe(TrainConfig):
    """A whole run: TrainConfig and what it is applied to."""

    out: str = "runs/latest"  # folder for weights, checkpoints and logs
    data: str = "data/prepared"  # a folder with train.bin and validate.bin
    measure_also: str = ""  # more such folders, parted by commas: how much of other texts is forgotten?
    memorization_samples: int = 0  # texts written at each evaluation, to see what is known by heart; 0 writes none
    size: str = "nano"  # the shape of a model that starts from zero
    weights: str = ""  # a size, folder or file to start from; empty starts from zero
    n_layer: int = 0  # blocks; 0 keeps the size's own figure
    n_head: int = 0  # attention heads; 0 keeps the size's own figure
    n_embd: int = 0  # width; 0 keeps the size's own figure
    dropout: float = 0.0  # share of numbers set to 0 at random in each step, against learning by heart
    lora_rank: int = 0  # 0 trains the weights themselves; above, adapters beside weights that stay as they are
    lora_alpha: float = 16.0  # adapters count alpha / rank times
    lora_layers: str = "attention.qkv,attention.out,mlp.up,mlp.down"  # which layers get adapters
    base_bits: int = 0  # with lora_rank: pack the weights to so many bits (QLoRA); 0 leaves them alone
    compact: bool = False  # train on the tokens that the data uses, and add the others at the end
    # The model goes on from `sample`: the Generated Sentence of an epoch's row in training_log.csv. The first row has
    # one; a later row has one if the run took as many steps since the last as a sentence has tokens. So rows of short
    # epochs may go without, and writing stays cheap beside learning. Under fsdp, whose shards can't write, no row has.
    sample: str = "The"  # beginning of the sentence that is written after an epoch; empty writes none
    sample_tokens: int = 24  # of one sentence, at most
    beginnings: str = ""  # parted by |, which suit the model: a page that serves it offers them
    device: str = ""  # empty takes the best there is
    watch: float = 1.0  # seconds between two rows of system_log.csv; 0 writes none

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, RECIPE_RANGES)


RECIPE_RANGES = {
    **dict.fromkeys(["n_layer", "n_head", "n_embd", "lora_rank", "base_bits", "watch"], (0, math.inf)),
    "memorization_samples": (0, math.inf),
    "sample_tokens": (1, 100),
    "dropout": (0, 1),
}


def run_recipe(words: Sequence[str]) -> TrainResult:
    """Train as a recipe and key=value words say, and keep checkpoints and logs in its folder."""
    recipe = read_settings(TrainingRecipe, words)
    torch.manual_seed(recipe.seed)
    world = World()
    with claimed(recipe.out, world):  # to the end: the weights get their full vocabulary after the last step
        model, data, vocabulary = open_run(recipe, world)
        watched = recipe.watch and world.is_first
        watch = SystemLog(Path(recipe.out) / "system_log.csv", recipe.watch) if watched else None
        log = open_log(recipe, model, vocabulary, watch)
        if world.is_first:
            count, learns = sum(count_parameters(model.config).values()), trained_parameters(model)
            trained = f", {learns:,} of them trained," if recipe.lora_rank else ""
            read = f"{len(data.batches.tokens):,} tokens to learn from"
            print(f"{count:,} parameters{trained} on {model.device}; {read}")
        result = train(model, data, recipe, log, watch)
        if world.is_first:
            if vocabulary:
                save_gpt2(vocabulary.expand(load_gpt2(recipe.out), data, recipe.seed), recipe.out)
            load_tokenizer(recipe.data).save(recipe.out)  # so that chat knows how to read and write
            write_beginnings(recipe.out, recipe.beginnings.split("|"))
            print(f"{result.reason}; weights and logs are in {recipe.out}")
    return result


def open_log(
    recipe: TrainingRecipe, model: GPT2, vocabulary: CompactVocabulary | None, watch: SystemLog | None
) -> RunLog:
    """Return the run's log, which lets the model write a sentence now and then if the recipe says so."""
    known, sample = load_tokenizer(recipe.data), None
    tokenizer = CompactTokenizer(known, vocabulary.used) if vocabulary else known
    alone = recipe.parallel == "ddp" or World().world_size == 1  # shards of a model can't write without the others
    if recipe.sample and alone and can_encode(tokenizer, recipe.sample):
        stop = (tokenizer.end_of_text,)
        settings = Sampling(recipe.sample_tokens, temperature=0.8, seed=recipe.seed, stop=stop, window=True)
        sample = epoch_sentence(model, tokenizer, recipe.sample, settings)
    return RunLog(
        recipe.out,
        every=recipe.log_every,
        sample=sample,
        sample_every=recipe.sample_tokens,
        resource=names_of_texts(recipe.data),
        machine=watch.describe if watch else None,
    )


def can_encode(tokenizer: Tokenizer | CharTokenizer | CompactTokenizer, text: str) -> bool:
    """Say whether a tokenizer knows a text, and if not, why no sentences will be written."""
    try:
        tokenizer.encode(text)
    except CourseError as error:
        print(f"No sentence will be written after each epoch, give another sample=…: {error}", file=sys.stderr)
        return False
    return True


def open_run(recipe: TrainingRecipe, world: World) -> tuple[GPT2, TrainingData, CompactVocabulary | None]:
    """Return model and data, both in the tokens that the texts use where the recipe asks for that."""
    data, size = open_data(recipe, world), load_tokenizer(recipe.data).vocab_size
    if not recipe.compact:
        return build_model(recipe, size, world), data, None
    vocabulary = CompactVocabulary.of(data, size)
    model = build_model(recipe, size if recipe.weights else len(vocabulary.used), world)
    if recipe.weights:
        vocabulary.table = model.token_embedding.weight.detach().cpu().clone()
    if recipe.resume and world.is_first and (Path(recipe.out) / BEST).is_file():
        save_gpt2(vocabulary.shrink(load_gpt2(recipe.out)), recipe.out)  # a run that was finished has all tokens
    return vocabulary.shrink(model), vocabulary.shorten(data), vocabulary


def build_model(recipe: TrainingRecipe, vocab_size: int, world: World) -> GPT2:
    """Return the model to train: pretrained weights, or new ones in the recipe's shape, with adapters if it says so."""
    device = pick_device(recipe.device or None)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", world.local_rank)
    shape = {name: getattr(recipe, name) for name in ("n_layer", "n_head", "n_embd") if getattr(recipe, name)}
    if not recipe.weights:
        if recipe.size not in SIZES:
            raise CourseError(f"size is {recipe.size!r}, expected one of {', '.join(SIZES)}.")
        return adapt(GPT2(replace(SIZES[recipe.size], vocab_size=vocab_size, **shape)).to(device), recipe)
    if shape:
        raise CourseError(f"{', '.join(shape)} can't be set together with weights={recipe.weights}; drop one.")
    model = load_gpt2(recipe.weights, device=device)
    if model.config.vocab_size != vocab_size:
        raise CourseError(
            f"{recipe.weights} has {model.config.vocab_size:,} tokens, {recipe.data} was made with {vocab_size:,}. "
            "Prepare the text again with this model's tokenizer."
        )
    return adapt(model, recipe)


def adapt(model: GPT2, recipe: TrainingRecipe) -> GPT2:
    """Set dropout, pack the weights and put adapters beside them, in place, where the recipe asks for that."""
    if recipe.base_bits and not recipe.lora_rank:
        raise CourseError(f"base_bits is {recipe.base_bits}, but packed weights can't learn: set lora_rank, too.")
    if recipe.lora_rank and recipe.compact:
        raise CourseError("compact trains the token table, LoRA leaves it alone: drop compact or lora_rank.")
    if recipe.dropout:
        set_dropout(model, recipe.dropout)
    if recipe.base_bits:
        pack_base(model, recipe.base_bits)
    layers = [name.strip() for name in recipe.lora_layers.split(",")]
    return add_lora(model, recipe.lora_rank, recipe.lora_alpha, layers) if recipe.lora_rank else model


def open_data(recipe: TrainingRecipe, world: World) -> TrainingData:
    """Open train.bin and validate.bin of a prepared folder, and what else is to be measured."""
    folder = Path(recipe.data)
    if not (folder / "train.bin").is_file():
        raise CourseError(
            f"{folder / 'train.bin'} is not there. Make it: python course.py prepare TEXTS --out {folder}"
        )
    tokenizer, held_out, meter = load_tokenizer(folder), folder / "validate.bin", None
    end = tokenizer.end_of_text
    parted = end if recipe.whole_documents else None
    whose = dict(seed=recipe.seed, rank=world.rank, world_size=world.world_size, fixed_windows=recipe.fixed_windows)
    batches = open_batches(folder / "train.bin", recipe.batch_size, recipe.context, parted, **whose)
    trained: dict[str, Tokens] = {"train": batches.tokens} if recipe.measure_train else {}
    also = trained | open_others(recipe, tokenizer.vocab_size)
    if recipe.memorization_samples:  # it keeps eight bytes for each phrase of the training text
        texts = texts_between(np.asarray(batches.tokens), end, tokenizer.decode)
        phrases = Phrases(progress(texts, "phrases of the training text, documents", after=2.0))
        meter = MemorizationMeter(phrases, tokenizer.decode, end, recipe.memorization_samples)
    return TrainingData(batches, load_bin(held_out) if held_out.is_file() else None, also, meter)


def open_others(recipe: TrainingRecipe, vocab_size: int) -> dict[str, Tokens]:
    """Open validate.bin of each folder in measure_also, by the folder's name."""
    found: dict[str, Tokens] = {}
    for name in filter(None, map(str.strip, recipe.measure_also.split(","))):
        path = Path(name) / "validate.bin"
        if not path.is_file():
            raise CourseError(f"{path} is not there, though measure_also asks for it. Prepare {name}, or leave it out.")
        if (theirs := load_tokenizer(name).vocab_size) != vocab_size:
            raise CourseError(
                f"{name} was made with {theirs:,} tokens and {recipe.data} with {vocab_size:,}, so one model can't "
                "read both. Prepare one of them again."
            )
        found[Path(name).name if Path(name).name not in found else name] = load_bin(path)
    return found
