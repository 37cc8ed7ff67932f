"""A tiny model that has learned something, and its text: quantization can only be judged on weights that matter."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from utils.batches import Batches
from utils.config import GPT2Config
from utils.evaluate import Protocol, measure_loss
from utils.model import GPT2
from utils.quantize.calibration import draw_rows
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import quantize_model

SHAPE = GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=40, context=32)

PROTOCOL = Protocol(SHAPE.context, SHAPE.context, 64)
Quantizer = Callable[[GPT2, Grid, Tensor], GPT2]  # changes the model by what it does on rows of text


@dataclass(frozen=True)
class Trained:
    """A model, the text that it was trained on and text of the same kind that it has not seen."""

    model: GPT2
    text: Tensor
    held_out: Tensor


def patterned_text(count: int, seed: int) -> Tensor:
    """Return tokens (time,): chains in which each token mostly follows from the two before it."""
    generator = torch.Generator().manual_seed(seed)
    rules = torch.randint(SHAPE.vocab_size, (SHAPE.vocab_size, 2), generator=torch.Generator().manual_seed(5))
    odds = torch.rand(count, generator=generator).tolist()
    other = torch.randint(SHAPE.vocab_size, (count,), generator=generator).tolist()
    tokens = [0, 1]
    table = rules.tolist()
    for chance, surprise in zip(odds, other, strict=True):
        follows = table[tokens[-1]][tokens[-2] % 2]
        tokens.append(follows if chance < 0.85 else surprise)
    return torch.tensor(tokens)


@cache
def trained_model(seed: int = 0, steps: int = 160) -> Trained:
    """Train a tiny model for some seconds; the same seed gives the same model. Copy it before you change it."""
    text = patterned_text(40_000, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2(SHAPE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps, pct_start=0.2)
    batches = Batches(text[:36_000], 16, SHAPE.context, seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(*batches.next_batch()).backward()
        optimizer.step()
        schedule.step()
    return Trained(model.eval(), text[:36_000], text[36_000:])


@torch.no_grad()
def divergence(model: GPT2, changed: GPT2, tokens: Tensor) -> float:
    """Return how far the next-token probabilities of a changed model are from the model's own, in nats per token.

    On a model this small, a loss on held-out text moves less than its own noise; this says the same without noise.
    """
    rows = tokens[: len(tokens) // SHAPE.context * SHAPE.context].view(-1, SHAPE.context)
    own, other = (one(rows).log_softmax(-1) for one in (model, changed))
    return float((own.exp() * (own - other)).sum(-1).mean())


def divergence_to_rounding(quantizer: Quantizer, bits: int) -> list[float]:
    """Return the divergence as a share of that of rounding to nearest: on the rows it was given, and held out."""
    trained, grid = trained_model(), Grid(bits, 64)
    rows = draw_rows(trained.text, 48, SHAPE.context)
    ours = quantizer(copy.deepcopy(trained.model), grid, rows)
    nearest = quantize_model(copy.deepcopy(trained.model), grid)
    texts = (rows.flatten(), trained.held_out)
    return [divergence(trained.model, ours, text) / divergence(trained.model, nearest, text) for text in texts]


def cost_to_rounding(quantizer: Quantizer) -> float:
    """Return what 2 bits add to the held-out loss, as a share of what rounding to nearest adds."""
    trained, grid = trained_model(), Grid(2, 64)
    rows = draw_rows(trained.text, 48, SHAPE.context)
    ours = quantizer(copy.deepcopy(trained.model), grid, rows)
    nearest = quantize_model(copy.deepcopy(trained.model), grid)
    models = (trained.model, ours, nearest)
    before, own, theirs = (measure_loss(model, trained.held_out, PROTOCOL).loss for model in models)
    return (own - before) / (theirs - before)
