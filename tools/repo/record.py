"""Record lessons at the real sizes: `python course.py record small medium`, on a machine with a network.

Every lesson runs at each size; what its cells with a tag `record:NAME` print and draw is kept in data/recorded/SIZE,
with the revision of the weights, the machine and the date. Beside it stand the golden facts (tools/repo/golden.py),
among them that all assertions of the lessons hold. Stand-in weights are recorded elsewhere.
"""

from __future__ import annotations

import base64
import gc
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat

from tools.repo.golden import Fact, claims
from tools.repo.manifest import write_manifest
from tools.repo.notebooks import as_text, read_notebook, run_notebook, write_notebook
from utils.errors import CourseError
from utils.files import hub
from utils.files.places import ROOT
from utils.files.recorded import FOLDER, Record, read_record, recorded_bundles
from utils.files.whole_files import write_whole
from utils.machine import describe_machine

MARK = "record:"
LESSONS = ROOT / "lessons"
STAND_IN = ROOT / "build" / "recorded_stand_in"  # where records of weights that are not GPT-2's go: never to a lesson
CELL_SECONDS = 7_200  # that one cell may take; medium on two cores is slow


@dataclass(frozen=True)
class Made:
    """What became of one lesson at one size."""

    lesson: Path
    minutes: float
    problem: str = ""  # why it stopped; an assertion that does not hold, most likely

    @property
    def fact(self) -> Fact:
        """Say as a golden fact that all assertions of this lesson hold."""
        got = self.problem or f"they hold, {self.minutes:.1f} minutes"
        return Fact(f"assertions of {self.lesson.stem}", "the lesson", "they hold", got, not self.problem)


