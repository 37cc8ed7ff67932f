"""Records: named texts and where they stand in a file, the report of what was left out, and text from fields."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Literal, NamedTuple

from utils.errors import CourseError

Errors = Literal["strict", "replace", "skip"]


BOM = b"\xef\xbb\xbf"  # the mark that some editors put before UTF-8


HALVES = re.compile(r"[\ud800-\udfff]")  # no characters: bytes that are not UTF-8 end up here, and broken escapes


KEPT, SHOWN = 1000, 20  # how many of those left out stay in memory once all are in a file, and are printed


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


@dataclass
class ReadReport:
    """What became of the files: counts, everything left out with the reason, and remarks on what was read.

    With a `log`, each row of a file that is left out is a line there, and memory stays flat.
    """

    documents: int = 0
    characters: int = 0
    skipped: dict[str, str] = field(default_factory=dict)  # where -> reason
    notes: dict[str, str] = field(default_factory=dict)  # file -> remark
    dropped: int = 0  # how many were left out
    log: Path | None = None
    _file: IO | None = field(default=None, repr=False, compare=False)

    def count(self, document: Document) -> None:
        """Report that a document was read."""
        self.documents += 1
        self.characters += len(document.prompt) + len(document.text)

    def skip(self, where: str, reason: str) -> None:
        """Report that something was left out."""
        self.dropped += 1
        if self.log:
            self._write(where, reason)
        if not self.log or len(self.skipped) < KEPT:
            before = f"{self.skipped[where]}; " if where in self.skipped else ""
            self.skipped[where] = before + reason

    def note(self, file: str, remark: str) -> None:
        """Remark on a file that was read."""
        before = self.notes.get(file)
        self.notes[file] = f"{before}; {remark}" if before else remark

    def start_again(self) -> None:
        """Forget everything, for reading the same once more."""
        self.close()
        if self.log:
            self.log.unlink(missing_ok=True)
        self.documents = self.characters = self.dropped = 0
        self.skipped, self.notes = {}, {}

    def close(self) -> None:
        """Have the log on disk."""
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, where: str, reason: str) -> None:
        try:
            if self._file is None:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.log.open("a", encoding="utf-8", newline="")
            if self.dropped == 1:
                csv.writer(self._file).writerow(("Left out", "Reason"))
            csv.writer(self._file).writerow((where, reason))
        except OSError as error:
            reason = error.strerror or error
            raise CourseError(f"{self.log} can't be written ({reason}). Make room or choose another folder.") from None

    def __str__(self) -> str:
        lines = [f"{self.documents:,} documents, {self.characters:,} characters"]
        lines += [f"left out {name}: {reason}" for name, reason in islice(self.skipped.items(), SHOWN)]
        if self.dropped > SHOWN:
            place = f"all of them in {self.log.name}" if self.log else "all of them in `skipped`"
            lines.append(f"… and {self.dropped - SHOWN:,} more were left out, {place}")
        lines += [f"{name}: {note}" for name, note in islice(self.notes.items(), SHOWN)]
        if len(self.notes) > SHOWN:
            lines.append(f"… and {len(self.notes) - SHOWN:,} more remarks, all of them in `notes`")
        return "\n".join(lines)


class Source(NamedTuple):
    """A file to read: where it is, what to call it, and how to treat bytes that are not UTF-8."""

    path: Path
    name: str
    errors: Errors


def open_source(source: Source) -> IO[bytes]:
    """Open a file as bytes."""
    try:
        return source.path.open("rb")
    except OSError as error:
        raise CourseError(f"{source.path} can't be read ({error.strerror}). Check its permissions.") from None


def numbered_lines(source: Source, report: ReadReport) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its end); bytes that are not UTF-8 become halves, which `whole_fields` finds."""
    with open_source(source) as file:
        for number, raw in enumerate(file, 1):
            if number == 1 and raw.startswith(BOM):
                report.note(source.name, "byte order mark removed")
                raw = raw.removeprefix(BOM)
            yield number, raw.decode("utf-8", errors="surrogateescape")


def whole_fields(source: Source, place: str, fields: dict[str, str], report: ReadReport) -> Record | None:
    """Return a record whose every character is whole: others are replaced, or the row is left out; both reported."""
    broken = sum(len(HALVES.findall(text)) for pair in fields.items() for text in pair)
    if broken:
        where = f"{source.name}, {place}"
        if source.errors != "replace":
            report.skip(where, f"{broken} bytes or escapes are not UTF-8; errors='replace' would keep the rest")
            return None
        report.note(where, f"not UTF-8, {broken} places became U+FFFD")
        fields = {HALVES.sub("\ufffd", name): HALVES.sub("\ufffd", text) for name, text in fields.items()}
    if not any(text.strip() for name, text in fields.items() if name != "id"):
        report.skip(f"{source.name}, {place}", "empty")
        return None
    return Record(source.name, place, fields)


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
