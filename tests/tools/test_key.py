"""The key to the predictions holds every question of every lesson, each with an answer."""

from __future__ import annotations

import pytest

from tools.__main__ import main
from tools.classroom.key import ASKED, OPEN, key, questions
from tools.repo.notebooks import ROOT, read_notebook
from utils.errors import CourseError

LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_every_prediction_of_a_lesson_is_in_the_key(path):
    notebook = read_notebook(path)
    found = list(questions(notebook))
    asked = sum(cell.source.count(ASKED) for cell in notebook.cells if cell.cell_type == "markdown")
    assert len(found) == asked > 5
    assert all(question and len(answer) > 10 for _, question, answer in found)
    assert sum(answer == OPEN for *_, answer in found) <= 2


def test_the_command_writes_the_key_of_the_lessons_that_are_named(tmp_path, capsys):
    out = tmp_path / "key.md"
    main(["class", "key", "02", "--out", str(out)])
    text = out.read_text(encoding="utf-8")
    assert text.count("\n## ") == 1 and "### The causal mask" in text
    assert "**Compute it·kite and it·Tom on paper.**\n\n2 and 0" in text
    with pytest.raises(CourseError, match="No lesson begins with 99"):
        list(key(["99"]))
