"""Progress report: run the capstone's checks by pytest, and say in a line for each part how far one is."""

from __future__ import annotations

import textwrap
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools.capstone.adapter import ADAPTER, HOME, opened, unconnected, where
from tools.capstone.parts import PARTS, Part
from utils.checks import Stopped
from utils.errors import CourseError
from utils.files.time_limit import TooLong, time_limit

CHECKS = HOME / "tests"
DONE, NOT_YET, NOT_STARTED = "done", "not yet", "not started"
LEFT_OUT = ("terminal", "faulthandler", "logging", "cacheprovider", "doctest", "unittest")  # plugins of pytest's own
PAGE = 110  # characters of a line
SECONDS = 120  # that one check may take
Wrapped = Generator[None, Any, Any]  # a hook around pytest's own


@dataclass
class Standing:
    """How a part stands: what its checks found, in their order."""

    part: Part
    waiting: list[str] = field(default_factory=list)  # functions that are not connected
    checks: int = 0
    passed: int = 0
    message: str = ""  # of the first check that failed

    @property
    def state(self) -> str:
        if self.waiting:
            return NOT_STARTED
        return DONE if self.checks and self.passed == self.checks else NOT_YET


class Recorder:
    """A plugin of pytest that enters the outcome of each check where its part stands."""

    def __init__(self, folder: Path, standings: dict[int, Standing]) -> None:
        self.folder, self.standings = folder, standings
        self.unreadable: list[str] = []  # files of checks

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep which file of checks can't be read: its part must not count as passed."""
        if report.failed:
            self.unreadable.append(f"{report.nodeid}: {report.longreprtext[-1500:]}")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the checks of the parts that are wanted, and count them."""
        items[:] = [item for item in items if number_of(item) in self.standings]
        for item in items:
            self.standings[number_of(item)].checks += 1

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Once a check of a part has failed, those behind it have nothing to say."""
        if self.standings[number_of(item)].message:
            pytest.skip("an earlier check says what to look at")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Wrapped:
        """Stop a check that never ends."""
        with time_limit(SECONDS):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Wrapped:
        """Enter a check that passed, or the message of the first one that did not."""
        report = yield
        standing = self.standings[number_of(item)]
        if report.failed and call.excinfo is not None:
            standing.message = standing.message or describe(call.excinfo.value, self.folder)
        standing.passed += call.when == "call" and report.passed
        return report


def number_of(item: pytest.Item) -> int:
    """Return the number of the part that a check belongs to, from its file's name."""
    return int(item.path.name.split("_")[1])


def describe(error: BaseException, folder: Path) -> str:
    """Return the message of a check: what a comparison says, or what the learner's code raised and where."""
    if isinstance(error, AssertionError) and not isinstance(error, Stopped):
        return str(error) or f"An assertion failed{where(error, folder)}."
    raised = error.error if isinstance(error, Stopped) else error
    given = getattr(error, "given", "")
    code = f"{given} your code" if given else "Your code"
    if isinstance(error, TooLong):
        return f"{code} {error}; it was stopped{where(error, folder)} which may stand in a loop that never ends."
    return f"{code} stopped{where(raised, folder)} with {type(raised).__name__}: {textwrap.shorten(str(raised), 300)}"


def stand(folder: Path = HOME, numbers: Iterable[int] = ()) -> list[Standing]:
    """Return how all parts of a learner's folder stand, or those named by number."""
    folder, chosen, known = folder.resolve(), set(numbers), [part.number for part in PARTS]
    if strange := chosen - set(known):
        raise CourseError(f"There is no part {min(strange)}, expected some of {known[0]} to {known[-1]}.")
    standings = {part.number: Standing(part) for part in PARTS if part.number in chosen or not chosen}
    with opened(folder) as adapter:
        for standing in standings.values():
            standing.waiting = unconnected(adapter, standing.part.functions)
    begun = {number: standing for number, standing in standings.items() if not standing.waiting}
    if begun:
        recorder = Recorder(folder, begun)
        options = ["-c", str(CHECKS / "pytest.ini"), "--folder", str(folder), "--assert=plain", "--capture=no"]
        left_out = [word for name in LEFT_OUT for word in ("-p", f"no:{name}")]
        code = pytest.main([str(CHECKS), "--disable-plugin-autoload", *options, *left_out], plugins=[recorder])
        if recorder.unreadable or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            raise CourseError("\n".join(["The checks could not be run. Fetch them again.", *recorder.unreadable]))
    return list(standings.values())


def lines_of(standings: list[Standing]) -> Iterator[str]:
    """Yield the report: a line for each part, below it the message of a failed check; at last the sum and the next."""
    for each in standings:
        line = f"{each.part.number:2}  {each.part.name:32} {each.state:12} "
        if each.state == NOT_STARTED:
            yield f"{line}{each.part.stars} about {each.part.minutes} minutes"
        else:
            yield f"{line}{each.passed} of {each.checks} checks"
            yield from textwrap.wrap(each.message, PAGE, initial_indent=" " * 4, subsequent_indent=" " * 4)
    done = sum(each.state == DONE for each in standings)
    yield f"\n{done} of {len(standings)} parts done."
    if rest := [each for each in standings if each.state != DONE]:
        yield advice(rest[0])


def advice(standing: Standing) -> str:
    """Say what comes next."""
    part = standing.part
    if not standing.waiting:
        return f"Next: mend part {part.number}, {part.name}; its message says what was given, got and expected."
    lessons = "lessons" if "," in part.lessons else "lesson"
    functions = " and ".join(standing.waiting)
    return (
        f"Next: part {part.number}, {part.name}: about {part.minutes} minutes, with {lessons} {part.lessons} at hand. "
        f"Write it in my_gpt2.py, then connect {functions} in {ADAPTER}."
    )
