"""What an exercise notebook does when a learner asks: is my answer right, and if not, where do I look?

`Exercise("02_build_attention").check("q1")` runs the checks of one task in their order, from the fundamental to
the subtle, and stops at the first that fails: its message is the likely question. The checks stand in the metadata
of the notebook, where otter-grader puts and finds them, too.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent, shorten

from utils.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
BLANK = "..."


class Exercise:
    """The tasks of one exercise and their public checks."""

    def __init__(self, name: str, folder: str | Path | None = None) -> None:
        """Find the exercise by its name, here or in the course's own folder."""
        places = [Path(folder)] if folder else [ROOT / "exercises", Path()]
        found = [place / f"{name}.ipynb" for place in places if (place / f"{name}.ipynb").is_file()]
        if not found:
            where = " or ".join(str(place) for place in places)
            raise CourseError(f"{name}.ipynb is not in {where}. Keep the exercise under the name that it came with.")
        notebook = json.loads(found[0].read_text(encoding="utf-8"))
        self.tests: Mapping[str, str] = notebook["metadata"].get("otter", {}).get("tests", {})

    def check(self, task: str, names: Mapping | None = None) -> None:
        """Say whether the answer to a task, in the names of the notebook, is right so far."""
        if task not in self.tests:
            raise CourseError(f"{task!r} is no task here, expected one of {', '.join(self.tests)}.")
        if names is None:
            names = inspect.currentframe().f_back.f_globals
        print(judge(task, self.tests[task], names))

    @staticmethod
    def random(*shape: int, seed: int = 0):
        """Return a tensor of normal random numbers, the same ones for the same seed, for checks to try an answer on."""
        import torch

        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def judge(task: str, source: str, names: Mapping) -> str:
    """Return in a line how the answer to a task stands; `source` holds the checks in otter-grader's format."""
    from otter.test_files.exception_test import ExceptionTestFile

    cases = ExceptionTestFile.from_string(source).test_cases
    if blanks := blank_names(cases, names):
        return f"{task}: not attempted yet. Fill in the {BLANK} of {' and '.join(blanks)}."
    for number, case in enumerate(cases):
        if message := run_check(case.body.call_func, names):
            return f"{task}: not yet ({number} of {len(cases)} checks passed). {message}"
    return f"{task}: right, all {len(cases)} checks passed."


def blank_names(cases: Sequence, names: Mapping) -> list[str]:
    """Return which of the names that some checks ask for are still blank."""
    asked = {name for case in cases for name in inspect.signature(case.body.test_func).parameters} - {"env"}
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
        tree = ast.parse(dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):  # no source to look at: let the checks decide
        return False
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    used = {part for index in indices for part in ast.walk(index)}  # the dots of x[..., 0] are part of an answer
    return any(isinstance(node, ast.Constant) and node.value is ... and node not in used for node in ast.walk(tree))
