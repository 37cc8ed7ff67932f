"""Batches in which only answers are learned: the targets of a question and of the padding are IGNORE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from utils.batches import Batches, check_integers, padded
from utils.document_batches import DocumentBatches
from utils.errors import CourseError
from utils.losses import IGNORE
from utils.texts.bins import load_bin, load_learned


@dataclass(eq=False)
class AnswerBatches(Batches):
    """Shuffled examples without end, a row for each: a question, its answer and end-of-text, then padding.

    `learned` is 1 for each token of an answer and for the end-of-text behind it, and 0 for the question.
    An example that is longer than the context loses the beginning of its question.
    """

    unit = "examples"
    learned: Sequence[int] | np.ndarray = ()

    def __post_init__(self) -> None:
        self.tokens, self.learned = check_integers(self.tokens), check_integers(self.learned)
        self._check_settings()
        if len(self.learned) != len(self.tokens) or not len(self.tokens):
            raise CourseError(
                f"{len(self.tokens):,} tokens and {len(self.learned):,} marks of what is learned were found, expected "
                "one for each. Prepare the questions again."
            )
        before = np.concatenate([[1], self.learned[:-1]])
        self.starts = np.flatnonzero((self.learned == 0) & (before == 1))
        if not len(self.starts) or not self.learned[-1]:
            raise CourseError("no question with an answer behind it was found. Prepare the questions again.")
        self.ends = np.append(self.starts[1:], len(self.tokens))
        self.windows = len(self.starts)
        self.cut = int((self.ends - self.starts > self.context + 1).sum())  # examples that lose their beginning
        self._starts = (-1, np.empty(0))

    @property
    def tokens_seen(self) -> int:
        """About how many tokens have been drawn, by all ranks together."""
        return self.drawn * len(self.tokens) // self.windows

    def _places(self, random: np.random.Generator) -> np.ndarray:
        return random.permutation(self.windows)

    def _rows(self, examples: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets, (batch, the longest of these examples), padded at the right."""
        spans = [slice(max(self.starts[i], self.ends[i] - self.context - 1), self.ends[i]) for i in examples]
        inputs, targets = padded([self.tokens[span] for span in spans])
        _, learned = padded([self.learned[span] for span in spans])
        return inputs, targets.where(learned == 1, IGNORE)


def open_batches(
    path: str | Path, batch_size: int, context: int, documents_end: int | None = None, **choices: int
) -> Batches:
    """Return the batches of a token file: of answers where it was prepared with instructions, else of all tokens.

    These come as windows, or, given the token at which documents end, as whole documents.
    `choices` are seed, rank and world_size.
    """
    tokens, learned = load_bin(path), load_learned(path)
    if learned is not None:
        return AnswerBatches(tokens, batch_size, context, **choices, learned=learned)
    if documents_end is not None:
        return DocumentBatches(tokens, batch_size, context, **choices, end_of_text=documents_end)
    return Batches(tokens, batch_size, context, **choices)
