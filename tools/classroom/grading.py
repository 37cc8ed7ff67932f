"""Autograding of a folder of submissions: hidden checks, each submission behind a fence of its own.

otter-grader makes and reads the checks. Its `otter run` would start them too, but in the submission's own process and
without a fence: there a submission can read the hidden checks, and answer for them. Here three processes share the
work: this one knows points, `checking.py` runs the checks, `grade_submission.py` runs the submission.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tools.classroom.checking import environment
from tools.classroom.exercise_builder import MASTERS, assigned, find_masters
from tools.classroom.names import LONGEST_NAME, LONGEST_NOTE, clean, readable, short_id
from tools.classroom.sandbox import Fence, Limits, stop_tree
from tools.repo.notebooks import ROOT
from utils.checks.exercise import Help
from utils.errors import CourseError
from utils.files.whole_files import parse_json

LONGEST_NOTEBOOK = 50 * 2**20  # bytes
LONGEST_ANSWER = 1_000_000  # characters
PATIENCE = 300  # seconds in which an exercise's own cells must have run


@dataclass(frozen=True)
class Submission:
    """One notebook that was handed in; `number` is what a platform added to the learner's name."""

    path: Path
    learner: str
    exercise: str  # the name of its master
    number: str = ""
    problem: str = ""  # why there is nothing to grade

    @property
    def name(self) -> str:
        """The learner's name as it can be written anywhere."""
        return clean(readable(self.learner), LONGEST_NAME) or "nameless"


@dataclass
class Task:
    """What became of one task; `said` is what the learner's code said when it stopped, for the teacher alone."""

    points: float
    possible: float
    note: str = ""
    hidden: str = ""
    said: str = ""


@dataclass
class Grade:
    """What became of a submission; `said` is what its first error said, for the teacher alone."""

    submission: Submission
    tasks: dict[str, Task] = field(default_factory=dict)
    status: str = "graded"
    said: str = ""
    code: dict[str, str] = field(default_factory=dict)  # of each task, as the learner wrote it

    @property
    def points(self) -> float:
        return sum(task.points for task in self.tasks.values())

    @property
    def possible(self) -> float:
        return sum(task.possible for task in self.tasks.values())


