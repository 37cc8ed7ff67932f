"""Dataset records and documents: named texts with their place in a file, text made of fields, and the report.

A row that can't be read is never dropped silently: the report names its file, its line and the reason.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from utils.files.whole_files import write_whole

Errors = Literal["strict", "replace", "skip"]

SHOWN = 20  # how many of those left out are printed
LONGEST = 1000  # characters kept of what is said about one place

NAMED = (  # fields that a text can name line by line, in this order; the last but a source is the answer
    ("question", "answer", "source"),
    ("instruction", "input", "output"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("user", "assistant"),
)


@dataclass(frozen=True)
class Record:
    """Named texts of one row, element or document, and where they stand, such as `a.csv`, `line 7`."""

    file: str
    place: str  # empty when the file is one record
    fields: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.file}, {self.place}" if self.place else self.file


@dataclass(frozen=True)
class Document:
    """One text and where it comes from; a prompt stands before it and is not learned."""

    name: str
    text: str
    prompt: str = ""
    part: int = 0  # which chunk of its document it is
    file: str = ""  # in which it was found


@dataclass
class ReadReport:
    """What became of the files: counts, everything left out with the reason, and remarks on what was read."""

    documents: int = 0
    characters: int = 0
    skipped: dict[str, str] = field(default_factory=dict)  # where -> reason
    notes: dict[str, str] = field(default_factory=dict)  # file -> remark
    dropped: int = 0  # how many were left out
    files: dict[str, int] = field(default_factory=dict)  # file -> documents of it

    def count(self, document: Document) -> None:
        """Report that a document was read."""
        self.documents += 1
        self.characters += len(document.prompt) + len(document.text)
        if document.file:
            self.files[document.file] = self.files.get(document.file, 0) + 1

    def skip(self, where: str, reason: str) -> None:
        """Report that something was left out."""
        self.dropped += 1
        _say(self.skipped, where, reason)

    def names(self) -> str:
        """Name the files that were read, the first of them where they are many."""
        more = len(self.files) - SHOWN
        return ", ".join(islice(self.files, SHOWN)) + (f" and {more:,} more" if more > 0 else "")

    def note(self, file: str, remark: str) -> None:
        """Remark on a file that was read."""
        if remark not in self.notes.get(file, ""):  # once, though many rows may be alike
            _say(self.notes, file, remark)

    def save(self, path: Path) -> None:
        """Write what was left out as a CSV; without anything, remove an earlier one."""
        if not self.skipped:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO(newline="")
        csv.writer(text).writerows([("Left out", "Reason"), *self.skipped.items()])
        write_whole(path, lambda file: file.write(text.getvalue().encode("utf-8", "backslashreplace")))

    def __str__(self) -> str:
        lines = [f"{self.documents:,} documents, {self.characters:,} characters"]
        lines += [f"left out {name}: {reason}" for name, reason in islice(self.skipped.items(), SHOWN)]
        if len(self.skipped) > SHOWN:
            lines.append(f"… and {len(self.skipped) - SHOWN:,} more were left out; `skipped` and dropped.csv name all")
        lines += [f"{name}: {note}" for name, note in islice(self.notes.items(), SHOWN)]
        if len(self.notes) > SHOWN:
            lines.append(f"… and {len(self.notes) - SHOWN:,} more remarks, all of them in `notes`")
        return "\n".join(lines)


def _say(said: dict[str, str], where: str, more: str) -> None:
    """Add to what is said about a place, which ends with … when it gets long."""
    before = said.get(where, "")
    if len(before) <= LONGEST:
        text = f"{before}; {more}" if before else more
        said[where] = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def text_of(fields: Mapping[str, str], columns: Sequence[str] = ()) -> str:
    """Return the text that stands for a record: its title and text, or each field with its name.

    >>> text_of({"id": "7", "question": "Who?", "answer": "Me."})
    'Question: Who?\\nAnswer: Me.'
    """
    names = [name for name in columns or used_columns(fields) if fields.get(name, "").strip()]
    if set(names) <= {"title", "text"}:
        return "\n\n".join(fields[name] for name in names)
    return labelled(fields, names)


def labelled(fields: Mapping[str, str], names: Sequence[str]) -> str:
    """Return one line a field, which begins with its name."""
    return "\n".join(f"{name[:1].upper()}{name[1:]}: {fields[name]}" for name in names)


def used_columns(fields: Mapping[str, str]) -> list[str]:
    """Return the fields that make a record's text, in order: the text and its title, or all but the id."""
    if "text" in fields:
        return [name for name in ("title", "text") if name in fields]
    known = next((names for names in NAMED if set(names[:2]) <= set(fields)), ())
    first = [name for name in known if name in fields]
    return first + [name for name in fields if name not in first and name != "id"]


def fields_of(text: str) -> dict[str, str]:
    """Return the fields of a plain text, such that `text_of` gives it back.

    >>> fields_of("Question: Who?\\nAnswer: Me.")
    {'question': 'Who?', 'answer': 'Me.'}
    """
    for names in NAMED:
        labels = "|".join(name.capitalize() for name in names)
        if text.startswith(f"{names[0].capitalize()}: "):
            parts = re.split(rf"(?:\A|\n)({labels}): ", text)[1:]
            fields = {name.lower(): value for name, value in zip(parts[0::2], parts[1::2], strict=True)}
            if len(fields) > 1 and text_of(fields) == text:
                return fields
    title, gap, rest = text.partition("\n\n")
    if gap and title.strip() and rest.strip() and "\n" not in title:
        return {"title": title, "text": rest}
    return {"text": text}
