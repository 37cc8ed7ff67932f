"""The master of an exercise, read cell by cell: to which task each belongs, and whether it solves or checks it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

SOLUTION, TESTS = "SOLUTION", "TESTS"  # otter-grader's names for the two parts of a task


def parts_of(cells: Iterable[Mapping]) -> Iterator[tuple[str, str, str]]:
    """Yield of each code cell its task, its part of it (SOLUTION, TESTS or nothing), and its source."""
    task = part = ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw":
            named = re.search(r"BEGIN QUESTION\s+name: (\w+)", source)
            task = named[1] if named else task
            begun = re.search(rf"BEGIN ({SOLUTION}|{TESTS})\b", source)
            part = begun[1] if begun else "" if f"END {part}" in source else part
        elif cell["cell_type"] == "code":
            yield task, part, source
