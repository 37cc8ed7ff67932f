"""The key to the predictions holds every question of every lesson, each with an answer."""

from __future__ import annotations

import pytest

from tools.__main__ import main
from tools.classroom.key import ASKED, CHANGE, DONE, OPEN, RUBRIC, invitations, key, open_tasks, questions
from tools.repo.notebooks import ROOT, read_notebook
from utils.errors import CourseError

LESSONS, LABS = (sorted((ROOT / folder).glob("[0-9]*.ipynb")) for folder in ("lessons", "labs"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_every_prediction_of_a_lesson_is_in_the_key(path):
    notebook = read_notebook(path)
    found = list(questions(notebook))
    asked = sum(cell.source.count(ASKED) for cell in notebook.cells if cell.cell_type == "markdown")
    assert len(found) == asked > 5
    assert all(question and len(answer) > 10 for _, question, answer in found)
    assert sum(answer == OPEN for *_, answer in found) <= 2


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_what_a_lesson_invites_to_change_is_in_the_key_with_the_rubric(path):
    notebook = read_notebook(path)
    found = list(invitations(notebook))
    assert len(found) == sum(cell.source.count(CHANGE) for cell in notebook.cells if cell.cell_type == "markdown") >= 1
    text = "\n".join(key([path.name[:2]]))
    assert all(f"{number}. {task}" in text for number, task in enumerate(found, start=1))
    assert text.count("| Guess |") == 1


def test_the_command_writes_the_key_of_the_lessons_that_are_named(tmp_path, capsys):
    out = tmp_path / "key.md"
    main(["class", "key", "02", "--out", str(out)])
    text = out.read_text(encoding="utf-8")
    assert text.count("\n## ") == 1 and "### The causal mask" in text
    assert "**Compute it·kite and it·Tom on paper.**\n\n2 and 0" in text
    with pytest.raises(CourseError, match="No lesson or lab begins with 99"):
        list(key(["99"]))


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.name[:2])
def test_every_open_task_of_a_lab_says_when_it_is_done(path):
    notebook = read_notebook(path)
    found = list(open_tasks(notebook))
    texts = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown").replace(f"*{DONE}*", "")
    assert len(found) == texts.count(DONE) >= 1
    assert all(len(task) > 20 and len(done) > 40 and DONE not in done for task, done in found)


def test_open_tasks_come_with_the_rubric_that_they_are_marked_by():
    text = "\n".join(key(["labs/01", "labs/06"]))
    assert text.count("\n## Lab") == 2 and "Predict" not in text
    assert "1. **Fewer tokens.**" in text and "Done when a step's loss is below 0.1" in text
    assert all(f"| {criterion} | {' | '.join(degrees)} |" in text for criterion, degrees in RUBRIC.items())
    everything = "\n".join(key())
    assert everything.count("\n## ") == len(LESSONS) + len(LABS) and everything.count("| Guess |") == 1
