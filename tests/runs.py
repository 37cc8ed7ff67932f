"""Small training runs, and a machine that says what it is told to, for tests of everything that watches a run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from utils.batches import Batches
from utils.config import GPT2Config
from utils.files.places import ROOT
from utils.model import GPT2
from utils.run_log import RunLog
from utils.system_log import Reading
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.distributed import World
from utils.training.loop import Trainer, train

TINY = GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=50, context=32)


QUICK = TrainConfig(
    context=16, batch_size=4, max_steps=12, learning_rate=1e-2, warmup_steps=2, evaluate_every=4, dtype="float32"
)


def tiny_model(seed: int = 0) -> GPT2:
    torch.manual_seed(seed)
    return GPT2(TINY)


def tiny_tokens(count: int = 400) -> torch.Tensor:
    """Tokens with a pattern that can be learned: each follows from the one before it."""
    return torch.arange(count) * 7 % 50


def tiny_data(batch_size: int = 4, seed: int = 0) -> TrainingData:
    return TrainingData(Batches(tiny_tokens(), batch_size, 16, seed=seed), tiny_tokens(100))


def make_trainer(config: TrainConfig = QUICK, model: GPT2 | None = None, batch_size: int | None = None) -> Trainer:
    trainer = Trainer(model or tiny_model(), tiny_data(batch_size or config.batch_size), config, World())
    trainer.begin()
    return trainer


def weights(model: GPT2) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def equal_weights(first: GPT2, second: GPT2) -> bool:
    """Say whether two models have the same weights, bit for bit."""
    return all(map(torch.equal, weights(first), weights(second)))


def quiet_log(folder: Path) -> RunLog:
    return RunLog(folder, show=lambda line: None)


def train_at_once_and_in_parts(
    make: Callable[[int], GPT2], config: TrainConfig, folder: Path, first: int
) -> list[tuple[GPT2, RunLog]]:
    """Train a model of seed 0 at one go, and as far as a checkpoint after `first` steps, from which another goes on."""
    runs = [(make(seed), quiet_log(folder / name)) for seed, name in ((0, "whole"), (5, "rest"))]
    train(runs[0][0], tiny_data(), replace(config, out=str(folder / "other")), runs[0][1])
    config = replace(config, out=str(folder / "run"))
    trainer = make_trainer(config, make(0))
    for _ in range(first):
        trainer.step()
    trainer.checkpoints.save(trainer.state)
    train(runs[1][0], tiny_data(), replace(config, resume=True), runs[1][1])
    return runs


def child_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that imports ours and these helpers, with one thread."""
    places = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places), **more}


class Script:
    """Sensors of a machine that is told beforehand what to say; after the last line it repeats it."""

    def __init__(self, *readings: Reading) -> None:
        self.readings, self.asked, self.threads = list(readings), 0, set()

    def start(self) -> None:
        self.threads.add(threading.current_thread().name)

    def read(self) -> Reading:
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        return self.readings[min(self.asked, len(self.readings)) - 1]


FULL = Reading("A 40", 8e9, 0.5, 0.25, 500e6, 1.5, "A 40", 3e9, 50.0)


BARE = Reading("Some CPU", 8e9, 0.5, None, 500e6)
