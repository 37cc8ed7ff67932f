"""Autograding of one exercise: `exercise.check("q1")`, `exercise.hint("q1")`, after a pass `exercise.solution("q1")`.

Checks stand in the metadata of the notebook, where otter-grader puts them, and are read here without otter-grader. Help
stands beside them, packed, so that nobody reads a solution by accident.
"""

from __future__ import annotations

import ast
import base64
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from utils.checks.blanks import BLANK, has_dots, is_untouched, syntax_error
from utils.checks.comparing import CHECKS, line_of, name_of
from utils.errors import CourseError
from utils.files.passed import record_pass
from utils.files.places import ROOT
from utils.files.time_limit import TooLong, time_limit
from utils.files.whole_files import read_json

OTTER = "otter.test_files"
SECONDS = 30.0  # for one check of an answer


@dataclass
class Help:
    """What there is beside the checks of a task: hints, the model answer, why it is so; and the blanks of all tasks."""

    tasks: Mapping[str, Mapping[str, Any]]
    blanks: Mapping[str, str]

    def pack(self) -> str:
        """Return it as text that nobody reads by accident."""
        text = json.dumps({"tasks": self.tasks, "blanks": self.blanks}, sort_keys=True)
        return base64.b64encode(text.encode("utf-8")).decode("ascii")

    @classmethod
    def unpack(cls, packed: str) -> Help:
        """Return what `pack` has packed; none where there is nothing."""
        return cls(**json.loads(base64.b64decode(packed))) if packed else cls({}, {})


class Exercise:
    """The tasks of one exercise, their checks and what helps with them."""

    def __init__(self, name: str, folder: str | Path | None = None) -> None:
        """Find the exercise by its name, here or in the course's own folder."""
        places = [Path(folder)] if folder else [ROOT / "exercises", Path()]
        found = [place / f"{name}.ipynb" for place in places if (place / f"{name}.ipynb").is_file()]
        if not found:
            where = " or ".join(str(place) for place in places)
            raise CourseError(f"{name}.ipynb is not in {where}. Keep the exercise under the name that it came with.")
        self.home, self.name = found[0].parent, name
        kept = read_json(found[0])["metadata"].get("otter", {})
        self.tests: Mapping[str, str] = kept.get("tests", {})
        self.help = Help.unpack(kept.get("help", ""))
        self.seconds = SECONDS
        self.passed: set[str] = set()
        self._hinted = Counter[str]()

    def check(self, task: str, names: Mapping | None = None) -> None:
        """Say whether the answer to a task, in the names of the notebook, is right."""
        self._known(task)
        if names is None:
            names = inspect.stack(0)[1].frame.f_globals
        earlier = {name: source for name, source in self.tests.items() if name < task}
        said, drawn = judge_and_draw(task, self.tests[task], names, self.help.blanks, self.seconds, earlier)
        if said.startswith(f"{task}: right"):
            self.passed.add(task)
            record_pass(self.home, self.name, task)
            if task in self.help.tasks:
                said += f' exercise.solution("{task}") shows the model answer and why.'
        print(said + (f"\n{drawn}" if drawn else ""))

    def hint(self, task: str) -> None:
        """Give one hint more for a task, from a nudge to nearly the line."""
        self._known(task)
        hints = self.help.tasks.get(task, {}).get("hints", [])
        if not hints:
            print(f"{task}: there are no hints for this task.")
            return
        step = min(self._hinted[task], len(hints) - 1)
        self._hinted[task] += 1
        print(f"{task}, hint {step + 1} of {len(hints)}: {hints[step]}")

    def solution(self, task: str) -> None:
        """Show the model answer and why it is so, once the task is passed."""
        self._known(task)
        if task not in self.passed:
            print(f'{task} is not passed yet. Try exercise.check("{task}") first, or ask for exercise.hint("{task}").')
            return
        known = self.help.tasks.get(task)
        print(f"{known['answer']}\n\n{known['why']}" if known else f"{task}: no model answer came with this exercise.")

    def _known(self, task: str) -> None:
        if task not in self.tests:
            raise CourseError(f"{task!r} is no task here, expected one of {', '.join(self.tests)}.")

    @staticmethod
    def random(*shape: int, seed: int = 0) -> Tensor:
        """Return a tensor of normal random numbers, the same ones for the same seed, for checks to try an answer on."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


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


def judge(
    task: str, source: str, names: Mapping, blanks: Mapping[str, str] | None = None, seconds: float = SECONDS,
    earlier: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Return in a line how the answer to a task stands; `source` holds the checks in otter-grader's format.

    `blanks` holds the source of each answer as the student's copy has it, `earlier` the checks of earlier tasks: where
    an answer builds on another that is not right yet, that one is told.
    """
    return judge_and_draw(task, source, names, blanks, seconds, earlier)[0]


