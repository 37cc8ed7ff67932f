"""The last weights of a run, as a model: those that it ended with, not those that were best on held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from utils.checkpoints import LAST, copy_weights
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.recipes import Recipe
from utils.settings import read_settings
from utils.tokenizer import META, load_tokenizer
from utils.weights import open_weights


def last_model(recipe: Recipe) -> GPT2:
    """Return the model as the last step of a recipe's run left it, in the tokenizer's whole vocabulary."""
    stored = open_weights(Path(recipe.out) / LAST)
    shape = load_gpt2(recipe.out).config  # of the best weights, which a compact run has given all tokens already
    rows = stored["wte.weight"].shape[0]
    model = GPT2(replace(shape, vocab_size=rows)).eval()
    copy_weights(model, stored)
    size = load_tokenizer(recipe.data).vocab_size
    if rows == size:
        return model
    from utils.compact_runs import CompactVocabulary, expansion_sample
    from utils.distributed import ProcessGroup
    from utils.recipes import open_data
    from utils.vocabulary import expand

    data = open_data(recipe, ProcessGroup())
    vocabulary = CompactVocabulary.of(data, size)
    return expand(model, vocabulary.used, size, expansion_sample(vocabulary.shorten(data), recipe.seed))


def keep_last(words: Sequence[str], folder: str | Path) -> Path:
    """Save the last weights of a run into a folder that loads and serves; `words` are those it was started with."""
    recipe, folder = read_settings(Recipe, words), Path(folder)
    save_gpt2(last_model(recipe), folder)
    load_tokenizer(recipe.data).save(folder / META)
    return folder
