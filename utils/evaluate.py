"""How good a model is: loss and perplexity with their protocol stated, and logits held side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError
from utils.losses import IGNORE
from utils.model import GPT2


@dataclass(frozen=True)
class Protocol:
    """What a perplexity was measured with; without it the number says nothing."""

    context: int = 1024
    stride: int = 1024  # how far the window moves; smaller gives each token more context, and costs more
    batch: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.context or self.batch < 1:
            raise CourseError(
                f"stride {self.stride} and batch {self.batch} with context {self.context} can't be, expected a "
                f"stride from 1 to {self.context} and a batch of at least 1."
            )

    def __str__(self) -> str:
        return f"context {self.context}, stride {self.stride}, mean over tokens"


@dataclass(frozen=True)
class Score:
    """A mean loss in nats per token, over how many tokens, by which protocol."""

    loss: float
    tokens: int
    protocol: Protocol

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def __str__(self) -> str:
        return f"perplexity {self.perplexity:.2f} (loss {self.loss:.4f}, {self.tokens:,} tokens, {self.protocol})"


def scoring_windows(tokens: Tensor, protocol: Protocol) -> list[tuple[Tensor, Tensor]]:
    """Cut tokens (time,) into inputs and targets so that every token but the first is a target exactly once."""
    if len(tokens) < 2:
        raise CourseError(f"The text has {len(tokens)} tokens; a loss needs at least 2, one to see and one to guess.")
    windows, scored = [], 0  # targets up to `scored` are done; target i is token i + 1
    for start in range(0, len(tokens) - 1, protocol.stride):
        end = min(start + protocol.context, len(tokens) - 1)
        targets = tokens[start + 1 : end + 1].clone()
        targets[: scored - start] = IGNORE  # these were guessed by an earlier window
        windows.append((tokens[start:end], targets))
        scored = end
        if end == len(tokens) - 1:
            break
    return windows


@torch.no_grad()
def measure_loss(model: GPT2, tokens, protocol: Protocol | None = None) -> Score:
    """Return the mean loss of `model` over tokens (time,), each guessed once."""
    protocol = protocol or Protocol(model.config.context, model.config.context)
    training = model.training
    model.eval()
    windows = scoring_windows(torch.as_tensor(np.asarray(tokens, dtype=np.int64)), protocol)
    total, count = 0.0, 0
    for group in _groups(windows, protocol.batch):
        inputs, targets = (torch.stack(rows).to(model.device) for rows in zip(*group, strict=True))
        scored = int((targets != IGNORE).sum())
        total += float(model(inputs, targets)) * scored
        count += scored
    model.train(training)
    return Score(total / count, count, protocol)


def _groups(windows: list, size: int):
    """Yield up to `size` windows of one length at a time; only the last window may be shorter."""
    full = len(windows[0][0])
    even = [window for window in windows if len(window[0]) == full]
    for first in range(0, len(even), size):
        yield even[first : first + size]
    yield from ([window] for window in windows if len(window[0]) != full)


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (batch, time, vocab) against the tokens (batch, time) that follow."""
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())


@dataclass(frozen=True)
class Difference:
    """How far two sets of logits are apart, and how often they agree on the likeliest token."""

    largest: float
    root_mean_square: float
    same_choice: float


def compare_logits(a: Tensor, b: Tensor) -> Difference:
    """Compare logits (…, vocab) of two models on the same tokens."""
    if a.shape != b.shape:
        raise CourseError(f"Logits of shapes {tuple(a.shape)} and {tuple(b.shape)} can't be compared; use one text.")
    a, b = a.float().cpu(), b.float().cpu()  # they may come from two devices
    error, agree = a - b, (a.argmax(-1) == b.argmax(-1)).float().mean()
    return Difference(float(error.abs().max()), float(error.square().mean().sqrt()), float(agree))
