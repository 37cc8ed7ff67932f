"""The course as web pages that can be read anywhere: `python -m tools site` writes them, with nothing from outside."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.repo.notebooks import ROOT, find_notebooks, read_notebook
from utils.errors import CourseError

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
    pages = [write_page(source, notebook_body(source), out) for source in published_notebooks()]
    pages += [write_page(source, text_body(source), out) for source in published_texts()]
    for picture in (ROOT / "docs").glob("*.svg"):
        (out / "docs").mkdir(exist_ok=True)
        shutil.copy(picture, out / "docs" / picture.name)
    from pygments.formatters import HtmlFormatter

    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    (out / "site.css").write_text(STYLE.read_text(encoding="utf-8") + colours + "\n", encoding="utf-8")
    return pages


def published_notebooks() -> list[Path]:
    """Return the notebooks that learners read."""
    return [path for path in find_notebooks() if "solutions" not in path.parts]


def published_texts() -> list[Path]:
    """Return the Markdown files that become pages."""
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def page_name(source: Path) -> str:
    """Return where the page of a source lies in the site.

    >>> page_name(ROOT / "README.md"), page_name(ROOT / "lessons" / "00_start.ipynb")
    ('index.html', 'lessons/00_start.html')
    """
    if source == ROOT / "README.md":
        return "index.html"
    return source.relative_to(ROOT).with_suffix(".html").as_posix()


def notebook_body(source: Path) -> str:
    """Return a notebook as HTML: its text, its code, and what it printed and drew."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(read_notebook(source))
    return body


def text_body(source: Path) -> str:
    """Return a Markdown file as HTML."""
    from nbconvert.filters import markdown2html

    return markdown2html(source.read_text(encoding="utf-8"))


def write_page(source: Path, body: str, out: Path) -> Path:
    """Write one page; links to sources become links to their pages, or to where the repository keeps them."""
    target = out / page_name(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    title = re.search(r"<h1[^>]*>(.*?)(?:<a |</h1>)", body, re.DOTALL)
    name = re.sub(r"<[^>]+>", "", title[1]).strip() if title else source.stem
    body = re.sub(r'href="([^"#]+)(#[^"]*)?"', lambda m: f'href="{page_link(m[1], source)}{m[2] or ""}"', body)
    up = "../" * (len(target.relative_to(out).parts) - 1)
    text = PAGE.format(title=escape(name, quote=False), up=up, body=body)
    target.write_text(text, encoding="utf-8", newline="\n")
    return target


def page_link(link: str, source: Path) -> str:
    """Return where a link of a source leads in the site: to a page, or to the file on the web where it has none."""
    if urlsplit(link).scheme or link.startswith("/"):
        return link
    file = (source.parent / unquote(link)).resolve()
    if file in (*published_notebooks(), *published_texts()):
        up = "../" * (len(Path(page_name(source)).parts) - 1)
        return up + page_name(file)
    if file.suffix == ".svg" or not file.exists():  # dead_links names what is not there
        return link
    from tools.repo.course_map import read_home

    home = read_home()
    kind = "tree" if file.is_dir() else "blob"
    return f"https://github.com/{home.repository}/{kind}/{home.branch}/{file.relative_to(ROOT).as_posix()}"


class Links(HTMLParser):
    """Collects what a page links to and the places in it that a link can name."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.loads: list[str] = []  # what a browser fetches without being asked

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.places |= {unquote(value) for name, value in attrs if name in ("id", "name") and value}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        for name in ("src", "href") if tag != "a" else ("src",):
            if found.get(name) and not found[name].startswith("data:"):
                self.loads.append(found[name])


def read_links(page: Path) -> Links:
    links = Links()
    links.feed(page.read_text(encoding="utf-8"))
    return links


def dead_links(out: Path) -> Iterator[str]:
    """Yield every link of a site that leads nowhere inside it, and everything that a page loads from outside."""
    pages = {page.resolve(): read_links(page) for page in sorted(out.rglob("*.html"))}
    for page, found in pages.items():
        name = page.relative_to(out.resolve()).as_posix()
        for link in [*found.links, *found.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in found.loads:
                    yield f"{name} loads {link[:80]} from outside"
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file():
                yield f"{name} links to {link}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{name} links to {link}, a place that is not on that page"
