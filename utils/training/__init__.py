"""Training: one loop, its settings, its data, checkpoints; lessons 10, 11 and 15 build it."""

from __future__ import annotations

from utils.training.config import TrainConfig
from utils.training.data import MemorizationMeter, TrainingData, texts_between
from utils.training.interrupts import StopRequest
from utils.training.loop import Trainer, train
from utils.training.recipes import Recipe, run_recipe

__all__ = [
    "MemorizationMeter",
    "Recipe",
    "StopRequest",
    "TrainConfig",
    "Trainer",
    "TrainingData",
    "run_recipe",
    "texts_between",
    "train",
]
