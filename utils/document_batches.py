"""Batches of whole documents: a row for each, from its beginning on, so that nothing is learned out of the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from utils.batches import Batches, check_integers, largest_context, padded
from utils.errors import CourseError

WINDOWS_EVERY = 8  # one batch in so many is of windows, cut anywhere
ALIKE, POOL = 64, 2048  # documents of like length that come together, and among how many they are looked for


@dataclass(eq=False)
class DocumentBatches(Batches):
    """Shuffled documents without end, a row for each: end-of-text, the document, end-of-text, then padding.

    A window cut anywhere begins in the middle of a story, with names that nobody introduced; a row here never
    does. A batch has as many documents as fill batch_size rows of a whole context; those longer than the context
    go on in rows of their own. Documents of like length come together, so there is little padding. Every eighth
    batch is batch_size windows from anywhere, as long as the context: without them late positions would never
    be trained, nor texts that begin without end-of-text.
    """

    unit = "documents"
    end_of_text: int = 50_256

    def __post_init__(self) -> None:
        self.tokens = check_integers(self.tokens)
        self._check_settings()
        inner = np.flatnonzero(self.tokens == self.end_of_text)
        if not len(inner):
            raise CourseError(
                "No end-of-text token was found, expected one between documents. Prepare a text of several "
                "documents, or train with whole_documents=false."
            )
        self.end_at = inner[0]  # its number changes when the vocabulary is made compact, its place does not
        self.starts, self.ends = spans(np.concatenate([[-1], inner, [len(self.tokens)]]), self.context)
        self.windows = len(self.starts)
        self.total = int((self.ends - self.starts).sum())  # tokens in all documents
        self.window_rows = self.batch_size
        self.batch_size = self.batch_size * self.context * self.windows // self.total
        self._starts = (-1, np.empty(0))

    @property
    def tokens_seen(self) -> int:
        """About how many tokens have been drawn, by all ranks together."""
        return self.drawn * self.total // self.windows

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets, (documents, the longest) or, one time in eight, (batch_size, context)."""
        documents = self.batch_size * self.world_size
        if self.drawn // documents % WINDOWS_EVERY < WINDOWS_EVERY - 1:
            return super().next_batch()
        chance = np.random.default_rng((self.seed, self.drawn, self.rank))
        self.drawn += documents  # their turn goes by, so that all counts stay as simple as without windows
        self.places = []  # no documents by number
        context = min(self.context, largest_context(self.tokens))
        begins = chance.integers(len(self.tokens) - context, size=self.window_rows)
        return padded([self.tokens[i : i + context + 1] for i in begins])

    def _places(self, random: np.random.Generator) -> np.ndarray:
        """Return the documents of one epoch: shuffled, then those of like length brought together."""
        order = random.permutation(self.windows)
        lengths = self.ends - self.starts
        pools = [order[first : first + POOL] for first in range(0, len(order), POOL)]
        alike = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
        groups = [pool[first : first + ALIKE] for pool in alike for first in range(0, len(pool), ALIKE)]
        return np.concatenate([groups[i] for i in random.permutation(len(groups))])

    def _rows(self, documents: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return padded([self._row(self.starts[i], self.ends[i]) for i in documents])

    def _row(self, begin: int, end: int) -> np.ndarray:
        """Return the tokens from one end-of-text to another, which the text's first and last document lack."""
        row, edge = self.tokens[max(begin, 0) : end + 1], [self.tokens[self.end_at]]
        return np.concatenate([edge if begin < 0 else [], row, edge if end == len(self.tokens) else []])


def spans(bounds: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where rows begin and end that hold what lies between bounds, no row longer than the context.

    >>> spans(np.array([-1, 4, 5, 8]), 3)
    (array([-1,  2,  5]), array([2, 4, 8]))
    """
    begins, ends = bounds[:-1], bounds[1:]
    begins, ends = begins[ends - begins > 1], ends[ends - begins > 1]  # nothing lies between two ends in a row
    counts = -(-(ends - begins) // context)
    within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)  # 0, 1, … in each document
    starts = np.repeat(begins, counts) + within * context
    return starts, np.minimum(starts + context, np.repeat(ends, counts))
