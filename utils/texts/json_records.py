"""JSON and JSONL to records, one at a time: a list of a gigabyte is never in memory at once."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from utils.errors import show
from utils.texts.records import ReadReport, Record, Source, numbered_lines, open_source, whole_fields

CHUNK = 1 << 16  # characters read at a time


BETWEEN = re.compile(r"[\s,]*")


HISTORY = 200  # characters kept before the current place: they tell how it is indented


MARGIN = 8  # an escape or a word that a chunk cuts in two is shorter than this


def read_jsonl(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield a record for each line that holds a JSON object."""
    for number, line in numbered_lines(source, report):
        if not line.strip():
            continue
        try:
            value = DECODER.decode(line)
        except ValueError as error:
            report.skip(f"{source.name}, line {number}", f"no JSON: {error}")
            continue
        yield from as_records(source, f"line {number}", value, report)


def read_json(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield a record for each object of a list, or for the one object that a file holds."""
    for line, value in _Values(source, report):
        lists = [part for part in value.values() if _is_rows(part)] if isinstance(value, dict) else []
        if len(lists) == 1:  # {"version": …, "data": [row, row]}
            others = [name for name, part in value.items() if part is not lists[0]]
            if others:
                report.note(source.name, f"only the rows were read, not {', '.join(others)} beside them")
            for number, row in enumerate(lists[0], 1):
                yield from as_records(source, f"row {number}", row, report)
        else:
            yield from as_records(source, f"line {line}", value, report)


def as_records(source: Source, place: str, value: Any, report: ReadReport) -> Iterator[Record]:
    """Yield the record that a JSON value stands for, or report that it stands for none."""
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        report.skip(f"{source.name}, {place}", f"{show(value)}, expected an object or a text")
    elif record := whole_fields(source, place, {name: _as_text(part) for name, part in value.items()}, report):
        yield record


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; a name that comes twice would silently lose the first value."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{show(next(name for name in names if names.count(name) > 1))} stands twice in one object")
    return made


DECODER = json.JSONDecoder(object_pairs_hook=_object)


class _Values:
    """The values of a file, each with the number of its line; damaged ones are reported, and those after them read."""

    def __init__(self, source: Source, report: ReadReport) -> None:
        self.source, self.report = source, report
        self.buffer, self.at = "", 0  # read, and how far it is used up
        self.forgotten = 0  # characters that were read before those in the buffer
        self.line, self.counted = 1, 0  # the line at place `counted` of the buffer
        self.open = 0  # the line where the list began that is not closed yet

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        with open_source(self.source) as raw:
            self.file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
            while self._next_place():
                start, line = self.at, self._line(self.at)
                if self.buffer[start] in "[]" and bool(self.open) == (self.buffer[start] == "]"):
                    self.open, self.at = (0 if self.open else line), start + 1
                elif (value := self._value(line)) is not self:
                    yield line, value
            if self.open:
                self.report.note(self.source.name, f"the list of line {self.open} is not closed: the file was cut off")

    def _next_place(self) -> bool:
        """Go to where the next value begins; False at the end of the file."""
        while True:
            self.at = BETWEEN.match(self.buffer, self.at).end()
            if self.at < len(self.buffer):
                return True
            if not self._more():
                return False

    def _value(self, line: int) -> Any:
        """Return the value at this place; a damaged one is reported and passed over, and gives self."""
        while True:
            try:
                value, end = DECODER.raw_decode(self.buffer, self.at)
            except ValueError as error:
                place = getattr(error, "pos", self.at + 1)
                cut = "Unterminated string" in str(error) or place >= len(self.buffer) - MARGIN
                if not (cut and self._more()):
                    return self._pass_over(line, place, getattr(error, "msg", str(error)))
            else:
                if end < len(self.buffer) or not self._more():  # a number may go on in the next chunk
                    self.at = end
                    return value

    def _pass_over(self, line: int, place: int, problem: str) -> _Values:
        """Go to where the next object of the same kind seems to begin, or to the end of the file."""
        before = self.buffer[max(0, self.at - HISTORY) : self.at].rpartition("\n")[2]
        own_line = self.buffer[self.at] == "{" and not before.strip(" \t,[")
        indent = before[: len(before) - len(before.lstrip(" \t"))]
        marks = [rf"\n{re.escape(indent)}(?=\{{)"] * own_line  # the next line that begins as this one does
        marks += [r"\}\s*,\s*(?=\{)"] * (not own_line or "[" in before)  # or the next object behind a comma
        after = re.compile("|".join(marks))
        goal = self.forgotten + place
        while not (found := after.search(self.buffer, max(0, goal - self.forgotten))):
            self.at = max(self.at, len(self.buffer) - HISTORY)  # where a mark that is cut in two would begin
            if not self._more():
                break
        self.at = found.end() if found else len(self.buffer)
        last = self._line(self.at) - bool(found and own_line)
        lines = f"line {line}" if last <= line else f"lines {line} to {last}"
        self.report.skip(f"{self.source.name}, {lines}", f"no JSON: {problem}")
        return self

    def _line(self, place: int) -> int:
        self.line += self.buffer.count("\n", self.counted, place)
        self.counted = max(place, self.counted)
        return self.line

    def _more(self) -> bool:
        """Read on, and forget what was used up but its last characters."""
        chunk = self.file.read(max(CHUNK, len(self.buffer) - self.at))
        if chunk:
            self._line(self.at)
            old = max(0, self.at - HISTORY)
            self.buffer = self.buffer[old:] + chunk
            self.at, self.counted, self.forgotten = self.at - old, self.counted - old, self.forgotten + old
        return bool(chunk)
