"""Atomic writes: a file is whole or was never there; JSON that is read with bounds."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from utils.errors import CourseError, show

LONGEST_JSON = 100_000_000  # bytes, the limit of the safetensors library for its header too


def read_json(path: Path) -> dict:
    """Read a JSON object, or say what is wrong with the file."""
    try:
        if path.stat().st_size > LONGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, expected at most {LONGEST_JSON:,}")
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} is not there; expected a JSON file. Get or make its folder anew.") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CourseError(f"{path} is not readable as JSON: {error}. Fetch or make it again.") from error
    if not isinstance(content, dict):
        raise CourseError(f"{path} holds a {type(content).__name__}, expected a JSON object.")
    return content


def parse_json(text: str | bytes):
    """Parse JSON in which no key stands twice in an object."""
    return json.loads(text, object_pairs_hook=unique_keys)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object (`object_pairs_hook`): of a key that stands twice one reader would take the first value, another
    one the last."""
    made = dict(pairs)
    if len(made) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{show(name)} stands twice in one object")
    return made


def write_whole(path: Path, write) -> None:
    """Call `write(file)` on a temporary neighbor and put it in place of `path` only when all of it is on disk."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise CourseError(
            f"{path} could not be written: {error.strerror or error}. What was there before is untouched; "
            "make room or choose another folder."
        ) from error
    finally:
        if part.exists():
            part.unlink()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is never held in memory whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
