"""The course as web pages: every notebook is there, every link leads somewhere, and nothing comes from outside."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from tools.repo.notebooks import ROOT, read_notebook
from tools.repo.site import build_site, page_link, page_name, sources
from utils.errors import CourseError


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    build_site(out)
    return out


def test_every_notebook_and_text_is_a_page(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert pages == {page_name(source) for source in sources()}
    assert {"index.html", "docs/glossary.html", "lessons/01_turn_text_into_tokens.html"} <= pages
    assert not any("solutions" in page for page in pages)


def test_no_link_is_dead_and_nothing_is_loaded_from_outside(site):
    dead = []
    for page in site.rglob("*.html"):
        tags = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all(["a", "img", "script", "link"])
        for tag, link in ((tag.name, tag.get("href") or tag.get("src")) for tag in tags):
            parts = urlsplit(link or "")
            if parts.scheme in ("http", "https"):
                dead += [(page.name, link)] if tag != "a" else []
            elif parts.path and parts.scheme != "data" and not (page.parent / unquote(parts.path)).is_file():
                dead.append((page.name, link))
    assert dead == []


def test_a_page_shows_what_its_notebook_says_prints_and_draws(site):
    source = ROOT / "lessons" / "03_build_the_whole_network.ipynb"
    page = (site / page_name(source)).read_text(encoding="utf-8")
    notebook = read_notebook(source)
    pictures = sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", []))
    assert page.count('src="data:image/png;base64,') == pictures > 0
    assert "<title>03 · The whole network</title>" in page
    assert "The same in all 753,855 numbers." in page
    assert "git clone -q" not in page, "the cell for Colab is of no use to who reads"


def test_every_picture_of_a_page_says_in_words_what_it_shows(site):
    mute, alts = [], []
    for page in site.rglob("*.html"):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        said = [(tag, tag.get("alt", "")) for tag in soup.find_all("img")]
        said += [(tag, tag.title.get_text() if tag.title else "") for tag in soup.find_all("svg", role="img")]
        mute += [(page.name, str(tag)[:80]) for tag, alt in said if len(alt.split()) < 3]
        alts += [alt for tag, alt in said if tag.get("src", "data:").startswith("data:")]
    assert mute == [] and len(alts) > 80
    assert all(len(alt.split()) >= 5 and "No description" not in alt for alt in alts)
    assert any('From "it" a thick arc leads back to "kite"' in alt for alt in alts), "words in quotes stay"


def test_links_between_sources_become_links_between_pages():
    readme, lesson = ROOT / "README.md", ROOT / "lessons" / "03_build_the_whole_network.ipynb"
    assert page_link("lessons/03_build_the_whole_network.ipynb", readme) == "lessons/03_build_the_whole_network.html"
    assert page_link("../README.md", lesson) == "../index.html"
    assert page_link("https://example.org/a", lesson) == "https://example.org/a"
    assert re.fullmatch(
        r"https://github.com/[^/]+/[^/]+/blob/[^/]+/utils/model.py", page_link("../utils/model.py", lesson)
    )


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(CourseError, match="holds something else than a site"):
        build_site(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_every_word_of_the_glossary_leads_to_a_lesson_and_stands_in_order():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"(?m)^\*\*([^*]+)\*\* · ", text)
    assert len(words) > 40
    assert [word.lower() for word in words] == sorted(word.lower() for word in words)
    missing = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not (ROOT / "docs" / link).is_file()]
    assert missing == []
