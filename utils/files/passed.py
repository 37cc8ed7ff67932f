"""Learning records: a small JSON file for each exercise, beside the notebooks, of what its learner has passed.

`python course.py progress` reads them. COURSE_PROGRESS=off keeps none, as tests and grading set it.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from utils.errors import CourseError
from utils.files.whole_files import read_json, write_whole

SWITCH, OFF = "COURSE_PROGRESS", "off"
FOLDER = "progress"


def record_file(exercises: Path, name: str) -> Path:
    """Return where the record of an exercise is kept: one file for each, since several notebooks may be open."""
    return exercises / FOLDER / f"{name}.json"


def read_record(exercises: Path, name: str) -> dict:
    """Return what is recorded of an exercise; a file that can't be read counts as none."""
    try:
        return read_json(record_file(exercises, name))
    except (CourseError, OSError):
        return {}


def record(exercises: Path, name: str, **found) -> None:
    """Add to the record of an exercise. Where it can't be written nothing is kept: no check may fail for that."""
    if os.environ.get(SWITCH, "").lower() == OFF:
        return
    text = json.dumps({**read_record(exercises, name), **found}, indent=1, sort_keys=True) + "\n"
    with contextlib.suppress(CourseError, OSError):
        write_whole(record_file(exercises, name), lambda file: file.write(text.encode("utf-8")))


def record_pass(exercises: Path, name: str, task: str) -> None:
    """Record that a task is passed."""
    passed = read_record(exercises, name).get("passed", [])
    if task not in passed:
        record(exercises, name, passed=sorted([*passed, task]))
