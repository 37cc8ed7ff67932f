"""Files to documents: read, clean and split text, and say of every file what became of it.

A later format needs one reader, `(path, notes) -> documents`, and one entry in READERS.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from utils.errors import CourseError

BOM = b"\xef\xbb\xbf"  # the mark that some editors put before UTF-8

CLEANING = (  # name, what is found, what it becomes; the order makes a second run find nothing
    ("line endings", re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]"), "\n"),
    ("control characters", re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]"), ""),
    ("no-break spaces", re.compile(r"[\xa0\u2007\u202f]"), " "),
    ("trailing spaces", re.compile(r"(?<![ \t])[ \t]+(?=\n|\Z)"), ""),
    ("blank lines", re.compile(r"\n{4,}"), "\n\n\n"),
)


@dataclass(frozen=True)
class Document:
    """One text and where it comes from: the file's path inside its folder, with forward slashes."""

    name: str
    text: str


@dataclass
class ReadReport:
    """What became of the files: counts, those left out with the reason, and remarks on those read."""

    documents: int = 0
    characters: int = 0
    skipped: dict[str, str] = field(default_factory=dict)  # file -> reason
    notes: dict[str, str] = field(default_factory=dict)  # file -> remark

    def __str__(self) -> str:
        lines = [f"{self.documents:,} documents, {self.characters:,} characters"]
        lines += [f"left out {name}: {reason}" for name, reason in self.skipped.items()]
        lines += [f"{name}: {note}" for name, note in self.notes.items()]
        return "\n".join(lines)


class Source(NamedTuple):
    """A file to read: where it is, what to call it, and how to treat bytes that are not UTF-8."""

    path: Path
    name: str
    errors: Literal["strict", "replace"]


def read_documents(
    path: str | Path, report: ReadReport | None = None, errors: Literal["strict", "replace"] = "strict"
) -> list[Document]:
    """Read a file, or a folder and its folders in sorted order, and fill in the report.

    Without a report, a warning names what was left out, so that nothing is dropped silently.
    """
    asked = report is not None
    report = report if asked else ReadReport()
    documents = list(stream_documents(path, report, errors))
    if not asked and (report.skipped or report.notes):
        warnings.warn(f"{path}: {report}", stacklevel=2)
    return documents


def stream_documents(
    path: str | Path, report: ReadReport, errors: Literal["strict", "replace"] = "strict"
) -> Iterator[Document]:
    """Yield the documents of a file or folder one at a time; `errors="replace"` keeps files not in UTF-8."""
    if errors not in ("strict", "replace"):
        raise CourseError(f"errors={errors!r} is unknown, expected 'strict' or 'replace'.")
    found = 0
    for source in _sources(Path(path), errors, report):
        for document in READERS[source.path.suffix.lower()](source, report):
            if not document.text.strip():
                report.skipped[document.name] = "empty"
                continue
            found += 1
            report.documents += 1
            report.characters += len(document.text)
            yield document
    if not found:
        reasons = [f"{name} ({reason})" for name, reason in list(report.skipped.items())[:5]]
        saw = "; found " + ", ".join(reasons) if reasons else ""
        raise CourseError(f"{path} holds no text{saw}. Expected {_known()} files with text in them.")


def _known() -> str:
    return ", ".join(sorted(READERS))


def _sources(path: Path, errors: str, report: ReadReport) -> Iterator[Source]:
    """Yield the files that a reader knows, sorted by name; report the others."""
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise CourseError(f"{path} ends in {path.suffix!r}, expected {_known()}. Save it as plain text.")
        yield Source(path, path.name, errors)
        return
    if not path.is_dir():
        raise CourseError(f"{path} was not found, expected a text file or a folder. Check the spelling.")
    for file in sorted(_walk(path, path, report), key=lambda file: file.relative_to(path).as_posix()):
        name = file.relative_to(path).as_posix()
        if file.suffix.lower() in READERS:
            yield Source(file, name, errors)
        else:
            report.skipped[name] = f"no reader for {file.suffix or 'a file without ending'}, only {_known()}"


