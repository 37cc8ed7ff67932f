"""What a conversation in the terminal needs beside a model: a sign of life, and where a recipe's model lies."""

from __future__ import annotations

import sys
import threading
from itertools import cycle
from pathlib import Path

from utils.errors import CourseError
from utils.settings import read_settings


class Spinner:
    """Within a with block, turns a small wheel on a terminal until `stop`; elsewhere it shows nothing."""

    def __init__(self, stream=None, pause: float = 0.1) -> None:
        self.stream, self.pause = stream or sys.stderr, pause
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> Spinner:
        if self.stream.isatty():
            self.thread = threading.Thread(target=self._turn, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *reason) -> None:
        self.stop()

    def stop(self) -> None:
        """Wipe the wheel away, so that text can begin in its place; a second call does nothing."""
        self.done.set()
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def _turn(self) -> None:
        for sign in cycle("|/-\\"):
            self.stream.write(f"{sign}\b")
            self.stream.flush()
            if self.done.wait(self.pause):
                break
        self.stream.write(" \b")
        self.stream.flush()


def model_of(name: str) -> str:
    """Return what to load for a name: for a recipe the folder that it trains into, for all else the name itself."""
    if Path(name).suffix not in (".yaml", ".yml"):
        return name
    from utils.runs.recipes import Recipe

    folder = read_settings(Recipe, recipe=name).out
    if not Path(folder).is_dir():
        raise CourseError(f"{name} was not trained yet, {folder} is not there. Do: python -m utils train recipe={name}")
    return folder


def question(unfinished: bool) -> str:
    """Return what stands before the learner's next line."""
    return "\ncontinue? Enter goes on, or write something new> " if unfinished else "\nyou> "
