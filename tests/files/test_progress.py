"""Progress says what is under way wherever somebody may wait for it, and leaves notebooks' outputs alone."""

from __future__ import annotations

import io
import sys
from functools import partial

import nbformat
import pytest
from tqdm import tqdm

from tools.repo.notebooks import SETTINGS, execute
from utils.files import progress as module
from utils.files.progress import LiveLine, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(monkeypatch, stream: io.StringIO, steps, total=None, after=0.0) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress(steps, "weighing", total, after)) == [0, 1, 2]
    return stream.getvalue()


@pytest.fixture
def no_kernel(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


def test_a_log_gets_a_line_at_once_and_then_by_the_clock(monkeypatch, no_kernel):
    monkeypatch.setattr(module, "PAUSE", -1.0)
    assert said(monkeypatch, io.StringIO(), range(3)).splitlines() == [
        "weighing: 0 of 3", "weighing: 1 of 3", "weighing: 2 of 3"
    ]  # fmt: skip


def test_quick_work_takes_one_line_of_a_log(monkeypatch, no_kernel):
    assert said(monkeypatch, io.StringIO(), iter(range(3))) == "weighing: 0\n"
    assert said(monkeypatch, io.StringIO(), iter(range(3)), after=1000) == ""


def test_a_terminal_gets_no_lines_beside_its_bar(monkeypatch, no_kernel):
    assert "weighing: 0 of 3" not in said(monkeypatch, Terminal(), iter(range(3)), total=3)


def test_a_terminal_gets_no_bar_for_quick_work(monkeypatch, no_kernel):
    monkeypatch.setattr(module, "tqdm", partial(tqdm, disable=False))  # TQDM_DISABLE is set for all tests
    assert "weighing" in said(monkeypatch, Terminal(), range(3))
    assert "weighing" not in said(monkeypatch, Terminal(), range(3), after=1000)


def test_a_notebook_whose_outputs_are_stored_gets_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert said(monkeypatch, io.StringIO(), range(3)) == ""


# A line that comes and goes


def at_a_terminal(monkeypatch) -> Terminal:
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def on_screen(written: str) -> list[str]:
    """Return the lines that stand on a terminal: what follows a carriage return overwrites what stood there."""
    lines = []
    for line in written.split("\n"):
        seen = ""
        for part in line.split("\r"):
            seen = part + seen[len(part) :]
        lines.append(seen.rstrip())
    return lines


def test_a_live_line_is_written_over_makes_room_and_leaves_no_trace(monkeypatch):
    terminal = at_a_terminal(monkeypatch)
    with LiveLine(after=0) as line:
        line.say("step 1 of 2, a long beginning")
        assert on_screen(terminal.getvalue()) == ["step 1 of 2, a long beginning"]
        line.say("too soon")
        line.clear()
        print("what a log says", file=terminal)
        line.say("step 2 of 2")
        assert on_screen(terminal.getvalue()) == ["what a log says", "step 2 of 2"]
    assert on_screen(terminal.getvalue()) == ["what a log says", ""]
    line.say("never")
    assert on_screen(terminal.getvalue()) == ["what a log says", ""]


def test_a_live_line_waits_and_shows_nothing_to_those_who_can_not_see_it(monkeypatch):
    terminal = at_a_terminal(monkeypatch)
    LiveLine(after=1000).say("quick work")
    LiveLine(after=0, is_seen=False).say("another process of the same training")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    LiveLine(after=0).say("stored")
    assert terminal.getvalue() == ""


IN_A_CELL = """
from utils.files import progress as module
module.SILENCE, module.OFTEN = 0, 0
from utils.files.progress import LiveLine, progress
seen, whole = [], LiveLine._display
LiveLine._display = lambda self, text: (seen.append(text), whole(self, text))
with LiveLine(after=0) as line:
    for step in progress("ab", "weighing"):
        line.say(f"step {step}")
print(seen)
"""


def test_in_a_notebook_a_live_line_has_a_place_of_its_own_and_ends_empty(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IN_A_CELL)])
    execute(notebook, tmp_path / "x.ipynb", SETTINGS | {"TQDM_DISABLE": ""}, timeout=120)
    outputs = notebook.cells[0].outputs
    assert [one.data["text/plain"] for one in outputs if one.output_type == "display_data"] == ["", ""]
    printed = next(one.text for one in outputs if one.output_type == "stream")
    assert "'step a', 'weighing: 1 of 2', 'step b', '', ''" in printed