def judge_and_draw(
    task: str, source: str, names: Mapping, blanks: Mapping[str, str] | None, seconds: float,
    earlier: Mapping[str, str] | None,
) -> tuple[str, str]:  # fmt: skip
    """Return the line of `judge`, and a map of where a matrix of the answer differs, if that is what failed."""
    checks, blanks = read_checks(source), blanks or {}
    asked = names_asked(checks)
    for name in sorted(asked):
        if broken := syntax_error(names, name):
            return f"{task}: not yet. {broken}", ""
    if missing := sorted(name for name in asked if is_untouched(names.get(name), blanks.get(name, ""))):
        return f"{task}: not attempted yet. Fill in the {BLANK} of {' and '.join(missing)}.", ""
    for number, check in enumerate(checks):
        message, drawn = run_check(partial(ask, check), names, seconds)
        if message:
            if unfinished := sorted(name for name in asked if has_dots(names.get(name))):
                return f"{task}: not attempted yet. Fill in the {BLANK} of {' and '.join(unfinished)}.", ""
            if before := unready(asked, names, earlier or {}, blanks, seconds):
                return f"{task}: not yet. {before}", ""
            return f"{task}: not yet ({number} of {len(checks)} checks passed). {message}", drawn
    return f"{task}: right.", ""


def is_blank(answer: Any) -> bool:
    """Tell whether an answer is still to be done, for cells that show what it gives; they stand beside an `exercise`.

    >>> is_blank(...), is_blank(None), is_blank(3)
    (True, True, False)
    """
    exercise = getattr(answer, "__globals__", {}).get("exercise")
    blanks = exercise.help.blanks if isinstance(exercise, Exercise) else {}
    return is_untouched(answer, blanks.get(getattr(answer, "__name__", ""), "")) or has_dots(answer)


def names_asked(checks: list[Callable[..., None]]) -> set[str]:
    """Return the names that some checks ask for."""
    return {name for check in checks for name in inspect.signature(check).parameters} - {"env"}


def ask(check: Callable[..., None], names: Mapping) -> None:
    """Run one check on the names that it asks for; `env` means all of them, a name that is not there is None."""
    wanted = inspect.signature(check).parameters
    check(**{name: names if name == "env" else names.get(name) for name in wanted})


def run_check(check: Callable[[Mapping], None], names: Mapping, seconds: float = SECONDS) -> tuple[str, str]:
    """Run one check and return its message, nothing where the answer passes, and a map of where values differ."""
    try:
        with time_limit(seconds, patience=4):
            check(names)
    except TooLong as end:
        given = f"{end.given} your" if end.given else "Your"
        return f"{given} code {end}. Which loop in it never ends? (If it is only slow here, set exercise.seconds.)", ""
    except AssertionError as error:
        return str(error) or "The answer is another one.", getattr(error, "map_of_wrong", "")
    except Exception as error:  # whatever a learner's code raises is an answer, too
        if line := line_of(error):
            return f"Your code stopped{line} with {name_of(error)}.", ""
        return f"The check can't use what your code gives: it stopped with {name_of(error)}.", ""
    return "", ""


# Answers that build on earlier ones


def unready(asked: set[str], names: Mapping, earlier: Mapping[str, str], blanks: Mapping[str, str], most: float) -> str:
    """Say which earlier answer the asked ones call that is not right yet, and what is wrong with it."""
    called = {name for one in asked for name in called_by(names.get(one), names)}
    seen: set[str] = set()
    for task, source in earlier.items():
        checks = read_checks(source)
        own = {name for name in names_asked(checks) if inspect.isfunction(names.get(name))} - seen
        seen |= own
        for name in sorted(own & called - asked):
            said = judge(task, source, names, blanks, most)
            if not said.startswith(f"{task}: right"):
                return f"Your answer calls {name} of {task}, which comes first: {said}"
    return ""


def called_by(answer: Any, names: Mapping, seen: set[str] | None = None) -> set[str]:
    """Return the names of a notebook's functions that an answer calls, by itself or through others of them."""
    seen = set() if seen is None else seen
    code = getattr(answer, "__code__", None)
    for name in names_in(code) if isinstance(code, CodeType) else ():
        if name not in seen and inspect.isfunction(names.get(name)):
            seen.add(name)
            called_by(names[name], names, seen)
    return seen


def names_in(code: CodeType) -> Iterator[str]:
    """Yield the names that some code uses, that of functions within it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)
