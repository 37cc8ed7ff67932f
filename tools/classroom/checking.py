"""The checking side of grading: a process that runs an exercise's checks and never the code that they check.

It holds the hidden checks and the teacher's own names, made from the cells of the master that they need. What a learner
wrote runs behind a fence in another process and is asked by value. All public checks come first: when their questions
are written down for the learner, the learner's code has not seen what a hidden check asks.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tools.classroom.by_value import Raised
from tools.classroom.masters import SOLUTION, TESTS, parts_of
from tools.classroom.remote_calls import Channel, NoAnswer
from tools.classroom.sandbox import Limits, Watch, close_own_memory
from tools.repo.notebooks import SETTINGS
from utils.checks import Stopped, ask, read_checks
from utils.checks.blanks import defined_names, has_dots, is_blank_source, parse_error, without_magics
from utils.files.places import ROOT

CALM = {**SETTINGS, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "LOGNAME": "learner"}
KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "PYTHONPATH")


def environment() -> dict[str, str]:
    """Return what a process of grading may know of the environment."""
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, **CALM}


# The teacher's names


@dataclass(frozen=True)
class Cell:
    """One code cell of a master: the names that it makes, those that it asks for, the task that it solves."""

    code: str
    makes: frozenset[str]
    asks: frozenset[str]
    answer: str  # the task whose solution it is, if it is one


def cells_of(master: Mapping) -> Iterator[Cell]:
    """Yield the code cells of a master that are no checks."""
    for task, part, source in parts_of(master["cells"]):
        if part != TESTS:
            code = without_magics(source)
            yield Cell(
                code, frozenset(_made(code)), frozenset(_names(code, ast.Load)), task if part == SOLUTION else ""
            )


def _names(code: str, context: type) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            yield node.id


def _made(code: str) -> Iterator[str]:
    yield from _names(code, ast.Store)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def answers_among(cells: list[Cell], asked: set[str]) -> dict[str, str]:
    """Return which of the names that checks ask for are a learner's, functions and classes, each with its task."""
    found = {}
    for cell in cells:
        for node in ast.parse(cell.code).body if cell.answer else ():
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in asked:
                found[node.name] = cell.answer
    return found


def teachers_names(cells: list[Cell], asked: set[str]) -> dict[str, Any]:
    """Run the cells that the asked names need, and what those need, and return all names."""
    needed, chosen = set(asked), []
    for cell in reversed(cells):
        if cell.makes & needed:
            chosen.append(cell)
            needed |= cell.asks
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in reversed(chosen):
        exec(compile(cell.code, "<master>", "exec"), names)  # the teacher's own code
    return names


# One submission


@dataclass
class Task:
    """The checks of one task, and which of them are hidden."""

    checks: list[Callable[..., None]]
    hidden: list[bool]

    def asked(self, answers: Collection[str]) -> list[str]:
        """Return which of some names its checks ask for."""
        return sorted({name for check in self.checks for name in inspect.signature(check).parameters} & set(answers))


@dataclass
class Found:
    """What the checks of one task found; `note` is for the learner's page, `said` for the teacher's table."""

    passed: list[bool]
    note: str = ""
    said: list[str] = field(default_factory=list)


