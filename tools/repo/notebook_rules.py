"""What a stored notebook must be like: each rule says in a sentence what is wrong and what to do."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from nbformat import NotebookNode

from utils.config import SIZES
from utils.session import AS_CHOSEN

CELLS = (25, 45)  # of a lesson
FORM = f'size = "{AS_CHOSEN}"  # @param {json.dumps([AS_CHOSEN, *SIZES])}'  # Colab draws it as a field
MEDIAN_LINES, MOST_LINES = 6, 20  # of its code cells
OPENING = ("colab", "*You will be able to*", "*Needs*", "*Minutes*", "*Hardware*")
IGNORED = "nbval-ignore-output"
FORBIDDEN_TAGS = ("nbval-skip", "raises-exception", "nbval-raises-exception")
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
CAPTION = re.compile(r"\*(?!\*)(.+?)(?<!\*)\*(?:\n\n|$)", re.DOTALL)  # a first paragraph in italics
NAME = re.compile(r"\d\d_[a-z]+(_[a-z0-9]+)+")
BOX = "## At small and medium"  # what others have published about the real sizes
LINK = re.compile(r"\[([^\]]+)\]\(https://[^)\s]+\)")  # a source of the box: its last word is a year
NAMED = re.compile(r"\b[A-Za-z]\S*")  # a word that may hold digits and is no figure: GPT-2, Q4_0, int8
UNMARKED = re.compile(r"\*Minutes\*[^*]*?(\b\d+ \((?!nano\b)[^)]*\))")  # neither expected nor measured
# What differs between machines and runs, in the printed text of a compared cell.
UNSTABLE = {
    "a version": re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])|\d\+(cpu|cu\d+)\b"),
    "a path": re.compile(r"(?<!\w)/(home|root|Users|tmp|private|content|usr|var|opt)/|[A-Z]:\\|\.venv|site-packages"),
    "a date": re.compile(r"\b20\d\d-[01]\d-[0-3]\d\b"),
    "a time of day": re.compile(r"\b[0-2]?\d:[0-5]\d:[0-5]\d\b"),
    "an address in memory": re.compile(r"\b0x[0-9a-f]{6,}\b"),
    "a raw float": re.compile(r"\d\.\d{7,}"),
    "a progress bar": re.compile(r"\d+%\|"),
}


def problems(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Yield what is wrong with a stored notebook: every rule for a lesson, fewer for the others."""
    yield from stored_rules(notebook)
    yield from output_rules(notebook)
    yield from minutes_rules(notebook)
    yield from sentence_rules(notebook)
    if path.parent.name in ("lessons", "exercises", "solutions", "labs"):
        yield from dial_rules(notebook)
    if path.parent.name in ("lessons", "labs"):
        yield from opening_rules(notebook, path)
    if path.parent.name == "lessons":
        yield from length_rules(notebook)
        yield from box_rules(notebook)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that hold something."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def name_of(cell: NotebookNode) -> str:
    """Return how a message names a cell: by the first line of its text."""
    lines = cell.source.strip().splitlines() or ["(empty)"]
    return f"the cell `{lines[0][:60]}`"


def stored_rules(notebook: NotebookNode) -> Iterator[str]:
    """Outputs are stored, in order, and nothing else is."""
    again = "run `python -m tools notebooks` on it"
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"its execution counts are {counts}, not 1 to {len(counts)}: {again}."
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield f"its cells lack ids of their own: {again}."
    if "widgets" in notebook.metadata:
        yield f"it holds the state of widgets: {again}."
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.source.strip():
            yield "it has an empty code cell: remove it."
        if "execution" in cell.metadata or "ExecuteTime" in cell.metadata:
            yield f"{name_of(cell)} holds the time at which it ran: {again}."
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"{name_of(cell)} stored an error: catch it and print its message if it is intended."
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                yield f"{name_of(cell)} stored the id of a widget: {again}."


def output_rules(notebook: NotebookNode) -> Iterator[str]:
    """What is compared is stable; what is not compared is asserted, and rare; a picture is explained."""
    cells = code_cells(notebook)
    ignored = [cell for cell in cells if IGNORED in cell.metadata.get("tags", [])]
    if len(ignored) * 4 > len(cells):
        yield f"{len(ignored)} of its {len(cells)} code cells are not compared: at most a quarter may be."
    for cell in cells:
        for tag in FORBIDDEN_TAGS:
            if tag in cell.metadata.get("tags", []):
                yield f"{name_of(cell)} has the tag {tag}: let it run, and catch an intended error."
        if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source):
            yield f"{name_of(cell)} steers nbval by a comment: use the tag {IGNORED}."
        if cell in ignored and not has_assertion(cell.source):
            yield f"{name_of(cell)} is not compared and asserts nothing: assert what it shows."
        elif cell not in ignored:
            yield from unstable_output(cell)
    for cell, said in zip(notebook.cells, captions(notebook), strict=True):
        if any(not said_by_itself(data) for data in pictures(cell)) and len(said.split()) < 5:
            yield f"{name_of(cell)} shows a picture: begin the text right below it with what it shows, *in italics*."


