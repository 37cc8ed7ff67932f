"""Readers of data files: TXT, CSV, JSON, JSONL, XML and PDF to records, on the standard library and pypdf.

A row that can't be read is reported by file and line. CSV and JSONL go on with the next row; JSON and XML, whose
damage may change the meaning of all that follows, stop there and say so.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from utils.errors import CourseError, show
from utils.files.whole_files import unique_keys
from utils.texts.records import Errors, ReadReport, Record, fields_of

HALVES = re.compile(r"[\ud800-\udfff]")  # no characters: bytes that are not UTF-8 end up here, and broken escapes
MARKS = {  # byte order marks, the longer ones first: UTF-32's begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
HALF = "\udcff"
codecs.register_error("halves", lambda error: (HALF * (error.end - error.start), error.end))  # type: ignore[attr-defined]


class Source(NamedTuple):
    """A file to read: where it is, what to call it, how to treat bytes that are not UTF-8, and where to report."""

    path: Path
    name: str
    errors: Errors
    report: ReadReport

    def open_bytes(self) -> IO[bytes]:
        """Open the file as bytes."""
        try:
            return self.path.open("rb")
        except OSError as error:
            raise CourseError(f"{self.path} can't be read ({error.strerror}). Check its permissions.") from None

    def lines(self, declared: str = "utf-8") -> Iterator[tuple[int, bytes]]:
        """Yield (number, line with its end) in UTF-8, without a byte order mark, which tells of another encoding."""
        with self.open_bytes() as file:
            start = file.read(4)
            file.seek(0)
            encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), declared)
            if encoding != declared:
                self.note(f"{encoding.upper()} by its byte order mark, read as such")
            yield from enumerate(self._unix_lines(_as_utf8(file, encoding)), 1)

    def _unix_lines(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Yield lines without UTF-8's mark; a file whose only line ends are carriage returns is cut at those."""
        first = next(lines, b"")
        if first.startswith(codecs.BOM_UTF8):
            self.note("byte order mark removed")
            first = first.removeprefix(codecs.BOM_UTF8)
        if b"\r" in first and not first.endswith(b"\n"):  # it is the whole file
            self.note("its lines end as on old Macs (CR), each was read as a line end (LF)")
            yield from first.replace(b"\r", b"\n").splitlines(keepends=True)
        elif first:
            yield first
        yield from lines

    def name_of(self, place: str) -> str:
        """Name a place in the file; the file itself is the empty place."""
        return f"{self.name}, {place}" if place else self.name

    def skip(self, place: str, reason: str) -> None:
        """Report what was left out."""
        self.report.skip(self.name_of(place), reason)

    def note(self, remark: str, place: str = "") -> None:
        """Remark on what was read."""
        self.report.note(self.name_of(place), remark)

    def record(self, place: str, fields: dict[str, str]) -> Iterator[Record]:
        """Yield a record whose every character is whole: others are replaced, or the row is left out; both reported."""
        if broken := sum(len(HALVES.findall(text)) for pair in fields.items() for text in pair):
            if self.errors != "replace":
                self.skip(place, f"{broken} bytes or escapes are not UTF-8; errors='replace' would keep the rest")
                return
            self.note(f"not UTF-8, {broken} places became U+FFFD", place)
            fields = {HALVES.sub("\ufffd", name): HALVES.sub("\ufffd", text) for name, text in fields.items()}
        if any(text.strip() for name, text in fields.items() if name != "id"):
            yield Record(self.name, place, fields)
        else:
            self.skip(place, "empty")


