"""Seconds of forward and backward passes; a GPU works behind the program's back, and keeps the time itself."""

from __future__ import annotations

import time
from itertools import pairwise

import torch


class Stopwatch:
    """Marks between the passes of one step; `split` says what lay between them."""

    def __init__(self, device: torch.device) -> None:
        self.kind = device.type
        self.marks: list = []

    def mark(self) -> None:
        """Note the time at which the device has come so far."""
        if self.kind == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def split(self, parts: int) -> tuple[float | None, ...]:
        """Return the seconds of each of so many stretches that come in turn; None where the device can't tell."""
        if self.kind not in ("cpu", "cuda"):
            return (None,) * parts
        if self.kind == "cuda":
            torch.cuda.synchronize()
            spans = [start.elapsed_time(end) / 1e3 for start, end in pairwise(self.marks)]
        else:
            spans = [end - start for start, end in pairwise(self.marks)]
        return tuple(sum(spans[first::parts]) for first in range(parts))
