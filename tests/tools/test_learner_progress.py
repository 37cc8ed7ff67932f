"""`progress` tells from a learner's own files: cells that were run, tasks passed, the capstone, what comes next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jupyterlab.commands import get_app_dir
from jupyterlab_server.settings_utils import _get_overrides as get_overrides
from jupyterlab_server.settings_utils import get_settings
from jupyterlab_server.workspaces_handler import WorkspacesManager

from tools.__main__ import main
from tools.capstone.adapter import HOME
from tools.capstone.record import record_loss, record_parts
from tools.jupyter import CONTENTS, SETTINGS, write_layout, write_settings
from tools.progress import look_at, report
from utils.checks import Exercise
from utils.files.passed import read_record, record_file, record_pass
from utils.files.places import ROOT

LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))
TIMES = {"iopub.execute_input": "2026-05-01T10:00:00.000Z", "shell.execute_reply": "2026-05-01T10:00:01.000Z"}
FIRST = LESSONS[0].name


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course as a learner gets it: three lessons with their exercises, a lab, the capstone."""
    monkeypatch.delenv("COURSE_PROGRESS")
    for folder in ("lessons", "exercises", "labs"):
        (tmp_path / folder).mkdir()
        for path in sorted((ROOT / folder).glob("0[013]_*.ipynb")):
            shutil.copy(path, tmp_path / folder)
    shutil.copytree(HOME, tmp_path / "exercises" / "capstone", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("tools.capstone.record.HOME", tmp_path / "exercises" / "capstone")
    return tmp_path


def save(path, change):
    """Save a notebook as JupyterLab does after `change` was done to its code cells."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change([cell for cell in content["cells"] if cell["cell_type"] == "code"])
    content["metadata"]["language_info"]["version"] = "3.12.1"
    path.write_text(json.dumps(content), encoding="utf-8")


def run_cells(path, count=None):
    save(path, lambda cells: [cell["metadata"].update(execution=TIMES) for cell in cells[:count]])


def said(course) -> str:
    return "\n".join(report(course))


def test_nothing_done_yet_is_no_reproach_and_has_a_next_step(course):
    lines = list(report(course))
    assert len(lines) == 2 and "still before you" in lines[0]
    assert lines[1].startswith("Next: lesson 00, Set up and choose a size, 35 minutes")


def test_the_stored_notebooks_were_run_by_nobody():
    for path in LESSONS:
        assert (book := look_at(path)).run == 0 and not book.opened and book.cells > 10, path.name


def test_cells_that_were_run_are_counted_and_the_lesson_is_read(course):
    run_cells(course / "lessons" / FIRST, 4)
    book = look_at(course / "lessons" / FIRST)
    assert (book.run, book.read) == (3, False), "the folded cell for Colab is not counted"
    assert f"3 of {book.cells}" in said(course) and "0 of 3 lessons read" in said(course)
    run_cells(course / "lessons" / FIRST)
    assert look_at(course / "lessons" / FIRST).read and "1 of 3 lessons read" in said(course)
    assert "Next: exercise 00" in said(course)


def test_without_times_a_number_that_is_another_one_shows_a_run(course):
    save(course / "lessons" / FIRST, lambda cells: [cell.update(execution_count=77) for cell in cells[5:7]])
    assert look_at(course / "lessons" / FIRST).run == 2


def test_a_notebook_that_was_only_opened_is_not_said_to_be_read(course):
    save(course / "lessons" / FIRST, lambda cells: None)
    (line,) = [line for line in report(course) if line.startswith(" 00")]
    assert "opened" in line and "0 of 3 lessons read" in said(course)


CHECK = """
from otter.test_files import test_case

@test_case(points=1, hidden=False)
def test_double(double):
    assert double(3) == 6, "Given 3 you give something else, expected 6."
"""


def test_a_check_that_passes_is_recorded_once_and_a_failed_one_is_not(course, monkeypatch):
    home = course / "exercises"
    notebook = {"cells": [], "metadata": {"otter": {"tests": {"q1": CHECK, "q2": CHECK}}}}
    (home / "99_double.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    exercise = Exercise("99_double", home)
    exercise.check("q1", {"double": lambda x: x + 2})
    assert read_record(home, "99_double") == {}
    for task in ("q2", "q1", "q2"):
        exercise.check(task, {"double": lambda x: x + x})
    assert read_record(home, "99_double") == {"passed": ["q1", "q2"]}
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    record_file(home, "99_double").unlink()
    exercise.check("q1", {"double": lambda x: x + x})
    assert read_record(home, "99_double") == {}, "tests and grading record nothing"


def test_a_folder_that_can_not_be_written_to_stops_no_check(course):
    (course / "exercises" / "progress").write_text("a file stands where the folder would", encoding="utf-8")
    record_pass(course / "exercises", "03_build_attention", "q1")
    assert read_record(course / "exercises", "03_build_attention") == {}


def test_passed_tasks_and_the_next_step_behind_them(course):
    place = record_file(course / "exercises", "03_build_attention")
    place.parent.mkdir()
    tasks = look_at(course / "exercises" / "03_build_attention.ipynb").tasks
    place.write_text(json.dumps({"passed": [tasks[0], "q99"]}), encoding="utf-8")
    assert f"1 of {len(tasks)}" in said(course), "a task that there isn't does not count"
    assert "Next: exercise 03" in said(course)
    place.write_text(json.dumps({"passed": list(tasks)}), encoding="utf-8")
    assert f"{len(tasks)} of {len(tasks)}" in said(course)
    assert "Next: lesson 00" in said(course), "what was left open comes when nothing is open behind it"
    place.write_text("{ no JSON", encoding="utf-8")
    assert "still before you" in said(course)


def test_the_capstones_parts_its_training_and_changed_files(course):
    home = course / "exercises" / "capstone"
    record_parts(home, [1, 2, 3])
    assert "Capstone: 3 of 14 parts done, not trained yet." in said(course)
    (home / "my_gpt2.py").write_text("x = 1\n", encoding="utf-8")
    record_loss(home, 0.9)
    assert "trained to a held-out loss of 0.900; your files have changed" in said(course)
    for row in LESSONS:
        if (course / "lessons" / row.name).exists():
            run_cells(course / "lessons" / row.name)
    for path in (course / "exercises").glob("*.ipynb"):
        file = record_file(course / "exercises", path.stem)
        file.write_text(json.dumps({"passed": look_at(path).tasks}), encoding="utf-8")
    assert "Next: capstone, part 4, attention, about 60 minutes" in said(course)


def test_another_folders_capstone_is_not_recorded_as_ones_own(course, tmp_path):
    record_parts(tmp_path, [1])
    assert read_record(course / "exercises", "capstone") == {}


def test_a_damaged_notebook_is_told_and_the_others_are_counted(course):
    (course / "lessons" / FIRST).write_text("{", encoding="utf-8")
    run_cells(course / "lessons" / LESSONS[1].name)
    assert FIRST in said(course) and "1 of 2 lessons read" in said(course)


def test_the_command_prints_the_report(capsys):
    assert main(["progress"]) == 0
    assert "Next: " in capsys.readouterr().out


def test_jupyterlab_is_told_once_to_note_when_a_cell_was_run(tmp_path):
    write_settings(tmp_path)
    (file,) = tmp_path.rglob("*.json")
    assert file.parent.name == "overrides.d" and json.loads(file.read_text(encoding="utf-8")) == SETTINGS
    shown, _ = get_settings(
        str(file.parents[1]),
        str(Path(get_app_dir()) / "schemas"),
        str(tmp_path),
        "@jupyterlab/notebook-extension:tracker",
        overrides=get_overrides(str(file.parents[1]))[0],
    )
    assert shown["schema"]["properties"]["recordTiming"]["default"] is True
    before = file.stat().st_mtime_ns
    write_settings(tmp_path)
    assert file.stat().st_mtime_ns == before


def test_the_contents_stand_open_until_a_learner_arranges_jupyterlab(tmp_path):
    folder = tmp_path / "layouts"
    write_layout(folder)
    (file,) = folder.iterdir()
    left = WorkspacesManager(str(folder)).load("default")["data"]["layout-restorer:data"]["left"]
    assert left["current"] == CONTENTS in left["widgets"] and not left["collapsed"]
    file.write_text("mine", encoding="utf-8")
    write_layout(folder)
    assert file.read_text(encoding="utf-8") == "mine"
