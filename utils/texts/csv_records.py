"""CSV to records, row by row: a damaged row costs its own lines and none of its neighbors'."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator

from utils.errors import show
from utils.texts.records import ReadReport, Record, Source, numbered_lines, whole_fields

DELIMITERS = ",;\t|"


MOST_LINES = 10_000  # of one row: a quote that stays open for longer was never meant to be one


LONGEST_FIELD = 2**31 - 1  # the csv module stops at 131,072 characters unless told otherwise


def read_csv(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield a record for each row; the first row names the fields."""
    csv.field_size_limit(LONGEST_FIELD)
    rows = _Rows(source, report)
    header = next(rows, None)
    if header is None:
        return
    names = [name.strip() for name in header]
    if "" in names or len(set(names)) < len(names):
        report.skip(source.name, f"its first row is {show(names)}, expected a name of its own for each column")
        return
    for row in rows:
        place = f"line {rows.line}"
        if len(row) != len(names):
            rows.refuse(f"{len(row)} fields, expected {len(names)} as in the first row")
        elif record := whole_fields(source, place, dict(zip(names, row, strict=True)), report):
            yield record


class _Rows:
    """The rows of one file. Of a row that can't be, only the first line is left out: the others may be rows."""

    def __init__(self, source: Source, report: ReadReport) -> None:
        self.source, self.report = source, report
        self.lines = numbered_lines(source, report)
        first = next(self.lines, (1, ""))
        self.delimiter = max(DELIMITERS, key=first[1].count)
        self.returned = deque([first])  # lines to read again
        self.taken: list[tuple[int, str]] = []  # lines of the current row
        self.reader = self._start()

    def _start(self):
        return csv.reader(self._take(), delimiter=self.delimiter, strict=True)

    @property
    def line(self) -> int:
        """The number of the current row's first line."""
        return self.taken[0][0]

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        while True:
            self.taken = []
            try:
                row = next(self.reader)
            except csv.Error as error:
                self.refuse(str(error))
                self.reader = self._start()
            else:
                if row:  # and not an empty line
                    return row

    def _take(self) -> Iterator[str]:
        while line := self.returned.popleft() if self.returned else next(self.lines, None):
            self.taken.append(line)
            if len(self.taken) > MOST_LINES:
                raise csv.Error(f"a quote is still open after {MOST_LINES:,} lines")
            yield line[1]

    def refuse(self, reason: str) -> None:
        """Leave out the first line of the current row, and read what followed it once more."""
        self.report.skip(f"{self.source.name}, line {self.line}", reason)
        self.returned.extendleft(reversed(self.taken[1:]))
