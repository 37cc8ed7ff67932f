"""Gradebook: grades.csv with a row for each submission, gradebook.csv with a row for each learner, and pages."""

from __future__ import annotations

import csv
import hashlib
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.classroom.feedback import page
from tools.classroom.grading import Grade, Grader, Submission, all_checks, find_submissions, learner_ids, summary
from tools.classroom.names import as_csv, clean, file_name, read_csv, readable
from tools.classroom.sandbox import Fence, Limits, available_fence, close_own_memory, demand
from utils.errors import CourseError
from utils.files.whole_files import write_whole

HEAD = ["Learner", "Id", "Number", "Exercise", "Points", "Possible", "Percent"]
TAIL = ["Status", "What the code said", "File", "Mark"]
TRY_AGAIN = ("could not be graded", "the checks did not end")  # how a status begins that isn't the learner's


@dataclass(frozen=True)
class Class:
    """What a folder of submissions holds."""

    submissions: list[Submission]
    ids: dict[Submission, str]
    folder: Path

    def marks(self) -> dict[Submission, str]:
        """Return what tells each submission from all others and from an older one under the same name."""
        return {one: mark_of(one, self.folder) for one in self.submissions}


def grade_folder(
    folder: Path, out: Path, limits: Limits = Limits(), unfenced: bool = False, show: Callable[[str], None] = print
) -> list[dict]:
    """Grade every submission below a folder, and return the rows of grades.csv, which is written after each."""
    fence = available_fence()
    show(demand(fence, unfenced))
    close_own_memory()
    found = list(find_submissions(folder))
    handed_in, table = Class(found, learner_ids(found), folder), Table(out, show)
    table.read_old()
    marks = handed_in.marks()
    waiting = [one for one in found if marks[one] not in table.rows]
    if done := len(found) - len(waiting):
        show(
            f"{done} submissions are in {table.path.name} already and were not changed; delete it to grade them again."
        )
    for number, graded in enumerate(grade_all(waiting, limits, fence), start=1):
        made = graded.submission
        table.add(marks[made], graded, handed_in.ids[made])
        what = made.exercise or clean(readable(made.path.name))
        show(f"{number} of {len(waiting)}: {made.name}, {what}: {summary(graded)}")
    if not found:
        show(f"There is no notebook in {folder}.")
    return [table.rows[marks[one]] for one in found]


def mark_of(one: Submission, folder: Path) -> str:
    """Return a hash of a submission's place, size and time: what has it was graded in this state."""
    try:
        state = one.path.lstat()
        text = f"{one.path.relative_to(folder)} {state.st_size} {state.st_mtime_ns}"
    except OSError:
        text = str(one.path)
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:12]


def grade_all(submissions: list[Submission], limits: Limits, fence: Fence) -> Iterator[Grade]:
    """Yield a grade for each submission as it comes, two at a time where memory allows; the same exercises in a row."""
    queue = sorted(submissions, key=lambda one: one.exercise)
    for exercise in sorted({one.exercise for one in queue if not one.problem}):
        all_checks(exercise)  # not side by side: otter changes the folder of the whole process
    two = psutil.virtual_memory().available > 2 * limits.memory and (psutil.cpu_count() or 1) > 1
    graders = [Grader(limits, fence) for _ in range(2 if two and len(queue) > 1 else 1)]
    pool, idle, running = ThreadPoolExecutor(len(graders)), list(graders), dict[Future, Grader]()
    try:
        while queue or running:
            while queue and idle:
                grader = idle.pop()
                running[pool.submit(grader.grade, queue.pop(0))] = grader
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                idle.append(running.pop(future))
                yield future.result()
    finally:
        for grader in graders:
            grader.close()
        pool.shutdown()


