"""Labs handed in by their artifacts: a row for each learner and lab, with what is found, missing and wrong.

Nothing of a learner's is run but the tests of lab 06, behind the fence of grading. What the files can't tell, a teacher
looks at: docs/teaching.md has the rubric.
"""

from __future__ import annotations

import ast
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.classroom import lab_reports, lab_runs
from tools.classroom.alike import FEWEST, form_of
from tools.classroom.grading import Submission, learner_ids, read_submission, split_name
from tools.classroom.lab_bugs import NOT_YET, definitions, judge_notebook
from tools.classroom.lab_files import Missing, Work
from tools.classroom.names import as_csv, clean
from tools.classroom.sandbox import Limits, available_fence, close_own_memory, demand
from utils.errors import CourseError
from utils.files.whole_files import parse_json, write_whole

Check = Callable[[Work], object]
RUNS, REPORTS = lab_runs, lab_reports
LABS: dict[str, dict[str, tuple[float, Check]]] = {  # lab → part → its points, and what looks at it
    "01": {
        "logs of the run": (2, partial(RUNS.check_logs, run="run")),
        "checkpoint": (2, partial(RUNS.check_checkpoint, run="run")),
        "target reached": (2, partial(RUNS.check_target, run="run", target=0.1)),
        "result.json": (1, partial(RUNS.check_result, run="run")),
        "the model by heart": (1, partial(RUNS.check_same_weights, run="run", folder="by_heart")),
    },
    "02": {
        "logs of the poet": (1, partial(RUNS.check_logs, run="poet")),
        "checkpoint of the poet": (2, partial(RUNS.check_checkpoint, run="poet")),
        "the poet went on": (1, partial(RUNS.check_went_on, run="poet", step=40)),
        "the tuned one": (2, partial(RUNS.check_checkpoint, run="tuned")),
        "the tuned one has learned": (1, partial(RUNS.check_learned, run="tuned")),
        "a talk": (1, partial(RUNS.check_chat, models=1)),
    },
    "03": {
        "log of the machine": (2, partial(RUNS.check_system_log, runs=2)),
        "logs of the first run": (2, partial(RUNS.check_logs, run="")),
        "logs of the second run": (1, partial(RUNS.check_logs, run="from_zero")),
        "one clock": (1, partial(RUNS.check_clock, run="")),
        "pictures": (1, partial(REPORTS.check_pictures, names=("losses.png", "losses.pdf", "spikes.pdf"))),
        "three models answer": (1, partial(RUNS.check_chat, models=3)),
    },
    "04": {
        "steps of the run": (4, partial(RUNS.check_steps, run="run")),
        "one step of a true shape": (4, REPORTS.check_step),
    },
    "05": {
        "table.csv": (3, REPORTS.check_race),
        "report.md": (3, REPORTS.check_report),
        "pictures": (2, partial(REPORTS.check_pictures, names=("size.png", "speed.png"))),
    },
    "07": {
        "rungs measured": (4, REPORTS.check_ladder),
        "the same losses": (4, REPORTS.check_same_losses),
    },
}
BUGS, POINTS_OF_A_BUG = "06", 1.0
NOTEBOOK = "06_find_the_bugs"
GIVEN = ("test_speed", "test_that_proves_nothing")  # tests that stand in the lab already
HEAD = ["Learner", "Id", "Number", "Lab", "Points", "Possible", "Percent", "Found", "Missing", "Wrong", "Same as"]
NAMED = re.compile(r"(?i)(?:^|[\W_])lab[\W_]*0?([1-7])(?!\d)")
TRACES = {"steps.csv": "seconds", "system_log.csv": "Run", "table.csv": "load_seconds"}  # no two runs share these


@dataclass
class Marked:
    """What became of one lab of one learner; parts by what was found of them."""

    handed: Submission
    points: float = 0.0
    possible: float = 0.0
    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    traces: set[str] = field(default_factory=set)  # what another learner can't have by chance


def mark_labs(
    folder: Path, out: Path, limits: Limits = Limits(), unfenced: bool = False, show: Callable[[str], None] = print
) -> list[dict]:
    """Look at every lab below a folder, write labs.csv, and return its rows."""
    handed = list(find_labs(folder))
    fence = available_fence()
    if any(one.exercise == BUGS for one in handed):
        show(demand(fence, unfenced))
        close_own_memory()
    marked = []
    judge = partial(judge_notebook, limits=limits, fence=fence)
    for one in handed:
        marked.append(mark_bugs(one, judge) if one.exercise == BUGS else mark(one))
        show(f"{one.name}, lab {one.exercise or '–'}: {in_words(marked[-1])}")
    ids, twins = learner_ids(handed), find_twins(marked)
    rows = [row_of(one, ids[one.handed], twins[place]) for place, one in enumerate(marked)]
    write_whole(out / "labs.csv", lambda file: file.write(as_csv(HEAD, rows)))
    return rows


