"""The key for a teacher: what every lesson asks its learners to guess and what they should see, and the rubric.

What a lesson invites to change, and the open tasks of a lab, are marked by one rubric. A lab's open tasks stand in its
notebook under *Your turn*, each with what it is done by (*Done when*).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools.repo.notebooks import ROOT, read_notebook
from utils.errors import CourseError

ASKED, SEEN, CHANGE = "**Predict.**", "**You should see**", "**Change this.**"
OPEN = "Look at what the cell below it prints: the lesson goes on from there."
TURN, DONE = "Your turn", "*Done when*"
RUBRIC = {  # criterion of an open task, a quarter each: all of it, half of it, nothing
    "Guess": ("a figure or a direction is written down before the run", "written down without a figure", "none"),
    "Done": ("what *Done when* asks for is there", "a part of it", "only that something was tried"),
    "Fair": ("one thing changed, same text, seed and protocol", "two things at once, and it is said", "not comparable"),
    "Shortfall": ("what was not reached or not measured is said, with a figure", "said in general", "not said"),
}


def key(names: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines of a Markdown text for some lessons (02) and labs (labs/02), all when none is named."""
    chosen = tuple(names)
    lessons, labs = (sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb")) for folder in ("lessons", "labs"))
    if chosen:
        lessons = [path for path in lessons if path.name.startswith(chosen)]
        labs = [path for path in labs if f"labs/{path.name}".startswith(chosen)]
    if not lessons and not labs:
        raise CourseError(f"No lesson or lab begins with {' or '.join(chosen)}, expected words such as 02 or labs/02.")
    if lessons:
        yield "# Key to the predictions"
    for path in lessons:
        yield from lesson_key(path)
    yield "\n" * bool(lessons) + "# The rubric of what is changed in a lesson, and of a lab's open tasks\n"
    yield from rubric()
    if labs:
        yield "\n# Open tasks of the labs"
    for path in labs:
        yield from lab_key(path)


def rubric() -> Iterator[str]:
    """Yield the rubric of every open task as a table."""
    yield "| a quarter each | full | half | nothing |\n|---|---|---|---|"
    for criterion, degrees in RUBRIC.items():
        yield f"| {criterion} | {' | '.join(degrees)} |"


def lab_key(path: Path) -> Iterator[str]:
    """Yield the open tasks of a lab, each with what it is done by."""
    notebook = read_notebook(path)
    yield f"\n## {title_of(notebook)}"
    for number, (task, done) in enumerate(open_tasks(notebook), start=1):
        yield f"\n{number}. {task}\n\n   Done when {done}"


def open_tasks(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield for each numbered task under *Your turn* what it asks and what it is done by."""
    texts = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    section = texts.partition(f"## {TURN}\n")[2].split("\n## ")[0]
    for found in re.finditer(r"(?ms)^\d+\. (.+?)(?=^\d+\. |\n\n|\Z)", section):
        task, _, done = " ".join(found[1].split()).partition(f" {DONE} ")
        yield task, done


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
    yield "\n### To change, and to mark by the rubric\n"
    yield from (f"{number}. {task}" for number, task in enumerate(invitations(notebook), start=1))


def invitations(notebook: NotebookNode) -> Iterator[str]:
    """Yield what a lesson invites to change."""
    for paragraph in paragraphs(notebook):
        if CHANGE in paragraph:
            yield " ".join(paragraph.partition(CHANGE)[2].split())


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
