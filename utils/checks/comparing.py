"""An answer beside a reference: both are called with the same arguments, and the first difference is told.

What is said has one order: what was given, what the answer gives, what was expected, and only then a question.
"""

from __future__ import annotations

import contextlib
import copy
import dis
import inspect
import linecache
import re
from collections.abc import Callable, Iterator, Mapping
from textwrap import shorten
from types import FrameType, ModuleType, TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.checks.tensors import CheckError
from utils.checks.values import MISSING, Difference, Rules, difference, kind_of, show, with_kind
from utils.files.time_limit import TooLong

CHECKS = "<checks>"  # the file name under which the checks of a task are compiled
Question = str | Mapping[str, Callable] | Callable[[Any, Any, Any], str]


class Stopped(AssertionError):
    """An answer raised an error; the text says with which input and, where it is known, in which line."""

    def __init__(self, given: str, error: BaseException) -> None:
        self.given, self.error = given, error
        super().__init__(f"{given} your code stopped{line_of(error, given)} with {name_of(error)}.".strip())


def compare(
    answer: Callable, reference: Callable, *cases: Any, question: Question = "", in_place: str = "refused",
    strictly: bool = False, tolerance: float | None = None,
) -> None:  # fmt: skip
    """Assert that an answer gives what a reference gives; the error shows the first case where it doesn't.

    A case is a tuple of arguments, a dictionary of keyword arguments, or a function that makes either. Each side gets
    copies of its own. `question` is asked after a wrong value: a text; or for each text a function that makes the
    mistake to which it belongs, so that it is asked where that one alone gives the same; or a function of case, got and
    expected that returns the question for a mistake which it recognises. `in_place` says what becomes of
    arguments that the answer changes: "refused", "allowed", or "compared" with what the reference makes of them.
    `strictly` asks for the same types and dtypes.
    """
    rules = Rules(strictly, tolerance=tolerance)
    for case in cases:
        arguments = case() if callable(case) else case
        mine, theirs, untouched = copied(arguments), copied(arguments), copied(arguments)
        given = describe_given(with_names(untouched, answer, reference))
        compare_results(answer, reference, (mine, theirs, untouched), given, question, rules)
        if in_place != "allowed":
            wanted = with_names(theirs if in_place == "compared" else untouched, answer, reference)
            left = with_names(mine, answer, reference)
            check_arguments(given, left, wanted, rules if in_place == "compared" else None)


def compare_results(
    answer: Callable, reference: Callable, copies: tuple, given: str, question: Question, rules: Rules
) -> None:
    """Compare what an answer and a reference give or raise, each for its own copy of the arguments."""
    mine, theirs, untouched = copies
    expected, refusal = outcome(reference, theirs)
    try:
        got = call(answer, mine)
    except TooLong as end:
        end.given = given
        raise
    except Exception as error:
        if refusal is not None and is_like(error, refusal):
            return
        raise Stopped(given, error) from error
    if refusal is not None:
        raise CheckError(f"{given} you give {show(got)}, expected {type(refusal).__name__}.".strip())
    if found := difference(got, expected, rules):
        asked = "Does your function return its result?"
        if got is not None or returns_anything(answer):
            asked = ask_question(question, untouched, got, expected, found)
        raise CheckError(f"{given} {describe(got, expected, found)} {asked}".strip(), found.map_of_wrong)


# Calls


def call(function: Callable, arguments: Any) -> Any:
    """Call a function with the arguments of a case."""
    if isinstance(arguments, dict):
        return function(**arguments)
    return function(*arguments) if isinstance(arguments, tuple) else function(arguments)


def outcome(reference: Callable, arguments: Any) -> tuple[Any, Exception | None]:
    """Return what a reference gives, or the error that it raises: an answer is to raise one like it."""
    try:
        return call(reference, arguments), None
    except Exception as error:
        return None, error


def is_like(error: BaseException, expected: BaseException) -> bool:
    """Tell whether an error is one of the expected kind; of one from another process only Python's kind is known."""
    known = next(kind for kind in type(expected).__mro__ if kind.__module__ == "builtins")
    return isinstance(error, known if hasattr(error, "kind") else type(expected))


