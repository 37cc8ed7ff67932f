"""Which reader reads which file, and the simplest of them: plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from utils.errors import CourseError
from utils.texts.csv_records import read_csv
from utils.texts.json_records import read_json, read_jsonl
from utils.texts.pdf_text import read_pdf
from utils.texts.records import BOM, ReadReport, Record, Source, fields_of, open_source
from utils.texts.tfrecord import read_tfrecord
from utils.texts.xml_records import read_xml

MARK = b"<|endoftext|>"  # alone on a line, it ends a document


def read_txt(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield the documents of a plain text file: the whole file, or what lines of `<|endoftext|>` part."""
    numbered = 0
    for line, place, raw, is_last in _texts(source, report):
        numbered += 1
        text = _decode(source, raw, (line, place), report)
        if text is None:
            continue
        alone = is_last and numbered == 1
        if not text.strip():
            report.skip(source.name if alone else f"{source.name}, line {line}", "empty")
            continue
        fields = {"id": f"{source.path.stem}-{numbered:02d}", **fields_of(text)}
        yield Record(source.name, "" if alone else f"line {line}", fields)


def _texts(source: Source, report: ReadReport) -> Iterator[tuple[int, int, bytes, bool]]:
    """Yield (line, byte, content, is the last one) of each document; the line end before a mark belongs to it."""
    with open_source(source) as file:
        first_line, first_byte, at, lines = 1, 0, 0, []
        for number, raw in enumerate(file, 1):
            at += len(raw)
            if raw.strip() == MARK:
                yield first_line, first_byte, _without_end(lines), False
                first_line, first_byte, lines = number + 1, at, []
            else:
                if number == 1 and raw.startswith(BOM):
                    report.note(source.name, "byte order mark removed")
                    raw, first_byte = raw.removeprefix(BOM), len(BOM)
                lines.append(raw)
        if lines or first_line == 1:
            yield first_line, first_byte, b"".join(lines) if first_line == 1 else _without_end(lines), True


def _without_end(lines: list[bytes]) -> bytes:
    text = b"".join(lines)
    return text.removesuffix(b"\n").removesuffix(b"\r")


def _decode(source: Source, raw: bytes, place: tuple[int, int], report: ReadReport) -> str | None:
    """Return a text; what is not UTF-8 is refused with its place, replaced or left out, as asked."""
    line, byte = place
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at, line = byte + error.start, line + raw.count(b"\n", 0, error.start)
        guess = "it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else f"it is 0x{raw[error.start]:02x}"
    if source.errors == "replace":
        text = raw.decode("utf-8", errors="replace")
        count = text.count("\ufffd") - raw.count("\ufffd".encode())
        report.note(source.name, f"not UTF-8, {count:,} places became U+FFFD, the first at byte {at:,}")
        return text
    if source.errors == "skip":
        report.skip(f"{source.name}, line {line}", f"not UTF-8 at byte {at:,} ({guess})")
        return None
    raise CourseError(
        f"{source.path} is not UTF-8 at byte {at:,}, line {line:,} ({guess}). "
        "Save it as UTF-8, or read it with errors='replace', which puts U+FFFD in such places."
    )


READERS: dict[str, Callable[[Source, ReadReport], Iterator[Record]]] = {
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".pdf": read_pdf,
    ".tfrecord": read_tfrecord,
    ".tsv": read_csv,
    ".txt": read_txt,
    ".xml": read_xml,
}
