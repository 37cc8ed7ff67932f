"""A scaling law of one's own by IsoFLOP profiles: for one budget of operations, which width has the lowest loss?

Lesson 16 measures it on our stories, whose entropy is known, as Hoffmann et al. 2022 (Chinchilla, approach 2),
arXiv:2203.15556, did on web text. `python -m tools scaling-law 2.4e11 8,16,32,64,128` makes rows for labs/results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch

from utils.batches import Batches
from utils.config import GPT2Config, flops_per_token, total_parameters
from utils.evaluate import Protocol, measure_loss
from utils.files.places import ROOT
from utils.files.whole_files import read_json, write_whole
from utils.model import GPT2
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.loop import train
from utils.training.small_world import SmallWorld

RECORDED = ROOT / "labs" / "results" / "scaling_law.json"
CONTEXT, BATCH = 64, 16  # tokens of a window, windows of a step
SETTINGS = TrainConfig(
    context=CONTEXT, batch_size=BATCH, optimizer="muon", learning_rate=2e-2, min_learning_rate=2e-3, dtype="float32"
)


@dataclass(frozen=True)
class IsoFlop:
    """One model, trained until a budget was spent, and what it had learned by then."""

    operations: float
    width: int
    parameters: int
    tokens: int
    loss: float  # held out, nats per token


def spend(operations: float, width: int, world: SmallWorld) -> IsoFlop:
    """Train a model of two blocks of this width for as many steps as the operations pay for, and measure it."""
    shape = GPT2Config(n_layer=2, n_head=2, n_embd=width, vocab_size=world.vocab_size, context=CONTEXT)
    steps = max(1, round(operations / flops_per_token(shape) / (BATCH * CONTEXT)))
    torch.manual_seed(0)
    model = GPT2(shape)
    settings = TrainConfig(**{**vars(SETTINGS), "max_steps": steps, "warmup_steps": min(10, steps // 5)})
    train(model, TrainingData(Batches(world.learn, BATCH, CONTEXT)), settings)
    loss = measure_loss(model, world.held_out[:6000], Protocol(CONTEXT, CONTEXT, BATCH)).loss
    return IsoFlop(operations, width, total_parameters(shape), steps * BATCH * CONTEXT, round(loss, 3))


def bottom(rows: Iterable[IsoFlop]) -> float:
    """Return the parameters at the bottom of one budget's U: of the parabola through its lowest rows, in log N."""
    rows = sorted(rows, key=lambda row: row.parameters)
    lowest = min(range(len(rows)), key=lambda i: rows[i].loss)
    near = rows[max(0, min(lowest - 1, len(rows) - 3)) :][:3]
    a, b, _ = np.polyfit(np.log([row.parameters for row in near]), [row.loss for row in near], 2)
    return float(np.exp(-b / (2 * a)))


def exponent(bottoms: dict[float, float]) -> float:
    """Return a of N = c·Cᵃ, fitted to {operations: parameters at the bottom} in their logs."""
    return float(np.polyfit(np.log(list(bottoms)), np.log(list(bottoms.values())), 1)[0])


def read_rows(path: str | Path = RECORDED) -> list[IsoFlop]:
    """Return the rows that somebody stored, or none."""
    return [IsoFlop(*row) for row in read_json(Path(path))["rows"]] if Path(path).is_file() else []


def add_rows(rows: Iterable[IsoFlop], path: str | Path) -> None:
    """Store rows, in the place of older ones of the same budget and width."""
    known = {(row.operations, row.width): row for row in [*read_rows(path), *rows]}
    lines = ",\n".join(" " + str(list(astuple(known[key]))) for key in sorted(known))
    write_whole(Path(path), lambda file: file.write(f'{{"rows": [\n{lines}\n]}}\n'.encode()))
