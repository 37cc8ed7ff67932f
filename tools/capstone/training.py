"""Training of a learner's own model through the adapter: AdamW, warm-up and cosine, gradient clipping, held-out loss.

The number of steps is fixed, not the time, so that the loss says something about the code and not about the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.capstone.adapter import ADAPTER, opened, unconnected, where
from utils.batches import Batches, token_windows
from utils.errors import CourseError
from utils.training.small_world import SmallWorld, tell_stories

NEEDED = ("logits", "loss", "new_model", "parameters", "adamw_step", "clip_gradients")
BEGINNING = "Once upon a time"


@dataclass(frozen=True)
class Plan:
    """What is trained, on how much, and which held-out loss counts as reached."""

    n_layer: int = 4
    n_head: int = 4
    width: int = 128
    context: int = 128
    batch: int = 16
    steps: int = 1_500
    stories: int = 8_000
    held: int = 80  # stories that are never trained on
    rate: float = 3e-3
    warmup: int = 60
    decay: float = 0.1  # of matrices; vectors have none
    limit: float = 1.0  # of the gradients' norm
    aim: float = 0.85  # nats a token; the solution, on one thread, reaches 0.790
    every: int = 100  # steps between two lines

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then a cosine down to a tenth."""
        if step <= self.warmup:
            return self.rate * step / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


@dataclass
class Own:
    """A learner's model with what its training keeps: matrices and vectors have a state of the optimizer each."""

    adapter: ModuleType
    model: Any
    groups: list[tuple[list[Tensor], dict, float]]  # parameters, state, weight decay

    @classmethod
    def made(cls, adapter: ModuleType, plan: Plan, vocab: int) -> Own:
        """Make a new model of the plan's shape."""
        model = adapter.new_model(plan.n_layer, plan.n_head, plan.width, vocab, plan.context)
        weights = list(adapter.parameters(model))
        matrices, vectors = [w for w in weights if w.dim() > 1], [w for w in weights if w.dim() < 2]
        return cls(adapter, model, [(matrices, {}, plan.decay), (vectors, {}, 0.0)])

    def step(self, inputs: Tensor, targets: Tensor, rate: float, limit: float) -> float:
        """Learn from one batch, with the learner's own loss, clipping and optimizer; return the loss."""
        loss = self.adapter.loss(self.adapter.logits(self.model, inputs), targets)
        weights = [weight for group, _, _ in self.groups for weight in group]
        gradients = list(torch.autograd.grad(loss, weights))
        self.adapter.clip_gradients(gradients, limit)
        for group, state, decay in self.groups:
            own, gradients = gradients[: len(group)], gradients[len(group) :]
            self.adapter.adamw_step(group, own, state, rate, decay)
        return float(loss.detach())

    @torch.no_grad()
    def held_out_loss(self, world: SmallWorld, plan: Plan) -> float:
        """Measure the mean loss a token on stories that were never trained on, by PyTorch's own cross-entropy."""
        inputs, targets = token_windows(world.held_out, plan.context)
        parts = zip(inputs.split(plan.batch), targets.split(plan.batch), strict=True)
        sums = [F.cross_entropy(self._logits(x), y.flatten(), reduction="sum") for x, y in parts]
        return float(sum(sums) / targets.numel())

    def _logits(self, tokens: Tensor) -> Tensor:
        return self.adapter.logits(self.model, tokens).flatten(0, 1)

    @torch.no_grad()
    def told(self, world: SmallWorld, count: int) -> str:
        """Return how the model goes on from a story's beginning, always by the likeliest token."""
        tokens = torch.tensor([[int(token) for token in world.tokenizer.encode(BEGINNING)]])
        for _ in range(count):
            best = self.adapter.logits(self.model, tokens)[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, best], dim=1)
        return world.tokenizer.decode(tokens[0].tolist())


@dataclass(frozen=True)
class Trained:
    """What a training gave."""

    loss: float
    steps: int
    minutes: float
    aim: float

    @property
    def reached(self) -> bool:
        return self.loss <= self.aim

    def __str__(self) -> str:
        verdict = "reached" if self.reached else "not reached"
        return (
            f"Held-out loss {self.loss:.3f} nats a token after {self.steps:,} steps in {self.minutes:.1f} minutes; "
            f"asked for was at most {self.aim:g}: {verdict}."
        )


def train_steps(own: Own, world: SmallWorld, plan: Plan) -> Iterator[tuple[int, float]]:
    """Train, and yield the mean loss of the last steps now and then."""
    batches, losses = Batches(world.learn, plan.batch, plan.context), []
    for step in range(1, plan.steps + 1):
        losses.append(own.step(*batches.next_batch(), plan.rate_at(step), plan.limit))
        if not math.isfinite(losses[-1]):
            raise CourseError(f"The loss of step {step} is {losses[-1]}. Run the parts first: loss, AdamW, clipping.")
        if step in (1, 10) or step % plan.every == 0 or step == plan.steps:
            yield step, sum(losses) / len(losses)
            losses = []


def train_in(adapter: ModuleType, plan: Plan = Plan()) -> Trained:
    """Train the model of an adapter by a plan, and say how it goes."""
    world = tell_stories(plan.stories, plan.held, seed=18)
    torch.manual_seed(0)
    own = Own.made(adapter, plan, world.vocab_size)
    print(
        f"{plan.steps:,} steps of {plan.batch} × {plan.context} tokens, {len(world.learn):,} tokens to learn from. "
        f"Asked for is a held-out loss of at most {plan.aim:g} nats a token. It knows nothing at "
        f"ln {world.vocab_size:,} = {math.log(world.vocab_size):.2f}.",
        flush=True,
    )
    begin = time.perf_counter()
    for step, loss in train_steps(own, world, plan):
        left = (time.perf_counter() - begin) / step * (plan.steps - step) / 60
        print(f"step {step:5,}   loss {loss:.3f}   {left:.1f} minutes to go", flush=True)
    trained = Trained(own.held_out_loss(world, plan), plan.steps, (time.perf_counter() - begin) / 60, plan.aim)
    print(f"{trained}\n\nIt tells: {own.told(world, plan.context // 2)}")
    return trained


def train_own(folder: Path, plan: Plan = Plan()) -> Trained:
    """Train the model of a learner's folder, if what that needs is connected."""
    folder = folder.resolve()
    with opened(folder) as adapter:
        if waiting := unconnected(adapter, NEEDED):
            raise CourseError(
                f"Training needs {', '.join(NEEDED)}. Connect {' and '.join(waiting)} in {ADAPTER} first."
            )
        try:
            return train_in(adapter, plan)
        except CourseError:
            raise
        except Exception as error:  # whatever a learner's code raises
            said = f"Training stopped{where(error, folder)} with {type(error).__name__}: {error}."
            raise CourseError(f"{said} `python course.py capstone` says which part to mend.") from error
