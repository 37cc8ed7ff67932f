"""Training settings (hyperparameters): each with its default and its range. Lesson 10 chooses them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from utils.errors import CourseError
from utils.machine import parse_dtype

OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "plateau")
PARALLEL = ("ddp", "fsdp")


@dataclass(frozen=True)
class TrainConfig:
    """How to train; every field can stand in a recipe or be given as key=value."""

    out: str = ""  # folder for checkpoints and logs; empty keeps everything in memory
    resume: bool = False
    context: int = 256
    batch_size: int = 8  # sequences in one micro-batch
    whole_documents: bool = False  # learn from documents, each from its beginning on, not from windows cut anywhere
    accumulate: int = 1  # micro-batches in one step
    max_steps: int = 1000
    train_layers: int = 0  # learn only in the last so many blocks and the final norm; 0 learns everywhere
    optimizer: str = "adamw"  # or muon, for the matrices of the blocks
    learning_rate: float = 6e-4
    min_learning_rate: float = 6e-5
    warmup_steps: int = 100
    schedule: str = "cosine"  # after the warm-up; plateau lowers the rate when the held-out loss stands still
    plateau_patience: int = 2  # evaluations without a better loss before plateau lowers the rate
    plateau_factor: float = 0.5  # by which it does
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0  # largest gradient norm; 0 never clips
    evaluate_every: int = 100
    evaluate_tokens: int = 20_000
    patience: int = 0  # evaluations without a better loss before stopping early; 0 never does
    target_loss: float = 0.0  # stop when a step's training loss is below; 0 never does
    save_every: int = 500
    save_minutes: float = 0.0  # save this often by the clock, too, where sessions end without a word; 0 does not
    log_every: int = 10
    dtype: str = "auto"  # of matrix products: auto, float32, bfloat16 or float16
    gradient_checkpointing: bool = False  # compute blocks twice and keep less: less memory, about a third more work
    keep_memory: bool = True  # what a step frees is kept for the next one (on Linux), which saves time
    parallel: str = "ddp"  # under torchrun: ddp keeps all of the model everywhere, fsdp parts it among processes
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "parallel": PARALLEL}.items():
            if (value := getattr(self, name)) not in known:
                raise CourseError(f"{name} is {value!r}, expected one of {', '.join(known)}.")
        if self.dtype != "auto":
            parse_dtype(self.dtype)
        for name in AT_LEAST_1:
            if getattr(self, name) < 1:
                raise CourseError(f"{name} is {getattr(self, name)}, expected at least 1.")
        for name in AT_LEAST_0:
            if not 0 <= getattr(self, name) < math.inf:
                raise CourseError(f"{name} is {getattr(self, name)}, expected 0 or more.")
        for name in ("plateau_factor", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise CourseError(f"{name} is {getattr(self, name)}, expected 0 or more, and below 1.")


COUNTS = "context batch_size accumulate max_steps evaluate_every evaluate_tokens save_every log_every plateau_patience"
AT_LEAST_1 = COUNTS.split()
RATES = "learning_rate min_learning_rate warmup_steps weight_decay clip patience target_loss save_minutes"
AT_LEAST_0 = [*RATES.split(), "train_layers", "seed"]
