"""Progress of long work: a bar on a terminal, lines in a log, nothing in a notebook, whose outputs are stored."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Step = TypeVar("Step")
PAUSE = 20.0  # seconds between two lines of a log


def progress(steps: Iterable[Step], text: str, total: int | None = None, after: float = 0.0) -> Iterator[Step]:
    """Yield the steps and say meanwhile how many are done, on standard error; `after` so many seconds."""
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    if sys.stderr.isatty():
        yield from tqdm(steps, text, total, leave=False, delay=after)
    elif "ipykernel" in sys.modules:
        yield from steps
    else:
        yield from _lines(steps, text, total, after)


def _lines(steps: Iterable[Step], text: str, total: int | None, after: float) -> Iterator[Step]:
    """Yield the steps; print a line after some seconds, and another one after each pause."""
    whole, next_line = f" of {total:,}" if total else "", time.monotonic() + after
    for done, step in enumerate(steps):
        if time.monotonic() >= next_line:
            print(f"{text}: {done:,}{whole}", file=sys.stderr, flush=True)
            next_line = time.monotonic() + PAUSE
        yield step
