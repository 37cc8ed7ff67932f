"""Every notebook at the true shape of GPT-2 small or medium, with drawn weights: does it run, how long, in how much?

`python course.py true-shape` says so in a table. The weights come through the course's own door: from a hub on this
machine, under pins of their own (tools/repo/stand_in.py).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tools.repo.notebooks import SETTINGS, execute, failed_cells, read_notebook
from tools.repo.stand_in import LoopbackHub, StandIn
from utils.config import format_bytes
from utils.errors import CourseError
from utils.files.places import ROOT

# Cells that are meant to end in an error, and those whose assertion holds for weights that were trained.
EXCUSED = ("raises-exception", "trained-weights")
PROBE = """
import json, resource, sys
unit = 1 if sys.platform == "darwin" else 1024
who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
print(json.dumps([resource.getrusage(each).ru_maxrss * unit for each in who]))
"""


@dataclass(frozen=True)
class Run:
    """One notebook at one size: how long it took, the peak memory of its kernel and of what that started."""

    notebook: str
    minutes: float
    kernel_bytes: int
    child_bytes: int
    failures: tuple[str, ...]

    def __str__(self) -> str:
        figures = f"{self.minutes:6.1f} min {format_bytes(self.kernel_bytes):>8} {format_bytes(self.child_bytes):>8}"
        return f"{self.notebook:60}{figures}" + "".join(f"\n    {line}" for line in self.failures)


def run_all(notebooks: Iterable[Path], size: str, folder: Path, timeout: int = 1800) -> Iterator[Run]:
    """Run notebooks at a size, one after the other, with a stand-in that is kept in `folder`."""
    stand_in = StandIn.write((size,), folder)
    with LoopbackHub(folder) as hub:
        settings = SETTINGS | stand_in.environment(hub.address) | {"COURSE_MODEL": size}
        for path in notebooks:
            yield run_one(path, settings, timeout)


def run_one(path: Path, settings: dict[str, str], timeout: int) -> Run:
    """Run one notebook to its end, whatever fails on the way, in a copy of what it may write to."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    notebook = read_notebook(path)
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    begun, ended = time.monotonic(), ""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            execute(notebook, path, settings | {"TMPDIR": scratch}, timeout=timeout, allow_errors=True)
        except (CellTimeoutError, DeadKernelError) as error:
            ended = f"stopped: {str(error)[:300]}"
    minutes = (time.monotonic() - begun) / 60
    failures = (*failed_cells(notebook, EXCUSED), *filter(None, [ended]))
    return Run(path.relative_to(ROOT).as_posix(), minutes, *peaks(notebook), failures)


def peaks(notebook: nbformat.NotebookNode) -> tuple[int, int]:
    """Return what the last cell has printed: the peak memory of the kernel and of its largest child, in bytes."""
    for output in notebook.cells[-1].get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            kernel, child = json.loads(output.text)
            return kernel, child
    return 0, 0


def main(notebooks: Iterable[Path], size: str, folder: str, table: str) -> int:
    """Run, print a line for each notebook as it ends, keep the table as JSON lines; return 1 if a cell failed."""
    if size not in ("small", "medium"):
        raise CourseError(f"Found the size {size!r}, expected small or medium: others have no stand-in.")
    with tempfile.TemporaryDirectory() as scratch:
        failed = False
        for run in run_all(notebooks, size, Path(folder or scratch).resolve()):
            print(run, flush=True)
            failed |= bool(run.failures)
            if table:
                with Path(table).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(vars(run)) + "\n")
    return int(failed)