class Checker:
    """The checks of one exercise, ready for any number of submissions."""

    def __init__(self, order: Mapping) -> None:
        self.exercise = order["exercise"]
        self.tasks = {name: Task(read_checks(task["source"]), task["hidden"]) for name, task in order["tasks"].items()}
        every = [check for task in self.tasks.values() for check in task.checks]
        asked = {name for check in every for name in inspect.signature(check).parameters}
        cells = list(cells_of(order["master"]))
        self.answers = answers_among(cells, asked)
        everything = teachers_names(cells, asked)
        self.models = {name: everything[name] for name in self.answers}
        self.names = {name: value for name, value in everything.items() if name not in self.answers}
        self.blanks = order.get("blanks", {})
        self.own = gc.get_objects() + list(_within(self.names))  # kept alive, so that no other gets their ids
        self.own_ids = frozenset(map(id, self.own))

    def grade(self, asked: Mapping) -> dict:
        """Run a submission behind the fence, ask it all checks, and return what was found."""
        limits, folder = Limits(**asked["limits"]), Path(asked["folder"])
        process = start_fenced(folder)
        watch = Watch(process, folder, limits)
        found: dict[str, Found] = {}
        report: dict[str, Any] = {"ran": False, "error": None, "end": ""}
        try:
            assert process.stdin and process.stdout  # both are pipes
            order = {name: asked[name] for name in ("folder", "exercise", "notebook", "limits", "fence")}
            order["handed"] = tempfile.gettempdir()  # where checks put the files that they hand to a function
            process.stdin.write(json.dumps(order).encode("ascii") + b"\n")
            channel = Channel(process.stdout, process.stdin, trusting=False)
            channel.values.kept = self.own_ids
            report |= {"error": channel.call("(run)"), "ran": True}
            self.check_all(channel, found, broken_cells(json.loads(asked["notebook"])["cells"]))
        except (NoAnswer, Raised, OSError) as error:
            report["end"] = str(error)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)  # its exit code says why
        finally:
            watch.close()
        return report | {"end": how_it_ended(report["end"], watch, limits), "tasks": _as_json(found)}

    def check_all(self, channel: Channel, found: dict[str, Found], broken: Mapping[str, str] | None = None) -> None:
        """Run the public checks of all tasks, then the hidden ones, then again those that earlier mistakes may fail."""
        described = channel.call("(describe)", (sorted(self.answers),))
        names = {**self.names, **{name: self._answer(channel, name, described) for name in self.answers}}
        for name, task in self.tasks.items():
            found[name] = Found([False] * len(task.checks), self._why_not(task, described, broken or {}))
        open_tasks = {name: task for name, task in self.tasks.items() if not found[name].note}
        for name, task in open_tasks.items():
            run_checks(task, False, found[name], names)
            if found[name].note and (dots := [one for one in task.asked(self.answers) if _has_dots(described, one)]):
                found[name] = Found([False] * len(task.checks), f"not attempted: {', '.join(dots)}")
        for name, task in open_tasks.items():
            if not found[name].note.startswith("not attempted"):
                run_checks(task, True, found[name], names)
        for name in open_tasks:
            self._check_by_itself(channel, name, found, names)

    def _why_not(self, task: Task, described: Any, broken: Mapping[str, str]) -> str:
        """Say why a task can't be checked at all: a cell that doesn't parse, or a blank."""
        blank = [name for name in task.asked(self.answers) if _is_blank(described, name, self.blanks.get(name, ""))]
        errors = [f"the cell of {name} does not run: {broken[name]}" for name in blank if name in broken]
        return errors[0] if errors else f"not attempted: {', '.join(blank)}" if blank else ""

    def _check_by_itself(self, channel: Channel, name: str, found: dict[str, Found], names: Mapping) -> None:
        """Give a task whose earlier tasks are wrong its due: what fails is tried with right answers in their place.

        Everything else has been checked before: who keeps such an answer for a task of its own comes too late.
        """
        names_of_tasks = list(self.tasks)
        before = set(names_of_tasks[: names_of_tasks.index(name)])
        if all(found[name].passed) or all(all(found[other].passed) for other in before):
            return
        if found[name].note.startswith("not attempted"):
            return
        others = {one: model for one, model in self.models.items() if self._is_earlier(one, model, before)}
        mine = {one: WithOthers(channel, one, others) for one, task in self.answers.items() if task == name}
        again = Found(list(found[name].passed))
        for hidden in (False, True):
            run_checks(self.tasks[name], hidden, again, {**names, **others, **mine})
        if sum(again.passed) > sum(found[name].passed):
            note = "Right by itself: what is missing is in an earlier task." if all(again.passed) else again.note
            found[name] = Found(again.passed, note, again.said)

    def _is_earlier(self, name: str, model: Any, before: set[str]) -> bool:
        return inspect.isfunction(model) and self.answers[name] in before

    def _answer(self, channel: Channel, name: str, described: Any) -> Any:
        is_value = isinstance(described, dict) and described.get(name, [""])[0] == "value"
        return channel.call("(value)", (name,)) if is_value else channel.function(name)


