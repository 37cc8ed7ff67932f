"""Static site: the course as web pages by Sphinx and MyST-NB, loading nothing from outside; `python course.py site`.

Notebooks are shown with their stored outputs; none is run. Before Sphinx reads them, `prepare` writes them as a
reader wants them: without Colab's cell, what a *Predict* asks for folded, pictures with their descriptions.
"""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tools.repo.course_map import read_home
from tools.repo.notebook_rules import captions, pictures, said_by_itself
from tools.repo.notebooks import as_text, find_notebooks, read_notebook
from tools.web.model_file import write_model
from tools.web.page import VIEWS
from tools.web.views import INSTEAD, PROMPT, next_tokens
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.loaders import load_with_tokenizer
from utils.plots.living import place_for

PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/*.md",
    "data/**/README.md",
    "exercises/capstone/README.md",
)
PICTURES = (".svg", ".png")
FRONT = ROOT / "docs" / "site"  # the front page, the style, the favicon
TITLE, ABOUT = "Hands-On GPT-2", "A course in notebooks: look inside GPT-2, load it, quantize it, train it, serve it."
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
WORD = re.compile(r"(?m)^\*\*([^*]+)\*\* · (.+)$")  # an entry of the glossary
LIVING = "<!-- living picture -->"
LIVE_IN = {"03": ["lens"], "04": ["sampling"], "07": ["bits"], "08": ["bits"]}  # pages of lessons, at their end
LIVE = re.compile(r"<!-- live: (\w+) ?(\{.*\})? -->")  # a view of docs/site/live that works in the page
SETTINGS: dict[str, Any] = {
    "project": TITLE,
    "author": "the makers of the course",
    "extensions": ["myst_nb", "sphinx_copybutton"],
    "nb_execution_mode": "off",
    "nb_output_stderr": "remove",
    "nb_code_prompt_show": "Write your guess down, then open the {type}",
    "nb_code_prompt_hide": "Close the {type}",
    "nb_ipywidgets_js": {},  # widgets are stored with their picture; their scripts would come from outside
    "myst_heading_anchors": 4,
    "myst_enable_extensions": ["attrs_inline"],
    "html_theme": "sphinx_book_theme",
    "html_title": TITLE,
    "html_static_path": ["_static"],
    "html_context": {"default_mode": "auto"},  # light or dark, as the reader's system is
    "html_css_files": ["style.css", "live/live.css"],
    "html_favicon": "_static/favicon.svg",
    "html_show_sphinx": False,
    "html_use_index": False,
    "html_copy_source": True,
    "suppress_warnings": ["mystnb.unknown_mime_type", "misc.highlighting_failure"],
}


def build_site(out: Path, live: bool = True) -> list[Path]:
    """Write a page for each notebook and text of the course, and return the pages; solutions stay out.

    With `live`, nano lies in the site too, and its views work in the page; without, they stay pictures.
    """
    from sphinx.application import Sphinx

    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").is_file():
        raise CourseError(f"{out} holds something else than a site. Choose an empty folder.")
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        source, built = Path(folder, "source"), Path(folder, "site", "html")  # myst-nb keeps pictures beside its output
        prepare(source, live)
        options = SETTINGS | {"html_theme_options": theme_options()}
        app = Sphinx(str(source), None, str(built), str(source / ".doctrees"), "html", options, status=None, parallel=1)
        app.connect("html-page-context", add_open_graph)
        if live:
            app.connect("html-page-context", wake_views)
        app.build()
        if app.statuscode:
            raise CourseError("Sphinx could not build the site; what it found stands above.")
        own_to_the_theme = shutil.ignore_patterns("*macros.html")  # which are no pages
        shutil.copytree(built, out, ignore=own_to_the_theme, dirs_exist_ok=True)
    return sorted(out / page_name(file) for file in sources())


def theme_options() -> dict[str, Any]:
    """Return what the theme shows: the repository, the button for Colab, and the contents of a page."""
    home = read_home()
    return {
        "repository_url": f"https://github.com/{home.repository}",
        "repository_branch": home.branch,
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
        "navbar_persistent": [],
        "show_toc_level": 2,
        "home_page_in_toc": True,
        "pygments_light_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
    }


@cache  # every link asks for them
def sources() -> list[Path]:
    """Return the notebooks that learners read, and the Markdown files that become pages."""
    notebooks = [path for path in find_notebooks() if "solutions" not in path.parts]
    return [*notebooks, *sorted(FRONT.glob("*.md")), *sorted(path for pattern in PAGES for path in ROOT.glob(pattern))]


def page_name(source: Path) -> str:
    """Return where the page of a source lies in the site.

    >>> page_name(ROOT / "README.md"), page_name(FRONT / "index.md")
    ('README.html', 'index.html')
    """
    return place_of(source).with_suffix(".html").as_posix()


def place_of(source: Path) -> Path:
    """Return where a source lies in the tree that Sphinx reads."""
    return Path(source.name) if source.parent == FRONT else source.relative_to(ROOT)


