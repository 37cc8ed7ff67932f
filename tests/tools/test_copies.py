"""A learner's copies: made, renewed, never lost; and an update of the course that keeps what was written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.learner.copies import FOLDERS, refresh_copies, set_aside, with_links
from tools.learner.update import update_course
from tools.repo.notebooks import ROOT, find_notebooks, read_notebook
from utils.errors import CourseError

PLACES = ("lessons/00_begin.ipynb", "exercises/01_count.ipynb", "labs/01_learn.ipynb")


def notebook(text: str, printed: str = "") -> str:
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    cell = {"cell_type": "code", "source": text, "outputs": outputs, "execution_count": None, "metadata": {}}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def course(tmp_path) -> Path:
    root = tmp_path / "course"
    for name in PLACES:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(notebook("print('one')"), encoding="utf-8")
    return root


def test_copies_are_made_once_and_then_left_alone(course):
    assert sorted(refresh_copies(course).made) == sorted(PLACES)
    copy = course / "work" / PLACES[0]
    copy.write_text(notebook("print('mine')"), encoding="utf-8")
    assert refresh_copies(course).lines() == []
    assert "mine" in copy.read_text(encoding="utf-8")


def test_no_notebook_looks_for_files_of_the_course_beside_itself():
    """A copy lies one folder deeper: what is named by `..` or by the current folder isn't there."""
    beside = re.compile(r"Path\.cwd\(\)|getcwd\(\)|\"\.\./(data|labs|utils|lessons|exercises)")
    for path in find_notebooks():
        for cell in read_notebook(path).cells:
            invited = "".join(re.findall(r"(?s)```python\n(.*?)```", cell.source))
            found = beside.search(cell.source if cell.cell_type == "code" else invited)
            assert not found, f"{path.name}, {cell.id}: `{found[0]}`, expected ROOT or DATA of utils.files.places"


def test_a_copy_that_was_only_run_becomes_the_new_version(course):
    refresh_copies(course)
    copy = course / "work" / PLACES[0]
    copy.write_text(notebook("print('one')", printed="one"), encoding="utf-8")
    (course / PLACES[0]).write_text(notebook("print('two')"), encoding="utf-8")
    assert refresh_copies(course).renewed == [PLACES[0]]
    assert "two" in copy.read_text(encoding="utf-8")


def test_a_copy_that_was_edited_stays_and_each_new_version_lies_beside_it(course):
    refresh_copies(course)
    copy = course / "work" / PLACES[1]
    copy.write_text(notebook("print('mine')"), encoding="utf-8")
    names = []
    for word in ("two", "three"):
        (course / PLACES[1]).write_text(notebook(f"print('{word}')"), encoding="utf-8")
        names.append(refresh_copies(course).beside["work/" + PLACES[1]])
        assert word in (course / names[-1]).read_text(encoding="utf-8")
        assert refresh_copies(course).lines() == []
    assert names == ["work/exercises/01_count.new.ipynb", "work/exercises/01_count.new-2.ipynb"]
    assert "mine" in copy.read_text(encoding="utf-8")


@pytest.mark.parametrize("harm", ["not json", '{"cells": 3}', None])
def test_damage_and_a_lost_ledger_lose_nothing(course, harm):
    refresh_copies(course)
    copy = course / "work" / PLACES[0]
    if harm is None:
        (course / "work" / "copies.json").unlink()
    else:
        copy.write_text(harm, encoding="utf-8")
    before = copy.read_text(encoding="utf-8")
    (course / PLACES[0]).write_text(notebook("print('two')"), encoding="utf-8")
    refresh_copies(course)
    assert copy.read_text(encoding="utf-8") == before


def test_a_deleted_copy_comes_back_and_all_can_begin_anew(course):
    refresh_copies(course)
    (course / "work" / PLACES[2]).unlink()
    (course / PLACES[2]).write_text(notebook("print('two')"), encoding="utf-8")
    assert refresh_copies(course).made == [PLACES[2]]
    aside = set_aside(course)
    assert (aside / PLACES[2]).is_file() and not (course / "work").exists()
    assert set_aside(course) is None
    assert len(refresh_copies(course).made) == len(PLACES)


def test_links_of_the_real_notebooks_lead_somewhere_from_work():
    for folder in FOLDERS:
        for original in sorted((ROOT / folder).glob("*.ipynb")):
            cells = json.loads(with_links(original.read_text(encoding="utf-8")))["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
            for link in re.findall(r"""\]\((?!https?:|#|mailto:)([^)#\s\\]+)""", text):
                seen = (ROOT / "work" / folder / link).resolve()
                inside = seen.relative_to(ROOT.resolve())
                real = ROOT / inside.relative_to("work") if inside.parts[0] == "work" else seen
                assert real.exists(), f"{original.name}: {link}"


# An update by git, from a repository on disk


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *names, *words], cwd=folder, capture_output=True, encoding="utf-8", check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(course, tmp_path) -> Path:
    if not shutil.which("git"):
        pytest.skip("an update needs git")
    (course / ".gitignore").write_text("/work/\n", encoding="utf-8")
    (course / "course.py").write_text("1\n", encoding="utf-8")
    git(course, "init", "-q", "-b", "main")
    git(course, "add", "-A")
    git(course, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", str(course), "clone")
    return tmp_path / "clone"


def publish(course: Path, word: str) -> None:
    (course / PLACES[0]).write_text(notebook(f"print('{word}')"), encoding="utf-8")
    git(course, "commit", "-qam", word)


def test_an_update_brings_the_new_version_and_keeps_what_was_written(course, clone):
    refresh_copies(clone)
    (clone / "work" / PLACES[1]).write_text(notebook("print('mine')"), encoding="utf-8")
    (clone / PLACES[2]).write_text(notebook("print('in place')"), encoding="utf-8")  # worked in at its own place
    publish(course, "two")
    said = "\n".join(update_course(clone))
    assert "1 notebooks that you worked in are kept in work/before-" in said and "1 changes have come" in said
    assert "1 copies that you have not edited are the new version now" in said
    assert "two" in (clone / "work" / PLACES[0]).read_text(encoding="utf-8")
    assert "mine" in (clone / "work" / PLACES[1]).read_text(encoding="utf-8")
    kept = list((clone / "work").glob(f"before-*/{PLACES[2]}"))
    assert len(kept) == 1 and "in place" in kept[0].read_text(encoding="utf-8")
    assert git(clone, "status", "--porcelain") == "" and update_course(clone) == ["This is the newest version."]


def test_an_update_refuses_what_it_could_lose_and_what_it_can_not_reach(course, clone, tmp_path):
    (clone / "course.py").write_text("mine\n", encoding="utf-8")
    with pytest.raises(CourseError, match="You have changed course.py.*Commit it"):
        update_course(clone)
    git(clone, "checkout", "-q", "course.py")
    (clone / PLACES[0]).write_text(notebook("print('in place')"), encoding="utf-8")
    course.rename(tmp_path / "gone")
    with pytest.raises(CourseError, match="git fetch did not work.*Nothing has been changed"):
        update_course(clone)
    assert "in place" in (clone / PLACES[0]).read_text(encoding="utf-8")
    shutil.rmtree(clone / ".git")
    with pytest.raises(CourseError, match="no clone of the course.*start.py"):
        update_course(clone)
