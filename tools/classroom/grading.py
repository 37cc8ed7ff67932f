"""Autograding of a folder of submissions: hidden checks, each submission in a fenced process of its own.

otter-grader makes and reads the checks. Its `otter run` would start them too, but in the submission's own process and
without a fence: there a submission can read the hidden checks, and answer for them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools.classroom.exercise_builder import MASTERS, assigned, find_masters
from tools.classroom.sandbox import Limits, stop_with_children
from tools.repo.notebooks import ROOT, SETTINGS
from utils.errors import CourseError

LONGEST_ANSWER = 1_000_000  # characters


@dataclass(frozen=True)
class Submission:
    """One notebook that was handed in."""

    path: Path
    learner: str
    exercise: str  # the name of its master


@dataclass
class Grade:
    """What became of a submission; `tasks` holds points, possible points and notes for each task."""

    submission: Submission
    tasks: dict[str, dict] = field(default_factory=dict)
    status: str = "graded"

    @property
    def points(self) -> float:
        return sum(task["points"] for task in self.tasks.values())

    @property
    def possible(self) -> float:
        return sum(task["possible"] for task in self.tasks.values())


def find_submissions(folder: Path) -> Iterator[Submission]:
    """Yield every notebook below a folder with its learner and exercise, as file and folder names tell them.

    Fine are Ada/02_build_attention.ipynb, Ada_02_build_attention.ipynb, and what learning platforms make of them:
    "Ada Lovelace_12345_assignsubmission_file_/02_build_attention.ipynb", "adal_123_456_02_build_attention-1.ipynb".
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder. Give the folder into which the submissions were unpacked.")
    exercises = [master.stem for master in find_masters()]
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        exercise = next((name for name in exercises if name in path.stem), None)
        if exercise is None:
            yield Submission(path, learner_of(path.stem, path, folder), "")
            continue
        yield Submission(path, learner_of(path.stem.partition(exercise)[0], path, folder), exercise)


def learner_of(before: str, path: Path, folder: Path) -> str:
    """Return the learner's name: what stands before the exercise's name, or else the folder's name."""
    name = before.strip("_- ") or ("" if path.parent == folder else path.parent.name)
    return re.sub(r"_\d{3,}.*$", "", name).strip("_- ") or "nameless"


def grade(submission: Submission, limits: Limits = Limits()) -> Grade:
    """Run one submission and its checks; whatever it does, a grade comes back."""
    result = Grade(submission)
    if not submission.exercise:
        result.status = "no exercise of this course has its name"
        return result
    _, sources = assigned(MASTERS / f"{submission.exercise}.ipynb")
    cases = {task: _cases(source) for task, source in sources.items()}
    tests = {task: {"source": source, "cases": cases[task]} for task, source in sources.items()}
    result.tasks = {task: _nothing(cases[task]) for task in tests}
    try:
        json.loads(submission.path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        result.status = f"not a notebook: {error}"
        return result
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder).resolve()
        shutil.copy(submission.path, work / f"{submission.exercise}.ipynb")
        result.status, found = _run_fenced(work, submission.exercise, tests, limits)
    result.tasks.update(found)
    return result


def _cases(source: str) -> list[tuple[float, bool]]:
    """Return points of each check of a task, and whether it is hidden, as otter-grader reads them."""
    from otter.test_files.exception_test import ExceptionTestFile

    return [(case.points, case.hidden) for case in ExceptionTestFile.from_string(source).test_cases]


def _nothing(cases: list[tuple[float, bool]]) -> dict:
    return {"points": 0, "possible": sum(points for points, _ in cases), "note": "", "hidden": ""}


def _run_fenced(work: Path, exercise: str, tests: dict[str, dict], limits: Limits) -> tuple[str, dict]:
    """Talk with the process that runs a submission; return how it went and the tasks that it graded."""
    settings = {
        **_environment(),
        **SETTINGS,
        "HOME": str(work),
        "TMPDIR": str(work),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.classroom.grade_submission"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=settings, cwd=ROOT, start_new_session=True, encoding="utf-8",
    )  # fmt: skip
    order = {"folder": str(work), "notebook": str(work / f"{exercise}.ipynb"), "limits": asdict(limits)}
    seal = secrets.token_hex(16)  # known to nobody while the submission runs, so that it can't answer for the checks
    deadline = threading.Timer(limits.seconds + 30, stop_with_children, [process])
    deadline.start()
    try:
        ran = _ask(process, order)
        answer = _ask(process, {"tests": tests, "seal": seal}) if ran else {}
    finally:
        late = not deadline.is_alive()
        deadline.cancel()
        stop_with_children(process)
    if answer.get("seal") == seal:
        return "graded" if not ran.get("error") else f"graded; a cell stopped with {ran['error']}", answer["tasks"]
    return _how_it_ended(process.returncode, late, limits), {}


def _ask(process: subprocess.Popen, question: dict) -> dict:
    """Send a line to the process and return its answer, or nothing where none comes."""
    assert process.stdin and process.stdout  # both are pipes
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline(LONGEST_ANSWER))
    except (OSError, ValueError):  # it has ended, or says something else
        return {}
    return answer if isinstance(answer, dict) else {}


def _how_it_ended(code: int, late: bool, limits: Limits) -> str:
    if late:
        return f"stopped after {limits.seconds + 30} seconds"
    ends = {-24: f"stopped after {limits.seconds} seconds of computing", -9: "stopped before the checks"}
    return ends.get(code, f"ended by itself before the checks, with exit code {code}")


def _environment() -> dict[str, str]:
    kept = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ}
