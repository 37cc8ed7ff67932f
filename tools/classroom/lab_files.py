"""Files that a learner hands in with a lab, read with bounds and never run: tables, JSON, safetensors, pictures."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.classroom.names import read_csv
from utils.errors import CourseError
from utils.files.whole_files import read_json

MOST_BYTES = 100_000_000  # of a file other than weights
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-"}


class Missing(CourseError):
    """A file that a lab leaves behind, and that was not handed in."""


@dataclass(frozen=True)
class Work:
    """A folder that a learner handed in for one lab."""

    folder: Path

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def path(self, name: str) -> Path:
        """Return where a file lies; it must be there, inside the folder, and no link."""
        path = self.folder / name
        if not path.exists() and not path.is_symlink():
            raise Missing(f"{name} is missing")
        within = [path, *path.parents][: len(path.relative_to(self.folder).parts) + 1]
        if any(one.is_symlink() for one in within):
            raise CourseError(f"{name} is a link. The file itself is needed.")
        if not path.is_file():
            raise CourseError(f"{name} is no file.")
        if path.suffix != ".safetensors" and path.stat().st_size > MOST_BYTES:
            raise CourseError(f"{name} has {path.stat().st_size:,} bytes, {MOST_BYTES:,} are the most.")
        return path

    def table(self, name: str, columns: Iterable[str]) -> list[dict[str, str]]:
        """Return the rows of a CSV file that has at least these columns, and at least one row."""
        path, wanted = self.path(name), list(columns)
        try:
            rows = read_csv(path)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise CourseError(f"{name} can't be read as a table: {error}.") from error
        if not rows:
            raise CourseError(f"{name} holds no row.")
        if lacking := [column for column in wanted if column not in rows[0]]:
            raise CourseError(f"{name} lacks the column {', '.join(lacking)}.")
        for number, row in enumerate(rows, start=2):
            if None in row or None in row.values():
                raise CourseError(f"{name} has another number of cells in line {number} than in its first.")
        return rows

    def json(self, name: str) -> dict:
        return read_json(self.path(name))

    def picture(self, name: str) -> None:
        """Refuse what does not begin as its kind of picture does."""
        path = self.path(name)
        with path.open("rb") as file:
            if not file.read(8).startswith(PICTURES[path.suffix]):
                raise CourseError(f"{name} does not begin like a {path.suffix[1:].upper()} file.")


def number(row: Mapping[str, str], column: str, where: str) -> float:
    """Return a cell as a finite number, or say what stands there."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CourseError(f"{where}: {column} is {row[column]!r}, expected a number.")
    return value


def whole(row: Mapping[str, str], column: str, where: str) -> int:
    """Return a cell as a whole number above zero."""
    value = number(row, column, where)
    if value != int(value) or value < 1:
        raise CourseError(f"{where}: {column} is {row[column]!r}, expected a whole number above zero.")
    return int(value)
