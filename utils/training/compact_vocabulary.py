"""Vocabulary pruning while training: only the tokens that a corpus uses.

Our stories use about 3,000 of GPT-2's 50,257 tokens. At nano's width the head would spend two thirds of all
arithmetic on tokens that never come; so the model trains on the used ones, and gets the other rows at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.batches import Tokens
from utils.files.progress import progress
from utils.model import GPT2
from utils.training.data import TrainingData


def used_tokens(*tokens: np.ndarray) -> np.ndarray:
    """Return the ids that occur, in order."""
    return np.unique(np.concatenate([np.unique(part) for part in tokens]))


def compact(tokens: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Replace every id by its place among the used ones: (time,) of uint16.

    >>> compact(np.array([50256, 7, 7]), np.array([7, 11, 50256]))
    array([2, 0, 0], dtype=uint16)
    """
    return np.searchsorted(used, tokens).astype(np.uint16)


def with_rows(model: GPT2, rows: Tensor) -> GPT2:
    """Return the model with another token table (vocab, width); the rest is the model's own."""
    other = GPT2(replace(model.config, vocab_size=len(rows))).to(model.device)
    weights = {name: weight for name, weight in model.state_dict().items() if not name.startswith(("token_", "head"))}
    other.load_state_dict(weights, strict=False)
    with torch.no_grad():
        other.token_embedding.weight.copy_(rows)
    return other


NOISE = 0.002  # small beside the rows of used tokens, whose values spread by about 0.1


def unlikely_row(model: GPT2, sample: Tensor, count: int, steps: int = 300) -> Tensor:
    """Return the row (width,) that `count` tokens can share and take the least probability on the sample."""
    with torch.no_grad():
        states = torch.cat([model.residual_stream(part).flatten(0, 1) for part in sample.split(4)])  # (tokens, width)
        total = torch.cat([model.head(part).logsumexp(-1) for part in states.split(1024)])  # (tokens,)
    row = torch.zeros(states.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([row], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in progress(range(steps), "a row for unused tokens, steps", after=2.0):
        odds = states @ row + math.log(count) - total  # log of unused to used probability
        # What their presence adds to the loss; its log, so that the last thousandth is fought for like the first.
        # Far below zero softplus is e^odds, and would be 0 in float32, whose log is no number to learn from.
        added = torch.where(odds < -20, odds, torch.nn.functional.softplus(odds.clamp(min=-20)).log())
        loss = added.logsumexp(0) - math.log(len(added)) + 1e-2 * row.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return row.detach()


@dataclass(frozen=True)
class CompactTokenizer:
    """A tokenizer in the numbers of a compact vocabulary; it leaves out tokens of a prompt that the texts never use."""

    full: Any  # of the whole vocabulary
    used: np.ndarray

    @property
    def end_of_text(self) -> int:
        """The number of end-of-text, or one past all tokens where the texts have none."""
        ends = np.flatnonzero(self.used == self.full.end_of_text)
        return int(ends[0]) if len(ends) else len(self.used)

    def encode(self, text: str) -> list[int]:
        ids = np.array(self.full.encode(text), dtype=np.int64)
        return compact(ids[np.isin(ids, self.used)], self.used).tolist()

    def decode(self, ids: Sequence[int]) -> str:
        return self.full.decode(self.used[list(ids)].tolist())


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
        return cls(used_tokens(*(np.asarray(text) for text in texts if text is not None), *starts), size)

    def shorten(self, data: TrainingData) -> TrainingData:
        """Return the data with every token as its place among the used ones."""
        data.batches.tokens = self._of(data.batches.tokens)
        also: Mapping = {name: self._of(tokens) for name, tokens in data.also.items()}
        meter = data.memorization
        if meter is not None:
            (start,) = self._of(np.array([meter.start])).tolist()
            full = meter.decode
            meter = replace(meter, start=start, decode=lambda ids: full(self.used[ids].tolist()))
        held_out = None if data.validate is None else self._of(data.validate)
        return TrainingData(data.batches, held_out, also, meter)

    def _of(self, tokens: Tokens) -> np.ndarray:
        return compact(np.asarray(tokens), self.used)

    def shrink(self, model: GPT2) -> GPT2:
        """Return the model with the rows of the used tokens alone, in their order."""
        if model.config.vocab_size == len(self.used):
            return model
        return with_rows(model, model.token_embedding.weight.detach()[self.used.astype(np.int64)])

    def expand(self, model: GPT2, data: TrainingData, seed: int) -> GPT2:
        """Return the model with all tokens: unused ones get the rows of `table`, or new ones where it had none.

        These are one common row, which makes them as unlikely as it can after everything in a sample of the data, and
        a little noise, so that each of them can be learned later.
        """
        if model.config.vocab_size == self.size:
            return model
        if self.table is None:
            common = unlikely_row(model, expansion_sample(data, seed), self.size - len(self.used))
            rows = common + NOISE * torch.randn(self.size, len(common))
        else:
            rows = self.table.clone()
        rows[self.used.astype(np.int64)] = model.token_embedding.weight.detach().cpu()
        return with_rows(model.cpu(), rows).eval()


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
