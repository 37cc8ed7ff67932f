"""Training settings (hyperparameters): each with its default and its range. Lesson 11 chooses them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from utils.errors import CourseError
from utils.machine import parse_dtype

CHOICES = {"optimizer": ("adamw", "muon"), "schedule": ("cosine", "plateau"), "parallel": ("ddp", "fsdp")}


@dataclass(frozen=True)
class TrainConfig:
    """How to train; every field can stand in a recipe or be given as key=value."""

    out: str = ""  # folder for checkpoints and logs; empty keeps everything in memory
    resume: bool = False  # go on where the run in this folder stopped
    context: int = 256  # tokens of one sequence
    batch_size: int = 8  # sequences in one micro-batch
    fixed_windows: bool = False  # cut the same windows in each epoch (sooner by heart), not at new places each time
    whole_documents: bool = False  # learn from documents, each from its beginning on, not from windows cut anywhere
    accumulate: int = 1  # micro-batches in one step
    max_steps: int = 1000  # steps of the optimizer in all
    train_layers: int = 0  # learn only in the last so many blocks and the final norm; 0 learns everywhere
    optimizer: str = "adamw"  # adamw, or muon for the matrices of the blocks
    muon_rounds: int = 5  # of Newton–Schulz in each step of muon; fewer cost less, in proportion
    learning_rate: float = 6e-4  # the highest, after the warm-up
    min_learning_rate: float = 6e-5  # the lowest, at the end
    warmup_steps: int = 100  # in which the learning rate rises from zero
    schedule: str = "cosine"  # or plateau: after the warm-up lower the rate when the held-out loss stands still
    plateau_patience: int = 2  # evaluations without a better loss before plateau lowers the rate
    plateau_factor: float = 0.5  # by which plateau multiplies the rate
    weight_decay: float = 0.1  # of matrices; biases and norms do not decay
    beta1: float = 0.9  # AdamW's memory of gradients
    beta2: float = 0.95  # and of their squares
    clip: float = 1.0  # largest gradient norm; 0 never clips
    # Evaluations come every so many steps and after the last one; they alone count for the best weights, patience and
    # plateau. The first epoch, and each that takes as many steps, is measured at its end too, for its row in
    # training_log.csv; the row of a shorter one repeats the last loss that was measured, so short epochs cost nothing.
    evaluate_every: int = 100  # steps between two evaluations on the held-out text
    evaluate_tokens: int = 20_000  # of the held-out text, at each look
    measure_train: bool = False  # measure so much of the training text, too, by the same weights
    patience: int = 0  # evaluations without a better loss before stopping early; 0 never does
    min_delta: float = 0.0  # by how much a held-out loss must be lower to count as better for patience and plateau
    target_loss: float = 0.0  # stop when a step's training loss is below; 0 never does
    target_epoch_loss: float = 0.0  # stop when the mean training loss of a whole epoch is below; 0 never does
    save_every: int = 500  # steps between two checkpoints
    save_minutes: float = 0.0  # save this often by the clock, too, where sessions end without a word; 0 does not
    log_every: int = 10  # steps between two lines on the screen; files keep every step
    dtype: str = "auto"  # of matrix products: auto, float32, bfloat16 or float16
    peak_tflops: float = 0.0  # of this device, for mfu; 0 looks it up in a table that knows some GPUs
    gradient_checkpointing: bool = False  # compute blocks twice and keep less: less memory, about a third more work
    keep_memory: bool = True  # what a step frees is kept for the next one (on Linux), which saves time
    parallel: str = "ddp"  # under torchrun: ddp keeps all of the model everywhere, fsdp parts it among processes
    seed: int = 0  # of new weights and of batches

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise CourseError(f"{name} is {value!r}, expected one of {', '.join(known)}.")
        if self.dtype != "auto":
            parse_dtype(self.dtype)
        check_ranges(self, RANGES)


def check_ranges(settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a number that is out of its range, by its name."""
    for name, (least, below) in ranges.items():
        if not least <= getattr(settings, name) < below:
            most = f", and below {below}" if below < math.inf else ""
            raise CourseError(f"{name} is {getattr(settings, name)}, expected {least} or more{most}.")


COUNTS = "context batch_size accumulate max_steps evaluate_every evaluate_tokens save_every log_every plateau_patience"
RATES = "learning_rate min_learning_rate warmup_steps weight_decay clip patience save_minutes"
LEASTS = "target_loss target_epoch_loss train_layers seed min_delta peak_tflops"
RANGES = {
    **dict.fromkeys([*COUNTS.split(), "muon_rounds"], (1, math.inf)),
    **dict.fromkeys(
        [*RATES.split(), *LEASTS.split()],
        (0, math.inf),
    ),
    **dict.fromkeys(["plateau_factor", "beta1", "beta2"], (0, 1)),
}
