"""Progress of a learner, from the files that notebooks and checks leave: what is read, passed, and what comes next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.capstone.adapter import HOME
from tools.capstone.parts import PARTS
from tools.capstone.record import RECORD, sources_hash
from tools.commands import PROGRAM
from tools.learner.copies import own_copy
from tools.repo.course_map import opening_in
from utils.errors import CourseError
from utils.files.passed import read_record
from utils.files.places import ROOT
from utils.files.whole_files import read_json

READ = 0.8  # share of a notebook's cells that make it read: few people run the last picture again
TIMED = ("execution", "executionInfo")  # what JupyterLab and Colab note of a cell that was run


@dataclass(frozen=True)
class Notebook:
    """A notebook of the course and how much of it the learner has run."""

    number: str
    title: str
    minutes: str
    cells: int
    run: int
    opened: bool  # saved by a program that had a kernel running
    tasks: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()

    @property
    def read(self) -> bool:
        return self.run >= READ * self.cells

    @property
    def begun(self) -> bool:
        return bool(self.run or self.passed)

    @property
    def done(self) -> bool:
        """An exercise is done by its checks, every other notebook by being run."""
        return len(self.passed) == len(self.tasks) if self.tasks else self.read


def look_at(original: Path) -> Notebook:
    """Read a notebook as its learner last saved it: their own copy, where they have one."""
    copy = own_copy(original)
    path = copy if copy.is_file() else original
    content = read_json(path)
    cells = [each for each in content.get("cells", []) if isinstance(each, dict)]
    code = [each for each in cells if each.get("cell_type") == "code"]
    first = next((each for each in cells if each.get("cell_type") == "markdown"), {})
    said = opening_in("".join(first.get("source", "")), path.stem)
    tests = content.get("metadata", {}).get("otter", {}).get("tests", {})
    recorded = read_record(original.parent, path.stem).get("passed", [])
    return Notebook(
        path.name[:2],
        said["title"],
        re.split(r"[ /]", said["minutes"])[0],
        len([each for each in code if not is_folded(each)]),
        sum(was_run(each, number) for number, each in enumerate(code, start=1) if not is_folded(each)),
        "version" in content.get("metadata", {}).get("language_info", {}),
        tuple(tests),
        tuple(task for task in tests if task in recorded),
    )


def is_folded(cell: dict) -> bool:
    """Tell whether a cell is the one that is only for Colab."""
    return "cellView" in cell.get("metadata", {})


def was_run(cell: dict, number: int) -> bool:
    """Tell whether a learner ran a code cell: its time is noted, or its number isn't the one that it came with."""
    count = cell.get("execution_count")
    return any(name in cell.get("metadata", {}) for name in TIMED) or (count is not None and count != number)


@dataclass(frozen=True)
class Row:
    """A lesson, or a lab, with the exercise beside it."""

    lesson: Notebook
    exercise: Notebook | None = None


def find_rows(course: Path = ROOT) -> tuple[list[Row], list[Row], list[str]]:
    """Return lessons with their exercises, labs, and what could not be read."""
    problems: list[str] = []

    def all_in(folder: str) -> list[Notebook]:
        found = []
        for path in sorted((course / folder).glob("[0-9][0-9]_*.ipynb")):
            try:
                found.append(look_at(path))
            except CourseError as error:
                problems.append(str(error))
        return found

    exercises = {each.number: each for each in all_in("exercises")}
    lessons = [Row(each, exercises.get(each.number)) for each in all_in("lessons")]
    return lessons, [Row(each) for each in all_in("labs")], problems


@dataclass(frozen=True)
class Capstone:
    """What was last recorded of the capstone, and whether its files have changed since."""

    done: tuple[int, ...]
    changed: bool
    loss: float | None

    @property
    def next(self) -> str:
        rest = [part for part in PARTS if part.number not in self.done]
        if rest:
            return (
                f"capstone, part {rest[0].number}, {rest[0].name}, about {rest[0].minutes} minutes: {PROGRAM} capstone"
            )
        return f"training of your own model, about 10 minutes: {PROGRAM} capstone --train" if self.loss is None else ""

    def __str__(self) -> str:
        trained = f"trained to a held-out loss of {self.loss:.3f}" if self.loss is not None else "not trained yet"
        since = f"; your files have changed since {PROGRAM} capstone last looked" if self.changed else ""
        return f"Capstone: {len(self.done)} of {len(PARTS)} parts done, {trained}{since}."


def look_at_capstone(home: Path = HOME) -> Capstone:
    """Read the record that `capstone` keeps."""
    kept = read_record(home.parent, RECORD)
    known = {part.number for part in PARTS}
    done = tuple(number for number in kept.get("done", []) if number in known)
    loss = kept.get("loss")
    changed = bool(kept) and kept.get("files") != sources_hash(home)
    return Capstone(done, changed, loss if isinstance(loss, float) else None)


def next_step(lessons: list[Row], capstone: Capstone) -> str:
    """Return what comes next: the first that is open behind the last that was begun, else the first that is open."""
    steps: list[tuple[Notebook, str]] = []
    for row in lessons:
        steps.append((row.lesson, f"lesson {row.lesson.number}, {row.lesson.title}, {row.lesson.minutes} minutes"))
        if row.exercise:
            beside = row.exercise
            steps.append((beside, f"exercise {beside.number}, {beside.title}, {beside.minutes} minutes"))
    last = max((place for place, (each, _) in enumerate(steps) if each.begun), default=0)
    for each, said in steps[last:] + steps[:last]:
        if not each.done:
            return f"{said}: {PROGRAM} lab"
    return capstone.next or "a lab of your own choice, or a change to the course: CONTRIBUTING.md says how"


def report(course: Path = ROOT) -> Iterator[str]:
    """Yield the lines of the table, and what comes next."""
    lessons, labs, problems = find_rows(course)
    capstone = look_at_capstone(course / "exercises" / "capstone")
    books = [book for row in [*lessons, *labs] for book in (row.lesson, row.exercise) if book]
    if not any(book.begun or book.opened for book in books) and not capstone.done:
        yield "Nothing has been run or passed in this folder yet, so everything is still before you."
    else:
        yield f"     {'lesson':36} {'cells run':12} {'exercise':34} tasks passed"
        yield from map(row_line, lessons)
        yield f"\n     {'lab':36} cells run"
        yield from map(row_line, labs)
        yield f"\n{capstone}"
        yield total_line(lessons)
    yield from problems
    yield f"Next: {next_step(lessons, capstone)}"


def row_line(row: Row) -> str:
    """Return a line of the table."""
    lesson, exercise = row.lesson, row.exercise
    line = f" {lesson.number}  {lesson.title[:36]:36} {cells_of(lesson):12}"
    if exercise:
        passed = f"{len(exercise.passed)} of {len(exercise.tasks)}" if exercise.begun or exercise.opened else "–"
        line += f" {exercise.title[:34]:34} {passed}"
    return line.rstrip()


def cells_of(book: Notebook) -> str:
    """Say how many cells were run; of a notebook that was only opened, that."""
    if book.run:
        return f"{book.run} of {book.cells}"
    return "opened" if book.opened else "–"


def total_line(lessons: list[Row]) -> str:
    """Return the sums."""
    exercises = [row.exercise for row in lessons if row.exercise]
    read, passed = sum(row.lesson.read for row in lessons), sum(len(each.passed) for each in exercises)
    tasks = sum(len(each.tasks) for each in exercises)
    return f"In all: {read} of {len(lessons)} lessons read, {passed} of {tasks} tasks passed."