def unstable_output(cell: NotebookNode) -> Iterator[str]:
    """Name what in the printed text of a compared cell would differ elsewhere."""
    for output in cell.outputs:
        texts = [output.get("text", "")] + [
            output.get("data", {}).get(kind, "") for kind in ("text/plain", "text/html")
        ]
        for what, pattern in UNSTABLE.items():
            if match := pattern.search("\n".join(texts)):
                yield f"{name_of(cell)} prints {what}, `{match[0]}`: round it, drop it or assert it."


def has_assertion(source: str) -> bool:
    """Tell whether a cell asserts something: by `assert`, or by calling a function named check…

    >>> has_assertion("assert x == 1"), has_assertion("check_close(a, b)"), has_assertion("# assert")
    (True, True, False)
    """
    try:
        nodes = list(ast.walk(ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))))
    except SyntaxError:
        return False
    names = [getattr(node.func, "id", getattr(node.func, "attr", "")) for node in nodes if isinstance(node, ast.Call)]
    return any(isinstance(node, ast.Assert) for node in nodes) or any(n.startswith(("check", "assert")) for n in names)


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    """Return the data of each picture that a cell stored."""
    found = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [data for data in found if any(kind in data for kind in PICTURES)]


def said_by_itself(data: NotebookNode) -> str:
    """Return the description that a picture brings: a drawing's title, or what a recorded one is called."""
    plain = data.get("text/plain", "")
    return plain if "<title>" in data.get("image/svg+xml", "") or plain.startswith("<picture: ") else ""


def captions(notebook: NotebookNode) -> list[str]:
    """Return for each cell its alt text: the paragraph in italics that begins the text cell right below it."""
    below = [cell.source if cell.cell_type == "markdown" else "" for cell in notebook.cells[1:]] + [""]
    found = [CAPTION.match(text.strip()) for text in below]
    return [re.sub(r"[*`]|\[([^\]]+)\]\([^)]+\)", r"\1", match[1]) if match else "" for match in found]


def opening_rules(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """The file's name says what the learner does; the first cell says what it gives and what it takes."""
    if not NAME.fullmatch(path.stem):
        yield f"its name {path.name} is not of the form NN_verb_phrase.ipynb, in small letters."
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown":
        yield "its first cell is not text: begin with badge, title and aims."
        return
    for words in OPENING:
        if words.strip("*").lower() not in first.source.lower():
            yield f"its first cell lacks {words!r}."


def dial_rules(notebook: NotebookNode) -> Iterator[str]:
    """The second code cell starts the course, with the size in a field of its own, since Colab remembers nothing."""
    second = "".join(cell.source for cell in code_cells(notebook)[1:2])
    if not re.search(rf"(?m)^{re.escape(FORM)}\ncourse = start\(seed=\d+, size=size\)$", second):
        yield f"its second code cell lacks the line `{FORM}` and, below it, `course = start(seed=…, size=size)`."


def length_rules(notebook: NotebookNode) -> Iterator[str]:
    """A lesson moves in small steps: 25–45 cells, code cells of few lines."""
    low, high = CELLS
    if not low <= len(notebook.cells) <= high:
        yield f"it has {len(notebook.cells)} cells, a lesson has {low} to {high}."
    lines = [count_lines(cell) for cell in code_cells(notebook)]
    if lines and median(lines) > MEDIAN_LINES:
        yield f"its code cells have {median(lines):g} lines in the median, {MEDIAN_LINES} is the most: split."
    for cell in code_cells(notebook):
        if (count := count_lines(cell)) > MOST_LINES:
            yield f"{name_of(cell)} has {count} lines, {MOST_LINES} are the most: split it or use utils."


def count_lines(cell: NotebookNode) -> int:
    """Count the lines of a code cell; the field for the size, which is the same everywhere, is not one of them."""
    return sum(line != FORM for line in cell.source.strip().splitlines())


def texts_of(notebook: NotebookNode) -> str:
    """Return all text cells, one behind the other."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def minutes_rules(notebook: NotebookNode) -> Iterator[str]:
    """Minutes of a real size say whether somebody has measured them."""
    for found in UNMARKED.finditer(texts_of(notebook)):
        yield f"its minutes say `{found[1]}`: write 'expected' before the bracket, or 'measured' where a run says so."


def sentence_rules(notebook: NotebookNode) -> Iterator[str]:
    """No sentence stands twice in a cell of text, as it may when a script adds it again."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = [sentence for sentence in re.split(r"(?<=[.!?])\s+|\n\n", cell.source) if len(sentence) > 30]
            for twice in sorted({sentence for sentence in found if found.count(sentence) > 1}):
                yield f"it says twice in one cell: {twice[:80]} Take one away."


def box_rules(notebook: NotebookNode) -> Iterator[str]:
    """A lesson says what is known of the real sizes, and who found each figure in which year."""
    box = texts_of(notebook).partition(f"{BOX}\n")[2].split("\n## ")[0]
    if not LINK.search(box):
        yield f"it has no section `{BOX}` with a source: say what is published about them, or that nothing is."
    for line in box.splitlines():
        sources = [name for name in LINK.findall(line) if re.search(r"\b(19|20)\d\d$", name)]
        if re.search(r"\d", NAMED.sub("", LINK.sub("", line))) and not sources:
            yield f"its line `{line[:60]}` has a figure and no source: end it with [name, year](https://…)."
