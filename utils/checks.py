"""Tensor comparison and autograding: `check_close` in lessons, `Exercise(…).check("q1")` in every exercise.

Checks go from the fundamental to the subtle, and each message says what to look at next. Those of an exercise stand
in the metadata of its notebook, where otter-grader puts them; a learner needs no otter-grader to be told.
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

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import read_json

TOLERANCE = 1e-4  # float32 in another order of sums differs by less than this


def check_close(got: Tensor, expected: Tensor, hint: str = "") -> None:
    """Assert that two tensors hold the same numbers up to rounding, and say so; the error says how they differ.

    >>> check_close(torch.ones(2, 3), torch.ones(2, 3))
    The same in all 6 numbers.
    """
    check_kind(got, expected)
    mine, theirs = (tensor.detach().cpu().double() for tensor in (got, expected))
    check_finite(mine, theirs)
    right = agree(mine, theirs, exactly=not expected.is_floating_point())
    if not right.all():
        raise AssertionError(f"{describe_difference(mine, theirs, ~right)} {hint}".strip())
    print("The same number." if expected.dim() == 0 else f"The same in all {expected.numel():,} numbers.")


def agree(mine: Tensor, theirs: Tensor, exactly: bool = False) -> Tensor:
    """Return True where two numbers agree, up to a ten-thousandth of their own and of the tensor's usual size."""
    finite = theirs.isfinite()
    same = (mine == theirs) | (mine.isnan() & theirs.isnan())
    if exactly or not finite.any():
        return same
    usual = theirs[finite].square().mean().sqrt()
    return torch.where(finite, (mine - theirs).abs() <= TOLERANCE * (theirs.abs() + usual), same)


def check_kind(got: Tensor, expected: Tensor) -> None:
    """Compare what needs no look at the values: the type, the shape, the dtype."""
    if not isinstance(got, Tensor):
        kind = type(got).__name__
        question = "Does your function return its result?" if got is None else "Make it a tensor."
        raise AssertionError(f"You give {kind}, expected a tensor of {as_size(expected)} numbers. {question}")
    if got.shape != expected.shape:
        question = "Which step changes the number of axes?"
        if sorted(got.shape) == sorted(expected.shape):
            question = "Are two axes swapped?"
        elif got.dim() == expected.dim():
            question = "Which step changes the axis that differs?"
        raise AssertionError(f"The shape is {as_size(got)}, expected {as_size(expected)}. {question}")
    if got.dtype != expected.dtype:
        found, wanted = (str(tensor.dtype).removeprefix("torch.") for tensor in (got, expected))
        raise AssertionError(f"The shape is right. The dtype is {found}, expected {wanted}. Where does it change?")


def check_finite(mine: Tensor, theirs: Tensor) -> None:
    """Refuse values that are no numbers where numbers are expected."""
    lost = ~mine.isfinite() & theirs.isfinite()
    if lost.any():
        raise AssertionError(
            f"Shape and dtype are right, but {int(lost.sum()):,} of {mine.numel():,} values are infinite or nan, first "
            f"at {lost.nonzero()[0].tolist()}. Is there a division by zero, or a softmax over nothing but -inf?"
        )


def describe_difference(mine: Tensor, theirs: Tensor, wrong: Tensor) -> str:
    """Say how many values differ, where it is worst, and whether it is only a factor."""
    distance = torch.where(wrong, (mine - theirs).abs().nan_to_num(nan=torch.inf), -1)
    worst = tuple(int(i) for i in torch.unravel_index(distance.argmax(), distance.shape))
    example = f"at {list(worst)} you have {mine[worst]:.6g}, expected {theirs[worst]:.6g}."
    factor = float((mine * theirs).sum() / theirs.square().sum().clamp(min=1e-30))
    if factor and abs(factor - 1) > 1e-3 and agree(mine, factor * theirs).all():
        return f"Shape and dtype are right, but every value is {factor:.4g} times what is expected: {example}"
    share = f"{int(wrong.sum()):,} of {wrong.numel():,} values differ"
    return f"Shape and dtype are right, but {share}, most of all {example}"


def as_size(tensor: Tensor) -> str:
    """Write a shape for people.

    >>> as_size(torch.zeros(2, 3))
    '2 × 3'
    """
    return " × ".join(f"{length:,}" for length in tensor.shape) or "1"


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
    exec(compile(tree, "<checks>", "exec", dont_inherit=True), names)
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
