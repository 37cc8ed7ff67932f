"""Throughput and peak memory of one training step, taken in different ways; each way in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from labs.alone import run_alone
from utils.batches import Batches
from utils.config import GPT2Config, format_bytes
from utils.machine import has_real_bf16, parse_dtype, peak_memory, pick_device, prepare_for_speed
from utils.model import GPT2
from utils.training.config import TrainConfig
from utils.training.malloc import KeepFreedMemory
from utils.training.optimizers import make_optimizer, parameter_groups

RATE = 6e-4
SHARED = ("torch._dynamo", "labs.ladder.climb")  # imported once for all rungs: an optimizer's first step wants Dynamo


@dataclass(frozen=True)
class Rung:
    """How a step is taken; the plain loop by default."""

    name: str = "plain loop"
    fused: bool = False  # the optimizer passes over all weights in one kernel
    dtype: str = "float32"  # of matrix products
    chunked: bool = False  # logits exist for some tokens at a time
    keep_memory: bool = False  # what a step frees is kept for the next one
    parts: int = 1  # micro-batches that make up one step
    compiled: bool = False  # torch.compile of every block
    sequences: int = 8  # that one step learns from


@dataclass(frozen=True)
class Task:
    """What is trained: a shape from zero, on which tokens, how long."""

    config: GPT2Config
    tokens: Sequence[int]
    context: int = 128
    steps: int = 4  # the first one warms up and is not timed
    seed: int = 107
    clock: str = "wall"  # or processor: this process's own seconds, by which busy neighbours don't count


@dataclass(frozen=True)
class Climbed:
    """What a rung gave."""

    rung: Rung
    tokens_per_second: float  # the median over steps
    peak_bytes: int  # above what the process held before it built a model
    losses: list[float]  # of every step, the first one included

    def __str__(self) -> str:
        speed, memory = f"{self.tokens_per_second:,.0f} tokens/s", format_bytes(self.peak_bytes)
        return f"{self.rung.name:16} {speed:>16} {memory:>9}   last loss {self.losses[-1]:.4f}"


def build_ladder(device: torch.device, sequences: int = 8, parts: int = 4) -> tuple[list[Rung], list[str]]:
    """Return the rungs that this machine has, each with all changes below it, and why the others are left out."""
    changes: list[tuple[str, dict[str, Any], str]] = [
        ("fused optimizer", {"fused": True}, "" if device.type in ("cpu", "cuda") else lacks_fused(device)),
        ("bfloat16", {"dtype": "bfloat16"}, "" if has_real_bf16(device.type) else "only imitated by this device"),
        ("chunked loss", {"chunked": True}, ""),
        ("memory kept", {"keep_memory": True}, "" if can_keep_memory(device) else "a matter of Linux on a CPU"),
        ("accumulation", {"parts": parts}, ""),
        ("torch.compile", {"compiled": True}, lacks_compiler(device)),
        ("larger batch", {"sequences": 4 * sequences}, ""),
    ]
    rungs, left_out = [Rung(sequences=sequences)], []
    for name, change, reason in changes:
        if reason:
            left_out.append(f"{name}: {reason}")
        else:
            rungs.append(replace(rungs[-1], name=name, **change))
    return rungs, left_out


def lacks_fused(device: torch.device) -> str:
    """Say why the optimizer stays in many small steps."""
    return f"PyTorch has no fused AdamW for {device.type}"


def can_keep_memory(device: torch.device) -> bool:
    """Say whether the C library of this process gives memory back after each step, and can be told not to."""
    return device.type == "cpu" and KeepFreedMemory()._libc is not None


def lacks_compiler(device: torch.device) -> str:
    """Say what torch.compile lacks here, if anything."""
    if device.type == "cuda":
        return "" if importlib.util.find_spec("triton") else "needs the package triton"
    if device.type != "cpu":
        return f"not tried on {device.type}"
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "cl"]
    return "" if any(map(shutil.which, names)) else f"needs a C++ compiler ({', '.join(names)} not found)"


def climb(
    task: Task, rungs: Sequence[Rung], rounds: int = 1, show: Callable[[object], object] = print
) -> list[Climbed]:
    """Climb all rungs `rounds` times, one after the other, and return what each gave in the middle."""
    found: list[list[Climbed]] = [[] for _ in rungs]
    for number in range(rounds):
        for rung, turns in zip(rungs, found, strict=True):
            turns.append(run_alone(rung.name, take_steps, rung, task, shared=SHARED))
            if number == rounds - 1:
                show(middle(turns))
    return [middle(turns) for turns in found]


def middle(turns: Sequence[Climbed]) -> Climbed:
    """Return a rung's median speed and its largest peak over several rounds; losses are the same in each."""
    speed = statistics.median(turn.tokens_per_second for turn in turns)
    return replace(turns[0], tokens_per_second=speed, peak_bytes=max(turn.peak_bytes for turn in turns))


def take_steps(rung: Rung, task: Task) -> Climbed:
    """Train in this process, one way, and measure; `climb` calls it in a new process for each rung."""
    device, before = pick_device(), psutil.Process().memory_info().rss
    torch.manual_seed(task.seed)
    model = prepare_for_speed(GPT2(task.config).to(device).train())
    if rung.compiled:
        for block in model.blocks:  # all blocks are alike, so one is compiled and serves for all
            block.compile()
    step = partial(take_step, model, make_optimizer_of(rung, model), rung)
    batches = Batches(task.tokens, rung.sequences // rung.parts, task.context, seed=task.seed)
    losses, seconds, clock = [], [], time.process_time if task.clock == "processor" else time.perf_counter
    with KeepFreedMemory(rung.keep_memory):
        for _ in range(task.steps):
            parts = [batches.next_batch() for _ in range(rung.parts)]
            began = clock()
            losses.append(step(parts))
            seconds.append(clock() - began)
    tokens = rung.sequences * task.context
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory() - before
    return Climbed(rung, tokens / statistics.median(seconds[1:] or seconds), peak, losses)


def take_step(model: GPT2, optimizer: torch.optim.Optimizer, rung: Rung, parts: list[tuple[Tensor, Tensor]]) -> float:
    """Learn from all parts as one batch, and return its mean loss when the device is done."""
    device, dtype, loss = model.device, parse_dtype(rung.dtype), 0.0
    products = torch.autocast(device.type, dtype) if dtype != torch.float32 else nullcontext()
    for inputs, targets in parts:
        with products:
            part = loss_of(model, inputs.to(device), targets.to(device), rung.chunked) / len(parts)
        part.backward()
        loss += float(part.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return loss


def loss_of(model: GPT2, inputs: Tensor, targets: Tensor, chunked: bool) -> Tensor:
    """Return the mean cross-entropy: from all logits at once (batch, time, vocab), or from some tokens' at a time."""
    if chunked:
        return model(inputs, targets)
    return F.cross_entropy(model(inputs).flatten(0, 1).float(), targets.flatten())


def make_optimizer_of(rung: Rung, model: GPT2) -> torch.optim.Optimizer:
    """Return AdamW: as the course makes it, or weight by weight, a dozen small operations for each."""
    if rung.fused:
        return make_optimizer(model, TrainConfig(learning_rate=RATE))
    groups = parameter_groups(model, TrainConfig().weight_decay)
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), foreach=False, fused=False)
