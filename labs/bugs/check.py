"""Judge a learner's test: it must fail on the sabotaged trainer, pass on the right one, and not by luck."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import torch

from labs.bugs.mended import unlike
from labs.bugs.sabotage import BUGS, Bug, find_bug, sabotaged, with_method
from labs.bugs.trainer import Trainer

Test = Callable[[type[Trainer]], None]
Run = Callable[[Any, type[Trainer], int], Exception | None]  # runs a test from a seed, returns what it raised
SEEDS = (0, 1, 2)
DEPTHS = (1, 2, 3)
GOOD = "caught"


def check_test(name: str, test: Test) -> bool:
    """Say whether a test catches a bug, or what to look at next; once it is caught, show the guilty function."""
    verdict = judge(name, test)
    print(f"{name}: {verdict}")
    if verdict == GOOD:
        print(f"\nThis is what stood in the place of Trainer.{find_bug(name).method}:\n\n{source_of(find_bug(name))}")
    return verdict == GOOD


def judge(name: str, test: Test, run: Run | None = None) -> str:
    """Return GOOD, or a sentence that says what is wrong with a test; `run` is `outcome` if none is given."""
    find_bug(name)
    run = run or outcome
    if is_empty(test):
        return "not attempted yet."
    right = [run(test, disguised(Trainer, depth), seed) for seed, depth in zip(SEEDS, DEPTHS, strict=True)]
    if strange := [error for error in right if error is not None and not isinstance(error, AssertionError)]:
        if isinstance(strange[0], NotImplementedError):
            return "not attempted yet."
        return (
            f"your test itself stops, with {describe(strange[0])}. Does it use the trainer as it is meant to be used?"
        )
    if all(right):
        return (
            f"your test fails on the right trainer, too, with {describe(right[0])}. "
            "What does the right one do there, and is that wrong? Or is a tolerance too narrow?"
        )
    if any(right):
        return "your test passes on the right trainer with some seeds only. What in it is left to chance?"
    wrong = [run(test, disguised(sabotaged(name)), seed) for seed in SEEDS]
    if not any(wrong):
        return (
            "your test passes on the sabotaged trainer as well, so it can't see the bug. Read the symptom again: "
            "what must be different, and in which number would it show?"
        )
    if not all(wrong):
        return "your test catches the bug with some seeds only. Can you make the difference larger than chance?"
    if not isinstance(wrong[0], AssertionError):
        return f"your test crashes on the sabotaged trainer, with {describe(wrong[0])}. Assert what you expect."
    return GOOD


def disguised(trainer: type[Trainer], depth: int = 1) -> type[Trainer]:
    """Return a class that does the same and shows nothing of its making: a test can only ask what it does.

    All methods, right and wrong ones, are calls that pass everything on, so name, bases and code tell nothing apart.
    """
    members = {name: getattr(trainer, name) for name in vars(Trainer) if inspect.isfunction(vars(Trainer)[name])}
    for _ in range(depth):
        members = {name: passed_on(function) for name, function in members.items()}
    return type("Trainer", (), members)


def passed_on(function: Callable) -> Callable:
    """Return a function that only calls another one."""

    def call(self, *args, **settings):
        return function(self, *args, **settings)

    return call


def is_empty(test: Test) -> bool:
    """Say whether a function does nothing: no call, no attribute, no name."""
    return not test.__code__.co_names


def outcome(test: Test, trainer: type[Trainer], seed: int) -> Exception | None:
    """Run a test from a seed of its own and return what it raised."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            test(trainer)
        except Exception as error:  # whatever a learner's test raises is what we report
            return error
    return None


def describe(error: Exception | None) -> str:
    """Return kind and message of an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def source_of(bug: Bug) -> str:
    """Return the code of a sabotage without the line that would tell its symptom again."""
    lines = textwrap.dedent(inspect.getsource(bug.function)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("@bug"))


def check_mend(name: str, function: Callable, test: Test) -> bool:
    """Say whether a learner's function mends the trainer: by the learner's own test, then beside the right trainer."""
    if (verdict := judge(name, test)) != GOOD:
        print(f"{name}: first a test that catches it. So far: {verdict}")
        return False
    method = find_bug(name).method
    mended = with_method(method, function)
    error = next(filter(None, (outcome(test, disguised(mended), seed) for seed in SEEDS)), None)
    if error is None:
        problem = unlike_the_right_one(method, mended)
    elif is_empty(function) or isinstance(error, NotImplementedError):
        problem = "not mended yet."
    else:
        problem = f"your own test still fails, with {describe(error)}."
    print(f"{name}: {problem or 'mended.'}")
    return not problem


def unlike_the_right_one(method: str, mended: type[Trainer]) -> str:
    """Return in a sentence what a mended trainer does otherwise than the right one, or nothing."""
    for seed in SEEDS:
        try:
            problem = unlike(method, mended, seed)
        except Exception as error:  # whatever a learner's method raises is what we report
            return f"your own test passes, but in another case {method} stops with {describe(error)}."
        if problem:
            other = "your own test passes, but the right trainer does otherwise in another case."
            return f"{other} {problem[0].upper()}{problem[1:]}."
    return ""


def scoreboard(tests: Mapping[str, Test]) -> int:
    """Print a line for each bug and return how many are caught."""
    verdicts = {name: judge(name, tests[name]) if name in tests else "not attempted yet." for name in BUGS}
    for name, verdict in verdicts.items():
        print(f"{name:16} {verdict.split(',')[0].split('.')[0]}")
    caught = sum(verdict == GOOD for verdict in verdicts.values())
    print(f"\n{caught} of {len(BUGS)} are caught.")
    return caught
