"""Peak memory of one training step, in a process of its own: the usual way, or with care.

Lab 04 takes such a step at the shape of xl.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from labs.alone import run_alone
from labs.true_size.careful_step import careful_memory, careful_step
from labs.true_size.lab_results import machine_in_words
from utils.config import SIZES, GPT2Config, Workload, estimate_memory, format_bytes, total_parameters
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.formats.open_file import open_model_file
from utils.machine import peak_memory
from utils.model import GPT2
from utils.training.config import TrainConfig
from utils.training.optimizers import make_optimizer

WAYS = ("careful", "usual")
TEXT = ROOT / "data" / "poems"


@dataclass(frozen=True)
class StepJob:
    """Which model takes a step, on how many tokens, and in which way."""

    size: str = "xl"
    context: int = 128
    way: str = "careful"
    weights: str = ""  # a size, folder or file; empty draws new ones
    prompt: str = "The kettle"  # goes on before and after the step, where weights are given
    rate: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise CourseError(f"size is {self.size!r}, expected one of {', '.join(SIZES)}.")
        if self.way not in WAYS:
            raise CourseError(f"way is {self.way!r}, expected one of {', '.join(WAYS)}.")
        if not 1 <= self.context <= self.config.context:
            raise CourseError(f"context is {self.context}, expected 1 to {self.config.context}.")

    @property
    def config(self) -> GPT2Config:
        return SIZES[self.size]

    def estimate(self) -> dict[str, int]:
        """Return the bytes of each kind of memory that the step should need."""
        work = Workload(1, self.context, training=True)
        return careful_memory(self.config, work) if self.way == "careful" else estimate_memory(self.config, work)


@dataclass(frozen=True)
class StepReport:
    """What one step did and took; bytes are those above what the process held before it had a model."""

    machine: str
    size: str
    way: str
    parameters: int
    context: int
    from_zero: bool
    loss_before: float
    loss_after: float  # on the same tokens
    seconds: float
    threads: int
    peak_bytes: int
    estimated_bytes: int
    said_before: str = ""  # how a prompt goes on; from zero nothing is asked
    said_after: str = ""

    def __str__(self) -> str:
        asked = f"\nbefore: {self.said_before!r}\nafter:  {self.said_after!r}" if self.said_before else ""
        return (
            f"{self.size}, {self.parameters:,} parameters, one {self.way} step on {self.context} tokens: "
            f"loss {self.loss_before:.2f} before, {self.loss_after:.2f} after; {self.seconds:.0f} s with threads: "
            f"{self.threads}; at most {format_bytes(self.peak_bytes)} of memory, "
            f"{format_bytes(self.estimated_bytes)} were estimated{asked}"
        )


def measure_step(job: StepJob, keep_free: int = 0) -> StepReport:
    """Take a step in a child process and return what it took; refuse before anything is allocated if it can't fit."""
    if job.weights and (held := open_model_file(job.weights).config) != job.config:
        raise CourseError(
            f"{job.weights} has {total_parameters(held):,} parameters, {job.size} has "
            f"{total_parameters(job.config):,}. Name the size that the weights have."
        )
    need, free = sum(job.estimate().values()), psutil.virtual_memory().available - keep_free
    if need > free:
        raise CourseError(
            f"One {job.way} step of {job.size} needs about {format_bytes(need)}, and {format_bytes(max(free, 0))} may "
            "be used. Nothing was allocated. Close other programs, or take a smaller size."
        )
    return run_alone(f"The step of {job.size}", take_step, job)


def take_step(job: StepJob) -> StepReport:
    """Take a step in this process, after a tiny one that pays for what PyTorch allocates once."""
    step(GPT2(GPT2Config(1, 1, 8, 16, 8)), torch.zeros(1, 9, dtype=torch.long), job)
    start_peak_anew()
    held = psutil.Process().memory_info().rss
    tokens = first_tokens(job.context + 1)
    torch.manual_seed(job.seed)
    model = load_weights(job)
    said_before, began = go_on(model, job), time.perf_counter()
    loss = step(model, tokens, job)
    seconds = time.perf_counter() - began
    peak = peak_memory() - held
    with torch.no_grad():
        after = float(model(tokens[:, :-1], tokens[:, 1:]))
    return StepReport(
        machine=machine_in_words(model.device),
        size=job.size,
        way=job.way,
        parameters=total_parameters(model.config),
        context=job.context,
        from_zero=not job.weights,
        loss_before=loss,
        loss_after=after,
        seconds=seconds,
        threads=torch.get_num_threads(),
        peak_bytes=peak,
        estimated_bytes=sum(job.estimate().values()),
        said_before=said_before,
        said_after=go_on(model, job),
    )


def go_on(model: GPT2, job: StepJob) -> str:
    """Return the prompt and the likeliest twenty tokens behind it; random weights have nothing to say."""
    if not job.weights:
        return ""
    from utils.loaders import load_tokenizer
    from utils.sampling import Sampling, complete

    how = Sampling(max_new=min(20, model.config.context // 2), temperature=0)
    return job.prompt + complete(model, load_tokenizer(open_model_file(job.weights)), job.prompt, how)[0]


def step(model: GPT2, tokens: torch.Tensor, job: StepJob) -> float:
    """Take one step on tokens (1, time + 1) and return the loss before it."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    if job.way == "careful":
        return careful_step(model, inputs, targets, job.rate)
    optimizer = make_optimizer(model, TrainConfig(learning_rate=job.rate))
    loss = model.train()(inputs, targets)
    loss.backward()
    optimizer.step()
    model.eval()
    return float(loss.detach())


def load_weights(job: StepJob) -> GPT2:
    """Return the model that takes the step."""
    if not job.weights:
        return GPT2(job.config).eval()
    from utils.loaders import load_gpt2

    return load_gpt2(job.weights)


def first_tokens(count: int) -> torch.Tensor:
    """Return the first tokens of our poems, (1, count)."""
    from utils.tokenizer import Tokenizer

    tokenizer, tokens = Tokenizer.gpt2(), []
    for path in sorted(TEXT.glob("*.txt")):
        tokens += tokenizer.encode(path.read_text(encoding="utf-8")) + [tokenizer.end_of_text]
        if len(tokens) >= count:
            break
    return torch.tensor([tokens[:count]])


def start_peak_anew() -> None:
    """Let Linux forget the peak so far; elsewhere imports are small enough not to matter."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
