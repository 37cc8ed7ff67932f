"""Slides: a section of a lesson each, all of its code, the answers in the notes, and nothing from another host."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.browsers import IN_BROWSER, served
from tools.__main__ import main
from tools.classroom.key import ASKED
from tools.classroom.slides import MOST_LINES, MOST_WORDS, make_slides, parts_of, reveal_folder, slides_of
from tools.repo.notebooks import ROOT, read_notebook
from utils.errors import CourseError

LESSONS = sorted((ROOT / "lessons").glob("[0-9]*.ipynb"))
WITH_REVEAL = pytest.mark.skipif(find_spec("sphinx_revealjs") is None, reason="sphinx-revealjs is not installed here")
LOADED = re.compile(r"(?:from|url\(|import)\s*[\"']?(?:https?:)?//[^\"')\s]+")


def soup_of(page: str) -> BeautifulSoup:
    return BeautifulSoup(page, "html.parser")


def loaded_from_elsewhere(page: str) -> list[str]:
    """Return what a page would fetch from another host; a link that a reader follows is nothing that it fetches."""
    soup = soup_of(page)
    named = [tag["src"] for tag in soup.find_all(src=True)] + [tag["href"] for tag in soup.find_all("link", href=True)]
    inside = LOADED.findall("\n".join(tag.get_text() for tag in soup.find_all(["style", "script"])))
    return [name for name in named if "//" in name.partition(",")[0]] + inside


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_slides_hold_a_lesson_and_load_nothing_from_another_host(path):
    notebook = read_notebook(path)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and "cellView" not in cell.metadata]
    page = slides_of(read_notebook(path))
    slides = soup_of(page).select("div.slides > section")
    assert len(slides) == sum(len(re.findall(r"(?m)^##? ", text)) for text in texts)
    assert len(soup_of(page).select("div.jp-CodeCell")) == len(code)
    assert len(soup_of(page).select("aside.notes")) == sum(text.count(ASKED) for text in texts) > 5
    assert all(picture.get("alt") for picture in soup_of(page).find_all("img"))
    assert loaded_from_elsewhere(page) == [] and "Open in Colab" not in page
    assert all(href.startswith("http") or href.startswith("#") for href in links_of(page))


def links_of(page: str) -> list[str]:
    return [link["href"] for link in soup_of(page).select("div.slides a[href]")]


def test_what_is_asked_stands_alone_and_its_answer_is_in_the_notes():
    texts = [
        "# 02 · A title",
        "## Odds\n\nA sentence.\n\n**Predict.** Heads or tails?",
        "**You should see** tails.\n\nMore.",
    ]
    cells = [new_markdown_cell(text) for text in texts]
    page = soup_of(slides_of(new_notebook(cells=[*cells[:2], new_code_cell("toss()"), cells[2]])))
    first, second = page.select("div.slides > section")
    below = second.find_all("section")
    assert first.find("section").get_text(strip=True).startswith("02 · A title")
    assert [part.get_text(" ", strip=True).split()[0] for part in below] == ["Odds", "Predict.", "toss", "You"]
    assert "Tails." in below[1].find("aside").get_text()
    assert below[1].find("aside").get_text(strip=True) not in below[0].get_text()


def test_long_outputs_and_pages_with_scripts_are_left_to_the_notebook():
    outputs = [
        new_output("stream", text="".join(f"line {number}\n" for number in range(40))),
        new_output("display_data", data={"text/html": "<script>alert(1)</script>", "image/png": "iVBORw0KGgo="}),
        new_output("display_data", data={"text/html": "<iframe srcdoc='x'></iframe>"}),
    ]
    page = slides_of(new_notebook(cells=[new_markdown_cell("# One"), new_code_cell("f()", outputs=outputs)]))
    assert f"line {MOST_LINES - 1}\n" in page and f"line {MOST_LINES}\n" not in page
    assert f"and {40 - MOST_LINES} more lines" in page
    assert "alert(1)" not in page and "srcdoc" not in page and "to be seen in the notebook" in page
    assert "data:image/png" in page


def test_text_is_cut_between_paragraphs_and_code_stays_whole():
    code = "```python\nfirst = 1\n\n\nsecond = 2\n```"
    long = "word " * (MOST_WORDS - 10)
    parts = list(
        parts_of(f"## A heading\n\n{long}\n\n{long}\n\n{code}\n\n[a file](../docs/x.md), [a host](https://a.b)")
    )
    assert parts[0].startswith("## A heading\n\nword") and len(parts) == 3
    assert sum(code in part for part in parts) == 1 and parts[2] == "a file, [a host](https://a.b)"


def test_without_reveal_and_without_a_lesson_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    for names in (["99"], []):
        with pytest.raises(CourseError, match="No lesson begins with"):
            make_slides(names, tmp_path)
    monkeypatch.setattr("tools.classroom.slides.find_spec", lambda name: None)
    assert main(["class", "slides", "02", "--out", str(tmp_path)]) == 1
    assert "sphinx-revealjs" in capsys.readouterr().err


@WITH_REVEAL
def test_all_that_the_slides_load_lies_beside_them(tmp_path):
    assert main(["class", "slides", "02", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "02_one_head_by_hand.html").read_text(encoding="utf-8")
    named = [tag[name] for tag, name in loads_of(page)]
    assert len(named) >= 4 and all((tmp_path / name).is_file() for name in named), named
    for style in tmp_path.rglob("*.css"):
        inside = re.findall(r"url\([\"']?([^\"')]+)", style.read_text(encoding="utf-8"))
        assert all(Path(style.parent, name.partition("?")[0]).is_file() for name in inside if name[:5] != "data:")
    assert (tmp_path / "reveal" / "LICENSE").is_file() and reveal_folder().is_dir()


def loads_of(page: str) -> list[tuple]:
    scripts = [(tag, "src") for tag in soup_of(page).find_all("script", src=True)]
    return scripts + [(tag, "href") for tag in soup_of(page).find_all("link", href=True)]


class TestInBrowser:
    pytestmark = [*IN_BROWSER, WITH_REVEAL]

    def test_slides_turn_fit_and_ask_no_other_host(self, visit, tmp_path):
        make_slides(["02"], tmp_path)
        with served(tmp_path) as address:
            visit.page.goto(f"{address}02_one_head_by_hand.html")
            visit.page.wait_for_function("window.Reveal && Reveal.isReady()")
            heights = visit.page.evaluate(
                "Reveal.getSlides().map(one => { const at = Reveal.getIndices(one); Reveal.slide(at.h, at.v);"
                " return one.offsetHeight; })"
            )
            visit.page.keyboard.press("Home")
            visit.page.keyboard.press("ArrowRight")
            at = visit.page.evaluate("Reveal.getIndices().h")
        assert len(heights) > 40 and max(heights) <= 760 and at == 1
        assert not visit.outside and not visit.errors