def _within(value: Any, deep: int = 0) -> Iterator[Any]:
    yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
    for part in parts if deep < 5 else ():
        yield from _within(part, deep + 1)


@dataclass(frozen=True)
class WithOthers:
    """A function of a submission, called while other functions stand in the place of some of its names."""

    channel: Channel
    name: str
    others: Mapping[str, Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.channel.call("(with)", (self.others, self.name, *args), kwargs)


def _source(described: Any, name: str) -> tuple[str, str]:
    kind, source = described[name] if isinstance(described, dict) and name in described else ("missing", "")
    return str(kind), source if isinstance(source, str) else ""


def _is_blank(described: Any, name: str, blank: str) -> bool:
    kind, source = _source(described, name)
    return kind == "missing" or is_blank_source(source, blank)


def _has_dots(described: Any, name: str) -> bool:
    return has_dots(_source(described, name)[1])


def broken_cells(cells: list) -> dict[str, str]:
    """Return for each function that the cells of a notebook define why its last cell can't run, if it can't."""
    found = dict[str, str]()
    for cell in cells:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            found |= dict.fromkeys(defined_names(source), parse_error(source))
    return {name: error for name, error in found.items() if error}


def run_checks(task: Task, hidden: bool, found: Found, names: Mapping) -> None:
    """Run the public or the hidden checks of one task that have not passed yet."""
    for number, check in enumerate(task.checks):
        if task.hidden[number] == hidden and not found.passed[number]:
            note, said = run_one(partial(ask, check), names)
            found.passed[number] = not note
            if note and not hidden and not found.note:
                found.note = note
            if said:
                found.said.append(said)


def run_one(check: Callable[[Mapping], None], names: Mapping) -> tuple[str, str]:
    """Run one check; return a note where it fails, and what the learner's code said if it stopped."""
    try:
        check(names)
    except Raised as error:  # by the learner's code: its type's name is Python's, its text stays with the teacher
        note, said = how_it_stopped(error)
        return note[0].upper() + note[1:], said
    except Stopped as error:  # in a comparison
        note, said = how_it_stopped(error.error)
        return f"{error.given} {note}" if error.given else note[0].upper() + note[1:], said
    except AssertionError as error:
        return str(error) or "The answer is another one.", ""
    except Exception as error:  # the check stumbled over what it got, which is an answer, too
        return f"The check stopped with {type(error).__name__}: is the answer of the kind that was asked for?", ""
    return "", ""


def how_it_stopped(error: BaseException) -> tuple[str, str]:
    """Say in the check's own words how a learner's code stopped, and beside it what that code said."""
    if not isinstance(error, Raised):
        return f"your code stopped with {type(error).__name__}.", str(error)
    never = error.kind == "TooLong"
    note = "your code did not come to an end." if never else f"your code stopped with {type(error).__name__}."
    return note, f"{error.kind}: {error.said}"


def start_fenced(folder: Path) -> subprocess.Popen:
    """Start the process that will run a submission."""
    settings = {**environment(), "HOME": str(folder), "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "tools.classroom.grade_submission"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=settings, cwd=ROOT, start_new_session=True,
    )  # fmt: skip


def how_it_ended(end: str, watch: Watch, limits: Limits) -> str:
    """Say in words why there is not an answer to everything, or nothing where there is."""
    if watch.reason or not end:
        return watch.reason
    code = watch.process.returncode
    ends = {128 + 24: f"stopped after {limits.seconds} seconds of computing", -24: "stopped for its computing time"}
    if end == "has ended" and code not in (0, -9, None):
        return ends.get(code, f"ended by itself, with exit code {code}")
    return f"its process {end}"


def _as_json(found: Mapping[str, Found]) -> dict:
    return {name: {"passed": one.passed, "note": one.note, "said": one.said} for name, one in found.items()}


def main() -> None:
    """Read the exercise, then a submission a line, and answer each with a line."""
    close_own_memory()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):  # masters print
        os.dup2(nothing, number)
    order = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        tempfile.tempdir = str(Path(folder).resolve())
        checker = Checker(order)
        print(json.dumps({"ready": sorted(checker.answers)}), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(checker.grade(json.loads(line))), file=answers, flush=True)
        os.chdir(ROOT)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
