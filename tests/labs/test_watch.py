"""What lab 03 watches with: the live picture of a run, and how memory moved across its spikes."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from runs import FULL, QUICK, Script, tiny_data, tiny_model

from labs.watch.live_view import LiveView
from labs.watch.memory import before_and_after_spikes, swings
from utils.errors import CourseError
from utils.plots.system import Trace
from utils.run_log import RunLog
from utils.system_log import SystemLog
from utils.training.loop import train


@pytest.fixture
def trace() -> Trace:
    """A run of one step a second whose loss spikes at second 30, when the process grows by 100 MB."""
    steps, seconds = np.arange(1.0, 41), np.arange(41.0)
    losses = 4 - 0.02 * steps + 2 * (steps == 30)
    process = np.where(seconds < 30, 500.0, 600.0)
    table = {"Seconds": seconds, "Process RAM (MB)": process, "Available RAM (GB)": 8.0, "Celsius": np.nan}
    return Trace(steps, losses, 100 * steps, np.full(40, 200.0), np.empty((0, 2)), pd.DataFrame(table))


def test_the_change_across_a_spike_and_the_swing_are_those_of_the_table(trace):
    assert before_and_after_spikes(trace) == [pytest.approx(100)]
    assert before_and_after_spikes(trace, "Available RAM (GB)") == [0]
    swing = swings(trace, "Process RAM (MB)")
    assert (swing["lowest"], swing["highest"]) == (500, 600) and swing["mean"] == pytest.approx(500 + 100 * 11 / 41)


def test_questions_without_an_answer_are_told_so(trace):
    with pytest.raises(CourseError, match="Celsius is empty"):
        swings(trace, "Celsius")
    for ask in (swings, before_and_after_spikes):
        with pytest.raises(CourseError, match="no system log"):
            ask(replace(trace, machine=None))


def test_the_view_draws_while_training_goes_on_and_leaves_png_and_pdf(tmp_path):
    system_log = SystemLog(tmp_path / "system_log.csv", 0.02, Script(FULL))
    view = LiveView(system_log.path, entropy=1.0)
    seen = []

    class Witness:
        def step(self, log) -> None:
            seen.append((view.drawn, bytes(view.widget.value[:8])))

        def epoch(self, log, cells) -> None: ...

    log = RunLog(tmp_path, show=lambda line: None, watchers=[view, Witness()])
    train(tiny_model(), tiny_data(), replace(QUICK, max_steps=5), log, system_log)
    assert isinstance(view.widget, ipywidgets.Image) and seen[0] == (1, b"\x89PNG\r\n\x1a\n")
    assert view.drawn < 5, "drawing rests, so that training gets on"
    before = view.widget.value
    png, pdf = view.save(tmp_path / "run.png")
    assert png.read_bytes()[:4] == b"\x89PNG" and pdf.read_bytes()[:5] == b"%PDF-" and view.widget.value != before


def test_a_view_of_no_run_says_what_to_do(tmp_path):
    with pytest.raises(CourseError, match="watchers"):
        LiveView().save(tmp_path / "x")
