"""A whole trainer in a hundred lines, small enough that each of its parts can be tested in a moment.

It is right. `labs.bugs.sabotage` makes copies of it in which one method each is wrong.
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.batches import Batches
from utils.config import GPT2Config
from utils.model import GPT2

Part = tuple[Tensor, Tensor]  # inputs and targets, (batch, context) each


@dataclass(frozen=True)
class Settings:
    """What the small trainer can be told."""

    shape: GPT2Config = GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=64, context=8)  # 64 is padded …
    vocab: int = 50  # … the tokenizer knows so many
    batch_size: int = 4
    accumulate: int = 2  # parts of one step
    learning_rate: float = 1e-2
    held_out: float = 0.25  # share of the documents
    report_every: int = 5
    patience: int = 3  # reports without a better loss before it stops
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """What is known after some steps."""

    step: int
    train_loss: float
    held_out_loss: float


class Bent(nn.Module):
    """The MLP of a block with an activation from outside."""

    def __init__(self, mlp: Any, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up, self.down, self.activation = mlp.up, mlp.down, activation

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


class Trainer:
    """Documents (lists of tokens) in, a trained model and its reports out."""

    def __init__(self, documents: Sequence[Sequence[int]], **settings) -> None:
        self.settings = replace(Settings(), **settings)
        torch.manual_seed(self.settings.seed)
        self.train_documents, self.held_out_documents = self.split(documents)
        self.model = self.build()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.settings.learning_rate)
        tokens = [token for document in self.train_documents for token in document]
        self.batches = Batches(tokens, self.settings.batch_size, self.settings.shape.context, self.settings.seed)
        self.step_count, self.loss, self.speed = 0, math.inf, 0.0
        self.best_loss, self.waited = math.inf, 0
        self.best_weights: dict[str, Tensor] | None = None
        self.reports: list[Report] = []
        self.events: list[str] = []

    def build(self) -> GPT2:
        """Return a new model with our own start and our own activation."""
        model = GPT2(self.settings.shape)
        for block in model.blocks:
            block.mlp = Bent(block.mlp, self.activation)
        self.initialize(model)
        return model

    def split(self, documents: Sequence) -> tuple[list, list]:
        """Return documents to train on and documents that are held out; none is in both."""
        mixed = random.Random(self.settings.seed).sample(list(documents), len(documents))
        count = max(1, round(self.settings.held_out * len(mixed)))
        return mixed[count:], mixed[:count]

    @torch.no_grad()
    def initialize(self, model: GPT2) -> None:
        """Draw all matrices with a spread of 0.02, and 0.02/√(2·layers) where a block adds to the stream."""
        for name, weight in model.named_parameters():
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                weight.normal_(0, 0.02 / math.sqrt(2 * model.config.n_layer))
            elif weight.dim() == 2:
                weight.normal_(0, 0.02)

    def activation(self, x: Tensor) -> Tensor:
        """Return GELU as GPT-2 has it: the approximation by tanh."""
        return F.gelu(x, approximate="tanh")

    def learn(self, parts: Sequence[Part]) -> float:
        """Add up the gradients of the mean loss over equal parts, and return that loss."""
        total = 0.0
        for inputs, targets in parts:
            loss = self.model(inputs, targets) / len(parts)
            loss.backward()
            total += float(loss.detach())
        return total

    def step(self) -> None:
        """Take one step of the optimizer on `accumulate` parts."""
        parts = [self.batches.next_batch() for _ in range(self.settings.accumulate)]
        began = time.perf_counter()
        self.optimizer.zero_grad()
        self.loss = self.learn(parts)
        self.optimizer.step()
        self.step_count += 1
        self.speed = self.tokens_per_second(parts, time.perf_counter() - began)

    def tokens_per_second(self, parts: Sequence[Part], seconds: float) -> float:
        """Return how many tokens went through the model in a second."""
        return sum(inputs.numel() for inputs, _ in parts) / seconds

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Return the mean loss on the held-out documents, as the model is now."""
        tokens = [token for document in self.held_out_documents for token in document]
        rows = Batches(tokens, 1, self.settings.shape.context)
        return sum(float(self.model(*rows.next_batch())) for _ in range(rows.windows)) / rows.windows

    def report(self) -> Report:
        """Measure, and write down what is known now."""
        self.reports.append(Report(self.step_count, self.loss, self.held_out_loss()))
        return self.reports[-1]

    def consider(self, loss: float) -> None:
        """Keep the weights if this held-out loss is the best so far; else count how long we have waited."""
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            self.best_weights = copy.deepcopy(self.model.state_dict())
        else:
            self.waited += 1

    def restore_best(self) -> None:
        """Put the best weights back into the model."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def save(self) -> dict:
        """Return all that `resume` needs."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return copy.deepcopy({**state, "step": self.step_count, "batches": self.batches.state_dict()})

    def resume(self, state: dict) -> None:
        """Go on where `save` was called."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        self.step_count = state["step"]

    def next_token(self, logits: Tensor) -> int:
        """Draw a token from logits (padded vocab,), never one that the tokenizer can't decode."""
        return int(torch.multinomial(logits[: self.settings.vocab].softmax(-1), 1))

    def watched(self, work: Callable[[], None]) -> None:
        """Do the work between the events Before and After; After comes even when the work crashes."""
        self.events.append("Before")
        try:
            work()
        finally:
            self.events.append("After")

    def run(self, steps: int) -> None:
        """Train until so many steps are done or patience ends, and leave the best weights in the model."""

        def work() -> None:
            while self.step_count < steps and self.waited < self.settings.patience:
                self.step()
                if self.step_count % self.settings.report_every == 0:
                    self.consider(self.report().held_out_loss)
            self.restore_best()

        self.watched(work)
