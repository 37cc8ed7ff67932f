"""From a master notebook with solutions to the student's copy and to the tests that grade it, by otter-grader.

Masters stand in exercises/solutions/, students' copies in exercises/. Both are stored with what they print.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from nbformat import NotebookNode

from tools.repo.course_map import linked, read_home
from tools.repo.notebooks import ROOT, find_notebooks, normalise, read_notebook, run_notebook, write_notebook
from utils.errors import CourseError

STUDENTS = ROOT / "exercises"
MASTERS = STUDENTS / "solutions"


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
    return linked(student, STUDENTS / master.name, read_home()), checks


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
