"""Personal data: find, and delete when asked to, the logs and tables that hold what people wrote, did or scored.

docs/privacy.md says what they hold. Tables are told by their first line, whatever they are called.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tools.classroom.exports import CANVAS, MOODLE
from utils.errors import CourseError
from utils.files.passed import FOLDER
from utils.files.whole_files import read_json
from utils.run_log import CHAT_COLUMNS, EPOCH_COLUMNS
from utils.system_log import COLUMNS

KINDS = {  # how the first line of a CSV file begins → what it is
    tuple(CHAT_COLUMNS[:2]): "a chat",
    tuple(COLUMNS[:2]): "what a machine did",
    tuple(EPOCH_COLUMNS[:2]): "a training run, with sentences that it made",
    ("Learner", "Exercise"): "marks",
    ("Learner", "Id"): "marks",
    tuple(CANVAS[:2]): "marks for Canvas",
    tuple(MOODLE[:2]): "marks for Moodle",
}
BOOK = "gradebook.csv"
PAGES = (".html", ".md")  # the second from versions before 0.2
FEEDBACK = "_feedback.zip"  # how the name of a zip ends that `class export` leaves beside its table
RECORDED = {"passed", "done", "files", "loss"}  # what a learning record may hold


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
            if not path.is_symlink() and (kind := _kind(path, names)):
                yield path, kind


def _kind(path: Path, beside: list[str]) -> str:
    """Say what a file is that holds personal data; nothing of any other. `beside` are the names in its folder."""
    if path.suffix == ".csv":
        return KINDS.get(_head(path), "marks" if path.name == BOOK else "")
    if path.suffix in PAGES and BOOK in beside:
        return "a learner's page"
    if path.name.endswith(FEEDBACK) and f"{path.name.removesuffix(FEEDBACK)}.csv" in beside:
        return "learners' pages"
    return "what a learner has passed" if path.suffix == ".json" and _is_record(path) else ""


def _is_record(path: Path) -> bool:
    """Tell whether a file is what `exercise.check` or `capstone` keeps for `progress`."""
    if path.parent.name != FOLDER:
        return False
    try:
        found = read_json(path)
    except CourseError:
        return False
    return bool(found) and RECORDED.issuperset(found)


def _head(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return tuple(next(csv.reader([file.readline(4096)]), [])[:2])
