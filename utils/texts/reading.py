"""Dataset loading: one file or folders of TXT, CSV, JSON, JSONL, XML, TFRecord and PDF to records and documents.

Lesson 10 shows what a reader must not do: drop anything in silence. A later format needs one function,
`(source) -> records`, and one entry in READERS.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from utils.errors import CourseError, guarded
from utils.texts.readers import Source, read_csv, read_json, read_jsonl, read_pdf, read_txt, read_xml
from utils.texts.records import Document, Errors, ReadReport, Record, text_of, used_columns
from utils.texts.tfrecord import read_tfrecord

READERS: dict[str, Callable[[Source], Iterator[Record]]] = {
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".pdf": read_pdf,
    ".tfrecord": read_tfrecord,
    ".tsv": read_csv,
    ".txt": read_txt,
    ".xml": read_xml,
}
KNOWN = ", ".join(READERS)


def read_records(path: str | Path, report: ReadReport | None = None, errors: Errors = "strict") -> list[Record]:
    """Read the records of a file, or of a folder and its folders in sorted order, and fill in the report.

    Without a report, a warning names what was left out, so that nothing is dropped silently.
    """
    with _reported(path, report) as filled:
        return list(stream_records(path, filled, errors))


def read_documents(path: str | Path, report: ReadReport | None = None, errors: Errors = "strict") -> list[Document]:
    """Read the same as one text a record."""
    with _reported(path, report) as filled:
        documents = list(stream_documents(path, filled, errors))
        for document in documents:
            filled.count(document)
        return documents


@contextmanager
def _reported(path: str | Path, report: ReadReport | None) -> Iterator[ReadReport]:
    """Give the report, or one of its own, of which a warning tells."""
    filled = report or ReadReport()
    yield filled
    if report is None and (filled.skipped or filled.notes):
        warnings.warn(f"{path}: {filled}", stacklevel=4)


def stream_records(path: str | Path, report: ReadReport, errors: Errors = "strict") -> Iterator[Record]:
    """Yield records one at a time; a row that is damaged is reported, and the next one read.

    Text that is not UTF-8 stops the reading of a plain text file and leaves out a row. `errors="replace"`
    keeps both with U+FFFD in such places, `errors="skip"` leaves out the text too.
    """
    if errors not in get_args(Errors):
        raise CourseError(f"errors={errors!r} is unknown, expected 'strict', 'replace' or 'skip'.")
    found = False
    for source in _sources(Path(path), errors, report):
        with guarded(source.path):
            for record in READERS[source.path.suffix.lower()](source):
                found = True
                yield record
    if not found:
        reasons = [f"{name} ({reason})" for name, reason in list(report.skipped.items())[:5]]
        saw = "; found " + ", ".join(reasons) if reasons else ""
        raise CourseError(f"{path} holds no text{saw}. Expected {KNOWN} files with text in them.")


def stream_documents(
    path: str | Path, report: ReadReport, errors: Errors = "strict", columns: Sequence[str] = ()
) -> Iterator[Document]:
    """Yield the text of each record, made of its title and text, or of the columns asked for."""
    noted = set()
    for record in stream_records(path, report, errors):
        missing = [name for name in columns if name not in record.fields]
        text = "" if missing else text_of(record.fields, columns)
        if not text.strip():
            lacks = f"no column {missing[0]!r}, only {', '.join(record.fields)}" if missing else "empty"
            report.skip(record.name, lacks)
            continue
        used = set(columns or used_columns(record.fields))
        unused = [name for name in record.fields if name not in used]
        if record.file not in noted and unused not in ([], ["id"]):
            noted.add(record.file)
            report.note(record.file, f"the text is made without {', '.join(unused)}")
        yield Document(record.name, text, file=record.file)


def _sources(path: Path, errors: Errors, report: ReadReport) -> Iterator[Source]:
    """Yield the files that a reader knows, sorted by name; report the others."""
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise CourseError(f"{path} ends in {path.suffix!r}, expected {KNOWN}. Save it as one of these.")
        yield Source(path, path.name, errors, report)
        return
    if not path.is_dir():
        raise CourseError(f"{path} was not found, expected a text file or a folder. Check the spelling.")
    for file in sorted(_walk(path, path, report), key=lambda file: file.relative_to(path).as_posix()):
        name = file.relative_to(path).as_posix()
        if file.suffix.lower() in READERS:
            yield Source(file, name, errors, report)
        else:
            report.skip(name, f"no reader for {file.suffix or 'a file without ending'}, only {KNOWN}")


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
            report.skip(name, "hidden")
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, report)
        elif entry.is_file():
            yield path
        else:
            report.skip(name, "a link to a folder, a broken link or no plain file")
