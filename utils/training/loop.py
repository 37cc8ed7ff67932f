"""The training loop: from zero, from a checkpoint or from pretrained weights; on one process or many.

Lessons 11 and 12 build it. Mixed precision with loss scaling: Micikevicius et al. 2018, arXiv:1710.03740; gradient
clipping: Pascanu et al. 2013, arXiv:1211.5063; gradient checkpointing: Chen et al. 2016, arXiv:1604.06174.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from utils.config import flops_per_token, peak_flops
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.files.colab import say_what_is_lost
from utils.files.progress import LiveLine
from utils.files.signals import StopRequest
from utils.machine import device_name, parse_dtype, prepare_for_speed, training_dtype
from utils.model import GPT2, IGNORE
from utils.run_log import Evaluation, RunLog, StepRecord
from utils.system_log import SystemLog
from utils.training.checkpoints import Checkpoints, Progress, RunState
from utils.training.config import TrainConfig
from utils.training.data import Tokens, TrainingData
from utils.training.distributed import World, full_tensor, unshard_into
from utils.training.malloc import KeepFreedMemory
from utils.training.optimizers import freeze_all_but_last, learning_rate_at, make_optimizer
from utils.training.run_folder import claimed
from utils.training.stopwatch import Stopwatch


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
    system_log: SystemLog | None = None,
) -> TrainResult:
    """Train `model` in place and say how it ended; logs are handed in, and nothing is logged without them."""
    world, first = World(), "torch._dynamo" not in sys.modules
    with claimed(config.out, world), world.joined():
        trainer = Trainer(model, data, config, world, run_log)
        trainer.begin()  # an older run is moved aside before a log begins in its folder
        with trainer.memory, system_log or nullcontext(), StopRequest() as stop:
            result = trainer.run(stop)
    del trainer
    if first:  # PyTorch's first optimizer imports Dynamo, which leaves frames behind that hold on to all of this run
        gc.collect()
    return result


class Trainer:
    """One run: a step, an evaluation, when to stop and to save. Nothing is written before `begin` or `run`."""

    def __init__(
        self, model: GPT2, data: TrainingData, config: TrainConfig, world: World, log: RunLog | None = None
    ) -> None:
        self.data, self.config, self.world = data, config, world
        self.log = log if world.is_first else None
        self.dtype = training_dtype(model.device) if config.dtype == "auto" else parse_dtype(config.dtype)
        check_measures(data, config)
        self.frozen = freeze_all_but_last(model, config.train_layers)
        model.recompute = config.gradient_checkpointing
        prepare_for_speed(model)
        self.given, self.network = model, world.wrap(model, config.parallel)
        self.model = cast(GPT2, getattr(self.network, "module", self.network))  # DDP keeps it there
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=self.dtype == torch.float16)
        self.progress = Progress()
        self.memory = KeepFreedMemory(config.keep_memory)
        self.saved_at = time.monotonic()
        self.checkpoints = Checkpoints(config.out, world, wants_best=bool(config.patience))
        self.begun = False
        known = peak_flops(device_name(model.device), str(self.dtype).removeprefix("torch."))
        self.peak = config.peak_tflops * 1e12 or known

    @property
    def state(self) -> RunState:
        """What a checkpoint keeps."""
        return RunState(self.model, self.optimizer, self.scaler, self.data.batches, self.progress)

    def begin(self) -> None:
        """Make the run's folder ready, or go on from the checkpoint in it; `run` does so if nobody has yet."""
        if self.checkpoints.on_disk and not self.begun:
            if self.world.is_first:
                say_what_is_lost(self.config.out)
            if self.config.resume:
                self.checkpoints.restore(self.state)
                if self.log:
                    self.log.resume(self.progress.step)
            else:
                self.checkpoints.start_anew(self.model)
        self.begun = True

    def run(self, stop: StopRequest) -> TrainResult:
        """Step until something says that it is enough, then leave the best weights in the model."""
        self.begin()
        try:
            self.model.train()
            reason = self.steps(stop)
            self.checkpoints.finish(self.state)
            unshard_into(self.model, self.given)
        finally:
            self.given.eval()
            for parameter in self.frozen:
                parameter.requires_grad = True
        return TrainResult(self.progress.step, self.progress.loss, self.progress.best_loss, reason)

    def steps(self, stop: StopRequest) -> str:
        """Step, measure, log and save until there is a reason to stop, and return it."""
        reason = self.reason_to_stop(stop)
        with LiveLine(after=0, is_seen=self.world.is_first) as live:
            while not reason:
                live.say(self.what_it_does())
                record = self.step()
                live.clear()
                self.memory.tidy()
                progress, last = self.progress, self.progress.step == self.config.max_steps
                if self.log:
                    self.log.step(record)
                if progress.step % self.config.evaluate_every == 0 or last:
                    self.evaluate()
                self.watch_epoch(record)
                reason = self.reason_to_stop(stop)
                if reason or self.time_to_save():
                    self.checkpoints.save(self.state)
                    self.saved_at = time.monotonic()
        return reason

    def what_it_does(self) -> str:
        """Say in a line which step is under way, and what the loss was."""
        progress = self.progress
        loss = f" | loss {progress.loss:.4f}" if progress.step else ""
        return f"step {progress.step + 1:,} of {self.config.max_steps:,}{loss}"

    def time_to_save(self) -> bool:
        """Say whether a checkpoint is due, by steps or by the clock."""
        minutes, waited = self.config.save_minutes, time.monotonic() - self.saved_at
        # all processes save together, and their clocks differ
        late = minutes > 0 and self.world.agrees(waited >= 60 * minutes, self.model.device)
        return late or self.progress.step % self.config.save_every == 0

    def step(self) -> StepRecord:
        """Learn from `accumulate` micro-batches as if they were one large batch."""
        began, config, progress = time.perf_counter(), self.config, self.progress
        parts, self.places = [], []
        for _ in range(config.accumulate):
            parts.append(self.data.batches.next_batch())
            self.places += self.data.batches.places
        self.check_tokens(parts)
        rate = learning_rate_at(progress.step, config, progress.cuts)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        watch = Stopwatch(self.model.device)
        loss = self.backward(parts, watch)
        passes = watch.split(2)
        norm = self.update(loss)
        progress.step, progress.loss = progress.step + 1, loss
        samples = sum(len(inputs) for inputs, _ in parts) * self.world.world_size
        tokens = sum(inputs.numel() for inputs, _ in parts) * self.world.world_size
        seconds = time.perf_counter() - began
        mfu = self.mfu(parts, seconds)
        return StepRecord(progress.step, loss, seconds, samples, tokens, rate, norm, mfu, *passes)

    def check_tokens(self, parts: list[tuple[Tensor, Tensor]]) -> None:
        """Refuse tokens that the model doesn't know; a GPU would only say that something went wrong somewhere."""
        known = self.model.config.vocab_size
        low = min(int(inputs.min()) for inputs, _ in parts)
        high = max(int(torch.maximum(inputs, targets).max()) for inputs, targets in parts)
        if low < 0 or high >= known:
            raise CourseError(
                f"Step {self.progress.step + 1} met token {low if low < 0 else high}, expected ids from 0 to "
                f"{known - 1}. {self.describe_batch()} Prepare the text again, with this model's tokenizer."
            )

    def describe_batch(self) -> str:
        """Say which windows of the training text the step at hand learned from."""
        shown = ", ".join(f"{place:,}" for place in self.places[:8]) + (", …" if len(self.places) > 8 else "")
        return f"Its batch: {self.data.batches.unit} {shown}." if self.places else ""

    def backward(self, parts: list[tuple[Tensor, Tensor]], watch: Stopwatch | None = None) -> float:
        """Add up the gradients of all parts, each weighed by its targets, and return the mean loss."""
        device = self.model.device
        watch = watch or Stopwatch(device)
        counted = torch.stack([(targets != IGNORE).sum() for _, targets in parts]).sum().to(device, torch.float32)
        divisor = self.world.mean(counted).clamp(min=1)  # targets of the whole step, per process
        loss = torch.zeros((), device=device)
        watch.mark()
        for i, (inputs, targets) in enumerate(parts):
            alone = self.world.without_sync(self.network) if i < len(parts) - 1 else nullcontext()
            with alone, torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
                part = self.network(inputs.to(device), targets.to(device), divisor=divisor)
                watch.mark()
                self.scaler.scale(part).backward()
                watch.mark()
            loss += part.detach()
        return float(self.world.mean(loss))

    def update(self, loss: float) -> float:
        """Clip and apply the gradients; a loss or norm that is no number stops before it reaches the weights."""
        self.scaler.unscale_(self.optimizer)  # the norm of scaled gradients would mean nothing
        limit = self.config.clip or math.inf
        norm = float(full_tensor(nn.utils.clip_grad_norm_(self.model.parameters(), limit)))
        bad_norm = not math.isfinite(norm) and not self.scaler.is_enabled()  # float16 meets infinity and skips a step
        if not math.isfinite(loss) or bad_norm:
            raise CourseError(
                f"Step {self.progress.step + 1} gave loss {loss} and gradient norm {norm}, expected numbers. "
                f"The weights of step {self.progress.step} are untouched. Lower learning_rate "
                f"({self.config.learning_rate:g}), keep clip at 1, or look for damaged data. {self.describe_batch()}"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def mfu(self, parts: list[tuple[Tensor, Tensor]], seconds: float) -> float | None:
        """Return the share of this device's peak that the rows took, or None where the peak is not known."""
        if self.peak is None:
            return None
        useful = sum(flops_per_token(self.model.config, inputs.shape[1]) * inputs.numel() for inputs, _ in parts)
        return useful / (seconds * self.peak)

    def evaluate(self, due: bool = True) -> float | None:
        """Measure all that is to be measured, once a step, remember the best weights, and return the held-out loss.

        What is measured without being due, for the row of an epoch, counts neither for patience nor for plateau.
        """
        progress, data = self.progress, self.data
        if progress.evaluated_step == progress.step or not data.is_measured:
            return progress.validate_loss
        progress.evaluated_step = progress.step
        held_out = None if data.validate is None else self.measure(data.validate)
        best = held_out is not None and progress.judge(held_out, due, self.config.min_delta)
        others = {name: self.measure(tokens) for name, tokens in data.also.items()}
        memorized = data.memorization(self.model) if data.memorization else None
        if self.log:
            self.log.evaluation(Evaluation(progress.step, held_out, best, others, memorized))
        if best:
            self.checkpoints.keep_best(self.state)
        if due:
            self.cut_rate_on_plateau()
        return held_out

    def measure(self, tokens: Tokens) -> float:
        """Return the loss on the first evaluate_tokens of tokens (time,)."""
        context = min(self.config.context, self.model.config.context)
        return measure_loss(self.model, tokens[: self.config.evaluate_tokens], Protocol(context, context)).loss

    def cut_rate_on_plateau(self) -> None:
        """Lower the learning rate when the held-out loss has stood still for plateau_patience evaluations."""
        progress, config = self.progress, self.config
        if config.schedule == "plateau" and progress.stalled >= config.plateau_patience:
            progress.cuts, progress.stalled = progress.cuts + 1, 0
            if self.log:
                self.log.say(f"step {progress.step} | learning rate times {config.plateau_factor:g}")

    def watch_epoch(self, record: StepRecord) -> None:
        """Add the step to its epoch, and close the epoch when the batches have begun the next one."""
        progress = self.progress
        progress.epoch_loss += record.loss * record.tokens
        progress.epoch_tokens += record.tokens
        progress.epoch_seconds += record.seconds
        progress.epoch_steps += 1
        if self.data.batches.epoch == progress.epoch:
            return
        unmeasured, long = progress.validate_loss is None, progress.epoch_steps >= self.config.evaluate_every
        if self.data.validate is not None and (unmeasured or long):
            self.evaluate(due=False)
        progress.mean_loss = progress.epoch_loss / progress.epoch_tokens
        if self.log:
            held_out = "" if progress.validate_loss is None else f"{progress.validate_loss:.6f}"
            mean, seconds = f"{progress.mean_loss:.6f}", f"{progress.epoch_seconds:.3f}"
            self.log.epoch((progress.epoch + 1, progress.step, mean, held_out, seconds))
        progress.start_epoch(self.data.batches.epoch)

    def reason_to_stop(self, stop: StopRequest) -> str:
        """Return why to stop now, or nothing."""
        progress, config = self.progress, self.config
        if progress.step >= config.max_steps:
            return f"reached max_steps {config.max_steps}"
        if config.target_loss and progress.loss < config.target_loss:
            return f"training loss {progress.loss:.6f} is below the target {config.target_loss:g}"
        if config.target_epoch_loss and progress.mean_loss < config.target_epoch_loss:
            target = f"the target {config.target_epoch_loss:g}"
            return f"training loss {progress.mean_loss:.6f} over epoch {progress.epoch} is below {target}"
        if config.patience and progress.waited >= config.patience:
            return f"no better held-out loss in {config.patience} evaluations; best {progress.best_loss:.4f}"
        asked = self.world.agrees(stop.requested, self.model.device)
        return "stopped by hand" if asked else ""  # one process asked, all of them stop


def check_measures(data: TrainingData, config: TrainConfig) -> None:
    """Refuse at the start what could only fail, or do nothing, hours later."""
    for name, tokens in {"held-out": data.validate, **data.also}.items():
        if tokens is not None and len(tokens) < 2:
            raise CourseError(
                f"The {name} text has {len(tokens)} tokens, expected at least 2 to measure a loss. "
                "Hold out a larger share: python course.py prepare … --held-out 0.2"
            )
    if data.validate is None and (config.patience or config.schedule == "plateau"):
        asked = f"patience={config.patience}" if config.patience else "schedule=plateau"
        raise CourseError(
            f"{asked} needs a held-out loss, and nothing is held out. Give validate.bin, or leave it out."
        )
