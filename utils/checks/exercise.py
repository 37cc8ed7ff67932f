"""The tasks of one exercise and their checks: `Exercise(…).check("q1")` in every exercise.

Checks stand in the metadata of the notebook, where otter-grader puts them, and are read here without otter-grader.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import dedent, shorten

import torch
from torch import Tensor

from utils.checks.comparing import CHECKS
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import read_json

BLANK = "..."
OTTER = "otter.test_files"


class Exercise:
    """The tasks of one exercise and their public checks."""

    def __init__(self, name: str, folder: str | Path | None = None) -> None:
        """Find the exercise by its name, here or in the course's own folder."""
        places = [Path(folder)] if folder else [ROOT / "exercises", Path()]
        found = [place / f"{name}.ipynb" for place in places if (place / f"{name}.ipynb").is_file()]
        if not found:
            where = " or ".join(str(place) for place in places)
            raise CourseError(f"{name}.ipynb is not in {where}. Keep the exercise under the name that it came with.")
        notebook = read_json(found[0])
        self.tests: Mapping[str, str] = notebook["metadata"].get("otter", {}).get("tests", {})

    def check(self, task: str, names: Mapping | None = None) -> None:
        """Say whether the answer to a task, in the names of the notebook, is right so far."""
        if task not in self.tests:
            raise CourseError(f"{task!r} is no task here, expected one of {', '.join(self.tests)}.")
        if names is None:
            names = inspect.stack(0)[1].frame.f_globals
        print(judge(task, self.tests[task], names))

    @staticmethod
    def random(*shape: int, seed: int = 0) -> Tensor:
        """Return a tensor of normal random numbers, the same ones for the same seed, for checks to try an answer on."""
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@dataclass
class Check:
    """One check of a task, as otter-grader's decorator `test_case` writes it: a function of the names it asks for."""

    name: str | None = None
    points: float | None = None
    hidden: bool = False
    success_message: str | None = None
    failure_message: str | None = None

    def __call__(self, function: Callable[..., None]) -> Check:
        self.function = function
        return self


def read_checks(source: str) -> list[Callable[..., None]]:
    """Return the checks of one task, in their order, from text in otter-grader's format, without otter-grader."""
    tree = ast.parse(source)
    tree.body = [line for line in tree.body if not (isinstance(line, ast.ImportFrom) and line.module == OTTER)]
    names: dict = {"test_case": Check}
    exec(compile(tree, CHECKS, "exec", dont_inherit=True), names)
    return [check.function for check in names.values() if isinstance(check, Check)]


def judge(task: str, source: str, names: Mapping) -> str:
    """Return in a line how the answer to a task stands; `source` holds the checks in otter-grader's format."""
    checks = read_checks(source)
    if blanks := blank_names(checks, names):
        return f"{task}: not attempted yet. Fill in the {BLANK} of {' and '.join(blanks)}."
    for number, check in enumerate(checks):
        if message := run_check(partial(ask, check), names):
            return f"{task}: not yet ({number} of {len(checks)} checks passed). {message}"
    return f"{task}: right, all {len(checks)} checks passed."


def ask(check: Callable[..., None], names: Mapping) -> None:
    """Run one check on the names that it asks for; `env` means all of them, a name that is not there is None."""
    wanted = inspect.signature(check).parameters
    check(**{name: names if name == "env" else names.get(name) for name in wanted})


def blank_names(checks: Iterable[Callable[..., None]], names: Mapping) -> list[str]:
    """Return which of the names that some checks ask for are still blank."""
    asked = {name for check in checks for name in inspect.signature(check).parameters} - {"env"}
    return sorted(name for name in asked if is_blank(names.get(name)))


def run_check(check: Callable[[Mapping], None], names: Mapping) -> str:
    """Run one check and return its message, or nothing where the answer passes."""
    try:
        check(names)
    except AssertionError as error:
        return str(error) or "The answer is another one."
    except Exception as error:  # whatever a learner's code raises is an answer, too
        return f"Your code stopped with {type(error).__name__}: {shorten(str(error), 300)}"
    return ""


def is_blank(answer) -> bool:
    """Tell whether an answer is missing or still holds the three dots of the student's copy.

    >>> is_blank(...), is_blank(None), is_blank(3)
    (True, True, False)
    """
    if answer is None or answer is ...:
        return True
    if not (inspect.isfunction(answer) or inspect.isclass(answer)):
        return False
    try:
        return has_dots(inspect.getsource(answer))
    except (OSError, TypeError):  # no source to look at: let the checks decide
        return False


def has_dots(source: str) -> bool:
    """Tell whether the source of an answer still holds the three dots of the student's copy.

    >>> has_dots("def double(x):\\n    return ..."), has_dots("def first(x):\\n    return x[..., 0]")
    (True, False)
    """
    try:
        tree = ast.parse(dedent(source))
    except SyntaxError:
        return False
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    used = {part for index in indices for part in ast.walk(index)}  # the dots of x[..., 0] are part of an answer
    return any(isinstance(node, ast.Constant) and node.value is ... and node not in used for node in ast.walk(tree))
