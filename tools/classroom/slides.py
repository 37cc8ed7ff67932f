"""Slides made from a lesson by nbconvert and reveal.js, with nothing loaded from another host.

A section of the lesson is a slide; below it come its paragraphs, and each code cell with its stored output. What a
*Predict* asks stands alone, and its answer is among the speaker's notes (key S).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook, new_output

from tools.classroom.key import ASKED, SEEN, questions, title_of
from tools.repo.notebook_rules import PICTURES, captions, said_by_itself
from tools.repo.notebooks import ROOT, read_notebook
from utils.errors import CourseError
from utils.files.whole_files import write_whole

REVEAL = "reveal"  # the folder beside the slides
NEEDED = ("LICENSE", "dist/reveal.css", "dist/reveal.js", "dist/theme/white.css", "dist/theme/fonts/source-sans-pro")
NOTES = "plugin/notes/notes.js"
MOST_WORDS, MOST_LINES = 90, 16  # of text and of printed output on one slide
BEGINS = ("#", ASKED, SEEN, "**Change this.**")  # paragraphs that begin a slide of their own
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:)[^)]*\)")  # to a file that isn't beside the slides
BADGE = re.compile(r"\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\s*")


def make_slides(names: Iterable[str], out: Path) -> list[Path]:
    """Write slides of the lessons whose names begin so, and reveal.js beside them; return the pages."""
    chosen = tuple(names)
    paths = [path for path in sorted((ROOT / "lessons").glob("[0-9]*.ipynb")) if path.name.startswith(chosen)]
    if not chosen or not paths:
        raise CourseError(f"No lesson begins with {' or '.join(chosen) or 'nothing'}, expected numbers such as 02.")
    copy_reveal(reveal_folder(), out / REVEAL)
    made = []
    for path in paths:
        page = slides_of(read_notebook(path))
        made.append(out / f"{path.stem}.html")
        write_whole(made[-1], lambda file, page=page: file.write(page.encode("utf-8")))
    return made


def reveal_folder() -> Path:
    """Return where sphinx-revealjs has put reveal.js."""
    found = find_spec("sphinx_revealjs")
    if found is None or not found.submodule_search_locations:
        raise CourseError(
            "Slides need reveal.js, which the package sphinx-revealjs brings. `python course.py class slides …` "
            "installs it; with --here: python -m pip install sphinx-revealjs"
        )
    return Path(found.submodule_search_locations[0]) / "_static" / "revealjs"


def copy_reveal(source: Path, target: Path) -> None:
    """Copy of reveal.js what the slides load, and its license."""
    for name in (*NEEDED, NOTES):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copy(source / name, target / name)


def slides_of(notebook: NotebookNode) -> str:
    """Return a lesson as a page of slides."""
    from nbconvert import SlidesExporter

    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(Path(__file__).with_name("templates"))],
        reveal_url_prefix=REVEAL,
        reveal_theme="white",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    slides = new_notebook(cells=list(cells_of(notebook)), metadata=notebook.metadata)
    return exporter.from_notebook_node(slides, resources={"metadata": {"name": title_of(notebook)}})[0]


def cells_of(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the cells of the slides: paragraphs, the answers to what is asked as notes, code with its output."""
    answers = (seen for *_, seen in questions(notebook))
    for cell, said in zip(notebook.cells, captions(notebook), strict=True):
        if cell.cell_type == "code" and "cellView" not in cell.metadata:  # which is Colab's own
            cell.outputs = [described(shortened(output), said) for output in cell.outputs]
            yield as_slide(cell, "subslide")
        elif cell.cell_type == "markdown":
            for number, text in enumerate(parts_of(cell.source)):
                caption = number == 0 and re.match(r"\*(?!\*)", text)
                yield as_slide(new_markdown_cell(text), "-" if caption else kind_of(text))
                for _ in range(text.count(ASKED)):
                    yield as_slide(new_markdown_cell(next(answers)), "notes")


def as_slide(cell: NotebookNode, kind: str) -> NotebookNode:
    """Tell nbconvert what a cell is among the slides."""
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def kind_of(text: str) -> str:
    """Say whether a text begins a slide to the right or one below.

    >>> kind_of("## Softmax"), kind_of("### By hand"), kind_of("A sentence.")
    ('slide', 'subslide', 'subslide')
    """
    return "slide" if re.match(r"##? ", text) else "subslide"


def parts_of(source: str) -> Iterator[str]:
    """Yield the text of each slide that a text cell becomes: a heading with what follows, not too much at once."""
    text = LINK.sub(r"\1", BADGE.sub("", source))
    held: list[str] = []
    for paragraph in paragraphs(text):
        alone = paragraph.startswith(BEGINS) or (held and held[-1].startswith(ASKED))
        many = len(" ".join([*held, paragraph]).split()) > MOST_WORDS
        only_headings = all(one.startswith("#") for one in held)
        if held and (alone or many) and not (only_headings and not paragraph.startswith("#")):
            yield "\n\n".join(held)
            held = []
        held.append(paragraph)
    if held:
        yield "\n\n".join(held)


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs; a block of code is one of them, whatever blank lines it holds."""
    held = ""
    for part in re.split(r"(\n\s*\n)", text.strip()):
        held += part
        if held.strip() and held.count("```") % 2 == 0:
            yield held.strip("\n")
            held = ""
    if held.strip():
        yield held.strip("\n")


def shortened(output: NotebookNode) -> NotebookNode:
    """Return an output that fits on a slide: long texts are cut, pages with scripts are left to the notebook."""
    data = output.get("data", {})
    if re.search(r"<(script|iframe)\b", data.get("text/html", "")):
        del data["text/html"]
    if output.output_type == "stream":
        output.text = cut(output.text)
    elif "text/plain" in data:
        data["text/plain"] = cut(data["text/plain"])
    if "data" in output and not data:
        return new_output("stream", text="(to be seen in the notebook)\n")
    return output


def described(output: NotebookNode, said: str) -> NotebookNode:
    """Give a picture its alt text: its own description, or the sentence below it."""
    data = output.get("data", {})
    for kind in PICTURES:
        if kind in data:
            output.metadata[kind] = {"alt": said_by_itself(data) or said}
    return output


def cut(text: str) -> str:
    """Return the beginning of a text, and how many lines it goes on for.

    >>> cut("short"), cut("line\\n" * 30).splitlines()[-1]
    ('short', '… and 14 more lines, in the notebook')
    """
    lines = text.splitlines()
    if len(lines) <= MOST_LINES:
        return text
    return "\n".join([*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more lines, in the notebook"]) + "\n"
