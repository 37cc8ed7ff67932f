"""From a master notebook with solutions to the student's copy and to the tests that grade it, by otter-grader.

Masters stand in exercises/solutions/, students' copies in exercises/. Both are stored with what they print.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from nbformat import NotebookNode

from tools.repo.course_map import linked, read_home
from tools.repo.notebooks import ROOT, find_notebooks, normalise, read_notebook, run_notebook, write_notebook
from utils.errors import CourseError

STUDENTS = ROOT / "exercises"
MASTERS = STUDENTS / "solutions"


@contextlib.contextmanager
def assigned(master: Path) -> Iterator[tuple[NotebookNode, Path]]:
    """Give the student's copy, not run, and the zip of all tests, hidden ones too, while the block runs."""
    with TemporaryDirectory() as folder:
        work = Path(folder) / master.name
        shutil.copy(master, work)
        _quietly_assign(work, Path(folder) / "out")
        student = read_notebook(Path(folder) / "out" / "student" / master.name)
        student = linked(normalise(student), ROOT / "exercises" / master.name, read_home())
        yield student, next((Path(folder) / "out" / "autograder").glob("*.zip"))


def _quietly_assign(master: Path, out: Path) -> None:
    from otter.assign import main as assign

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            assign(str(master), str(out), no_pdfs=True, no_run_tests=True)
    except Exception as error:  # otter raises whatever comes; the master is at fault
        raise CourseError(f"{master.name} could not be turned into a student's copy: {error}") from error


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
    with assigned(master) as (student, _):
        write_notebook(student, target)
    for path in (target, master):
        write_notebook(normalise(run_notebook(path)), path)
    return target


def stale(master: Path) -> str:
    """Return what is wrong with a stored student's copy: nothing where it is what its master gives."""
    target = STUDENTS / master.name
    again = f"run `python -m tools exercises {master.name[:2]}`."
    if not target.is_file():
        return f"{target.name} is missing: {again}"
    with assigned(master) as (student, _):
        same = _without_outputs(student) == _without_outputs(normalise(read_notebook(target)))
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
