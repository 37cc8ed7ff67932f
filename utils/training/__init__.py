"""Training: one loop, its settings, its data, checkpoints; lessons 11, 12 and 16 build it."""

from __future__ import annotations

from utils.files.signals import StopRequest
from utils.training.config import TrainConfig
from utils.training.data import MemorizationMeter, TrainingData, epoch_sentence, texts_between
from utils.training.loop import Trainer, train
from utils.training.recipes import TrainingRecipe, run_recipe
