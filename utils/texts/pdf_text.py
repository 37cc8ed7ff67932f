"""PDF to text: one record a file, its pages parted by form feeds; what a page does not give is reported."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from utils.texts.records import ReadReport, Record, Source

PAGE_END = "\f"


DEBRIS = re.compile(r"\(cid:\d+\)|[\ue000-\uf8ff]")  # glyphs whose letters the file doesn't tell


def read_pdf(source: Source, report: ReadReport) -> Iterator[Record]:
    """Yield the text of a PDF as one record; empty pages and those of debris are reported by number."""
    pages, debris = [], 0
    for number, text in _pages(source, report):
        found = len(DEBRIS.findall(text))
        where = f"{source.name}, page {number}"
        if not DEBRIS.sub("", text).strip():
            what = f"{found} glyphs without letters" if found else "no text: it is empty or a picture"
            report.skip(where, what)
            continue
        debris += found
        pages.append(text)
    if debris:
        report.note(source.name, f"{debris} glyphs without letters, such as (cid:12), stand in its text")
    if pages:
        yield Record(source.name, "", {"text": PAGE_END.join(pages)})


def _pages(source: Source, report: ReadReport) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each page that can be read."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # its remarks go to nobody; what matters is reported
    try:
        reader = PdfReader(source.path)
        count = len(reader.pages)
    except Exception as error:  # a damaged file makes pypdf fail in many ways
        report.skip(source.name, f"no PDF that can be read: {_name(error)}")
        return
    for number in range(count):
        try:
            text = reader.pages[number].extract_text()
        except Exception as error:  # as above, for one page
            report.skip(f"{source.name}, page {number + 1}", f"it can't be read: {_name(error)}")
            continue
        yield number + 1, text


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:120]