class Table:
    """The rows of grades.csv; what can't be written to its place is written beside it, and said once."""

    def __init__(self, out: Path, show: Callable[[str], None]) -> None:
        self.out, self.show, self.path = out, show, out / "grades.csv"
        self.rows: dict[str, dict] = {}  # by mark
        self._pages: dict[str, list[Grade]] = {}
        self._before: dict[str, str] = {}  # pages of an earlier run
        self._elsewhere: dict[Path, Path] = {}
        self._spare = f"grades-{secrets.token_hex(3)}"

    def read_old(self) -> None:
        """Take over the rows of an earlier run that has its marks still."""
        found = (
            sorted(self.out.glob("grades*.csv"), key=lambda path: path.lstat().st_mtime) if self.out.is_dir() else []
        )
        for path in found:
            try:
                rows = read_csv(path)
            except (OSError, ValueError, csv.Error) as error:
                self.show(
                    f"{path.name} of an earlier run can't be read ({type(error).__name__}): all are graded again."
                )
                continue
            for row in rows:
                if row.get("Mark") and not str(row.get("Status")).startswith(TRY_AGAIN):
                    self.rows[row["Mark"]] = {name: _as_number(name, value) for name, value in row.items() if name}

    def add(self, mark: str, one: Grade, ident: str) -> None:
        """Add a row, and write both tables and the learner's page."""
        self.rows[mark] = row_of(one, ident) | {"Mark": mark}
        tasks = sorted({name for row in self.rows.values() for name in row} - {*HEAD, *TAIL}, key=_natural)
        self._write(self.path, as_csv([*HEAD, *tasks, *TAIL], self.rows.values()))
        self._write(self.out / "gradebook.csv", as_csv(*gradebook(self.rows.values())))
        place = self.out / f"{file_name(one.submission.name, ident)}.html"
        if ident not in self._pages:
            again = any(row["Id"] == ident and key != mark for key, row in self.rows.items())
            self._before[ident] = place.read_text(encoding="utf-8") if again and place.is_file() else ""
        own = self._pages.setdefault(ident, [])
        own.append(one)
        self._write(place, page(own, self._before[ident]).encode("utf-8", errors="replace"))

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file, or say why not and write it beside, or at least to a temporary folder."""
        first = self._elsewhere.get(path, path)
        beside = [path.with_stem(f"{path.stem}-{number}") for number in range(1, 4)]
        for place in [first, *beside, Path(tempfile.gettempdir()) / f"{self._spare}-{path.name}"]:
            try:
                write_whole(place, lambda file: file.write(data))
            except CourseError as error:
                self.show(str(error))
                continue
            if place != first:
                self._elsewhere[path] = place
                self.show(f"It is written to {place} instead. Is {path.name} open in another program?")
            return
        self.show(f"{path.name} is written nowhere; these lines are all that there is.")


def row_of(one: Grade, ident: str) -> dict:
    """Return a grade as a row of grades.csv."""
    percent = round(100 * one.points / one.possible, 1) if one.possible else ""
    made, points = one.submission, {name: task.points for name, task in one.tasks.items()}
    row = dict(
        zip(HEAD, (made.name, ident, made.number, made.exercise, one.points, one.possible, percent), strict=True)
    )
    said = "; ".join(
        [one.said] * bool(one.said) + [f"{name}: {task.said}" for name, task in one.tasks.items() if task.said]
    )
    return row | points | dict(zip(TAIL, (one.status, clean(said), clean(readable(made.path.name)), ""), strict=True))


def gradebook(rows: Iterable[dict]) -> tuple[list[str], list[dict]]:
    """Return head and rows of gradebook.csv: of several submissions of an exercise the best counts."""
    learners: dict[str, dict] = {}
    for row in rows:
        own = learners.setdefault(str(row["Id"]), {"Learner": row["Learner"], "Id": row["Id"]})
        if row["Exercise"]:
            percent = row["Percent"] if isinstance(row["Percent"], float) else 0.0
            own[row["Exercise"]] = max(own.get(row["Exercise"], 0.0), percent)
    exercises = sorted({name for own in learners.values() for name in own} - {"Learner", "Id"})
    return ["Learner", "Id", *exercises], sorted(
        learners.values(), key=lambda own: (str(own["Learner"]), str(own["Id"]))
    )


def _as_number(name: str, text: str | None) -> object:
    if name in ("Learner", "Id", "Number", "Exercise", *TAIL):
        return text or ""
    try:
        return float(text or "")
    except ValueError:  # empty, or written by hand
        return text or ""


def _natural(task: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", task))
