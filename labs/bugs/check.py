"""Judge a learner's test: it must fail on the sabotaged trainer, pass on the right one, and not by luck."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping

import torch

from labs.bugs.sabotage import BUGS, Bug, find_bug, sabotaged, with_method
from labs.bugs.trainer import Trainer

Test = Callable[[type[Trainer]], None]
SEEDS = (0, 1, 2)
GOOD = "caught"


def check_test(name: str, test: Test) -> bool:
    """Say whether a test catches a bug, or what to look at next; once it is caught, show the guilty function."""
    verdict = judge(name, test)
    print(f"{name}: {verdict}")
    if verdict == GOOD:
        print(f"\nThis is what stood in the place of Trainer.{find_bug(name).method}:\n\n{source_of(find_bug(name))}")
    return verdict == GOOD


def judge(name: str, test: Test) -> str:
    """Return GOOD, or a sentence that says what is wrong with a test."""
    find_bug(name)
    if is_empty(test):
        return "not attempted yet."
    right, wrong = [outcome(test, Trainer, seed) for seed in SEEDS], []
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
    wrong = [outcome(test, sabotaged(name), seed) for seed in SEEDS]
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
    """Say whether a learner's function mends the trainer: by the learner's own test, then by ours."""
    from labs.solutions.find_the_bugs import TESTS

    if (verdict := judge(name, test)) != GOOD:
        print(f"{name}: first a test that catches it. So far: {verdict}")
        return False
    mended = with_method(find_bug(name).method, function)
    for whose, each in (("your own test", test), ("our test", TESTS[name])):
        if error := next(filter(None, (outcome(each, mended, seed) for seed in SEEDS)), None):
            empty = is_empty(function) or isinstance(error, NotImplementedError)
            print(f"{name}: " + ("not mended yet." if empty else f"{whose} still fails, with {describe(error)}."))
            return False
    print(f"{name}: mended.")
    return True


def scoreboard(tests: Mapping[str, Test]) -> int:
    """Print a line for each bug and return how many are caught."""
    verdicts = {name: judge(name, tests[name]) if name in tests else "not attempted yet." for name in BUGS}
    for name, verdict in verdicts.items():
        print(f"{name:16} {verdict.split(',')[0].split('.')[0]}")
    caught = sum(verdict == GOOD for verdict in verdicts.values())
    print(f"\n{caught} of {len(BUGS)} are caught.")
    return caught
