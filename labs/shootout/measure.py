"""Load time, memory and throughput of one loader, measured in this process."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from labs.shootout.loader_zoo import LOADERS


@dataclass(frozen=True)
class Job:
    """What one loader is to do: open a file, say its logits after each prompt, write so many tokens."""

    loader: str
    path: str
    prompts: list[list[int]]
    new_tokens: int = 16


@dataclass(frozen=True)
class Measured:
    """What it took: the bytes of weights by count, and of memory as the system sees it."""

    weight_bytes: int
    load_seconds: float
    memory_bytes: int
    tokens_per_second: float


def measure(job: Job) -> tuple[Measured, np.ndarray]:
    """Do a job; return what it took, without imports, and the logits (prompts, vocab)."""
    loader = LOADERS[job.loader]
    for name in loader.needs:
        importlib.import_module(name)
    assert loader.load, f"{loader.name} has no file to open"
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    opened = loader.load(Path(job.path))
    load_seconds = time.perf_counter() - began
    seconds = []
    for _ in range(2):  # the first one pays for what libraries do once
        began = time.perf_counter()
        opened.generate(job.prompts[0], job.new_tokens)
        seconds.append(time.perf_counter() - began)
    memory = max(0, psutil.Process().memory_info().rss - before)
    logits = np.stack([opened.logits(prompt).numpy() for prompt in job.prompts])
    return Measured(opened.nbytes, load_seconds, memory, job.new_tokens / min(seconds)), logits
