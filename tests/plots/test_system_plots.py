"""A run and its machine on one clock: what is drawn is what was logged, and spikes are found where they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import BARE, FULL

from utils.errors import CourseError
from utils.plots.system import find_spikes, plot_run, trace_run
from utils.run_log import Evaluation, RunLog, StepRecord, append_row
from utils.system_log import COLUMNS, Reading, to_cells

BEGAN = datetime(2026, 1, 1, 12)
LOSSES = [4.0 - 0.02 * i for i in range(40)]


def made_up_run(tmp_path, losses=LOSSES, reading: Reading = FULL) -> tuple[RunLog, object]:
    """A run of one step a second, and a machine whose process grows by 100 MB at second 30."""
    log = RunLog(tmp_path, show=lambda line: None)
    for step, loss in enumerate(losses, 1):
        log.history.append(StepRecord(step, loss, 0.5, 4, 100, 1e-3, 1.0, None))
        log.moments.append(BEGAN + timedelta(seconds=step))
    log.evaluations = [Evaluation(10, 3.9, True), Evaluation(20, 3.7, True)]
    for second in range(len(losses) + 1):
        told = replace(reading, process_ram=500e6 + 100e6 * (second >= 30))
        cells = to_cells(told)
        when = (BEGAN + timedelta(seconds=second)).isoformat(" ", "milliseconds")
        event = "Before" if second == 0 else "During"
        row = {"Event": event, "Name": told.name, "Date & Time": when, **cells, "Run": "one"}
        append_row(tmp_path / "system_log.csv", COLUMNS, [row.get(name, "") for name in COLUMNS])
    return log, tmp_path / "system_log.csv"


def spiked(place: int = 29) -> list[float]:
    return [loss + 2 * (i == place) for i, loss in enumerate(LOSSES)]


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): np.array(line.get_xydata()) for line in axes.get_lines()}


def test_steps_and_rows_stand_on_one_clock(tmp_path):
    trace = trace_run(*made_up_run(tmp_path))
    assert trace.seconds.tolist() == list(range(1, 41)) and trace.machine["Seconds"].tolist() == list(range(41))
    assert trace.tokens.tolist() == list(range(100, 4001, 100)) and set(trace.speed) == {200.0}
    assert trace.held_out.tolist() == [[10, 3.9], [20, 3.7]]
    assert trace_run(made_up_run(tmp_path / "b")[0]).seconds.tolist() == list(range(40))


def test_each_panel_draws_its_own_column(tmp_path):
    trace = trace_run(*made_up_run(tmp_path, spiked()))
    figure = plot_run(trace, entropy=3.0)
    panels = {axes.get_ylabel().replace("\n", " "): axes for axes in figure.axes if axes.get_ylabel()}
    assert list(panels) == [
        "loss (nats/token)",
        "tokens a second",
        "available RAM (GB)",
        "this process (MB)",
        "CPU (%)",
        "GPU memory (MB)",
        "temperature (°C)",
    ]
    loss = lines(panels["loss (nats/token)"])
    assert loss["training loss"][:, 1].tolist() == pytest.approx(spiked())
    assert loss["held-out loss"].tolist() == [[10, 3.9], [20, 3.7]] and set(loss["entropy 3.00"][:, 1]) == {3.0}
    wanted = {"available RAM (GB)": 8, "CPU (%)": 25, "GPU memory (MB)": 3000, "temperature (°C)": 50}
    for name, value in wanted.items():
        (line,) = panels[name].get_lines()
        assert set(line.get_ydata()) == {value} and list(line.get_xdata()) == list(range(41))
    assert panels["this process (MB)"].get_lines()[0].get_ydata()[[29, 30]].tolist() == [500, 600]
    for axes in panels.values():
        (band,) = axes.patches
        assert band.get_x() < 30 < band.get_x() + band.get_width(), "the spike is marked at its second in each panel"


def test_tokens_along_the_top_stand_above_the_second_they_were_reached_at(tmp_path):
    figure = plot_run(trace_run(*made_up_run(tmp_path)))
    (above,) = (axes for axes in figure.axes if axes.get_xlabel() == "tokens")
    marks = {label.get_text(): place for label, place in zip(above.get_xticklabels(), above.get_xticks(), strict=True)}
    assert marks["1k"] == 10 and marks["4k"] == 40 and above.get_xlim() == figure.axes[0].get_xlim()


def test_a_missing_sensor_has_no_panel(tmp_path):
    figure = plot_run(trace_run(*made_up_run(tmp_path, reading=BARE)))
    labels = " ".join(axes.get_ylabel() for axes in figure.axes)
    assert "GPU" not in labels and "temperature" not in labels and "CPU" not in labels and "process" in labels
    only_run = plot_run(trace_run(made_up_run(tmp_path / "b")[0]))
    assert [axes.get_ylabel() for axes in only_run.axes if axes.get_ylabel()] == [
        "loss\n(nats/token)",
        "tokens\na second",
    ]


@given(place=st.integers(10, 58), seed=st.integers(0, 50))
def test_a_spike_is_found_where_it_is_and_noise_is_none(place, seed):
    noise = np.random.default_rng(seed).uniform(-0.02, 0.02, 60)
    calm = np.linspace(4, 3, 60) + noise
    assert find_spikes(calm) == []
    calm[place:] += 1.5 * 0.5 ** np.arange(60 - place)
    assert find_spikes(calm) == [place]


def test_short_and_constant_runs_have_no_spikes():
    assert find_spikes([]) == find_spikes([1.0]) == find_spikes([2.0] * 50) == []


def test_a_run_or_a_table_that_is_not_there_is_told_so(tmp_path):
    with pytest.raises(CourseError, match="no step to draw"):
        trace_run(RunLog(tmp_path))
    with pytest.raises(CourseError, match="is not there"):
        trace_run(made_up_run(tmp_path / "c")[0], tmp_path / "nowhere.csv")
