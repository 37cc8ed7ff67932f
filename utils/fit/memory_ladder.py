"""Out-of-memory retries: halve the batch, then the context, then the layers, and go on (lesson 09).

When memory runs out the work steps down a ladder, on whose first rungs the least is lost. accelerate's
`find_executable_batch_size` knows the batch only, and neither MemoryError nor Windows' message.
"""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from utils.errors import CourseError
from utils.files.signals import StopRequest
from utils.fit.offload import keep_blocks
from utils.sampling import generate
from utils.training.distributed import World
from utils.training.loop import Trainer
from utils.training.optimizers import freeze_all_but_last

RUNGS = ("batch", "context", "layers")  # what costs the result least is given up first

# how PyTorch's allocators begin their complaint: for Linux and macOS, for Windows, for Apple's GPUs, for oneDNN
COMPLAINTS = ("can't allocate memory", "not enough memory", "out of memory", "could not create a memory object")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Effort:
    """How much is done at a time: sequences, tokens of each, and layers that are trained or kept at hand."""

    batch: int
    context: int
    layers: int

    def __str__(self) -> str:
        return f"batch {self.batch}, context {self.context}, layers {self.layers}"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error, or what caused it, is that memory ran out, on a CPU or on a GPU."""
    seen: BaseException | None = error
    while seen is not None:
        complains = any(words in str(seen).lower() for words in COMPLAINTS)
        by_torch = isinstance(seen, RuntimeError) and complains  # torch.cuda.OutOfMemoryError, too
        if by_torch or isinstance(seen, MemoryError) or getattr(seen, "errno", None) == errno.ENOMEM:
            return True
        seen = seen.__cause__
    return False


def efforts(start: Effort, least: Effort) -> Iterator[Effort]:
    """Yield `start`, then each rung halved until it is at its least, one rung after the other.

    >>> [str(e) for e in efforts(Effort(2, 64, 6), Effort(1, 32, 3))][1:]
    ['batch 1, context 64, layers 6', 'batch 1, context 32, layers 6', 'batch 1, context 32, layers 3']
    """
    yield start
    for rung in RUNGS:
        while getattr(start, rung) > getattr(least, rung):
            start = replace(start, **{rung: max(getattr(least, rung), getattr(start, rung) // 2)})
            yield start


def step_down(
    run: Callable[[Effort], Result],
    start: Effort,
    least: Effort = Effort(1, 1, 1),
    say: Callable[[str], object] = print,
) -> Result:
    """Call `run(effort)` with less and less until memory suffices, and say each step; other errors pass through."""
    before = None
    for effort in efforts(start, least):
        if before is not None:
            say(f"Memory ran out with {before}. Going on with {effort}.")
            gc.collect()  # here the error and all that it held on to are gone
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        try:
            return run(effort)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        before = effort
    raise CourseError(
        f"Memory ran out even with {before}, the least that was allowed. Close other programs, take a smaller GPT-2, "
        "or weights of fewer bits (lesson 08)."
    )


def generate_within_memory(model, prompts: Sequence[Sequence[int]], settings, folder: str | Path, say=print) -> list:
    """Do as `generate` does; when memory runs out take fewer prompts at a time, then the ends of long ones.

    Last, blocks move away, into `folder` if they are in CPU memory. What is written already stays.
    """
    done: list[list[int]] = []

    def run(effort: Effort) -> list[list[int]]:
        if effort.layers < model.config.n_layer:
            keep_blocks(model, effort.layers, folder)
        longest = max(1, effort.context - settings.max_new)
        while len(done) < len(prompts):
            part = [list(prompt)[-longest:] for prompt in prompts[len(done) : len(done) + effort.batch]]
            done.extend(generate(model, part, replace(settings, seed=settings.seed + len(done))))
        return done

    room = model.config.context
    context = min(room, max(map(len, prompts), default=1) + settings.max_new)
    least = Effort(1, min(context, settings.max_new + 1), 0)
    return step_down(run, Effort(len(prompts), context, model.config.n_layer), least, say)


class _CarefulTrainer(Trainer):
    """Takes a step back as if it had not begun: its windows come again, half a gradient is forgotten."""

    def step(self):
        drawn = self.data.batches.drawn
        try:
            return super().step()
        except Exception:
            self.data.batches.drawn = drawn
            self.optimizer.zero_grad(set_to_none=True)
            raise


def train_within_memory(model, data, config, log=None, say=print):
    """Do as `train` does; when memory runs out go on from the step at hand with less.

    Half a batch comes with twice the micro-batches, so the gradient stays the same. Then the context is halved, and
    at last only the upper blocks and the final norm go on learning.
    """
    with World().joined() as world, StopRequest() as stop:
        trainer = _CarefulTrainer(model, data, config, world, log)

        def run(effort: Effort):
            lighten(trainer, effort)
            return trainer.run(stop)

        return step_down(run, Effort(config.batch_size, config.context, model.config.n_layer), say=say)


def lighten(trainer: Trainer, effort: Effort) -> None:
    """Let a trainer go on with `effort`; as many sequences make a step as before, or up to one micro-batch more."""
    old, config, batches = trainer.config, trainer.config, trainer.data.batches
    if effort.batch < old.batch_size:
        accumulate = -(-old.batch_size * old.accumulate // effort.batch)
        config = replace(config, batch_size=effort.batch, accumulate=accumulate)
        batches = replace(batches, batch_size=effort.batch)
        batches.drawn = trainer.data.batches.drawn
    if effort.context < old.context:  # other windows: they begin anew
        config = replace(config, context=effort.context)
        batches = replace(batches, context=effort.context)
        trainer.progress.start_epoch(0)
    trainer.config, trainer.data = config, replace(trainer.data, batches=batches)
    layers = min(effort.layers, config.train_layers or effort.layers)
    if layers < trainer.model.config.n_layer:
        trainer.frozen += freeze_all_but_last(trainer.model, layers)
        for parameter in trainer.frozen:  # it needs no gradient and no moments
            parameter.grad = None
            trainer.optimizer.state.pop(parameter, None)