def _as_utf8(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Return the lines of a file in UTF-8; what another encoding can't decode becomes bytes that are no UTF-8."""
    if encoding == "utf-8":
        yield from file
        return
    with io.TextIOWrapper(file, encoding, errors="halves", newline="\n") as text:
        for line in text:
            yield line.encode("utf-8", errors="surrogateescape")


def decode_halves(raw: bytes) -> str:
    """Decode UTF-8 so that bytes that are none become halves, which `Source.record` finds."""
    return raw.decode("utf-8", errors="surrogateescape")


# Plain text

MARK = b"<|endoftext|>"  # alone on a line, it ends a document


def read_txt(source: Source) -> Iterator[Record]:
    """Yield the documents of a plain text file: the whole file, or what lines of `<|endoftext|>` part."""
    for count, (line, content, is_last) in enumerate(_texts(source), 1):
        place = "" if is_last and count == 1 else f"line {line}"
        text = _decode(source, content, line)
        if text and text.strip():
            yield Record(source.name, place, {"id": f"{source.path.stem}-{count:02d}", **fields_of(text)})
        elif text is not None:
            source.skip(place, "empty")


def _texts(source: Source) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (line, content, is the last one) of each document; the line end before a mark belongs to it."""
    first, lines = 1, list[bytes]()
    for number, raw in source.lines():
        if raw.strip() == MARK:
            yield first, _without_end(lines), False
            first, lines = number + 1, []
        else:
            lines.append(raw)
    if lines or first == 1:
        yield first, b"".join(lines) if first == 1 else _without_end(lines), True


def _without_end(lines: list[bytes]) -> bytes:
    return b"".join(lines).removesuffix(b"\n").removesuffix(b"\r")


def _decode(source: Source, raw: bytes, first_line: int) -> str | None:
    """Return a text; what is not UTF-8 is refused with its place, replaced or left out, as asked."""
    text = decode_halves(raw)
    broken = HALVES.search(text)
    if broken is None:
        return text
    line = first_line + text.count("\n", 0, broken.start())
    guess = "it is 0xff, or half a character of UTF-16" if broken[0] == HALF else f"it is 0x{ord(broken[0]) & 0xFF:02x}"
    if source.errors == "strict":
        raise CourseError(
            f"{source.path} is not UTF-8 in line {line:,} ({guess}). "
            "Save it as UTF-8, or read it with errors='replace', which puts U+FFFD in such places."
        )
    text, count = HALVES.subn("\ufffd", text)
    if source.errors == "skip":
        source.skip(f"line {line}", f"{count:,} bytes from here on are not UTF-8 ({guess})")
        return None
    source.note(f"not UTF-8, {count:,} places became U+FFFD, the first in line {line:,}")
    return text


# CSV: ours, since pandas loses rows without a word. Of a file with an open quote, its C engine returned three lines
# glued to one row, and its Python engine kept of four rows a fragment of one.

DELIMITERS = ",;\t|"
MOST_LINES = 10_000  # of one row: a quote that stays open for longer was never meant to be one
LONGEST_FIELD = 2**31 - 1  # the csv module stops at 131,072 characters unless told otherwise


def read_csv(source: Source) -> Iterator[Record]:
    """Yield a record for each row; the first row names the fields."""
    csv.field_size_limit(LONGEST_FIELD)
    rows = _csv_rows(source)
    names = [name.strip() for name in next(rows, (0, []))[1]]
    if "" in names or len(set(names)) < len(names):
        source.skip("", f"its first row is {show(names)}, expected a name of its own for each column")
        return
    for line, row in rows:
        yield from source.record(f"line {line}", dict(zip(names, row, strict=True)))


def _csv_rows(source: Source) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, row). Of a row that can't be, only the first line is left out: the others may be rows."""
    lines = ((number, decode_halves(raw)) for number, raw in source.lines())
    waiting = deque(islice(lines, 1))  # lines that belong to no row yet
    delimiter = max(DELIMITERS, key=waiting[0][1].count) if waiting else ","
    width = None
    while waiting:
        reader = csv.reader(_ahead(waiting, lines), delimiter=delimiter, strict=True)
        try:
            row = next(reader)
            if row and len(row) != (width := width or len(row)):
                raise csv.Error(f"{len(row)} fields, expected {width} as in the first row")
        except csv.Error as error:
            source.skip(f"line {waiting[0][0]}", str(error))
            used = 1
        else:
            used = reader.line_num
            if row:  # and not an empty line
                yield waiting[0][0], row
        for _ in range(used):
            waiting.popleft()
        if not waiting:
            waiting.extend(islice(lines, 1))


def _ahead(waiting: deque[tuple[int, str]], lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    """Yield the lines that wait, then fresh ones, which wait from now on."""
    for place in range(MOST_LINES):
        if place == len(waiting):
            waiting.extend(islice(lines, 1))
        if place == len(waiting):
            return
        yield waiting[place][1]
    raise csv.Error(f"a quote is still open after {MOST_LINES:,} lines")


# JSON and JSONL


def read_jsonl(source: Source) -> Iterator[Record]:
    """Yield a record for each line that holds a JSON object."""
    for number, raw in source.lines():
        if not raw.strip():
            continue
        try:
            value = DECODER.decode(decode_halves(raw))
        except (ValueError, RecursionError) as error:
            source.skip(f"line {number}", f"no JSON: {error}")
            continue
        yield from _as_records(source, f"line {number}", value)


def read_json(source: Source) -> Iterator[Record]:
    """Yield a record for each object of a list, or for the one object that a file holds, unless that holds a list."""
    text = "".join(decode_halves(raw) for _, raw in source.lines())
    for line, value, is_part in _json_values(text, source):
        rows = "" if is_part or not isinstance(value, dict) or "text" in value else _longest_rows(value)
        if not rows:
            yield from _as_records(source, f"line {line}", value)
            continue
        beside = f", not {', '.join(name for name in value if name != rows)} beside them" if len(value) > 1 else ""
        source.note(f"the rows of {show(rows)} were read{beside}")  # {"version": …, "data": [row, row]}
        for number, row in enumerate(value[rows], 1):
            yield from _as_records(source, f"row {number}", row)


def _json_values(text: str, source: Source) -> Iterator[tuple[int, Any, bool]]:
    """Yield (line, value, whether a list holds it), or the one value that the text is; the first damage ends it."""
    at, line, counted, open_since = 0, 1, 0, 0  # in which line the list began that is not closed yet
    while (at := BETWEEN.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it always matches
        line, counted = line + text.count("\n", counted, at), at
        if text[at] == ("]" if open_since else "["):
            open_since, at = 0 if open_since else line, at + 1
            continue
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            source.skip(f"line {line}", f"no JSON: {error}; what follows in this file was left out too")
            return
        yield line, value, bool(open_since)
    if open_since:
        source.note(f"the list of line {open_since} is not closed: the file was cut off")


def _as_records(source: Source, place: str, value: Any) -> Iterator[Record]:
    """Yield the record that a JSON value stands for, or report that it stands for none."""
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        source.skip(f"{place}", f"{show(value)}, expected an object or a text")
    else:
        nested = [name for name, part in value.items() if part and isinstance(part, (dict, list))]
        if nested and "text" not in value:
            source.note(f"{show(nested[0])} holds a list or an object, which stands in the text as JSON")
        yield from source.record(place, {name: _as_text(part) for name, part in value.items()})


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _longest_rows(value: dict[str, Any]) -> str:
    """Return the name of the longest list of objects within an object, or nothing."""
    return max((name for name, part in value.items() if _is_rows(part)), key=lambda name: len(value[name]), default="")


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)
BETWEEN = re.compile(r"[ \t\r\n,]*")  # two values


# XML

DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
MEGABYTE = 1_000_000
NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}  # of Python alone


def read_xml(source: Source) -> Iterator[Record]:
    """Yield a record for each child of the root: its attributes, and the text of each of its own children."""
    for line, element in _children(source):
        yield from source.record(f"line {line}", _xml_fields(element))


class _Rows:
    """Collects the children of the root while expat reads, each with the line in which it begins."""

    def __init__(self, source: Source) -> None:
        self.source, self.depth, self.line, self.broken = source, 0, 0, False
        self.found: list[tuple[int, Element]] = []
        self.parser = ParserCreate("utf-8", "}")  # whatever encoding the file declares; } ends a namespace
        self.parser.buffer_text = True
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._start, self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity
        self.parser.SkippedEntityHandler = self._entity

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.depth == 1:
            self.line, self.tree = self.parser.CurrentLineNumber, TreeBuilder()
        if self.depth:
            self.tree.start(tag, attributes)
        self.depth += 1

    def _end(self, tag: str) -> None:
        self.depth -= 1
        if self.depth:
            element = self.tree.end(tag)
        if self.depth == 1:
            self.found.append((self.line, element))

    def _text(self, text: str) -> None:
        if self.depth > 1:
            self.tree.data(text)
        elif text.strip():
            place = f"line {self.parser.CurrentLineNumber}"
            self.source.skip(place, "text beside the elements, expected none")

    def _entity(self, name: str, *definition: object) -> None:
        raise ValueError(f"it defines entities or uses foreign ones ({show(name)}), which no data needs")

    def read(self, content: bytes, last: bool = False) -> Iterator[tuple[int, Element]]:
        """Yield the children that are whole now; damage comes after those before it."""
        try:
            self.parser.Parse(content, last)
        except (ExpatError, ValueError) as error:
            reason = re.sub(r": line \d+, column \d+$", "", str(error))
            place = f"line {self.parser.CurrentLineNumber}"
            self.source.skip(place, f"no XML: {reason}; what follows in this file was left out too")
            self.broken = True
        found, self.found = self.found, []
        yield from found


def _children(source: Source) -> Iterator[tuple[int, Element]]:
    """Yield each child of the root with the line where it began; the first damage ends it.

    Expat begins a tag or comment that is not closed yet anew each time, so it gets a megabyte and not a line at a time.
    """
    rows, waiting = _Rows(source), bytearray()
    for _, raw in source.lines(_declared_encoding(source)):
        waiting += raw.decode("utf-8", errors="replace").encode() if source.errors == "replace" else raw
        if len(waiting) > MEGABYTE:
            yield from rows.read(bytes(waiting))
            waiting.clear()
        if rows.broken:
            return
    yield from rows.read(bytes(waiting), last=True)


def _declared_encoding(source: Source) -> str:
    """Return the encoding that an XML file names, or UTF-8 if there is none of this name, as with "ANSI", "utf8mb4"."""
    with source.open_bytes() as file:
        found = DECLARED.match(file.read(1000).removeprefix(codecs.BOM_UTF8))
    name = found[1].decode() if found else "utf-8"
    try:
        codec = codecs.lookup(name).name
        if codec not in NO_CHARSETS and "<".encode(codec) == b"<":  # so not UTF-16: this declaration was read as ASCII
            return codec
    except (LookupError, ValueError):  # a codec of another kind, such as base64, is a LookupError too
        pass
    source.note(f"it declares the encoding {show(name)}, was read as UTF-8")
    return "utf-8"


def _xml_fields(element: Element) -> dict[str, str]:
    """Return an element's attributes and children as texts; text between children makes it one text as a whole."""
    between = [element.text or "", *(child.tail or "" for child in element)]
    if not len(element) or "".join(between).strip():
        return {**element.attrib, "text": "".join(element.itertext())}
    fields: dict[str, list[str]] = {}
    for name, text in (*element.attrib.items(), *((child.tag, "".join(child.itertext())) for child in element)):
        fields.setdefault(name.rpartition("}")[2], []).append(text)  # without a namespace
    return {name: "\n".join(texts) for name, texts in fields.items()}


# PDF

DEBRIS = re.compile(r"\(cid:\d+\)|[\ue000-\uf8ff]")  # glyphs whose letters the file doesn't tell


def read_pdf(source: Source) -> Iterator[Record]:
    """Yield the text of a PDF as one record, pages parted by form feeds; empty ones and debris are reported."""
    pages, debris = [], 0
    for number, text in _pages(source):
        found = len(DEBRIS.findall(text))
        if not DEBRIS.sub("", text).strip():
            what = f"{found} glyphs without letters" if found else "no text: it is empty or a picture"
            source.skip(f"page {number}", what)
            continue
        debris += found
        pages.append(text)
    if debris:
        source.note(f"{debris} glyphs without letters, such as (cid:12), stand in its text")
    if pages:
        yield Record(source.name, "", {"text": "\f".join(pages)})


def _pages(source: Source) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each page that can be read; a damaged file makes pypdf fail in many ways."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # its remarks go to nobody; what matters is reported
    try:
        reader = PdfReader(source.path)
        count = len(reader.pages)
    except Exception as error:
        source.skip("", f"no PDF that can be read: {_name(error)}")
        return
    for number in range(count):
        try:
            text = reader.pages[number].extract_text()
        except Exception as error:
            source.skip(f"page {number + 1}", f"it can't be read: {_name(error)}")
            continue
        yield number + 1, text


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:120]