def copied(arguments: Any) -> Any:
    """Return a copy of arguments that shares nothing with them but functions and what can't be copied."""
    memo: dict[int, Any] = {}
    for part in parts_of(arguments):
        if isinstance(part, Tensor) and not part.is_leaf:
            memo[id(part)] = part.detach().clone()
        elif isinstance(part, torch.Generator):
            memo[id(part)] = part.clone_state()
        elif callable(part) and not isinstance(part, torch.nn.Module):
            memo[id(part)] = part
        else:
            with contextlib.suppress(Exception):
                copy.deepcopy(part, memo)
            memo.setdefault(id(part), part)
    return copy.deepcopy(arguments, memo)


def parts_of(value: Any) -> Iterator[Any]:
    """Yield what stands in lists, tuples and dictionaries, innermost values only."""
    if type(value) in (list, tuple, dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from parts_of(part)
    else:
        yield value


# Messages


def describe_given(named: Mapping[str, Any]) -> str:
    """Write the arguments of a case with their names."""
    values = (show(value) if name.isdigit() else f"{name}={show(value)}" for name, value in named.items())
    return f"Given {', '.join(values)}" if named else ""


def with_names(arguments: Any, answer: Callable, reference: Callable) -> dict[str, Any]:
    """Return the arguments of a case by their names: the answer's own, or the reference's, or numbers."""
    if isinstance(arguments, dict):
        return arguments
    values = arguments if isinstance(arguments, tuple) else (arguments,)
    names = parameters(answer) or parameters(reference)
    names += [str(number) for number in range(len(names) + 1, len(values) + 1)]
    return dict(zip(names, values, strict=False))


def parameters(function: Callable) -> list[str]:
    """Return the names of a function's positional parameters; none where they aren't known."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def returns_anything(function: Callable) -> bool:
    """Tell whether any line of a function returns another value than None.

    >>> returns_anything(lambda x: x), returns_anything(lambda x: x if x else None), returns_anything(lambda x: None)
    (True, True, False)
    """
    none_is_loaded = False
    for step in dis.get_instructions(function) if inspect.isfunction(function) else ():
        if step.opname == "RETURN_CONST" and step.argval is not None:
            return True
        if step.opname == "RETURN_VALUE" and (step.is_jump_target or not none_is_loaded):
            return True
        none_is_loaded = step.opname == "LOAD_CONST" and step.argval is None
    return not inspect.isfunction(function)


def describe(got: Any, expected: Any, found: Difference) -> str:
    """Say what an answer gives and what was expected, as short as it can be told apart."""
    if got is None:
        return f"you give nothing (None), expected {show(expected)}."
    if found.kind and not found.place:
        mine, theirs = kinds_apart(got, expected)
        return f"you give {mine}, expected {theirs}."
    mine, theirs = told_apart(got, expected)
    large = mine == theirs  # too large to be shown
    text = f"you give {mine}." if large and (found.said or found.place) else f"you give {mine}, expected {theirs}."
    if found.place and (large or "…" in mine + theirs or found.kind):
        at, wanted = (kinds_apart if found.kind else told_apart)(found.got, found.expected)
        text += f" At {found.place} you have {at}, expected {wanted}." if at != wanted else f" At {found.place}:"
    return f"{text} {found.said}".strip()


def kinds_apart(got: Any, expected: Any) -> tuple[str, str]:
    """Return texts of two values of different kinds that say of which kind each is."""
    mine, theirs = with_kind(got), with_kind(expected)
    if kind_of(got) != kind_of(expected) or type(got) is type(expected):
        return mine, theirs
    return f"{show(got)} ({type(got).__name__})", f"{show(expected)} ({type(expected).__name__})"


def told_apart(got: Any, expected: Any) -> tuple[str, str]:
    """Return short texts of two values with as many digits as it takes to see that they differ."""
    for digits in (4, 7, 17):
        mine, theirs = show(got, digits), show(expected, digits)
        if mine != theirs:
            break
    else:
        return show(got), show(expected)
    return mine, theirs


def ask_question(question: Question, case: Any, got: Any, expected: Any, found: Difference) -> str:
    """Return the question that belongs to a wrong value; one that can't be made is none."""
    if isinstance(question, str):
        return "" if got is None or (found.kind and not found.place) else question
    if isinstance(question, Mapping):
        return question_of(question, case, got, expected)
    with contextlib.suppress(Exception):  # it looks into what an answer gave, which may be anything
        return question(case, got, expected) or ""
    return ""


def question_of(mistakes: Mapping[str, Callable], case: Any, got: Any, expected: Any = MISSING) -> str:
    """Return the question of the only mistake that gives what an answer gives; where several do, nobody can tell.

    A mistake that gives what was expected here, down to 3 and not 3.0, was not made.
    """
    made = {text: mistake for text, mistake in mistakes.items() if not gives(mistake, case, expected, whole=True)}
    for whole in (True, False):  # 3.0 tells more than 3, where a mistake gives it
        if fitting := [text for text, mistake in made.items() if gives(mistake, case, got, whole)]:
            return fitting[0] if len(fitting) == 1 else ""
    return ""


def gives(mistake: Callable, case: Any, got: Any, whole: bool = False) -> bool:
    """Tell whether a mistake gives what an answer gives; `whole` tells 3.0 from 3."""
    with contextlib.suppress(Exception):
        return difference(got, call(mistake, copied(case)), Rules(whole=whole)) is None
    return False


def check_arguments(given: str, mine: Mapping, wanted: Mapping, rules: Rules | None) -> None:
    """Refuse arguments that an answer has left otherwise than they must be; without rules, otherwise than they were."""
    for name, value in wanted.items():
        if not can_change(value):
            continue
        if found := difference(mine[name], value, rules or Rules(tolerance=1e-12)):
            what = f"argument {name}" if name.isdigit() else name
            said = describe(mine[name], value, found).replace("you give", f"your code leaves {what} as", 1)
            ask = "" if rules else " An argument should stay as it was. Does your code work on a copy?"
            raise CheckError(f"{given} {said}{ask}", found.map_of_wrong)


def can_change(value: Any) -> bool:
    """Tell whether an argument is one whose content a function may change."""
    return isinstance(value, Tensor | np.ndarray | list | dict | set | bytearray | torch.nn.Module)


# Errors of an answer


def name_of(error: BaseException) -> str:
    """Return the kind of an error with its text."""
    try:
        said = shorten(str(error), 300)
    except Exception:  # an error of the learner's own may have any __str__
        said = ""
    return f"{type(error).__name__}: {said}".rstrip(": ").rstrip(".")


def line_of(error: BaseException, given: str = "") -> str:
    """Say in which line of the learner's own code an error arose, with the values there that `given` doesn't tell."""
    lines = list(lines_of(error.__traceback__))
    if not lines:
        return ""
    frame, number = lines[-1]
    source = linecache.getline(frame.f_code.co_filename, number).strip()
    told = [f"{name}={show(value, longest=60)}" for name, value in values_in(source, frame) if f"{name}=" not in given]
    where = f", where {', '.join(told[:4])}," if told else "," if source else ""
    return f" in line {number} of its cell" + (f", `{shorten(source, 120)}`" if source else "") + where


def values_in(source: str, frame: FrameType) -> Iterator[tuple[str, Any]]:
    """Yield the local values that a line names, in its order."""
    for name in dict.fromkeys(re.findall(r"(?<![\w.])[A-Za-z_]\w*", source)):
        value = frame.f_locals.get(name)
        if value is not None and not callable(value) and not isinstance(value, ModuleType):
            yield name, value


def lines_of(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames of the notebook's own code with their lines."""
    while trace:
        frame = trace.tb_frame
        if frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_filename != CHECKS:
            yield frame, trace.tb_lineno
        trace = trace.tb_next
