"""XML to records: the children of the root, one at a time; a damaged one costs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from utils.texts.records import ReadReport, Record, Source, open_source, whole_fields

CHUNK = 1 << 16  # bytes of a line read at a time


NOTHING = re.compile(rb"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>]*>", re.DOTALL)


DECLARATION = re.compile(rb"\s*<\?xml[^>]*\?>")


ENCODING = re.compile(rb"encoding=[\"']([\w-]+)")


START = re.compile(rb"<([A-Za-z_][^\s/>]*)[^>]*>")


def read_xml(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield a record for each child of the root: its attributes, and the text of each of its own children."""
    with open_source(source) as file:
        for line, element in _Children(file, source, report):
            if record := whole_fields(source, f"line {line}", _fields(element), report):
                yield record


def _fields(element: Element) -> dict[str, str]:
    """Return an element's attributes and children as texts; text between children makes it one text as a whole."""
    between = [element.text or "", *(child.tail or "" for child in element)]
    if not len(element) or "".join(between).strip():
        return {**element.attrib, "text": "".join(element.itertext())}
    fields = dict(element.attrib)
    for child in element:
        name, text = child.tag.rpartition("}")[2], "".join(child.itertext())  # without a namespace
        fields[name] = f"{fields[name]}\n{text}" if name in fields else text
    return fields


class _Children:
    """The root's children, each with the line it begins in. After damage, a new parser begins at the next one."""

    def __init__(self, file: IO[bytes], source: Source, report: ReadReport) -> None:
        self.file, self.source, self.report = file, source, report
        head = NOTHING.sub(b"", file.read(CHUNK))
        file.seek(0)
        tags = list(START.finditer(head))
        self.root = tags[0][0] if tags else b""  # with its attributes, for a parser that begins in the middle
        self.plain_root = b"<" + (re.match(rb"[\w.-]+", tags[0][1]) or [b"records"])[0] + b">" if tags else b"<records>"
        self.mark = re.compile(b"<" + re.escape(tags[1][1]) + rb"(?=[\s/>])") if len(tags) > 1 else re.compile(rb"(?!)")
        self.declaration, self.line, self.piece = b"", 1, 0
        self.trouble: tuple[int, str] | None = None  # where damage began, and what it is
        self.parser: XMLPullParser
        self._start()

    def __iter__(self) -> Iterator[tuple[int, Element]]:
        for piece in self._pieces():
            begins_child = self.mark.match(piece)
            if self.trouble and begins_child:
                self._report_trouble(self.line - 1)
                self._start_inside()
            if not self.trouble:
                yield from self._read(piece)
                if self.trouble and begins_child and self.began_piece < self.piece:  # the damage was before it
                    self._report_trouble(self.line - 1)
                    self._start_inside()
                    yield from self._read(piece)
        if self.trouble:
            self._report_trouble(self.line)
        elif self.open or not self.root:
            self.report.skip(f"{self.source.name}, line {self.began or self.line}", "the file ends in the middle")

    def _start_inside(self) -> None:
        """Begin a new parser between two children; a root or declaration that is damaged is left out."""
        for before in (self.declaration + self.root, self.plain_root):
            try:
                self._start(before)
            except ParseError:
                continue
            return

    def _start(self, before: bytes = b"") -> None:
        """Begin a new parser that has already read what stands before."""
        self.parser, self.tag = XMLPullParser(("start", "end")), ""
        self.open: list[Element] = []  # from the root to where we are
        self.last: Element | None = None  # whose text before and after it is not whole yet
        self.began = self.began_piece = 0  # line and piece of the current child
        list(self._events(before))

    def _pieces(self) -> Iterator[bytes]:
        """Yield the file in pieces, each a line at most, such that each child begins with a piece of its own."""
        held = b""
        while read := self.file.readline(CHUNK):
            raw, held = held + read, b""
            if not raw.endswith(b"\n") and (cut := raw.rfind(b"<")) > 0:  # a tag that goes on in the next chunk
                raw, held = raw[:cut], raw[cut:]
            if self.line == 1 and not self.piece:
                self.declaration = (DECLARATION.match(raw) or [b""])[0]
            cuts = [0, *(match.start() for match in self.mark.finditer(raw) if match.start()), len(raw)]
            for begin, end in zip(cuts, cuts[1:], strict=False):
                self.piece += 1
                yield raw[begin:end]
            self.line += raw.endswith(b"\n")
        if held:
            self.piece += 1
            yield held

    def _read(self, piece: bytes) -> Iterator[tuple[int, Element]]:
        try:
            yield from self._events(self._checked(piece))
        except ParseError as error:
            self.trouble = (self.began or self.line, re.sub(r": line \d+, column \d+$", "", str(error)))

    def _checked(self, piece: bytes) -> bytes:
        if b"<!ENTITY" in piece:  # a few of them can stand for gigabytes
            raise ParseError("it defines entities, which no data needs")
        declared = ENCODING.search(self.declaration)
        if self.source.errors == "replace" and (not declared or declared[1].lower() == b"utf-8"):
            return piece.decode("utf-8", errors="replace").encode("utf-8")
        return piece

    def _events(self, raw: bytes) -> Iterator[tuple[int, Element]]:
        """Hand bytes to the parser and yield the children that are complete now."""
        self.parser.feed(raw)
        for event, element in self.parser.read_events():
            self._check_text_between()
            if event == "start":
                if len(self.open) == 1:
                    self.tag, self.began, self.began_piece = element.tag, self.line, self.piece
                elif self.open and element.tag == self.tag:
                    raise ParseError(f"a <{self.tag}> inside of another: the first one is not closed")
                self.open.append(element)
                continue
            self.open.pop()
            if len(self.open) == 1:
                yield self.began, element
                self.open[0].remove(element)
                self.last, self.began = element, 0

    def _check_text_between(self) -> None:
        """Report text of the root that belongs to no child; it is whole once the next tag is read."""
        if len(self.open) != 1:
            return
        root, last = self.open[0], self.last
        text = (root.text if last is None else last.tail) or ""
        if text.strip():
            self.report.skip(f"{self.source.name}, line {self.line}", "text beside the elements, expected none")
        root.text = None
        if last is not None:
            last.tail = None

    def _report_trouble(self, last: int) -> None:
        (first, reason), self.trouble = self.trouble, None
        lines = f"line {first}" if last <= first else f"lines {first} to {last}"
        self.report.skip(f"{self.source.name}, {lines}", f"no XML: {reason}")
