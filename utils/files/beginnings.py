"""Beginnings of texts that suit a model: kept beside its weights, offered by the page that serves it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from utils.errors import CourseError
from utils.files.whole_files import read_json, write_whole

FILE = "beginnings.json"
MOST, LONGEST = 8, 200  # so many are offered, of so many characters each


def write_beginnings(folder: str | Path, texts: Iterable[str]) -> None:
    """Keep beginnings in a model's folder; without any, remove those of an earlier run."""
    path, kept = Path(folder) / FILE, [text for text in texts if text.strip()]
    if kept:
        write_whole(path, lambda file: file.write(json.dumps({"beginnings": kept}, ensure_ascii=False).encode()))
    else:
        path.unlink(missing_ok=True)


def read_beginnings(folder: str | Path) -> list[str]:
    """Return the beginnings in a model's folder; what can't be read or is no short text is left out."""
    try:
        found = read_json(Path(folder) / FILE).get("beginnings")
    except CourseError:  # not there, most likely
        return []
    texts = found if isinstance(found, list) else []
    return [text for text in texts if isinstance(text, str) and text.strip() and len(text) <= LONGEST][:MOST]
