"""The comparison table of nano in docs/benchmarks.md, from the same file as in lesson 07."""

from __future__ import annotations

from pathlib import Path

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import write_whole
from utils.quantize.report import read_csv, to_markdown

TABLE = ROOT / "benchmarks" / "results" / "quantization_nano" / "table.csv"
PAGE = ROOT / "docs" / "benchmarks.md"
START = "<!-- quantization table of nano: python -m tools quantize-readme writes it -->"
END = "<!-- end of the quantization table -->"


def put_between_marks(text: str, body: str) -> str:
    """Return a text with `body` between the two marks, in the place of what is there now.

    >>> put_between_marks(f"a {START} old {END} b", "new") == f"a {START}{chr(10)}new{chr(10)}{END} b"
    True
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise CourseError(f"The marks of the table are missing. Put these two lines where it belongs:\n{START}\n{END}")
    return f"{before}{START}\n{body}\n{END}{after}"


def update_readme(readme: Path = PAGE, table: Path = TABLE, check: bool = False) -> bool:
    """Put the stored table into a page, or with `check` change nothing; say whether it was up to date."""
    text = readme.read_text(encoding="utf-8")
    wanted = put_between_marks(text, to_markdown(read_csv(table)))
    if wanted != text and not check:
        write_whole(readme, lambda file: file.write(wanted.encode("utf-8")))
    return wanted == text
