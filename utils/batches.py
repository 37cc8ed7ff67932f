"""Tokens to batches for training: windows, shuffled, without end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from utils.errors import CourseError
from utils.losses import IGNORE
from utils.texts.bins import Bins as Bins
from utils.texts.bins import BinSettings as BinSettings
from utils.texts.bins import load_bin as load_bin
from utils.texts.bins import tokenize_to_bin as tokenize_to_bin

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
    rows = [torch.from_numpy(np.asarray(row, dtype=np.int64)) for row in rows]
    inputs = pad_sequence([row[:-1] for row in rows], True, int(rows[0][-1]))  # any token would do
    return inputs, pad_sequence([row[1:] for row in rows], True, IGNORE)


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
    """

    unit = "windows that begin at tokens"  # how a message speaks of places

    tokens: Tokens
    batch_size: int
    context: int
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    drawn: int = field(default=0, init=False)  # windows that all ranks together have drawn
    places: list[int] = field(default_factory=list, init=False)  # where the last batch's windows begin

    def __post_init__(self) -> None:
        self.tokens = _checked(self.tokens, self.context)
        self._check_settings()
        usable = len(self.tokens) - 1  # the last token is only a target
        whole = usable // self.context
        self.windows = whole - 1 if whole > 16 else whole  # one in reserve leaves room to start anywhere
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

    @property
    def tokens_seen(self) -> int:
        """How many tokens have been drawn, by all ranks together."""
        return self.drawn * self.context

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
        offset = random.integers(self._room + 1)
        return offset + self.context * random.permutation(self.windows)

    def state_dict(self) -> dict[str, int]:
        """Return what `load_state_dict` needs to go on with the same batches."""
        return {"drawn": self.drawn, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken; another batch size or number of ranks is fine."""
        for name, here in self._identity().items():
            if state[name] != here:
                raise CourseError(
                    f"the saved batches have {name} {state[name]:,}, these have {here:,}. Go on with "
                    "the same tokens, context and seed, or start a new run."
                )
        self.drawn = state["drawn"]

    def _identity(self) -> dict[str, int]:
        return {"tokens": len(self.tokens), "context": self.context, "seed": self.seed}