def marked(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """Return the cells to record by name: those with a tag `record:NAME`."""
    found: dict[str, nbformat.NotebookNode] = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith(MARK):
                if (name := tag.removeprefix(MARK)) in found:
                    raise CourseError(f"Two cells have the tag {tag}; a name belongs to one. Give one another name.")
                found[name] = cell
    return found


def lessons_to_record(numbers: Sequence[str] = ()) -> list[Path]:
    """Return the lessons of the given numbers, or all: one without marked cells has assertions, too."""
    there = sorted(LESSONS.glob("*.ipynb"))
    known = [path.stem[:2] for path in there]
    if unknown := [number for number in numbers if number not in known]:
        raise CourseError(f"Lesson {', '.join(unknown)} is not there, expected some of {', '.join(known)}.")
    return [path for path in there if not numbers or path.stem[:2] in numbers]


def record(sizes: Sequence[str], numbers: Sequence[str] = (), report: str = "") -> int:
    """Record lessons and facts at each size, refresh the lessons that show them; 1 if a fact is wrong."""
    lessons, tables = lessons_to_record(numbers), []
    for size in sizes:
        folder = destination(size)
        hub.fetch(size)
        made = []
        for path in lessons:
            made.append(record_lesson(path, size, folder))
            print(f"{size}, {made[-1].fact.name}: {made[-1].fact.got}", flush=True)
        facts = [*check_facts(size), *(each.fact for each in made)]
        write_json(folder / size / "facts.json", about(size) | {"facts": [asdict(fact) for fact in facts]})
        tables.append(facts_table(size, facts, folder))
        wrong = sum(fact.right is False for fact in facts)
        print(f"{tables[-1]}\n{wrong} of {len(facts)} facts about {size} are wrong; all in {folder / size}", flush=True)
    if any(destination(size) == FOLDER for size in sizes):
        refresh_lessons()
        write_manifest()
    if report:
        write_whole(Path(report), lambda file: file.write("\n\n".join(tables).encode()))
    return int(any("| WRONG |" in table for table in tables))


def destination(size: str) -> Path:
    """Return where records of a size go: data/recorded for the real weights only."""
    return FOLDER if hub.is_real(size) else STAND_IN


def about(size: str) -> dict:
    """Say with what, where and when something was recorded."""
    machine, today = describe_machine(), datetime.now(UTC)
    return {
        "size": size,
        "revision": hub.PINNED[size].revision,
        "stand_in": not hub.is_real(size),
        "date": f"{today.day} {today:%B %Y}",
        "machine": f"{machine['processor']}, {machine['memory'].split(',')[0]}",
        "torch": version("torch"),
    }


def record_lesson(path: Path, size: str, folder: Path) -> Made:
    """Run a lesson at a size and keep what its marked cells gave; one that stops leaves no record."""
    began, number = time.monotonic(), path.stem[:2]
    for old in (folder / size).glob(f"{number}[-.]*"):  # so that nothing of an earlier run seems to be of this one
        old.unlink()
    try:
        notebook = run_notebook(path, CELL_SECONDS, size)
    except CourseError as error:
        return Made(path, (time.monotonic() - began) / 60, str(error))
    minutes = (time.monotonic() - began) / 60
    cells = {name: keep_cell(cell, folder / size, f"{number}-{name}") for name, cell in marked(notebook).items()}
    if cells:
        made = Record(lesson=number, minutes=round(minutes, 1), cells=cells, **about(size))
        write_json(folder / size / f"{number}.json", asdict(made))
    return Made(path, minutes)


def keep_cell(cell: nbformat.NotebookNode, folder: Path, stem: str) -> dict:
    """Return a cell's text, and the names of its pictures, which are written beside the record."""
    texts: list[str] = []
    pictures: list[str] = []
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            pictures.append(f"{stem}-{len(pictures)}.png")
            content = base64.b64decode(data["image/png"])
            write_whole(folder / pictures[-1], lambda file, content=content: file.write(content))
        elif output.get("name") != "stderr":
            texts.append(output.get("text", "") or data.get("text/plain", ""))
    return {"text": "".join(texts), "pictures": pictures}


def check_facts(size: str) -> Iterator[Fact]:
    """Look up every golden fact about a size, in one model that is let go at the end."""
    from utils.loaders import load_gpt2

    model = load_gpt2(size).eval()
    for claim in claims(size):
        yield claim.check(model)
    del model
    gc.collect()


def facts_table(size: str, facts: Sequence[Fact], folder: Path) -> str:
    """Return the facts as a table in Markdown, with a heading that nobody takes for the real one where it isn't."""
    real = "" if folder == FOLDER else " (STAND-IN WEIGHTS: what is published about the real ones can't hold)"
    lines = [f"## {size}{real}", "", f"Revision {hub.PINNED[size].revision}.", ""]
    lines += ["| fact | expected | got | verdict | source |", "|---|---|---|---|---|"]
    for fact in facts:
        cells = (fact.name, fact.expected, fact.got, fact.verdict, fact.source)
        lines.append(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def refresh_lessons() -> list[Path]:
    """Store in every lesson what its cell `course.recorded(…)` shows now, without running the lesson."""
    changed = []
    for path in sorted(LESSONS.glob("*.ipynb")):
        notebook = read_notebook(path)
        for cell in notebook.cells:
            if place := recorded_place(cell):
                cell.outputs = [
                    nbformat.v4.new_output("display_data", data=bundle) for bundle in recorded_bundles(place)
                ]
        if as_text(notebook) != path.read_text(encoding="utf-8"):
            write_notebook(notebook, path)
            changed.append(path)
    return changed


def recorded_place(cell: nbformat.NotebookNode) -> str:
    """Return what a cell shows of the records: "06" for `course.recorded("06")`, nothing for other cells."""
    before, call, after = cell.source.partition('course.recorded("')
    return after.partition('"')[0] if cell.cell_type == "code" and call and not before else ""


def problems() -> Iterator[str]:
    """Say what in data/recorded can't be the real sizes' records."""
    for path in sorted(FOLDER.glob("*/[0-9][0-9].json")):
        found, real = read_record(path.parent.name, path.stem), hub.PUBLISHED.get(path.parent.name)
        if found and (found.stand_in or real is None or found.revision != real.revision):
            yield f"{path.relative_to(ROOT).as_posix()} was made with revision {found.revision}, which is not pinned."


def write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8")))
