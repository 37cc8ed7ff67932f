"""The comparison table of nano in docs/benchmarks.md, from the same file as in lesson 07."""

from __future__ import annotations

from pathlib import Path

from tools.repo.marks import put_between
from utils.files.places import ROOT
from utils.files.whole_files import write_whole
from utils.quantize.report import read_csv, to_markdown

TABLE = ROOT / "benchmarks" / "results" / "quantization_nano" / "table.csv"
PAGE = ROOT / "docs" / "benchmarks.md"
START = "<!-- quantization table of nano: python -m tools quantize-readme writes it -->"
END = "<!-- end of the quantization table -->"


def update_readme(readme: Path = PAGE, table: Path = TABLE, check: bool = False) -> bool:
    """Put the stored table into a page, or with `check` change nothing; say whether it was up to date."""
    text = readme.read_text(encoding="utf-8")
    wanted = put_between(text, START, END, to_markdown(read_csv(table)))
    if wanted != text and not check:
        write_whole(readme, lambda file: file.write(wanted.encode("utf-8")))
    return wanted == text
