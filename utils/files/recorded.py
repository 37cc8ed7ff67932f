"""Recorded runs of the real sizes: what the cells of a lesson printed and drew where somebody had the weights.

`course.recorded("06")` shows them beside nano's. `python course.py record small medium` makes them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import DATA
from utils.files.whole_files import read_json

FOLDER = DATA / "recorded"
SIZES = ("small", "medium")  # what the lessons are about; others can be recorded, too
FIELDS = ("lesson", "size", "revision", "stand_in", "date", "machine", "torch", "minutes", "cells")

Bundle = dict[str, str]  # an output as notebooks keep it: kind of content → content


@dataclass(frozen=True)
class Record:
    """One lesson at one size: where and when it ran, and what its cells with a tag `record:NAME` gave."""

    lesson: str  # two digits
    size: str
    revision: str  # of the weights
    stand_in: bool  # made to try the recording, with weights that only have the true shape
    date: str
    machine: str
    torch: str
    minutes: float
    cells: dict[str, dict]  # by NAME: "text", and "pictures", the names of files beside the record

    @property
    def origin(self) -> str:
        """Say in a line where this comes from."""
        weights = "weights that are only a STAND-IN" if self.stand_in else f"revision {self.revision[:12]}"
        return f"{weights}, {self.date}, {self.machine}, {self.minutes:.0f} minutes for the lesson"


def read_record(size: str, lesson: str, folder: Path = FOLDER) -> Record | None:
    """Return the record of a lesson at a size, or None where nobody has made one."""
    path = folder / size / f"{lesson}.json"
    if not path.exists():
        return None
    content = read_json(path)
    if set(content) != set(FIELDS):
        raise CourseError(
            f"{path} has the fields {', '.join(content)}, expected {', '.join(FIELDS)}. Record that size anew: "
            f"`python course.py record {size}`."
        )
    return Record(**content)


def recorded_bundles(place: str, sizes: Sequence[str] = SIZES, folder: Path = FOLDER) -> list[Bundle]:
    """Return what was recorded of a lesson ("06"), or of one of its cells ("06/loaders"), as outputs to display."""
    lesson, _, name = place.partition("/")
    if not re.fullmatch(r"\d\d", lesson):
        raise CourseError(f"{place!r} names no recorded cell, expected a lesson, such as 05, or LESSON/NAME.")
    records = {size: read_record(size, lesson, folder) for size in sizes}
    found = [bundle for record in records.values() if record for bundle in _bundles(record, name, folder)]
    missing = [size for size, record in records.items() if record is None]
    if missing:
        found.append(_markdown(
            f"Nobody has recorded lesson {lesson} at {' or '.join(missing)} yet; on a machine with a network, "
            f"`python course.py record {' '.join(missing)}` does it."
        ))  # fmt: skip
    return found


def _bundles(record: Record, name: str, folder: Path) -> list[Bundle]:
    """Show one size: where it comes from, and the text and the pictures of each cell."""
    if name and name not in record.cells:
        raise CourseError(
            f"{record.size} has no recorded cell {name!r} in lesson {record.lesson}, it has "
            f"{', '.join(record.cells) or 'none'}. Choose one of them, or record that size anew."
        )
    found = [_markdown(f"**{record.size}** ({record.origin})")]
    for title, cell in record.cells.items():
        if name in ("", title):
            found.append(_markdown(f"*{record.size}, {title.replace('-', ' ')}*{_fenced(cell['text'])}"))
            found += [_picture(folder / record.size / file, f"{record.size}, {title}") for file in cell["pictures"]]
    return found


def _fenced(text: str) -> str:
    """Return printed text as a block of Markdown, whatever fences a model may have written into it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"\n\n{fence}text\n{text.rstrip()}\n{fence}" if text.strip() else ""


def _markdown(text: str) -> Bundle:
    return {"text/markdown": text, "text/plain": text.partition("\n")[0]}


def _picture(path: Path, said: str) -> Bundle:
    return {"image/png": base64.b64encode(path.read_bytes()).decode("ascii"), "text/plain": f"<picture: {said}>"}
