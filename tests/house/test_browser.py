"""The app and JupyterLab in a real browser, as a learner meets them; nothing may be asked of another machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import pytest

from lessons.figures.head_browser import browser_page
from tests.browsers import IN_BROWSER, Visit, serious
from utils.files.places import ROOT
from utils.files.published import published_prompts
from utils.plots.living import VIEWS
from utils.serve.page import start_app
from utils.serve.server import Limits

pytestmark = IN_BROWSER
MARKUP = '<img src="http://example.com/x.png" onerror="window.hit = 1"><b id="bold">bold</b> **star**'
ERRORS = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'


# The app


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "chat_log.csv"
    app = start_app({"nano": "nano", "twin": "nano"}, Limits(prompt=500, at_once=1, waiting=1), chat_log=log)
    yield app
    app.close()


@pytest.fixture
def form(visit, app) -> Visit:
    visit.page.goto(app.url)
    visit.page.wait_for_selector("#continue")
    return visit


def how_it_went(page) -> str:
    return page.evaluate("document.querySelector('#thoughts .caption span')?.textContent ?? ''")


def written(page) -> str:
    """Return what the first model has written so far."""
    return page.evaluate("[...(document.querySelector('#thoughts .paper')?.children ?? [])].slice(1)"
                         ".map(token => token.textContent).join('')")  # fmt: skip


def wait_until(page, fact, tries: int = 1200) -> None:
    """Wait until a fact is true, a minute at least."""
    for _ in range(tries):
        if fact():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{fact} did not become true")


def test_typing_and_pressing_streams_a_text(form, tmp_path):
    page = form.page
    page.fill("#seed-text textarea", "Once upon a time, there lived")
    page.click("#continue")
    seen = [""]
    for _ in range(2400):
        text = written(page)
        seen += [text] if text != seen[-1] else []
        if ";" in how_it_went(page):
            break
        page.wait_for_timeout(25)
    final = written(page)
    assert len(seen) > 3 and all(final.startswith(text) for text in seen), seen
    assert re.fullmatch(
        r"\d+ tokens, \d+ a second; (as long as you allowed|the model ended its text)", how_it_went(page)
    )
    page.screenshot(path=tmp_path / "form.png", full_page=True)
    assert form.outside == set() and form.errors == []


def test_an_emptied_top_n_is_no_limit_and_stop_stops(form):
    page = form.page
    page.get_by_label("Top N").fill("")
    page.get_by_label("Max tokens").fill("500")
    page.fill("#seed-text textarea", "Once upon a time, there lived")
    page.click("#continue")
    wait_until(page, lambda: written(page))
    page.click("#stop")
    page.wait_for_timeout(500)
    stopped = written(page)
    page.wait_for_timeout(1000)
    assert written(page) == stopped and ";" not in how_it_went(page)
    page.get_by_label("Max tokens").fill("3")
    page.click("#continue")
    wait_until(page, lambda: "3 tokens" in how_it_went(page))
    assert form.outside == set() and form.errors == []


def test_what_is_too_long_is_refused_on_the_page(form):
    page = form.page
    page.get_by_label("Max tokens").fill("3")
    page.fill("#seed-text textarea", "One day")
    page.press("#seed-text textarea", "Shift+Enter")
    wait_until(page, lambda: "3 tokens" in how_it_went(page))
    page.fill("#seed-text textarea", "x" * 501)
    page.click("#continue")
    page.get_by_text("The text has 501 characters, this server reads 500. Shorten it.").wait_for()
    wait_until(page, lambda: written(page) == how_it_went(page) == "")  # no old answer stays
    assert form.outside == set() and form.errors == []


def test_a_reader_sees_what_was_likely_and_takes_it_by_keys(form):
    page = form.page
    page.get_by_label("Max tokens").fill("8")
    page.get_by_label("Seed", exact=True).fill("5")
    page.fill("#seed-text textarea", "Once upon a time, there lived")
    page.click("#continue")
    wait_until(page, lambda: "8 tokens" in how_it_went(page))
    first, token = written(page), page.locator("#thoughts .token")
    assert page.locator("#thoughts .seed").inner_text() == "seed 5"
    token.nth(2).hover()
    assert page.locator("#thoughts .bars li").count() == 5 and "had" in page.locator("#thoughts .said").inner_text()
    token.first.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert token.nth(2).get_attribute("aria-pressed") == "true"
    token.nth(5).hover()
    assert token.nth(2).inner_text().strip() in page.locator("#thoughts .said").inner_text(), "it is held"
    other = page.locator("#thoughts .bars li:not(.written) button:enabled").first
    sign = other.locator("code").inner_text()
    other.press("Enter")
    wait_until(page, lambda: token.count() == 11 and "8 tokens" in how_it_went(page))
    assert token.nth(2).inner_text().replace(" ", "·") == sign and written(page) != first
    page.click("#continue")
    wait_until(page, lambda: written(page) == first)  # the same seed
    assert form.outside == set() and form.errors == []


def test_a_seed_that_was_drawn_can_be_kept_and_the_text_copied(form):
    page = form.page
    page.get_by_label("Max tokens").fill("8")
    page.fill("#seed-text textarea", "Once upon a time, there lived")
    page.click("#continue")
    wait_until(page, lambda: "8 tokens" in how_it_went(page))
    first, seed = written(page), page.locator("#thoughts .seed").inner_text().removeprefix("seed ")
    page.get_by_role("button", name="Keep this seed").click()
    wait_until(page, lambda: page.get_by_label("Seed", exact=True).input_value() == seed != "0")
    page.get_by_label("Max tokens").fill("9")
    page.click("#continue")
    wait_until(page, lambda: "9 tokens" in how_it_went(page))
    assert written(page).startswith(first)
    page.get_by_text("As plain text").click()
    wait_until(page, lambda: page.locator("#continuation textarea").input_value() == written(page))
    assert form.outside == set() and form.errors == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_two_answers_stand_side_by_side_and_hinder_nobody(form, app, width, scheme, tmp_path):
    page = form.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(app.url)
    page.get_by_label("Max tokens").fill("30")
    page.get_by_label("Beside it").click()
    page.get_by_role("option", name="twin").click()
    page.fill("#seed-text textarea", "Once upon a time, there lived")
    page.click("#continue")
    wait_until(page, lambda: page.get_by_text("as long as you allowed").count() == 2)
    page.locator("#thoughts .token").nth(3).click()
    left, right = (page.locator("#thoughts .answer").nth(number).bounding_box() for number in (0, 1))
    assert (left["y"] == right["y"]) == (width > 1000), "side by side where there is room, one below the other else"
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert serious(form, app.url, width, scheme, reload=False) == []


def test_markup_does_nothing_in_form_and_chat(form, tmp_path):
    page = form.page
    page.get_by_label("Max tokens").fill("3")
    page.fill("#seed-text textarea", MARKUP)
    page.click("#continue")
    wait_until(page, lambda: "3 tokens" in how_it_went(page))
    page.get_by_role("tab", name="Chat").click()
    page.fill("#query textarea", MARKUP)
    page.press("#query textarea", "Enter")
    page.locator("#conversation").get_by_text(MARKUP, exact=True).wait_for()
    wait_until(page, lambda: page.locator("#conversation .bot").count() > 0)
    assert page.locator("#bold, img[src*='example.com']").count() == 0
    assert page.evaluate("window.hit") is None
    page.screenshot(path=tmp_path / "chat.png", full_page=True)
    assert form.outside == set() and form.errors == []


# JupyterLab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab as `python course.py lab` does, in a copy of the course; return its address with its token."""
    folder = tmp_path_factory.mktemp("course")
    for part in ("utils", "lessons", "data", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    write_living_views(folder / "living.ipynb")
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    names += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    settings = {name: str(folder / "jupyter" / name) for name in names}
    places = os.pathsep.join([str(folder), str(ROOT)])  # tools are not copied
    environment = {**os.environ, **settings, "PYTHONPATH": places, "PYTHONUTF8": "1"}
    environment |= {"XDG_CACHE_HOME": str(folder / "own")}
    del environment["COURSE_MODEL"]  # a learner who has set nothing
    command = [sys.executable, "-m", "tools.jupyter", "--no-browser"]
    output = folder / "jupyter.log"
    with output.open("w", encoding="utf-8") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    yield wait_for_lab(server, output)
    server.terminate()
    server.wait(30)


def write_living_views(path: Path) -> None:
    """Write a notebook with a living view of nano in each cell."""
    start = "from utils import start\nfrom utils.plots.living import LivingView\ncourse = start(seed=0, size='nano')"
    show = "LivingView({!r}, course.model, course.tokenizer, 'Once upon a time, there lived a')"
    cells = [nbformat.v4.new_code_cell(start), *(nbformat.v4.new_code_cell(show.format(view)) for view in VIEWS)]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def wait_for_lab(server: subprocess.Popen, output: Path) -> str:
    """Return the address that the server has printed, once it answers there."""
    for _ in range(600):
        assert server.poll() is None, output.read_text(encoding="utf-8")
        if found := re.search(r"http://localhost:\S+token=\S+", output.read_text(encoding="utf-8")):
            try:
                if httpx.get(found[0], timeout=30).status_code == 200:
                    return found[0]
            except httpx.TransportError:
                pass  # not yet
        time.sleep(0.1)
    raise AssertionError(output.read_text(encoding="utf-8"))


def run_all(page, address: str) -> None:
    """Open the lesson that JupyterLab opens first, and run all of its cells, as the menu does."""
    page.goto(address + "&reset")  # no tab that an earlier visit has left open
    page.wait_for_selector(".jp-NotebookPanel-toolbar >> text=Python 3 (ipykernel)")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator:not([data-status=idle])")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")


