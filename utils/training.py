"""The one training loop: from zero, from a checkpoint or from pretrained weights; on one process or many."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.batches import Batches
from utils.checkpoints import Checkpoints, Progress
from utils.config import flops_per_token, peak_flops
from utils.devices import device_name, parse_dtype, training_dtype
from utils.distributed import ProcessGroup
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.interrupts import StopRequest
from utils.losses import IGNORE
from utils.model import GPT2
from utils.optimizers import OPTIMIZERS, learning_rate_at, make_optimizer
from utils.run_log import RunLog, StepRecord


@dataclass(frozen=True)
class TrainConfig:
    """How to train; every field can stand in a recipe or be given as key=value."""

    out: str = ""  # folder for checkpoints and logs; empty keeps everything in memory
    resume: bool = False
    context: int = 256
    batch_size: int = 8  # sequences in one micro-batch
    accumulate: int = 1  # micro-batches in one step
    max_steps: int = 1000
    optimizer: str = "adamw"  # or muon, for the matrices of the blocks
    learning_rate: float = 6e-4
    min_learning_rate: float = 6e-5
    warmup_steps: int = 100
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0  # largest gradient norm; 0 never clips
    evaluate_every: int = 100
    evaluate_tokens: int = 20_000
    patience: int = 0  # evaluations without a better loss before stopping early; 0 never does
    target_loss: float = 0.0  # stop when a step's training loss is below; 0 never does
    save_every: int = 500
    log_every: int = 10
    dtype: str = "auto"  # of matrix products: auto, float32, bfloat16 or float16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise CourseError(f"optimizer is {self.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}.")
        for name in ("context", "batch_size", "accumulate", "max_steps", "evaluate_every", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise CourseError(f"{name} is {getattr(self, name)}, expected at least 1.")
        for name in ("learning_rate", "min_learning_rate", "warmup_steps", "weight_decay", "clip", "patience"):
            if not 0 <= getattr(self, name) < math.inf:
                raise CourseError(f"{name} is {getattr(self, name)}, expected 0 or more.")


@dataclass(frozen=True)
class TrainingData:
    """Batches to learn from, and held-out tokens (time,) to measure on, if there are any."""

    batches: Batches
    validate: Tensor | None = None


@dataclass(frozen=True)
class TrainResult:
    """How a run ended; losses are those of the last step and of the best evaluation."""

    steps: int
    train_loss: float
    best_validate_loss: float | None
    reason: str


def train(
    model: GPT2,
    data: TrainingData,
    config: TrainConfig = TrainConfig(),
    run_log: RunLog | None = None,
    system_log=None,
) -> TrainResult:
    """Train `model` in place and say how it ended; logs are handed in, and nothing is logged without them."""
    with ProcessGroup().joined() as group:
        trainer = Trainer(model, data, config, group)  # an older run is moved aside before a log begins in its folder
        trainer.log = run_log if group.is_first else None
        with system_log or nullcontext(), StopRequest() as stop:
            return trainer.run(stop)


class Trainer:
    """The state of one run and its parts: a step, an evaluation, the checkpoints."""

    def __init__(self, model: GPT2, data: TrainingData, config: TrainConfig, group: ProcessGroup) -> None:
        self.model, self.data, self.config, self.group = model, data, config, group
        self.dtype = training_dtype(model.device) if config.dtype == "auto" else parse_dtype(config.dtype)
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=self.dtype == torch.float16)
        self.network = group.wrap(model)
        self.progress = Progress()
        self.log: RunLog | None = None
        self.checkpoints = Checkpoints(config.out, group)
        self.peak = peak_flops(device_name(model.device), str(self.dtype).removeprefix("torch."))
        if config.out and config.resume:
            self.checkpoints.restore(self)
        elif config.out:
            self.checkpoints.start_anew(model)

    def run(self, stop: StopRequest) -> TrainResult:
        """Step until something says that it is enough, then leave the best weights in the model."""
        self.model.train()
        reason = self.reason_to_stop(stop)
        while not reason:
            record = self.step()
            progress, last = self.progress, self.progress.step == self.config.max_steps
            if self.log:
                self.log.step(record)
            self.watch_epoch(record)
            if self.data.validate is not None and (progress.step % self.config.evaluate_every == 0 or last):
                self.evaluate()
            reason = self.reason_to_stop(stop)
            if reason or progress.step % self.config.save_every == 0:
                self.checkpoints.save(self)
        self.checkpoints.finish(self)
        self.model.eval()
        return TrainResult(self.progress.step, self.progress.loss, self.progress.best_loss, reason)

    def step(self) -> StepRecord:
        """Learn from `accumulate` micro-batches as if they were one large batch."""
        began, config, progress = time.perf_counter(), self.config, self.progress
        parts = [self.data.batches.next_batch() for _ in range(config.accumulate)]
        rate = learning_rate_at(progress.step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.backward(parts)
        norm = self.update(loss)
        progress.step, progress.loss = progress.step + 1, loss
        samples = sum(len(inputs) for inputs, _ in parts) * self.group.world_size
        tokens = sum(inputs.numel() for inputs, _ in parts) * self.group.world_size
        seconds = time.perf_counter() - began
        return StepRecord(progress.step, loss, seconds, samples, tokens, rate, norm, self.mfu(tokens, seconds))

    def backward(self, parts: list[tuple[Tensor, Tensor]]) -> float:
        """Add up the gradients of all parts, each weighed by its targets, and return the mean loss."""
        device = self.model.device
        counted = sum((targets != IGNORE).sum() for _, targets in parts).to(device, torch.float32)
        divisor = self.group.mean(counted).clamp(min=1)  # targets of the whole step, per process
        loss = torch.zeros((), device=device)
        for i, (inputs, targets) in enumerate(parts):
            alone = self.group.without_sync(self.network) if i < len(parts) - 1 else nullcontext()
            with alone, torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
                part = self.network(inputs.to(device), targets.to(device), divisor=divisor)
                self.scaler.scale(part).backward()
            loss += part.detach()
        return float(self.group.mean(loss))

    def update(self, loss: float) -> float:
        """Clip and apply the gradients; a loss or norm that is no number stops before it reaches the weights."""
        self.scaler.unscale_(self.optimizer)  # the norm of scaled gradients would mean nothing
        limit = self.config.clip or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        bad_norm = not math.isfinite(norm) and not self.scaler.is_enabled()  # float16 meets infinity and skips a step
        if not math.isfinite(loss) or bad_norm:
            raise CourseError(
                f"Step {self.progress.step + 1} gave loss {loss} and gradient norm {norm}, expected numbers. "
                f"The weights of step {self.progress.step} are untouched. Lower learning_rate "
                f"({self.config.learning_rate:g}), keep clip at 1, or look for damaged data in this batch."
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def mfu(self, tokens: int, seconds: float) -> float | None:
        """Return the share of the peak of all devices, or None where it is not known."""
        if self.peak is None:
            return None
        useful = flops_per_token(self.model.config, self.config.context) * tokens / seconds
        return useful / (self.peak * self.group.world_size)

    def evaluate(self) -> float:
        """Measure the held-out loss, once a step, and remember the best weights."""
        if self.progress.evaluated_step == self.progress.step:
            return self.progress.validate_loss
        tokens = self.data.validate[: self.config.evaluate_tokens]
        context = min(self.config.context, self.model.config.context)
        loss = measure_loss(self.model, tokens, Protocol(context, context)).loss
        progress = self.progress
        better = progress.best_loss is None or loss < progress.best_loss
        progress.validate_loss, progress.evaluated_step = loss, progress.step
        progress.waited = 0 if better else progress.waited + 1
        if better:
            progress.best_loss = loss
            self.checkpoints.keep_best(self.model, in_memory=self.config.patience > 0)
        if self.log:
            self.log.say(f"step {progress.step} | held-out loss {loss:.4f}{' (best)' if better else ''}")
        return loss

    def watch_epoch(self, record: StepRecord) -> None:
        """Add the step to its epoch, and close the epoch when the batches have begun the next one."""
        progress = self.progress
        progress.epoch_loss += record.loss * record.tokens
        progress.epoch_tokens += record.tokens
        progress.epoch_seconds += record.seconds
        if self.data.batches.epoch == progress.epoch:
            return
        held_out = "" if self.data.validate is None else f"{self.evaluate():.6f}"
        if self.log:
            mean = progress.epoch_loss / progress.epoch_tokens
            seconds = f"{progress.epoch_seconds:.3f}"
            self.log.epoch((progress.epoch + 1, progress.step, f"{mean:.6f}", held_out, seconds, "", ""))
        progress.start_epoch(self.data.batches.epoch)

    def reason_to_stop(self, stop: StopRequest) -> str:
        """Return why to stop now, or nothing."""
        progress, config = self.progress, self.config
        if progress.step >= config.max_steps:
            return f"reached max_steps {config.max_steps}"
        if config.target_loss and progress.loss < config.target_loss:
            return f"training loss {progress.loss:.6f} is below the target {config.target_loss:g}"
        if config.patience and progress.waited >= config.patience:
            return f"no better held-out loss in {config.patience} evaluations; best {progress.best_loss:.4f}"
        asked = self.group.mean(torch.tensor(float(stop.requested), device=self.model.device))
        return "stopped by hand" if asked > 0 else ""  # one process asked, all of them stop
