"""Progress says what is under way wherever somebody may wait for it, and leaves notebooks' outputs alone."""

from __future__ import annotations

import io
import sys
from functools import partial

import pytest
from tqdm import tqdm

from utils.files import progress as module
from utils.files.progress import progress


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


def test_a_notebook_gets_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert said(monkeypatch, io.StringIO(), range(3)) == ""