def prepare(folder: Path, live: bool) -> None:
    """Write the sources as Sphinx is to read them."""
    words = glossary()
    shutil.copytree(FRONT, folder / "_static", ignore=shutil.ignore_patterns("*.md"))
    nano, tokenizer = load_with_tokenizer("nano")
    if live:
        write_model(nano, tokenizer, folder / "_static" / "live" / "model", finer=True, prompt=PROMPT)
    stored = next_tokens(nano, tokenizer, PROMPT)
    for source in sources():
        target = folder / place_of(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".ipynb":
            notebook = for_readers(read_notebook(source), source, words)
            notebook.cells += living_cells(source, stored) if live else []
            text = as_text(notebook)
        else:
            text = with_page_links(source.read_text(encoding="utf-8"), source)
            text = text.replace(LIVING, living_picture())
            text = LIVE.sub(lambda match: f"```{{raw}} html\n{live_view(match[1], stored, match[2])}\n```", text)
            if source.name == "glossary.md":
                text = WORD.sub(lambda match: f"({label(match[1])})=\n{match[0]}", text)
        target.write_text(text, encoding="utf-8", newline="\n")
    for picture in (path for path in (ROOT / "docs").iterdir() if path.suffix in PICTURES):
        shutil.copy(picture, folder / "docs" / picture.name)


def living_picture() -> str:
    """Return the head browser that a lesson has stored, as the front page shows it."""
    for path in (path for path in sources() if path.parent.name == "lessons"):
        for cell in read_notebook(path).cells:
            for output in cell.get("outputs", []):
                if 'class="heads"' in (page := output.get("data", {}).get("text/html", "")):
                    return f"```{{raw}} html\n{page}\n```"
    raise CourseError("No lesson has stored a head browser, which the front page shows.")


def living_cells(source: Path, stored: str) -> list[NotebookNode]:
    """Return what the page of a lesson ends with: the living views of what it teaches."""
    views = LIVE_IN.get(source.name[:2], []) if source.parent.name == "lessons" else []
    told = [f"{VIEWS[view][1]}\n\n{live_view(view, stored)}" for view in views]
    return [new_markdown_cell("\n\n".join(["## Alive in this page", *told]))] if told else []


def live_view(name: str, stored: str, settings: str | None = None) -> str:
    """Return the place of a living view, with its picture until it works; `settings` is JSON."""
    return place_for(name, stored if name == "sampling" else INSTEAD, **json.loads(settings or "{}"))


def for_readers(notebook: NotebookNode, source: Path, words: dict[str, str]) -> NotebookNode:
    """Return a notebook for those who read and don't run: links to pages, answers folded, pictures described."""
    for cell, said in zip(notebook.cells, captions(notebook), strict=True):
        for data in pictures(cell):
            cell.metadata["mystnb"] = {"image": {"alt": said or said_by_itself(data)}}
    notebook.cells = [cell for cell in notebook.cells if "cellView" not in cell.metadata]  # Colab's own first cell
    unseen = dict(words)
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.cell_type == "markdown":
            cell.source = with_glossary(with_page_links(cell.source, source), source, unseen)
            if "**Predict.**" in cell.source and after is not None and after.get("outputs"):
                after.metadata.setdefault("tags", []).append("hide-output")
    return notebook


def glossary() -> dict[str, str]:
    """Return each word of the glossary with what it means, without links."""
    entries = WORD.findall((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    return {word: re.sub(r"\s*\[[^\]]*\]\([^)]*\)", "", meaning) for word, meaning in entries}


def label(word: str) -> str:
    """Return the name under which a page refers to a word of the glossary.

    >>> label("BPE, byte-pair encoding")
    'word-bpe-byte-pair-encoding'
    """
    return "word-" + re.sub(r"\W+", "-", word.lower()).strip("-")


def with_glossary(text: str, source: Path, unseen: dict[str, str]) -> str:
    """Link words in bold to the glossary at their first use, with their meaning to hover over."""
    for entry in list(unseen):
        for word in entry.split(", "):
            if (bold := f"**{word}**") in text:
                meaning = unseen.pop(entry, "").replace('"', "'")
                text = text.replace(bold, f'[{bold}](#{label(entry)} "{meaning}")', 1)
                break
    return text


def with_page_links(text: str, source: Path) -> str:
    """Return a text whose links lead to pages of the site, or to where the repository keeps what has none."""
    return LINK.sub(lambda match: page_link(match[1], source) + (match[2] or ""), text)


def page_link(link: str, source: Path) -> str:
    """Return where a link of a source leads: itself if there is a page, else the file on the web."""
    file = (source.parent / unquote(link)).resolve()
    if urlsplit(link).scheme or link.startswith("/") or not file.exists():
        return link
    if file in sources() or file.suffix in PICTURES:
        return "../" * (len(place_of(source).parts) - 1) + place_of(file).as_posix()
    home, kind = read_home(), "tree" if file.is_dir() else "blob"
    return f"https://github.com/{home.repository}/{kind}/{home.branch}/{file.relative_to(ROOT).as_posix()}"


def add_open_graph(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell those who share a page its title and what the course is."""
    title = re.sub(r"<[^>]+>", "", context.get("title") or TITLE)
    values = {"og:title": title, "og:description": ABOUT, "og:type": "article", "og:site_name": TITLE}
    lines = [f'<meta property="{name}" content="{escape(value)}">' for name, value in values.items()]
    lines.append(f'<meta name="description" content="{escape(ABOUT)}">')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def wake_views(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the script that brings views to life follow on the pages that have places for them."""
    if "data-live=" in (body := context.get("body", "")):
        script = context["pathto"]("_static/live/live.js", 1)
        context["body"] = f'{body}\n<script type="module" src="{script}"></script>'
