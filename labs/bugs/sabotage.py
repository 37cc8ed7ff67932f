"""Thirteen bugs that real trainers had, each a function that takes the place of one method.

What is wrong is told nowhere but in the code: a lab that spoils itself is none.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from labs.bugs.trainer import Report, Trainer
from utils.errors import CourseError


@dataclass(frozen=True)
class Bug:
    """One sabotage: what users see, which method it replaces, and with what."""

    symptom: str
    method: str
    function: Callable


BUGS: dict[str, Bug] = {}


def bug(method: str, symptom: str) -> Callable:
    """Enter a function into BUGS under its own name."""

    def enter(function: Callable) -> Callable:
        BUGS[function.__name__] = Bug(symptom, method, function)
        return function

    return enter


def find_bug(name: str) -> Bug:
    """Return a bug by its name."""
    if name not in BUGS:
        raise CourseError(f"There is no bug {name!r}, expected one of {', '.join(BUGS)}.")
    return BUGS[name]


def sabotaged(name: str) -> type[Trainer]:
    """Return a copy of the trainer in which one method is wrong."""
    return with_method(find_bug(name).method, find_bug(name).function)


def with_method(method: str, function: Callable) -> type[Trainer]:
    """Return a copy of the trainer with another method."""
    return type("Trainer", (Trainer,), {method: function})


@bug("activation", "With the hub's weights, logits differ from everybody else's in the third digit.")
def other_bend(self, x):
    return F.gelu(x)


@bug("initialize", "Deep models begin with a residual stream that grows from block to block.")
@torch.no_grad()
def loud_blocks(self, model):
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.normal_(0, 0.02)


@bug("learn", "Accumulating four parts learns no better than a batch of one part, and costs four times as much.")
def lost_parts(self, parts):
    total = 0.0
    for inputs, targets in parts:
        loss = self.model(inputs, targets)
        total += float(loss.detach()) / len(parts)
    loss.backward()
    return total


@bug("learn", "The gradient norm that is logged grows with the number of parts, and clipping bites ever harder.")
def loud_parts(self, parts):
    total = 0.0
    for inputs, targets in parts:
        loss = self.model(inputs, targets)
        loss.backward()
        total += float(loss.detach()) / len(parts)
    return total


@bug("learn", "The training curve stays as jagged as that of small batches, however many parts are accumulated.")
def jagged_curve(self, parts):
    for inputs, targets in parts:
        loss = self.model(inputs, targets) / len(parts)
        loss.backward()
    return float(loss.detach()) * len(parts)


@bug("tokens_per_second", "A batch twice as large takes nearly twice as long, and the speed shown is half.")
def slow_clock(self, parts, seconds):
    return sum(inputs.shape[1] for inputs, _ in parts) / seconds


@bug("split", "Held-out loss follows training loss all the way down, on any text, for as long as one likes.")
def good_news(self, documents):
    mixed = random.Random(self.settings.seed).sample(list(documents), len(documents))
    return mixed, mixed[: max(1, round(self.settings.held_out * len(mixed)))]


@bug("report", "At step 100 the log shows a held-out loss that nothing seems to move.")
def old_news(self):
    known = self.reports[0].held_out_loss if self.reports else self.held_out_loss()
    self.reports.append(Report(self.step_count, self.loss, known))
    return self.reports[-1]


@bug("consider", "The run never stops early, and its best weights are always its last ones.")
def never_satisfied(self, loss):
    if loss < math.inf:
        self.waited, self.best_weights = 0, copy.deepcopy(self.model.state_dict())
    else:
        self.waited += 1


@bug("restore_best", "The run stops early as it should, and then its model is worse than its best report.")
def too_late(self):
    if self.best_weights is not None:
        self.best_weights = copy.deepcopy(self.model.state_dict())


@bug("resume", "After a resume, the step count goes on and the loss is back where everything began.")
def fresh_start(self, state):
    self.optimizer.load_state_dict(state["optimizer"])
    self.batches.load_state_dict(state["batches"])
    self.step_count = state["step"]


@bug("next_token", "Once in some thousand tokens, the tokenizer fails to decode what the model has written.")
def ghost_words(self, logits):
    return int(torch.multinomial(logits.softmax(-1), 1))


@bug("watched", "The log of a run that crashed overnight just ends: nobody knows when, or how full the memory was.")
def open_end(self, work):
    self.events.append("Before")
    work()
    self.events.append("After")