def find_submissions(folder: Path) -> Iterator[Submission]:
    """Yield every notebook below a folder with its learner and exercise, as file and folder names tell them.

    Fine are Ada/03_build_attention.ipynb, Ada_03_build_attention.ipynb, and what learning platforms make of them:
    "Ada Lovelace_12345_assignsubmission_file_/03_build_attention.ipynb", "adal_123_456_03_build_attention-1.ipynb".
    What can't be read, and a learner's folder without a notebook, comes with its problem.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder. Give the folder into which the submissions were unpacked.")
    exercises = [master.stem for master in find_masters()]
    closed: list[OSError] = []
    empty = {path.name for path in folder.iterdir() if path.is_dir() and not path.is_symlink()}
    for where, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if name != ".ipynb_checkpoints")
        for name in sorted([*names, *(name for name in folders if _is_notebook(name))]):
            if _is_notebook(name):
                path = Path(where, name)
                empty.discard(path.relative_to(folder).parts[0])
                yield _submission(path, folder, exercises)
    for error in closed:
        path = Path(error.filename or folder)
        empty.discard(path.relative_to(folder).parts[0] if path != folder else "")
        yield Submission(path, path.name, "", problem=f"the folder can't be read: {error.strerror}")
    for name in sorted(empty):
        learner, number = split_name(name)
        yield Submission(folder / name, learner, "", number, "there is no notebook in the folder")


def _is_notebook(name: str) -> bool:
    return name.lower().endswith(".ipynb")


def _submission(path: Path, folder: Path, exercises: list[str]) -> Submission:
    exercise = next((name for name in exercises if name in path.stem), "")
    outer = path.relative_to(folder).parts[0] if path.parent != folder else ""
    before = path.stem.partition(exercise)[0].strip("_- ") if exercise else outer
    learner, number = split_name(before or outer or path.stem.replace(exercise, ""))
    return Submission(path, learner, exercise, number, "" if exercise else "no exercise of this course has its name")


PLATFORM = re.compile(r"(?:_LATE)?_(\d{3,}|\d+(?=_\d+(?:_|$))|\d+(?=_assignsubmission)).*$")  # what it adds to a name


def split_name(name: str) -> tuple[str, str]:
    """Return the learner's name and the first number that a platform added to it; whether it came late is no name.

    >>> split_name("Ada Lovelace_12345_assignsubmission_file_"), split_name("adal_123_456"), split_name("Bob")
    (('Ada Lovelace', '12345'), ('adal', '123'), ('Bob', ''))
    >>> split_name("adal_LATE_7_456"), split_name("Ada Lovelace_7_assignsubmission_file_"), split_name("team_2")
    (('adal', '7'), ('Ada Lovelace', '7'), ('team_2', ''))
    """
    found = PLATFORM.search(name)
    plain = name[: found.start()] if found else name
    return plain.strip("_- ") or "nameless", found.group(1) if found else ""


def learner_ids(submissions: list[Submission]) -> dict[Submission, str]:
    """Return an id for each submission's learner: by the name, and by the number where two people share a name.

    Two share one if the same exercise came from it with different numbers.
    """
    numbers: dict[tuple[str, str], set[str]] = {}
    for one in submissions:
        numbers.setdefault((one.learner, one.exercise), set()).add(one.number)
    shared = {learner for (learner, _), found in numbers.items() if len(found) > 1}
    return {
        one: short_id(f"{one.learner}_{one.number}" if one.learner in shared else one.learner) for one in submissions
    }


def read_submission(path: Path) -> str:
    """Return the text of a notebook that was handed in, or raise `CourseError`; nothing but a plain file is opened."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path.is_symlink():
            raise CourseError("it is a link")
        opened = os.open(path, flags)
    except OSError as error:
        raise CourseError(f"it can't be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise CourseError("it is no file")
    with os.fdopen(opened, "rb") as file:
        raw = file.read(LONGEST_NOTEBOOK + 1)
    if len(raw) > LONGEST_NOTEBOOK:
        raise CourseError(f"it is longer than {LONGEST_NOTEBOOK:,} bytes")
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        cells = json.loads(text)["cells"]
        fine = all(isinstance(cell["cell_type"], str) and "".join(cell["source"]) is not None for cell in cells)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CourseError(f"it isn't the JSON of a notebook ({type(error).__name__}: {clean(error, 80)})") from error
    if not fine:
        raise CourseError("its cells are none")
    return text


# The checks, and the process that runs them


@dataclass(frozen=True)
class Checks:
    """The checks of one task: their source, and of each its points and whether it is hidden."""

    source: str
    points: tuple[float, ...]
    hidden: tuple[bool, ...]


@cache
def all_checks(exercise: str) -> dict[str, Checks]:
    """Return the checks of an exercise's tasks, hidden ones too, from its master."""
    from otter.test_files.exception_test import ExceptionTestFile

    found = {}
    for task, source in assigned(MASTERS / f"{exercise}.ipynb")[1].items():
        cases = ExceptionTestFile.from_string(source).test_cases
        found[task] = Checks(source, tuple(case.points for case in cases), tuple(case.hidden for case in cases))
    return found


class CheckingProcess:
    """The process that runs the checks of one exercise, for one submission after the other."""

    def __init__(self, exercise: str) -> None:
        self.exercise, self.checks = exercise, all_checks(exercise)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.classroom.checking"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment(), cwd=ROOT, start_new_session=True, encoding="ascii",
        )  # fmt: skip
        master = json.loads((MASTERS / f"{exercise}.ipynb").read_text(encoding="utf-8"))
        tasks = {name: {"source": one.source, "hidden": one.hidden} for name, one in self.checks.items()}
        blanks = Help.unpack(assigned(MASTERS / f"{exercise}.ipynb")[0].metadata["otter"].get("help", "")).blanks
        order = {"exercise": exercise, "master": master, "tasks": tasks, "blanks": blanks}
        ready = self._ask(order, PATIENCE)
        if "ready" not in ready:
            self.close()
            raise CourseError(f"The cells of the master of {exercise} don't run: try `python -m tools exercises`.")

    def ask(self, notebook: str, limits: Limits, fence: Fence) -> dict:
        """Return what the checks found in a submission, or nothing if the checking process itself has ended."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            asked = {"folder": str(Path(folder).resolve()), "exercise": self.exercise, "notebook": notebook}
            return self._ask(
                {**asked, "limits": asdict(limits), "fence": asdict(fence)}, limits.seconds + limits.patience + 60
            )

    def _ask(self, question: dict, seconds: float) -> dict:
        assert self._process.stdin and self._process.stdout  # both are pipes
        deadline = threading.Timer(seconds, stop_tree, [self._process])
        deadline.start()
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline(LONGEST_ANSWER))
        except (OSError, ValueError):  # it has ended, or was ended
            return {}
        finally:
            deadline.cancel()
        return answer if isinstance(answer, dict) else {}

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        stop_tree(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


class Grader:
    """Grades submissions one after the other, and keeps the checking process of the exercise that comes again."""

    def __init__(self, limits: Limits, fence: Fence) -> None:
        self.limits, self.fence = limits, fence
        self._checking: CheckingProcess | None = None

    def grade(self, submission: Submission) -> Grade:
        """Run one submission and its checks; whatever it does, a grade comes back."""
        try:
            return self._grade(submission)
        except Exception as error:  # one learner's file must never cost another learner the grade, whatever is in it
            problem = f"could not be graded ({type(error).__name__})"
            return Grade(submission, status=problem, said=clean(error))

    def _grade(self, submission: Submission) -> Grade:
        if submission.problem:
            return Grade(submission, status=clean(submission.problem))
        checks = all_checks(submission.exercise)
        result = Grade(submission, {task: Task(0, math.fsum(one.points)) for task, one in checks.items()})
        try:
            notebook = read_submission(submission.path)
        except CourseError as error:
            result.status = f"not a notebook: {error}"
            return result
        result.code = answers(notebook, handed_out(submission.exercise))
        answer = self._process(submission.exercise).ask(notebook, self.limits, self.fence)
        take_answer(result, checks, answer)
        return result

    def _process(self, exercise: str) -> CheckingProcess:
        if self._checking is None or self._checking.exercise != exercise or not self._checking.alive:
            self.close()
            self._checking = CheckingProcess(exercise)
        return self._checking

    def close(self) -> None:
        """End the checking process."""
        if self._checking is not None:
            self._checking.close()
            self._checking = None


CHECK = re.compile(r"""\bcheck\(\s*["'](\w+)["']\s*\)""")


@cache
def handed_out(exercise: str) -> frozenset[str]:
    """Return the code of an exercise's cells as they are handed out, which is nobody's answer."""
    path = ROOT / "exercises" / f"{exercise}.ipynb"
    cells = parse_json(path.read_text(encoding="utf-8"))["cells"] if path.is_file() else []
    return frozenset("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def answers(notebook: str, given: Container[str] = ()) -> dict[str, str]:
    """Return the code of each task, from the text of a notebook: the last two cells before its check.

    Cells that stand there as they were `given` are left out.
    """
    found, since = dict[str, str](), list[str]()
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            continue
        if asked := CHECK.search(source):
            found.setdefault(asked[1], "\n\n".join(since[-2:]))
            since = []
        elif source not in given:
            since.append(source)
    return found


def summary(one: Grade) -> str:
    """Return a grade in a few words."""
    return f"{one.points:g} of {one.possible:g}, {one.status}" if one.possible else one.status


def take_answer(result: Grade, checks: Mapping[str, Checks], answer: Mapping[str, Any]) -> None:
    """Write an answer of the checking process into a grade: known tasks, points from this side, short texts."""
    error, end, tasks = answer.get("error"), answer.get("end"), answer.get("tasks")
    if isinstance(error, list) and len(error) == 2:
        never = error[0] == "TooLong"
        how = "did not come to an end" if never else f"stopped with {clean(error[0], 40)}"
        result.status, result.said = f"graded; a cell {how}", clean(error[1])
    if not answer:
        result.status = "the checks did not end with what it answered"
    elif end:
        result.status = clean(end, LONGEST_NOTE)
    for name, one in checks.items():
        found = tasks.get(name) if isinstance(tasks, Mapping) else None
        if isinstance(found, Mapping):
            result.tasks[name] = take_task(one, found)


def take_task(checks: Checks, found: Mapping[str, Any]) -> Task:
    """Return what became of one task; points are those of the teacher's checks, from none to all of them."""
    passed = [one is True for one in found.get("passed") or []]
    passed += [False] * (len(checks.points) - len(passed))
    possible = math.fsum(checks.points)
    points = math.fsum(one for one, fine in zip(checks.points, passed, strict=False) if fine)
    failed = sum(hidden and not fine for hidden, fine in zip(checks.hidden, passed, strict=False))
    note, said = clean(found.get("note") or "", LONGEST_NOTE), clean("; ".join(map(str, found.get("said") or [])))
    unseen = (
        f"{failed} of {sum(checks.hidden)} further checks fail" if failed and not note.startswith("not att") else ""
    )
    return Task(min(max(points, 0), possible), possible, note, unseen, said)


def grade(submission: Submission, limits: Limits, fence: Fence) -> Grade:
    """Grade a single submission."""
    grader = Grader(limits, fence)
    try:
        return grader.grade(submission)
    finally:
        grader.close()
