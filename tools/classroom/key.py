"""The key to all predictions: what every lesson asks its learners to guess, and what they should see then."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools.repo.notebooks import ROOT, read_notebook
from utils.errors import CourseError

ASKED, SEEN = "**Predict.**", "**You should see**"
OPEN = "Look at what the cell below it prints: the lesson goes on from there."


def key(lessons: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines of a Markdown text for some lessons, by the beginnings of their names; all when none is named."""
    chosen = tuple(lessons)
    paths = [path for path in sorted((ROOT / "lessons").glob("*.ipynb")) if not chosen or path.name.startswith(chosen)]
    if not paths:
        raise CourseError(f"No lesson begins with {' or '.join(chosen)}, expected numbers such as 02.")
    yield "# Key to the predictions"
    for path in paths:
        yield from lesson_key(path)


def lesson_key(path: Path) -> Iterator[str]:
    """Yield the questions and answers of one lesson under its title and sections."""
    notebook = read_notebook(path)
    yield f"\n## {title_of(notebook)}"
    section = ""
    for heading, asked, seen in questions(notebook):
        if heading != section:
            section = heading
            yield f"\n### {heading}"
        yield f"\n**{asked}**\n\n{seen}"


def questions(notebook: NotebookNode) -> Iterator[tuple[str, str, str]]:
    """Yield for each Predict its section, its question, and the sentence that answers it."""
    heading, waiting = "At the start", None
    for paragraph in paragraphs(notebook):
        if found := re.match(r"#+ (.+)", paragraph):
            heading = found[1]
        if SEEN in paragraph and waiting:
            answer = paragraph.partition(SEEN)[2].strip(" ,:").removeprefix("that ")
            yield *waiting, answer[:1].upper() + answer[1:]
            waiting = None
        if ASKED in paragraph:
            if waiting:
                yield *waiting, OPEN
            waiting = heading, " ".join(paragraph.partition(ASKED)[2].split())
    if waiting:
        yield *waiting, OPEN


def paragraphs(notebook: NotebookNode) -> Iterator[str]:
    """Yield the paragraphs of all text cells."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from re.split(r"\n\s*\n", cell.source)


def title_of(notebook: NotebookNode) -> str:
    """Return the heading of the first cell."""
    found = re.search(r"(?m)^# (.+)$", notebook.cells[0].source)
    return found[1] if found else ""
