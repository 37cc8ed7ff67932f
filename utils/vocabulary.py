"""A smaller vocabulary while training: only the tokens that a corpus uses.

Our stories use about 3,000 of GPT-2's 50,257 tokens. At nano's width the head would spend two thirds of all
arithmetic on tokens that never come; so the model trains on the used ones, and gets the other rows at the end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from utils.model import GPT2


def used_tokens(*tokens: np.ndarray) -> np.ndarray:
    """Return the ids that occur, in order."""
    return np.unique(np.concatenate([np.unique(part) for part in tokens]))


def compact(tokens: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Replace every id by its place among the used ones: (time,) of uint16.

    >>> compact(np.array([50256, 7, 7]), np.array([7, 11, 50256]))
    array([2, 0, 0], dtype=uint16)
    """
    return np.searchsorted(used, tokens).astype(np.uint16)


@torch.no_grad()
def expand(model: GPT2, used: np.ndarray, vocab_size: int, sample: Tensor) -> GPT2:
    """Return the model with its full vocabulary; `sample` (batch, time) are compact tokens it knows well.

    Unused tokens get a row that points away from everything the head reads on the sample, so that they stay
    as unlikely as they are, and a little noise, so that each of them can be learned later.
    """
    full = GPT2(replace(model.config, vocab_size=vocab_size))
    weights = {name: weight for name, weight in model.state_dict().items() if not name.startswith(("token_", "head"))}
    full.load_state_dict(weights, strict=False)
    states = model.residual_stream(sample).flatten(0, 1)  # (tokens, width), what the head reads
    mean = states.mean(0)
    away = -AWAY * mean / mean.square().sum()  # a logit of −AWAY for the mean state
    rows = away + 0.02 * torch.randn(vocab_size, len(mean))
    rows[torch.from_numpy(used.astype(np.int64))] = model.token_embedding.weight
    full.token_embedding.weight.copy_(rows)
    return full.eval()


AWAY = 40.0