def stops(page, folder: Path) -> Iterator[None]:
    """Scroll through a notebook, of which only the cells in sight exist, and keep a picture of each stop."""
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer")
    height, place = panel.evaluate("it => it.clientHeight"), 0
    while place < panel.evaluate("it => it.scrollHeight"):
        panel.evaluate("(it, place) => it.scrollTo(0, place)", place)
        page.wait_for_timeout(300)
        page.screenshot(path=folder / f"{place:06}.png")
        yield
        place += height - 100


def test_the_contents_of_the_lesson_stand_open_at_the_first_start(visit, lab, tmp_path):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(lab)
    contents = page.get_by_role("region", name="Table of Contents section")
    contents.get_by_text("Common mistakes").wait_for()
    page.screenshot(path=tmp_path / "contents.png")
    assert contents.is_visible() and contents.bounding_box()["width"] > 150
    assert visit.outside == set() and visit.errors == []


def test_the_first_lesson_runs_in_jupyterlab_and_its_slider_changes_the_picture(visit, lab, tmp_path):
    page = visit.page
    run_all(page, lab)
    handle = page.locator(".widget-hslider:has(label:text-is('batch')) .noUi-handle")
    picture, changed = page.locator("img.widget-image"), False
    for _ in stops(page, tmp_path):
        assert page.locator(ERRORS).count() == 0, page.locator(ERRORS).all_inner_texts()
        if not changed and handle.count():
            before = picture.first.get_attribute("src")
            handle.first.focus()
            for _ in range(3):
                page.keyboard.press("ArrowRight")
            wait_until(page, lambda before=before: picture.first.get_attribute("src") != before)
            changed = True
    assert changed
    assert visit.outside == set() and visit.errors == []


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (380, "dark")])
def test_all_heads_of_a_text_can_be_browsed_with_mouse_and_keys(visit, width, scheme):
    about, page = published_prompts()[0], visit.page
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    heads = browser_page(about.attention.numpy(), about.pieces, first=(4, 11))
    style = "<meta charset='utf-8'><style>:root{color-scheme:light dark}</style>"
    page.set_content(f"<!doctype html>{style}{heads}")
    words, said = page.locator(".heads .text button"), page.locator(".heads .said")
    assert [word.strip() for word in words.all_inner_texts()] == [piece.strip() for piece in about.pieces]
    words.nth(2).hover()
    assert f"“{about.pieces[2].strip()}” looks at “{about.pieces[1].strip()}” 100" in said.inner_text()
    words.nth(2).focus()
    page.keyboard.press("ArrowRight")
    assert said.inner_text().startswith(f"Head 4.11: “{about.pieces[3].strip()}” looks at")
    page.locator(".heads .grid button").first.focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert said.inner_text().startswith(f"Head 1.1: “{about.pieces[3].strip()}”")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page is wider than its window"
    assert visit.outside == set() and visit.errors == []


FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # the notebook that is seen


def dial_of(page, folder: Path):
    """Scroll to the dial of lesson 00, and return it."""
    dial = page.locator(f"{FRONT} select:has(option:text-is('small: 498 MB'))")
    for _ in stops(page, folder):
        if dial.count():
            return dial.first
    raise AssertionError("no dial is in sight")


def run_second_cell(page) -> str:
    """Run the cell that starts the course in the notebook at the front, and return what it prints."""
    cell = page.locator(f"{FRONT} .jp-CodeCell:has-text('course = start(')").first
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(f"{FRONT} .jp-Notebook-ExecutionIndicator[data-status=idle]")
    return cell.locator(".jp-OutputArea-output").inner_text().strip()


def test_a_size_chosen_in_lesson_00_is_that_of_the_next_notebook_until_nano_is_chosen(visit, lab, tmp_path):
    page = visit.page
    run_all(page, lab)
    folded = page.locator(".jp-CodeCell:has(.jp-Placeholder)").first
    assert "git clone" not in folded.inner_text(), "the cell for Colab is in a beginner's way"
    dial_of(page, tmp_path).select_option(label="small: 498 MB")
    page.get_by_text("small is remembered for every notebook").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "turned.png")
    page.locator(".jp-DirListing-item", has_text="03_build_the_whole_network").dblclick()
    page.wait_for_selector(f"{FRONT} h1:has-text('The whole network')")
    page.wait_for_selector(f"{FRONT} .jp-NotebookPanel-toolbar >> text=Python 3 (ipykernel)")
    page.wait_for_selector(f"{FRONT} .jp-Notebook-ExecutionIndicator[data-status=idle]")
    wait_until(page, lambda: run_second_cell(page).startswith("small on cpu, float32 (remembered"))
    page.screenshot(path=tmp_path / "followed.png")
    page.locator(".lm-TabBar-tab", has_text="00_set_up").click()
    dial_of(page, tmp_path).select_option(label="nano: 71.5 MB")
    page.get_by_text("nothing is remembered").wait_for()
    page.locator(".lm-TabBar-tab", has_text="03_build").click()
    wait_until(page, lambda: run_second_cell(page) == "nano on cpu, float32")
    assert visit.outside == set() and visit.errors == []


def test_living_views_in_a_notebook_ask_the_model_in_python(visit, lab, tmp_path):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 5000})  # all cells in sight: those out of it don't exist
    run_all(page, re.sub(r"/lab/tree/[^?]+", "/lab/tree/living.ipynb", lab))
    views = page.locator(".live[data-ready=yes]")
    wait_until(page, lambda: views.count() == len(VIEWS))
    page.screenshot(path=tmp_path / "views.png")
    sampling, attention = views.nth(0), views.nth(1)
    before = sampling.locator(".paper").inner_text()
    sampling.get_by_role("button", name="One token").click()
    wait_until(page, lambda: sampling.locator(".paper").inner_text() != before)
    attention.get_by_role("button", name="Knock head").click()
    wait_until(page, lambda: attention.get_by_text("it goes on:").count() == 2)
    page.screenshot(path=tmp_path / "turned.png")
    assert page.locator(ERRORS).count() == 0
    assert visit.outside == set() and visit.errors == []