def find_labs(folder: Path) -> Iterator[Submission]:
    """Yield every folder named for a lab, every notebook of lab 06, and each learner who handed in neither.

    Fine are Ada/lab_01, Ada/lab 3, "Ada Lovelace_12345_assignsubmission_file_/lab01" and Ada/06_find_the_bugs.ipynb.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder. Give the folder into which the labs were unpacked.")
    empty = {path.name for path in folder.iterdir() if path.is_dir() and not path.is_symlink()}
    for where, folders, names in os.walk(folder):  # which does not follow links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = Path(where)
        found = [(place / name, BUGS) for name in sorted(names) if NOTEBOOK in name and name.endswith(".ipynb")]
        named = NAMED.search(place.name) if place != folder else None
        if named and f"0{named[1]}" in LABS:
            found.append((place, f"0{named[1]}"))
            folders.clear()
        for path, lab in found:
            first = path.relative_to(folder).parts[0]
            empty.discard(first)
            yield _handed(path, first, lab)
    for name in sorted(empty):
        learner, number = split_name(name)
        yield Submission(folder / name, learner, "", number, "no lab was found in this folder")


def _handed(path: Path, first: str, lab: str) -> Submission:
    """Return whose work this is, by the first folder or by what stands before the lab in a file's name."""
    before = NAMED.split(first)[0] if path.name == first and lab != BUGS else first.partition(NOTEBOOK)[0]
    learner, number = split_name(before.strip("_- ") or first)
    return Submission(path, learner, lab, number)


def mark(handed: Submission) -> Marked:
    """Look at all parts of a lab but the sixth; whatever the files are, each part gets a word."""
    made = Marked(handed)
    if handed.problem:
        made.missing.append(handed.problem)
        return made
    work = Work(handed.path)
    for part, (points, check) in LABS[handed.exercise].items():
        made.possible += points
        try:
            check(work)
        except Missing as error:
            made.missing.append(f"{part}: {error}")
        except CourseError as error:
            made.wrong.append(f"{part}: {str(error).replace(f'{work.folder}{os.sep}', '')}")
        except Exception as error:  # one learner's file must never cost another learner the row, whatever is in it
            made.wrong.append(f"{part}: its file is not as the course writes it ({type(error).__name__}).")
        else:
            made.points += points
            made.found.append(part)
    made.traces = traces_of(work)
    return made


def mark_bugs(handed: Submission, judge: Callable[[str], dict[str, str]]) -> Marked:
    """Let the tests of lab 06 be judged: a point for each bug that one catches."""
    from labs.bugs.check import GOOD

    made = Marked(handed)
    try:
        text = read_submission(handed.path)
        verdicts = judge(text)
    except CourseError as error:
        made.wrong.append(f"{handed.path.name}: {error}")
        return made
    made.possible = POINTS_OF_A_BUG * len(verdicts)
    for name, verdict in verdicts.items():
        caught = verdict == GOOD
        made.points += POINTS_OF_A_BUG * caught
        place = made.found if caught else made.missing if verdict == NOT_YET else made.wrong
        place.append(name if caught or verdict == NOT_YET else f"{name}: {verdict}")
    made.traces = {f"test {form}" for form in forms_of(text)}
    return made


def forms_of(notebook: str) -> Iterator[str]:
    """Yield the forms of all longer tests of a notebook, whatever they call their names."""
    for statement in ast.parse(definitions(parse_json(notebook)["cells"])).body:
        if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test_"):
            form, length = form_of(ast.unparse(statement))
            if length >= FEWEST and statement.name not in GIVEN:
                yield form


def traces_of(work: Work) -> set[str]:
    """Return what tells the runs of a learner from all others: seconds to the last digit, times of day."""
    found = set()
    for where, _, names in os.walk(work.folder):
        for name in sorted(TRACES.keys() & set(names)):
            path = (Path(where) / name).relative_to(work.folder).as_posix()
            try:
                rows = work.table(path, [TRACES[name]])
            except CourseError:
                continue  # the marks say so already
            found.add(f"{name} {[row[TRACES[name]] for row in rows]}")
    with suppress(CourseError):
        step = work.json(REPORTS.find_step(work))
        found.add(f"step {step['seconds']} {step['peak_bytes']}")
    with suppress(CourseError):
        ladder = REPORTS.read_ladder(work)
        found.add(f"ladder {[(rung['tokens_per_second'], rung['peak_bytes']) for rung in ladder.rungs.values()]}")
    return found


def find_twins(marked: list[Marked]) -> list[list[str]]:
    """Return for each lab the names of the other learners whose run or test is the very same."""
    owners: dict[tuple[str, str], set[int]] = defaultdict(set)
    for place, one in enumerate(marked):
        for trace in one.traces:
            owners[one.handed.exercise, trace].add(place)
    return [
        sorted(
            {
                f"{marked[other].handed.name} {marked[other].handed.number}".strip()
                for trace in one.traces
                for other in owners[one.handed.exercise, trace] - {place}
                if _person(marked[other]) != _person(one)
            }
        )
        for place, one in enumerate(marked)
    ]


def _person(one: Marked) -> tuple[str, str]:
    return one.handed.learner, one.handed.number


def in_words(one: Marked) -> str:
    """Say in a line what was found."""
    rest = [f"{len(one.missing)} missing"] * bool(one.missing) + [f"{len(one.wrong)} wrong"] * bool(one.wrong)
    points = f"{one.points:g} of {one.possible:g}" if one.possible else "nothing to mark"
    return ", ".join([points, *rest])


def row_of(one: Marked, ident: str, twins: list[str]) -> dict:
    """Return a row of labs.csv."""
    percent = round(100 * one.points / one.possible, 1) if one.possible else ""
    handed = one.handed
    cells = (handed.name, ident, handed.number, handed.exercise, one.points, one.possible, percent)
    texts = [clean("; ".join(part), 3_000) for part in (one.found, one.missing, one.wrong, twins)]
    return dict(zip(HEAD, (*cells, *texts), strict=True))
