"""A run on the tokens that its texts use: data and model in the small vocabulary, files in the full one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.training import TrainingData
from utils.vocabulary import compact, expand, put_back, shrink, used_tokens


@dataclass
class CompactVocabulary:
    """Which of `size` tokens the texts use, and the rows of all of them where the model had any before."""

    used: np.ndarray
    size: int
    table: Tensor | None = None  # (vocab, width)

    @classmethod
    def of(cls, data: TrainingData, size: int) -> CompactVocabulary:
        texts = [data.batches.tokens, data.validate, *data.also.values()]
        starts = [] if data.memorization is None else [np.array([data.memorization.start])]
        return cls(used_tokens(*(text for text in texts if text is not None), *starts), size)

    def shorten(self, data: TrainingData) -> TrainingData:
        """Return the data with every token as its place among the used ones."""
        data.batches.tokens = self._of(data.batches.tokens)
        also: Mapping = {name: self._of(tokens) for name, tokens in data.also.items()}
        meter = data.memorization
        if meter is not None:
            (start,) = self._of(np.array([meter.start])).tolist()
            meter = replace(meter, start=start, decode=lambda ids, full=meter.decode: full(self.used[ids].tolist()))
        held_out = None if data.validate is None else self._of(data.validate)
        return TrainingData(data.batches, held_out, also, meter)

    def shrink(self, model: GPT2) -> GPT2:
        """Return a model of the small vocabulary; rows of pretrained weights are kept, to be put back."""
        if model.config.vocab_size == len(self.used):
            return model
        self.table = model.token_embedding.weight.detach().cpu().clone()
        return shrink(model, self.used)

    def shrink_file(self, folder: Path) -> None:
        """Bring the best weights of a finished run back to the small vocabulary, so that it can go on."""
        if (folder / "model.safetensors").is_file():
            model = load_gpt2(folder)
            if model.config.vocab_size != len(self.used):
                save_gpt2(shrink(model, self.used), folder)

    def expand_file(self, folder: Path, data: TrainingData, seed: int) -> None:
        """Give the best weights of a run the full vocabulary: rows that they came with, or new and unlikely ones."""
        model = load_gpt2(folder)
        if self.table is not None:
            full = put_back(model, self.used, self.table)
        else:
            full = expand(model, self.used, self.size, expansion_sample(data, seed))
        save_gpt2(full, folder)

    def _of(self, tokens: np.ndarray) -> np.ndarray:
        return compact(np.asarray(tokens), self.used)


def expansion_sample(data: TrainingData, seed: int) -> Tensor:
    """Return windows (count, context) that begin anywhere in the text, and 16 more of tokens drawn by chance."""
    chance = torch.Generator().manual_seed(seed)
    tokens, context = data.batches.tokens, data.batches.context
    count = min(MOST_WINDOWS, len(tokens) // context + 1)
    starts = torch.randint(len(tokens) - context, (count,), generator=chance).tolist()
    windows = np.stack([tokens[start : start + context] for start in starts]).astype(np.int64)
    by_chance = torch.randint(int(windows.max()) + 1, (16, context), generator=chance)
    return torch.cat([torch.from_numpy(windows), by_chance])


MOST_WINDOWS = 96  # with 16, what fits the sample fits little else: ten times the leak on other texts
