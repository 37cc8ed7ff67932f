"""From a master notebook with solutions to the student's copy and to the tests that grade it, by otter-grader.

Masters stand in exercises/solutions/, students' copies in exercises/. Both are stored with what they print.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from nbformat import NotebookNode

from tools.classroom.masters import SOLUTION, TESTS, parts_of
from tools.repo.course_map import linked, read_home
from tools.repo.notebooks import ROOT, find_notebooks, normalise, read_notebook, run_notebook, write_notebook
from utils.checks.blanks import parsed, without_magics
from utils.checks.exercise import Help
from utils.errors import CourseError

STUDENTS = ROOT / "exercises"
MASTERS = STUDENTS / "solutions"
HELP = MASTERS / "help"
MARKS = re.compile(r"^[ \t]*# (?:BEGIN|END) SOLUTION.*\n?|[ \t]*# SOLUTION.*$", re.MULTILINE)


@cache
def assigned(master: Path) -> tuple[NotebookNode, dict[str, str]]:
    """Return the student's copy, not run, and the source of all checks of each task, hidden ones too."""
    with TemporaryDirectory() as folder:
        work, out = Path(folder) / master.name, Path(folder) / "out"
        shutil.copy(master, work)
        _quietly_assign(work, out)
        student = normalise(read_notebook(out / "student" / master.name))
        with zipfile.ZipFile(next((out / "autograder").glob("*.zip"))) as files:
            names = sorted(name for name in files.namelist() if name.startswith("tests/"))
            checks = {Path(name).stem: files.read(name).decode("utf-8") for name in names}
    helpers = {task: "\n\n".join(found) for task, found in check_helpers(read_notebook(master)).items()}
    student.metadata["otter"]["tests"] = with_helpers(student.metadata["otter"]["tests"], helpers)
    checks = with_helpers(checks, helpers)
    student.metadata["otter"]["help"] = help_for(master, student).pack()
    return linked(student, STUDENTS / master.name, read_home()), checks


def check_helpers(master: NotebookNode) -> dict[str, list[str]]:
    """Return of each task the functions that stand behind a check in its cell: otter-grader would drop them."""
    found = dict[str, list[str]]()
    for task, part, source in parts_of(master.cells):
        if part == TESTS:
            functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)][1:]
            found.setdefault(task, []).extend(ast.unparse(node) for node in functions)
    return found


def with_helpers(checks: Mapping[str, str], helpers: Mapping[str, str]) -> dict[str, str]:
    """Return the source of each task's checks with what they share before the first of them."""
    mark = "@test_case"
    parts = {task: source.partition(mark) for task, source in checks.items()}
    return {
        task: f"{head}{helpers[task]}\n\n{mark}{tail}" if helpers.get(task) else head + found + tail
        for task, (head, found, tail) in parts.items()
    }


def _quietly_assign(master: Path, out: Path) -> None:
    from otter.assign import main as assign

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            assign(str(master), str(out), no_pdfs=True, no_run_tests=True)
    except Exception as error:  # otter raises whatever comes; the master is at fault
        raise CourseError(f"{master.name} could not be turned into a student's copy: {error}") from error


# Help: it travels in the metadata of the student's copy


def help_for(master: Path, student: NotebookNode) -> Help:
    """Return hints, model answers and reasons of a master's tasks, and the blanks of its student's copy."""
    blanks = {name: source for cell in student.cells if cell.cell_type == "code" for name, source in _blanks(cell)}
    written = HELP / f"{master.stem}.py"
    if not written.is_file():
        return Help({}, blanks)
    told, answers = runpy.run_path(str(written)), model_answers(read_notebook(master))
    if not set(answers) == set(told["HINTS"]) == set(told["WHY"]):
        raise CourseError(f"{written.name} must have HINTS and WHY for {', '.join(answers)}, no task less or more.")
    parts = ((task, told["HINTS"][task], answers[task], told["WHY"][task]) for task in answers)
    return Help({task: {"hints": list(hints), "answer": code, "why": why} for task, hints, code, why in parts}, blanks)


def _blanks(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    tree = parsed(without_magics(cell.source))
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            source = ast.get_source_segment(cell.source, node) or ""
            if any(isinstance(part, ast.Constant) and part.value is ... for part in ast.walk(node)):
                yield node.name, source


def model_answers(master: NotebookNode) -> dict[str, str]:
    """Return the code of each task's solution, without otter-grader's marks."""
    found = dict[str, list[str]]()
    for task, part, source in parts_of(master.cells):
        if part == SOLUTION:
            found.setdefault(task, []).append(MARKS.sub("", source))
    return {name: "\n\n".join(cells) for name, cells in found.items()}


def find_masters(names: Iterable[str] = ()) -> list[Path]:
    """Return the masters of some exercises, by the beginnings of their names; all when none is named."""
    masters, names = find_notebooks([MASTERS]), tuple(names)
    chosen = [master for master in masters if not names or master.name.startswith(names)]
    if names and not chosen:
        raise CourseError(
            f"No exercise begins with {' or '.join(names)}, there are {', '.join(m.stem for m in masters)}."
        )
    return chosen


def build(master: Path) -> Path:
    """Write the student's copy of a master, run it, run the master against it, and store what both print."""
    target = STUDENTS / master.name
    write_notebook(assigned(master)[0], target)
    for path in (target, master):
        write_notebook(normalise(run_notebook(path)), path)
    return target


def stale(master: Path) -> str:
    """Return what is wrong with a stored student's copy: nothing where it is what its master gives."""
    target = STUDENTS / master.name
    again = f"run `python -m tools exercises {master.name[:2]}`."
    if not target.is_file():
        return f"{target.name} is missing: {again}"
    same = _without_outputs(assigned(master)[0]) == _without_outputs(normalise(read_notebook(target)))
    return "" if same else f"{target.name} is not what its master gives: {again}"


def _without_outputs(notebook: NotebookNode) -> list:
    return [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells] + [notebook.metadata]


def main(names: Iterable[str] = (), check: bool = False) -> int:
    """Build the students' copies, or only say which are stale; return 1 if one is bad."""
    failures = 0
    for master in find_masters(names):
        problem = stale(master) if check else ""
        if not check:
            build(master)
        failures += bool(problem)
        print(f"{master.stem}: {problem or 'good'}", flush=True)
    return int(failures > 0)
