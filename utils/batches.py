"""Data loading: token files to batches for training, as windows, documents or answers, shuffled, without end.

Lesson 10 builds the windows, lesson 11 trains on them. A batch's state is a number, so that a run can go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from utils.errors import CourseError
from utils.model import IGNORE
from utils.texts.bins import load_bin, load_learned

Tokens = Sequence[int] | np.ndarray | torch.Tensor


def largest_context(tokens: Tokens) -> int:
    """Return the longest context of which one window fits: all tokens but the last, which is only a target.

    >>> largest_context([5, 6, 7])
    2
    """
    return max(len(tokens) - 1, 0)


def token_windows(tokens: Tokens, context: int, stride: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut tokens into windows, one every `stride`: inputs and targets, (windows, context) each.

    The stride is the context unless given, so that windows don't overlap. A target is the
    token after its input. What remains after the last whole window is left out.

    >>> token_windows([1, 2, 3, 4, 5, 6], 2)
    (tensor([[1, 2],
            [3, 4]]), tensor([[2, 3],
            [4, 5]]))
    """
    tokens, stride = _checked(tokens, context), context if stride is None else stride
    _at_least_one("stride", stride)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context + 1)[::stride]
    return _inputs_and_targets(windows)


def _inputs_and_targets(windows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.from_numpy(windows.astype(np.int64))  # (windows, context + 1)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def padded(rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of tokens as inputs and targets, (rows, the longest), the targets of the padding IGNORE.

    >>> padded([[7, 8, 9], [7, 9]])
    (tensor([[7, 8],
            [7, 9]]), tensor([[   8,    9],
            [   9, -100]]))
    """
    parts = [torch.from_numpy(np.asarray(row, dtype=np.int64)) for row in rows]
    inputs = pad_sequence([part[:-1] for part in parts], True, int(parts[0][-1]))  # any token would do
    return inputs, pad_sequence([part[1:] for part in parts], True, IGNORE)


def _at_least_one(name: str, value: int) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise CourseError(f"{name} is {value!r}, expected a whole number of at least 1.")


def _checked(tokens: Tokens, context: int) -> np.ndarray:
    """Return tokens as an array of integers that holds at least one window."""
    _at_least_one("context", context)
    array = tokens.cpu().numpy() if isinstance(tokens, torch.Tensor) else np.asarray(tokens)
    if array.size <= context:
        advice = f"Use a context of at most {array.size - 1}, or add" if array.size > 1 else "Add"
        raise CourseError(
            f"{array.size:,} tokens were found, but a context of {context} needs {context + 1:,} or more: "
            f"each input has the next token as its target. {advice} text."
        )
    return check_integers(array)


def check_integers(tokens: Tokens) -> np.ndarray:
    """Return tokens as an array, (tokens,) of integers."""
    array = tokens.cpu().numpy() if isinstance(tokens, torch.Tensor) else np.asarray(tokens)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise CourseError(f"tokens have shape {array.shape} and type {array.dtype}, expected one row of ids.")
    return array


@dataclass(eq=False)
class Batches:
    """Shuffled windows of tokens, without end; the same seed gives the same batches on every machine.

    Each epoch cuts the tokens into windows from a new random place on and shuffles them: no target comes
    twice, and less than two windows at the ends stay out, others each time. Ranks take their
    turns of one common order, so that two with batches of 4 see together what one with a batch of 8 sees.
    With `fixed_windows` all epochs cut at the same places, from the first token on, and only the order changes:
    each window comes again whole, which is how a text is learned by heart soonest.
    """

    unit = "windows that begin at tokens"  # how a message speaks of places

    tokens: Tokens
    batch_size: int
    context: int
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    fixed_windows: bool = False
    drawn: int = field(default=0, init=False)  # windows that all ranks together have drawn
    places: list[int] = field(default_factory=list, init=False)  # where the last batch's windows begin

    def __post_init__(self) -> None:
        self.tokens = _checked(self.tokens, self.context)
        self._check_settings()
        usable = len(self.tokens) - 1  # the last token is only a target
        whole = usable // self.context
        reserve = whole > 16 and not self.fixed_windows  # one window, which leaves room to start anywhere
        self.windows = whole - reserve
        self._room = usable - self.windows * self.context  # places for the first window, less one
        self._starts: tuple[int, np.ndarray] = (-1, np.empty(0))  # of one epoch

    def _check_settings(self) -> None:
        _at_least_one("context", self.context)
        _at_least_one("batch_size", self.batch_size)
        _at_least_one("world_size", self.world_size)
        if not 0 <= self.rank < self.world_size:
            raise CourseError(f"rank is {self.rank}, expected 0 to {self.world_size - 1}.")
        if self.seed < 0:
            raise CourseError(f"seed is {self.seed}, expected 0 or more.")

    @property
    def epoch(self) -> int:
        """How many times all windows have been drawn."""
        return self.drawn // self.windows

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets, (batch, context) of int64 each."""
        first = self.drawn + self.rank * self.batch_size
        starts = self.places = [self._start(first + row) for row in range(self.batch_size)]
        self.drawn += self.batch_size * self.world_size
        return self._rows(starts)

    def _rows(self, starts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return _inputs_and_targets(np.stack([self.tokens[i : i + self.context + 1] for i in starts]))

    def _start(self, number: int) -> int:
        """Return where the window with this number begins; its epoch's order follows from the seed alone."""
        epoch, place = divmod(number, self.windows)
        if self._starts[0] != epoch:
            self._starts = (epoch, self._places(np.random.default_rng((self.seed, epoch))))
        return int(self._starts[1][place])

    def _places(self, random: np.random.Generator) -> np.ndarray:
        """Return where the windows of one epoch begin, in the order in which they are drawn."""
        offset = 0 if self.fixed_windows else random.integers(self._room + 1)
        return offset + self.context * random.permutation(self.windows)

    def state_dict(self) -> dict[str, int]:
        """Return what `load_state_dict` needs to go on with the same batches."""
        return {"drawn": self.drawn, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken; another batch size or number of ranks is fine."""
        for name, here in self._identity().items():
            if (there := state.get(name, 0)) != here:  # older checkpoints know nothing of fixed windows
                raise CourseError(
                    f"the saved batches have {name} {there:,}, these have {here:,}. Go on with "
                    "the same tokens, context, seed and windows, or start a new run."
                )
        self.drawn = state["drawn"]

    def _identity(self) -> dict[str, int]:
        whose = {"tokens": len(self.tokens), "context": self.context, "seed": self.seed}
        return {**whose, "fixed_windows": int(self.fixed_windows)}


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

    def _places(self, random: np.random.Generator) -> np.ndarray:
        return random.permutation(self.windows)

    def _rows(self, examples: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets, (batch, the longest of these examples), padded at the right."""
        spans = [slice(max(self.starts[i], self.ends[i] - self.context - 1), self.ends[i]) for i in examples]
        inputs, targets = padded([self.tokens[span] for span in spans])
        _, learned = padded([self.learned[span] for span in spans])
        return inputs, targets.where(learned == 1, IGNORE)


def open_batches(
    path: str | Path, batch_size: int, context: int, documents_end: int | None = None, **choices: Any
) -> Batches:
    """Return the batches of a token file: of answers where it was prepared with instructions, else of all tokens.

    These come as windows, or, given the token at which documents end, as whole documents.
    `choices` are seed, rank, world_size and fixed_windows.
    """
    tokens, learned = load_bin(path), load_learned(path)
    if choices.get("fixed_windows") and (learned is not None or documents_end is not None):
        kind = "questions and answers" if learned is not None else "whole documents"
        raise CourseError(f"fixed_windows cuts windows, and this run learns from {kind}. Leave fixed_windows out.")
    if learned is not None:
        return AnswerBatches(tokens, batch_size, context, **choices, learned=learned)
    if documents_end is not None:
        return DocumentBatches(tokens, batch_size, context, **choices, end_of_text=documents_end)
    return Batches(tokens, batch_size, context, **choices)


WINDOWS_EVERY = 8  # one batch in so many is of windows, cut anywhere
ALIKE, POOL = 64, 2048  # documents of like length that come together, and among how many they are looked for


@dataclass(eq=False)
class DocumentBatches(Batches):
    """Shuffled documents without end, a row for each: end-of-text, the document, end-of-text, then padding.

    A window cut anywhere begins in the middle of a story, with names that nobody introduced; a row here never
    does. A batch has as many documents as fill batch_size rows of a whole context; those longer than the context
    go on in rows of their own. Documents of like length come together, so there is little padding. Every eighth
    batch is batch_size windows from anywhere, as long as the context: without them late positions would never
    be trained, nor texts that begin without end-of-text. Ranks share out what one process with as many rows as
    all of them would draw, so that a run may go on with another number of processes.
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
        self.all_windows = self.batch_size * self.world_size  # of all ranks, and so below
        self.all_documents = self.all_windows * self.context * self.windows // self.total
        self.batch_size = len(range(self.all_documents)[self._share(self.all_documents)])
        self._starts = (-1, np.empty(0))

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets, (documents, the longest) or, one time in eight, (batch_size, context)."""
        first, self.drawn = self.drawn, self.drawn + self.all_documents
        if first // self.all_documents % WINDOWS_EVERY < WINDOWS_EVERY - 1:
            mine = range(first, self.drawn)[self._share(self.all_documents)]
            self.places = [self._start(number) for number in mine]
            return self._rows(self.places)
        chance = np.random.default_rng((self.seed, first, 0))
        self.places = []  # no documents by number, but their turn goes by, so that all counts stay simple
        context = min(self.context, largest_context(self.tokens))
        begins = chance.integers(len(self.tokens) - context, size=self.all_windows)
        return padded([self.tokens[i : i + context + 1] for i in begins[self._share(self.all_windows)]])

    def _share(self, count: int) -> slice:
        """Return which of so many rows this rank takes; shares differ by one row at most."""
        return slice(count * self.rank // self.world_size, count * (self.rank + 1) // self.world_size)

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
