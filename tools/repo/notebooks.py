"""Run notebooks and store what they print: `python -m tools notebooks [--check] [paths]`.

A stored notebook holds its outputs and execution counts, and nothing that changes from run to run: no times,
no widget state, no ids of widgets, no names of machines.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import write_whole

FOLDERS = ("lessons", "exercises", "labs")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KEEP_OF_NOTEBOOK = ("otter",)  # beside kernelspec and language_info; otter-grader reads its own settings here
KEEP_OF_CELL = ("tags", "deletable", "editable", "otter")
KEEP_OF_FOLDED = ("cellView", "jupyter")  # of a cell that Colab and JupyterLab show folded: the first one
WIDGET = "application/vnd.jupyter.widget-view+json"


# What a run may depend on, the same everywhere: the embedded model, no hub, no questions.
SETTINGS = {
    "COURSE_MODEL": "nano",
    "COURSE_DEVICE": "cpu",
    "COURSE_PROGRESS": "off",
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TQDM_DISABLE": "1",
}


def find_notebooks(paths: Iterable[Path | str] = ()) -> list[Path]:
    """Return the notebooks among `paths` and in the folders among them; without paths, all of the course."""
    chosen = [Path(path) for path in paths] or [ROOT / folder for folder in FOLDERS]
    found: set[Path] = set()
    for path in chosen:
        if path.suffix == ".ipynb" and path.is_file():
            found.add(path.resolve())
        elif path.is_dir():
            found |= {p.resolve() for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts}
        elif path not in [ROOT / folder for folder in FOLDERS]:
            raise CourseError(f"{path} is neither a notebook nor a folder of notebooks.")
    return sorted(found)


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of format 4, or say what is wrong with the file."""
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        raise CourseError(f"{path.name} is not a notebook of format 4: {str(error)[:200]}") from error


def write_notebook(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook in one piece, so that an interruption leaves the old file."""
    write_whole(path, lambda file: file.write(as_text(notebook).encode("utf-8")))


def as_text(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook as the text that is stored."""
    return nbformat.writes(notebook, indent=1, ensure_ascii=False).rstrip("\n") + "\n"


def run_notebook(path: Path, timeout: int = 120, size: str = "nano") -> nbformat.NotebookNode:
    """Run a notebook from top to bottom in a fresh kernel at a size and return it with its new outputs."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = read_notebook(path)
    try:
        execute(notebook, path, SETTINGS | {"COURSE_MODEL": size}, timeout=timeout)
    except CellExecutionError as error:
        said = next(failed_cells(notebook), str(error)[-500:])
        raise CourseError(f"{path.name} stopped, and nothing was stored: {said}") from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise CourseError(f"{path.name} stopped, and nothing was stored: {str(error)[:500]}") from error
    return notebook


def execute(notebook: nbformat.NotebookNode, path: Path, settings: dict[str, str], **options: Any) -> None:
    """Run the cells of a notebook that lies at `path`, under these settings of its kernel; nbclient has the options."""
    from nbclient import NotebookClient

    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        **options,
    )
    client.execute(env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(search)})


def failed_cells(notebook: nbformat.NotebookNode, excused: Iterable[str] = ()) -> Iterator[str]:
    """Say of each cell that failed which one it is, and how, in a line or two; tags excuse a cell."""
    for number, cell in enumerate(notebook.cells, start=1):
        if not set(excused).isdisjoint(cell.metadata.get("tags", [])):
            continue
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                first = cell.source.strip().splitlines()[0]
                yield f"{output.ename}: {output.evalue} in cell {number}, which begins with `{first}`."


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Strip in place what changes from run to run and from machine to machine; give every cell its own id."""
    kept = {key: notebook.metadata[key] for key in KEEP_OF_NOTEBOOK if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}, **kept})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    used: set[str] = set()
    for cell in notebook.cells:
        wanted = KEEP_OF_CELL + (KEEP_OF_FOLDED if "cellView" in cell.metadata else ())
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in wanted if key in cell.metadata})
        cell.id = unique_id(cell, used)
        used.add(cell.id)
        for output in cell.get("outputs", []):
            normalise_output(output)
    return notebook


def normalise_output(output: nbformat.NotebookNode) -> None:
    """Strip in place the metadata of one output and the id of a widget that no longer exists."""
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    if WIDGET in output.get("data", {}):
        del output.data[WIDGET]


def unique_id(cell: nbformat.NotebookNode, used: set[str]) -> str:
    """Return the cell's id if it is valid and still free, else one made from the cell's own text."""
    name = cell.get("id", "")
    turn = 0
    while name in used or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        name = hashlib.sha256(f"{cell.source}{turn}".encode()).hexdigest()[:8]
        turn += 1
    return name


def check_notebook(path: Path) -> list[str]:
    """Return what is stale or unclean in a stored notebook, one sentence each, without running it."""
    from tools.repo.notebook_rules import problems

    notebook = read_notebook(path)
    found = list(problems(notebook, path))
    if not found and as_text(normalise(read_notebook(path))) != path.read_text(encoding="utf-8"):
        found.append("it is not as `python -m tools notebooks` would write it: run that command on it.")
    return found


def main(paths: tuple[Path | str, ...] = (), /, *, check: bool = False, store: bool = True, timeout: int = 120) -> int:
    """Run notebooks and store what they print, or only run or check them; return 1 if one is bad.

    Args:
        paths: notebooks or folders; the whole course if none is named
        check: run nothing, report what is stale or unclean
        store: --no-store runs, but leaves the files alone
        timeout: seconds that one cell may take
    """
    failures = 0
    for path in find_notebooks(paths):
        found = []
        try:
            ran = None if check else normalise(run_notebook(path, timeout))
            if ran and store:
                write_notebook(ran, path)
            found = check_notebook(path) if check or store else []
        except CourseError as error:
            found = [str(error)]
        failures += bool(found)
        print(f"{path.name}: {'' if found else 'good'}" + "".join(f"\n  - {line}" for line in found), flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    import tyro

    try:
        sys.exit(tyro.cli(main, prog="python course.py run"))
    except CourseError as error:
        sys.exit(str(error))
