"""The fenced side of grading: run one submission in this process, then answer calls of the functions that it defined.

The checks are not here, and never come here: `checking.py` runs them in a process that never ran the submission, and
asks by value what a function gives for some arguments.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import linecache
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tools.classroom.by_value import builtin_error
from tools.classroom.remote_calls import Channel, NoAnswer
from tools.classroom.sandbox import Fence, Limits, build_fence
from utils.files.time_limit import TooLong, time_limit

LONGEST_SOURCE = 100_000  # characters of one function


def main() -> None:
    """Read the order, build the fence, run the notebook, then answer until nobody asks."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    asked = json.loads(questions.readline())
    work = Path(asked["folder"])
    said = os.open(work / "printed.txt", os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for own, other in ((nothing, 0), (said, 1), (said, 2)):  # a submission prints into a file of limited length
        os.dup2(own, other)
    work = build_fence(work, Fence(**asked["fence"]), Limits(**asked["limits"]), Path(asked["handed"]))
    os.environ.update({"HOME": str(work), "TMPDIR": str(work)})
    (work / f"{asked['exercise']}.ipynb").write_text(asked["notebook"], encoding="utf-8", errors="replace")
    notebook = Notebook(json.loads(asked["notebook"])["cells"], Limits(**asked["limits"]))
    channel = Channel(questions, answers, trusting=True, names=notebook)
    with contextlib.suppress(NoAnswer):  # nobody asks any more
        channel.serve_forever()
    os._exit(0)  # threads of the submission are not waited for


@dataclass
class Notebook(Mapping):
    """What may be asked by name: to run, to describe what there is, and every name that the submission defined."""

    cells: list
    limits: Limits | None = None  # for all of it

    def __post_init__(self) -> None:
        self.defined: dict[str, Any] = {}
        self.ours = {"(run)": self.run, "(describe)": self.describe, "(value)": self.value, "(with)": self.call_with}

    def __getitem__(self, name: str) -> Any:
        return self.ours.get(name) or partial(self.call_with, {}, name)

    def __iter__(self):
        return iter(self.defined)

    def __len__(self) -> int:
        return len(self.defined)

    def run(self) -> list[str] | None:
        """Run all cells; return type and text of the first error, or nothing."""
        self.defined, error = run_cells(self.cells, self.limits)
        return error

    def call_with(self, others: Mapping[str, Any], name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the submission, not for ever, while other functions stand in the place of some names."""
        before = {other: self.defined.get(other) for other in others}
        self.defined.update(others)
        try:
            with part_of(self.limits, 4):
                return self.defined[name](*args, **kwargs)
        finally:
            self.defined.update(before)

    def value(self, name: str) -> Any:
        """Return what stands under a name."""
        return self.defined.get(name)

    def describe(self, names: list[str]) -> dict[str, list[str]]:
        """Return of each name what it is (missing, value, function), and the source of a function."""
        return {name: self._describe(self.defined.get(name)) for name in names}

    def _describe(self, answer: Any) -> list[str]:
        if answer is None or answer is ...:
            return ["missing", ""]
        if not callable(answer):
            return ["value", ""]
        try:
            return ["function", inspect.getsource(answer)[:LONGEST_SOURCE]]
        except (OSError, TypeError):  # made by code that has no source, such as exec
            return ["function", ""]


@contextlib.contextmanager
def part_of(limits: Limits | None, parts: int) -> Iterator[None]:
    """Let what runs below take a part of the time that is left, so that what comes after it has some, too."""
    computing = max(1.0, (limits.seconds - time.process_time()) / parts) if limits else 0
    waiting = (limits.seconds + limits.patience) / (2 * parts) if limits else 0
    with time_limit(waiting), time_limit(computing, computing=True):
        yield


def run_cells(cells: list, limits: Limits | None = None) -> tuple[dict[str, Any], list[str] | None]:
    """Run code cells as Jupyter would, past errors and what never ends; return their names and the first error."""
    from IPython.core.interactiveshell import InteractiveShell

    class Shell(InteractiveShell):
        system = InteractiveShell.system_raw  # `!command` without a terminal, which the fence doesn't have

        def enable_gui(self, gui=None) -> None:
            """There is no window; %matplotlib may be asked for all the same."""

    shell = Shell.instance()
    if shell.history_manager:
        shell.history_manager.enabled = False
    first: list[str] | None = None
    for cell in cells:
        if cell["cell_type"] == "code":
            error = run_cell(shell, "".join(cell["source"]), limits)
            if error is not None and first is None:
                kind = "TooLong" if isinstance(error, TooLong) else builtin_error(type(error))
                first = [kind, describe_error(error)]
    linecache.checkcache = lambda filename=None: None  # sources of cells stay known
    return shell.user_ns, first


def run_cell(shell: Any, source: str, limits: Limits | None) -> BaseException | None:
    """Run one cell for a part of the time that is left, and return the error with which it stopped, if it did."""
    with contextlib.suppress(OSError):  # its output has become too long: what it computed counts all the same
        try:
            with part_of(limits, 2):
                done = shell.run_cell(source, store_history=False)
            return done.error_before_exec or done.error_in_exec
        except TooLong as end:
            return end
    return None


def describe_error(error: BaseException) -> str:
    """Return type and text of an error; both are the learner's own."""
    try:
        text = str(error)
    except Exception:  # a __str__ of the learner's may raise whatever it likes
        text = "(its text could not be made)"
    return f"{type(error).__name__}: {text[:2000]}"


if __name__ == "__main__":
    main()
