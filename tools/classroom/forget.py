"""Personal data: find, and delete when asked to, the logs and tables that hold what people wrote, did or scored.

docs/privacy.md says what they hold. Files are told by their first line, whatever they are called.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path

from utils.errors import CourseError
from utils.run_log import CHAT_COLUMNS, EPOCH_COLUMNS
from utils.system_log import COLUMNS

KINDS = {  # how the first line of a CSV file begins → what it is
    tuple(CHAT_COLUMNS[:2]): "a chat",
    tuple(COLUMNS[:2]): "what a machine did",
    tuple(EPOCH_COLUMNS[:2]): "a training run, with sentences that it made",
    ("Learner", "Exercise"): "marks",
}
BOOK = "gradebook.csv"


def find_personal(folder: Path, days: float = 0) -> dict[Path, str]:
    """Return file → what it is, for every file below a folder with personal data that is older than some days."""
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder. Name the one in which `serve`, `chat` or `class grade` was started.")
    before = time.time() - days * 86_400
    return {path: kind for path, kind in sorted(_personal(folder)) if path.stat().st_mtime <= before}


def _personal(folder: Path) -> Iterator[tuple[Path, str]]:
    for place, folders, names in os.walk(folder):  # which does not follow links
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place) / name for name in names):
            if path.is_symlink():
                continue
            if path.suffix == ".csv" and (kind := KINDS.get(_head(path), path.name == BOOK and "marks")):
                yield path, str(kind)
            elif path.suffix == ".md" and BOOK in names:
                yield path, "a learner's page"


def _head(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return tuple(next(csv.reader([file.readline(4096)]), [])[:2])