def _walk(root: Path, folder: Path, report: ReadReport) -> Iterator[Path]:
    """Yield all files below a folder; hidden ones, links to folders and broken links are reported."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise CourseError(f"{folder} can't be listed ({error.strerror}). Check its permissions.") from None
    for entry in entries:
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        if entry.name.startswith("."):
            report.skipped[name] = "hidden"
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, report)
        elif entry.is_file():
            yield path
        else:
            report.skipped[name] = "a link to a folder, a broken link or no plain file"


def read_txt(source: Source, report: ReadReport) -> Iterator[Document]:
    """Read one plain text file as one document."""
    yield Document(source.name, decode_utf8(source, report))


def decode_utf8(source: Source, report: ReadReport) -> str:
    """Return a file's text; what is not UTF-8 is refused with its place, or replaced and reported."""
    try:
        raw = source.path.read_bytes()
    except OSError as error:
        raise CourseError(f"{source.path} can't be read ({error.strerror}). Check its permissions.") from None
    text, notes = raw.removeprefix(BOM), ["byte order mark removed"] * raw.startswith(BOM)
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        place = len(raw) - len(text) + error.start
        if source.errors == "strict":
            raise CourseError(_not_utf8(source, raw, place)) from None
        decoded = text.decode("utf-8", errors="replace")
        count = decoded.count("\ufffd") - text.count("\ufffd".encode())
        notes.append(f"not UTF-8, {count:,} places became U+FFFD, the first at byte {place:,}")
    if notes:
        report.notes[source.name] = "; ".join(notes)
    return decoded


def _not_utf8(source: Source, raw: bytes, place: int) -> str:
    guess = "it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else f"it is 0x{raw[place]:02x}"
    line = raw.count(b"\n", 0, place) + 1
    return (
        f"{source.path} is not UTF-8 at byte {place:,}, line {line:,} ({guess}). "
        "Save it as UTF-8, or read it with errors='replace', which puts U+FFFD in such places."
    )


READERS: dict[str, Callable[[Source, ReadReport], Iterator[Document]]] = {".txt": read_txt}


def clean(text: str) -> tuple[str, dict[str, int]]:
    """Tidy text and count each kind of change; cleaning it again changes nothing.

    >>> clean("To be,\\r\\nor not  ")[0]
    'To be,\\nor not'
    """
    counts = {}
    for name, pattern, replacement in CLEANING:
        text, counts[name] = pattern.subn(replacement, text)
    return text, counts


class Split(NamedTuple):
    """Documents to train on, documents to validate on, and one sentence on how they were parted."""

    train: list[Document]
    validate: list[Document]
    note: str


def split_documents(documents: Sequence[Document], fraction: float = 0.1, seed: int = 0) -> Split:
    """Part documents so that about `fraction` of the characters validate, never the same text as trains.

    A single text (or copies of one) is parted inside: its beginning trains, its end validates.
    """
    documents = [document for document in documents if document.text.strip()]
    keys, sizes = [text_key(d.text) for d in documents], [len(d.text) for d in documents]
    chosen, note = plan_split(keys, sizes, fraction, seed)
    if not chosen:
        name, text = documents[0].name, documents[0].text
        first, last = split_inside(text, fraction)
        return Split([Document(name, first)], [Document(name, last)], note)
    sides: tuple[list[Document], list[Document]] = ([], [])
    for index, document in enumerate(documents):
        sides[index in chosen].append(document)
    return Split(*sides, note)


def plan_split(keys: Sequence[str], sizes: Sequence[int], fraction: float, seed: int) -> tuple[set[int], str]:
    """Choose the documents that validate, by their keys and sizes; none when all are the same text.

    Equal keys stay together. The choice depends on the texts and the seed, not on names or order.
    """
    if not 0 < fraction < 1:
        raise CourseError(f"fraction is {fraction!r}, expected a number between 0 and 1, such as 0.1.")
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    if not groups:
        raise CourseError("no text was found to split, expected at least one document that is not empty.")
    if len(groups) == 1:
        copies = f"the {len(keys)} documents are the same text" if len(keys) > 1 else "there is one document"
        return set(), f"split inside the document, since {copies}: the last {fraction:.0%} validates"
    weight = {key: sum(sizes[index] for index in members) for key, members in groups.items()}
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    chosen, taken, wanted = [], 0, fraction * sum(sizes)
    for key in order:
        if taken + weight[key] <= wanted:
            chosen.append(key)
            taken += weight[key]
    chosen = chosen or [min(order, key=weight.__getitem__)]  # every text is larger than wanted: the smallest
    members = {index for key in chosen for index in groups[key]}
    share = sum(sizes[index] for index in members) / sum(sizes)
    note = f"split by document: {len(members)} of {len(keys)} validate, {share:.1%} of the characters"
    return members, note


def split_inside(text: str, fraction: float) -> tuple[str, str]:
    """Part one text by position: the beginning, and the last `fraction` of its characters."""
    if len(text) < 2:
        raise CourseError(f"a text of {len(text)} characters can't be split, expected 2 or more. Add text.")
    place = min(max(int(len(text) * (1 - fraction)), 1), len(text) - 1)
    return text[:place], text[place:]


def text_key(text: str) -> str:
    """Return a hash that is equal for texts that clean to the same."""
    tidy = clean(text)[0].strip()
    return hashlib.sha256(tidy.encode("utf-8", errors="surrogatepass")).hexdigest()
