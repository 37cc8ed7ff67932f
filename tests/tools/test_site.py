"""The course as web pages: every notebook is there, every link leads somewhere, nothing comes from outside."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from tests.browsers import IN_BROWSER, serious, served
from tools.repo.notebooks import ROOT, read_notebook
from tools.repo.site import FRONT, LIVE_IN, build_site, glossary, page_link, page_name, sources, with_glossary
from tools.web.page import VIEWS
from utils.errors import CourseError

OWN = {"search.html"}  # a page that Sphinx adds
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:myst_parser")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "pages"
    build_site(out)
    assert [path.name for path in out.parent.iterdir()] == ["pages"]  # a class pack holds nothing that it doesn't name
    return out


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    with served(site) as address:
        yield address


def page_of(site: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")


def test_every_notebook_and_text_is_a_page_and_stands_in_the_list_of_pages(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - OWN
    assert pages == {page_name(source) for source in sources()}
    assert not any("solutions" in page for page in pages)
    listed = {link["href"] for link in page_of(site, "index.html").select("nav.bd-links a")}
    assert pages - {"index.html"} <= listed, "a page is in no list: add it to docs/site/index.md"


def test_no_link_is_dead_and_nothing_is_loaded_from_outside(site):
    dead = []
    for page in site.rglob("*.html"):
        tags = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all(["a", "img", "script", "link"])
        for tag, link in ((tag.name, tag.get("href") or tag.get("src")) for tag in tags):
            parts = urlsplit(link or "")
            if parts.scheme in ("http", "https"):
                dead += [(page.name, link)] if tag != "a" else []
            elif parts.path and parts.scheme not in ("data", "mailto"):
                dead += [] if (page.parent / unquote(parts.path)).is_file() else [(page.name, link)]
    assert dead == []


def test_a_page_shows_what_its_notebook_says_prints_and_draws(site):
    source = ROOT / "lessons" / "03_build_the_whole_network.ipynb"
    page, notebook = page_of(site, page_name(source)), read_notebook(source)
    drawn = {"image/png", "image/svg+xml"}
    pictures = sum(bool(drawn & set(out.get("data", {}))) for cell in notebook.cells for out in cell.get("outputs", []))
    shown = page.select(".cell_output img")
    assert len(shown) == pictures > 0
    assert all(len(picture["alt"].split()) > 3 for picture in shown)
    assert page.title.text.startswith("03 · The whole network")
    assert page.find("meta", property="og:title")["content"] == "03 · The whole network"
    assert "The same in all 753,855 numbers." in page.text
    assert "git clone -q" not in page.text, "the cell for Colab is of no use to who reads"


def test_views_that_lessons_have_stored_come_alive_on_their_pages(site):
    for name, view in (("00_set_up_and_choose_a_size", "sampling"), ("02_one_head_by_hand", "attention")):
        page = page_of(site, f"lessons/{name}.html")
        assert page.select_one(f".cell_output .live[data-live={view}][data-prompt]")
        assert page.select_one("script[type=module]")["src"].endswith("../_static/live/live.js")


def test_what_a_predict_asks_for_is_folded(site):
    page = page_of(site, "lessons/02_one_head_by_hand.html")
    asked = [part for part in page.find_all("p") if part.text.startswith("Predict.")]
    folded = page.select("details.hide.below-input")
    assert 0.7 * len(asked) <= len(folded) <= len(asked)
    assert folded[0].summary.text.strip().startswith("Write your guess down")


def test_a_word_of_the_glossary_says_what_it_means_where_it_is_used_first(site):
    link = next(a for a in page_of(site, "lessons/02_one_head_by_hand.html").select("a[title]") if a.strong)
    entry = next(entry for entry in glossary() if link.text in entry.split(", "))
    assert link["title"].startswith(glossary()[entry].split("`")[0][:20])
    assert (site / "docs" / "glossary.html").read_text(encoding="utf-8").count('id="word-') >= len(glossary())
    text = with_glossary("**block** and **block** and **walk**", FRONT, {"block": 'a "part"', "x": "y"})
    assert text == """[**block**](#word-block "a 'part'") and **block** and **walk**"""


def test_every_picture_of_a_page_says_in_words_what_it_shows(site):
    mute, alts = [], []
    for page in site.rglob("*.html"):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        said = [(tag, tag.get("alt", "")) for tag in soup.select("article.bd-article img")]
        said += [(tag, tag.title.get_text() if tag.title else "") for tag in soup.find_all("svg", role="img")]
        mute += [(page.name, str(tag)[:80]) for tag, alt in said if len(alt.split()) < 3]
        alts += [alt for tag, alt in said if tag.find_parent(class_="cell_output")]
    assert mute == [] and len(alts) > 80
    assert all(len(alt.split()) >= 5 and "No description" not in alt for alt in alts)
    assert any('From "it" a thick arc leads back to "kite"' in alt for alt in alts), "words in quotes stay"


def test_living_views_stand_on_their_pages_with_the_model_that_they_load(site):
    views = {place["data-live"] for place in page_of(site, "live.html").select("[data-live]")}
    assert views == set(VIEWS)
    for name in LIVING_LESSONS:
        places = page_of(site, name).select("[data-live]")
        at_the_end = LIVE_IN[Path(name).name[:2]]
        assert [place["data-live"] for place in places][-len(at_the_end) :] == at_the_end
    shares = [tag.text for tag in page_of(site, "index.html").select(".live .share")]
    assert shares == sorted(shares, key=lambda share: -float(share.split()[0])), "the picture has no bars in order"
    assert (site / "_static/live/model/model.bin").stat().st_size > 5_000_000
    loaded = [file for file in (site / "_static/live").rglob("*") if file.is_file()]
    assert sum(len(zlib.compress(file.read_bytes(), 6)) for file in loaded) < 10_000_000


def test_links_between_sources_become_links_between_pages():
    readme, lesson = ROOT / "README.md", ROOT / "lessons" / "03_build_the_whole_network.ipynb"
    assert page_link("lessons/03_build_the_whole_network.ipynb", readme) == "lessons/03_build_the_whole_network.ipynb"
    assert page_link("../README.md", lesson) == "../README.md"
    assert page_link("../../README.md", FRONT / "index.md") == "README.md"
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


# In a browser

LIVING_LESSONS = [page_name(path) for path in sources() if path.parent.name == "lessons" and path.name[:2] in LIVE_IN]
KINDS = [  # pages of every kind; `-m all_pages` looks at all others
    "index.html", "live.html", "search.html", "docs/glossary.html", "docs/benchmarks.html",
    "exercises/03_build_attention.html", "lessons/00_set_up_and_choose_a_size.html",
    "lessons/02_one_head_by_hand.html", "labs/05_compare_all_loaders.html",
]  # fmt: skip
OTHERS = sorted({page_name(source) for source in sources()} - set(KINDS))


def each(pages: list[str], others: list[str]) -> pytest.MarkDecorator:
    """Let a test look at pages one by one: at the others only where all pages are asked for."""
    rare = [pytest.param(page, marks=pytest.mark.all_pages) for page in others]
    return pytest.mark.parametrize("page", [*pages, *rare])


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
class TestInBrowser:
    pytestmark = IN_BROWSER

    @each(KINDS, OTHERS)
    def test_no_page_hinders_its_readers_or_asks_another_host(self, visit, address, page, width, scheme):
        assert serious(visit, address + page, width, scheme) == []

    @each(["live.html", "index.html"], LIVING_LESSONS)
    def test_living_views_work_in_the_theme_of_the_site(self, visit, address, page, width, scheme):
        visit.page.emulate_media(color_scheme=scheme)
        visit.page.goto(address + page)
        visit.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")  # Predict's
        views = visit.page.locator("[data-live]")
        for view in views.all():
            view.scroll_into_view_if_needed()
            view.and_(visit.page.locator("[data-ready]")).wait_for()
        assert views.count() >= 1 and visit.outside == set() and visit.errors == []
        if page not in LIVING_LESSONS:  # the other test asks axe about lessons
            assert serious(visit, address + page, width, scheme, reload=False) == []


class TestFromAFile:
    pytestmark = IN_BROWSER

    def test_the_front_page_is_alive_without_a_server(self, browser, site):
        page = browser.new_page()
        page.goto((site / "index.html").as_uri())
        page.locator(".heads .text button").nth(3).hover()
        assert "looks at" in page.locator(".heads .said").inner_text()
        assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") != "32px", "no style came"
        assert page.locator(".live .bars li").count() == 8, "the view that can't work here left no picture"
        page.close()
