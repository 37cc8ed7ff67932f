"""Static site: the course as web pages that load nothing from outside; `python course.py site` writes them."""

from __future__ import annotations

import re
import shutil
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nbformat import NotebookNode

from tools.repo.course_map import read_home
from tools.repo.notebook_rules import captions, pictures, said_by_itself
from tools.repo.notebooks import find_notebooks, read_notebook
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.progress import progress

PAGES = ("README.md", "docs/*.md", "data/README.md", "data/nano/README.md", "data/stories/README.md")
STYLE = ROOT / "docs" / "site.css"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{up}site.css">
</head>
<body>
<nav><a href="{up}index.html">Hands-On GPT-2</a></nav>
<main>
{body}
</main>
</body>
</html>
"""


def build_site(out: Path) -> list[Path]:
    """Write a page for each notebook and text of the course, and return the pages; solutions stay out."""
    if out.exists() and any(out.iterdir()) and not (out / "site.css").is_file():
        raise CourseError(f"{out} holds something else than a site. Choose an empty folder.")
    from pygments.formatters import HtmlFormatter

    pages = [write_page(source, out) for source in progress(sources(), "pages")]
    for picture in (ROOT / "docs").glob("*.svg"):
        shutil.copy(picture, out / "docs" / picture.name)
    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    (out / "site.css").write_text(STYLE.read_text(encoding="utf-8") + colours + "\n", encoding="utf-8")
    return pages


@cache  # every link asks for them
def sources() -> list[Path]:
    """Return the notebooks that learners read, and the Markdown files that become pages."""
    notebooks = [path for path in find_notebooks() if "solutions" not in path.parts]
    return notebooks + sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def page_name(source: Path) -> str:
    """Return where the page of a source lies in the site.

    >>> page_name(ROOT / "README.md"), page_name(ROOT / "lessons" / "00_start.ipynb")
    ('index.html', 'lessons/00_start.html')
    """
    return "index.html" if source == ROOT / "README.md" else source.relative_to(ROOT).with_suffix(".html").as_posix()


def write_page(source: Path, out: Path) -> Path:
    """Write one page; links to sources become links to their pages, or to where the repository keeps them."""
    from nbconvert import HTMLExporter
    from nbconvert.filters import markdown2html

    if source.suffix == ".ipynb":
        exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
        notebook = describe_pictures(read_notebook(source))
        notebook.cells = [cell for cell in notebook.cells if "cellView" not in cell.metadata]  # Colab's is folded there
        body, _ = exporter.from_notebook_node(notebook)
    else:
        body = markdown2html(source.read_text(encoding="utf-8"))
    title = re.search(r"<h1[^>]*>(.*?)(?:<a |</h1>)", body, re.DOTALL)
    name = re.sub(r"<[^>]+>", "", title[1]).strip() if title else source.stem
    body = re.sub(r'href="([^"#]+)(#[^"]*)?"', lambda m: f'href="{page_link(m[1], source)}{m[2] or ""}"', body)
    target = out / page_name(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = PAGE.format(title=escape(name, quote=False), up="../" * page_name(source).count("/"), body=body)
    target.write_text(text, encoding="utf-8", newline="\n")
    return target


def describe_pictures(notebook: NotebookNode) -> NotebookNode:
    """Give each picture its alt text, which nbconvert writes: the sentence in italics below it, or its own."""
    for cell, said in zip(notebook.cells, captions(notebook), strict=True):
        for data in pictures(cell):
            cell.metadata["alt"] = said or said_by_itself(data)
    return notebook


def page_link(link: str, source: Path) -> str:
    """Return where a link of a source leads in the site: to a page, or to the file on the web where it has none."""
    file = (source.parent / unquote(link)).resolve()
    if urlsplit(link).scheme or link.startswith("/") or file.suffix == ".svg" or not file.exists():
        return link
    if file in sources():
        return "../" * page_name(source).count("/") + page_name(file)
    home, kind = read_home(), "tree" if file.is_dir() else "blob"
    return f"https://github.com/{home.repository}/{kind}/{home.branch}/{file.relative_to(ROOT).as_posix()}"
