"""Progress of long work: a bar on a terminal, a line that comes and goes in a notebook, lines in a log.

Where outputs are stored, TQDM_DISABLE=1 keeps all but the lines of a log away, as it does for tqdm itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

Step = TypeVar("Step")
PAUSE = 20.0  # seconds between two lines of a log
SILENCE = 2.0  # seconds after which somebody who waits wants a sign of life
OFTEN = 0.5  # seconds between two texts of a live line


class LiveLine:
    """One line, written over itself, that says what long work is at; it leaves no trace when the work ends."""

    def __init__(self, after: float = SILENCE, is_seen: bool = True) -> None:
        off = not is_seen or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
        self.terminal = not off and sys.stderr.isatty()
        self.notebook = not off and not self.terminal and "ipykernel" in sys.modules
        self.next, self.shown, self.cleared = time.monotonic() + after, 0, False
        self.place: Any = None

    def __enter__(self) -> LiveLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, text: str) -> None:
        """Show a text in the place of the one before, now and then."""
        if not (self.terminal or self.notebook) or (time.monotonic() < self.next and not self.cleared):
            return
        if self.terminal:
            print(f"\r{text:{self.shown}}", end="", file=sys.stderr, flush=True)
            self.shown, self.cleared = len(text), False
        else:
            self._display(text)
        self.next = time.monotonic() + OFTEN

    def clear(self) -> None:
        """Make room on a terminal for what others print; the next text comes back at once."""
        if self.shown:
            print(f"\r{'':{self.shown}}\r", end="", file=sys.stderr, flush=True)
            self.shown, self.cleared = 0, True

    def close(self) -> None:
        """Take the line away for good."""
        self.clear()
        if self.place:
            self._display("")
        self.terminal = self.notebook = False

    def _display(self, text: str) -> None:
        from IPython.display import display

        if self.place:
            self.place.update({"text/plain": text}, raw=True)
        else:
            self.place = display({"text/plain": text}, raw=True, display_id=True)


def progress(steps: Iterable[Step], text: str, total: int | None = None, after: float = 0.0) -> Iterator[Step]:
    """Yield the steps and say meanwhile how many are done, on standard error; `after` so many seconds."""
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    if sys.stderr.isatty():
        yield from tqdm(steps, text, total, leave=False, delay=after)
    elif "ipykernel" in sys.modules:
        yield from _live(steps, text, total)
    else:
        yield from _lines(steps, text, total, after)


def _live(steps: Iterable[Step], text: str, total: int | None) -> Iterator[Step]:
    """Yield the steps; what takes longer than a moment has a live line."""
    whole = f" of {total:,}" if total else ""
    with LiveLine(SILENCE) as line:
        for done, step in enumerate(steps):
            line.say(f"{text}: {done:,}{whole}")
            yield step


def _lines(steps: Iterable[Step], text: str, total: int | None, after: float) -> Iterator[Step]:
    """Yield the steps; print a line after some seconds, and another one after each pause."""
    whole, next_line = f" of {total:,}" if total else "", time.monotonic() + after
    for done, step in enumerate(steps):
        if time.monotonic() >= next_line:
            print(f"{text}: {done:,}{whole}", file=sys.stderr, flush=True)
            next_line = time.monotonic() + PAUSE
        yield step
