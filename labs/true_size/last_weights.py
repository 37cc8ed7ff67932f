"""The last weights of a run, as a model: those that it ended with, not those that were best on held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from utils.files.beginnings import write_beginnings
from utils.files.settings import read_settings
from utils.formats.open_file import open_weights
from utils.loaders import load_gpt2, load_tokenizer, save_gpt2
from utils.model import GPT2
from utils.training.checkpoints import LAST, copy_weights
from utils.training.compact_vocabulary import CompactVocabulary
from utils.training.distributed import World
from utils.training.recipes import TrainingRecipe, open_data


def last_model(recipe: TrainingRecipe) -> GPT2:
    """Return the model as the last step of a recipe's run left it: a compact one knows the used tokens only."""
    stored = open_weights(Path(recipe.out) / LAST)
    shape = load_gpt2(recipe.out).config  # of the best weights, which a compact run has given all tokens already
    model = GPT2(replace(shape, vocab_size=stored["wte.weight"].shape[0])).eval()
    copy_weights(model, stored)
    return model


def learned_text(recipe: TrainingRecipe) -> np.ndarray:
    """Return the tokens (time,) that a run learned, numbered as its last model numbers them."""
    data = open_data(recipe, World())
    if not recipe.compact:
        return np.asarray(data.batches.tokens)
    vocabulary = CompactVocabulary.of(data, load_tokenizer(recipe.data).vocab_size)
    return np.asarray(vocabulary.shorten(data).batches.tokens)


def keep_last(words: Sequence[str], folder: str | Path) -> Path:
    """Save the last weights of a run into a folder that loads and serves; `words` are those it was started with."""
    recipe, folder = read_settings(TrainingRecipe, words), Path(folder)
    model, tokenizer = last_model(recipe), load_tokenizer(recipe.data)
    if recipe.compact:
        data = open_data(recipe, World())
        vocabulary = CompactVocabulary.of(data, tokenizer.vocab_size)
        model = vocabulary.expand(model, vocabulary.shorten(data), recipe.seed)
    save_gpt2(model, folder)
    tokenizer.save(folder)
    write_beginnings(folder, recipe.beginnings.split("|"))
    return folder
