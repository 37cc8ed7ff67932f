"""Training metrics beside system metrics on one clock: loss, throughput, memory, temperature (lab 03).

Does memory drop where the loss spikes? Look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from utils.errors import CourseError
from utils.plots.basic import COLORS, new_grid
from utils.plots.runs import short_count
from utils.run_log import RunLog
from utils.system_log import read_system_log

SPIKE = "#F0E442"


@dataclass(frozen=True)
class Trace:
    """What happened when: figures of the steps at `seconds`, and the machine's table with its own Seconds."""

    seconds: np.ndarray  # (steps,) from the row Before, or from the first step where there is no table
    losses: np.ndarray
    tokens: np.ndarray  # learned from by then
    speed: np.ndarray  # tokens a second
    held_out: np.ndarray  # (evaluations, 2): seconds, loss
    machine: pd.DataFrame | None = None  # of read_system_log


def trace_run(log: RunLog, system_log: str | Path | None = None) -> Trace:
    """Put the steps of a run and the rows of a system log on one clock."""
    if not log.history:
        raise CourseError("There is no step to draw. Hand a RunLog to train(…, run_log=log) first.")
    machine = read_system_log(system_log) if system_log else None
    start = log.moments[0] if machine is None else machine["Date & Time"].iloc[0].to_pydatetime()
    seconds = np.array([since(start, moment) for moment in log.moments])
    at = dict(zip((record.step for record in log.history), seconds, strict=True))
    held_out = [(at[step], loss) for step, loss in log.losses() if step in at]
    return Trace(
        seconds,
        np.array([record.loss for record in log.history]),
        np.array(list(accumulate(record.tokens for record in log.history))),
        np.array([record.tokens / record.seconds for record in log.history]),
        np.array(held_out).reshape(-1, 2),
        machine,
    )


def since(start: datetime, moment: datetime) -> float:
    """Return the seconds from one moment to another."""
    return (moment - start).total_seconds()


def find_spikes(losses: Sequence[float] | np.ndarray, window: int = 20, times: float = 8.0) -> list[int]:
    """Return the places where the loss stands far above the ones before it, the first of each spike.

    Far is `times` the usual distance (the median) of the `window` losses before from their own median.

    >>> find_spikes([3.0, 2.9, 3.0, 2.8, 2.9, 2.8, 2.7, 2.8, 6.0, 5.0, 2.7, 2.6])
    [8]
    """
    values, found = np.asarray(losses, float), []
    for place in range(min(window, 8), len(values)):
        before = values[max(0, place - window) : place]
        middle = np.median(before)
        usual = max(np.median(np.abs(before - middle)), 0.005 * abs(middle))
        if values[place] - middle > times * usual and values[place] > before.max():
            found.append(place)
    return [place for place in found if place - 1 not in found]


def plot_run(trace: Trace, entropy: float | None = None, title: str = "") -> Figure:
    """Draw loss, speed, memory, GPU and temperature one above the other, over the seconds of the run.

    Tokens are counted along the top. Where the loss spikes, a yellow band goes through all panels. A panel whose
    sensor is not here is left out.
    """
    panels = [draw_loss, draw_speed, *machine_panels(trace)]
    heights = [2, *(1 for _ in panels[1:])]
    figure, grid = new_grid(len(panels), sharex=True, figsize=(8, 1.3 + 1.2 * sum(heights)), height_ratios=heights)
    grid = grid[:, 0]
    for axes, draw in zip(grid, panels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, trace)
        for place in find_spikes(trace.losses):
            wide = 0.006 * (trace.seconds[-1] - min(0, trace.seconds[0]) + 1e-9)
            axes.axvspan(trace.seconds[place] - wide, trace.seconds[place] + wide, color=SPIKE, zorder=0, linewidth=0)
    if entropy is not None:
        grid[0].axhline(entropy, color="black", linestyle="--", label=f"entropy {entropy:.2f}")
    grid[0].legend(frameon=False, loc="upper right", fontsize=9)
    grid[-1].set_xlabel("seconds since the run began")
    add_tokens(grid[0], trace)
    figure.suptitle(title)
    return figure


def draw_loss(axes: Axes, trace: Trace) -> None:
    axes.plot(trace.seconds, trace.losses, color=COLORS[0], label="training loss")
    if len(trace.held_out):
        axes.plot(*trace.held_out.T, color=COLORS[1], marker="o", label="held-out loss")
    axes.set_ylabel("loss\n(nats/token)")


def draw_speed(axes: Axes, trace: Trace) -> None:
    axes.plot(trace.seconds, trace.speed, color=COLORS[2])
    axes.set(ylabel="tokens\na second", ylim=(0, 1.1 * trace.speed.max()))
    axes.yaxis.set_major_formatter(lambda value, _: short_count(value))


def machine_panels(trace: Trace) -> list[Callable]:
    """Return a drawer for each column of the machine's table that holds figures."""
    wanted = (
        ("Available RAM (GB)", "available\nRAM (GB)", COLORS[5]),
        ("Process RAM (MB)", "this process\n(MB)", COLORS[3]),
        ("CPU (%)", "CPU (%)", COLORS[7]),
        ("GPU Memory (MB)", "GPU memory\n(MB)", COLORS[4]),
        ("Celsius", "temperature\n(°C)", COLORS[1]),
    )
    table = trace.machine
    if table is None:
        return []
    there = [one for one in wanted if table[one[0]].notna().any()]
    return [lambda axes, _, one=one: draw_machine(axes, table, *one) for one in there]


def draw_machine(axes: Axes, table: pd.DataFrame, column: str, label: str, color: str) -> None:
    axes.plot(table["Seconds"], table[column], color=color, marker=".", markersize=3)
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    low, high = table[column].min(), table[column].max()
    if column == "CPU (%)":
        axes.set_ylim(0, 105)
    elif high - low < 0.05 * high:  # so that what is flat looks flat
        axes.set_ylim((low + high) / 2 - 0.03 * high, (low + high) / 2 + 0.03 * high)


def add_tokens(axes: Axes, trace: Trace) -> None:
    """Write along the top how many tokens had been learned from by then."""
    above = axes.twiny()
    above.set_xlim(axes.get_xlim())
    round_counts = MaxNLocator(6, steps=(1, 2, 5, 10)).tick_values(0, trace.tokens[-1])
    wanted = round_counts[(round_counts >= trace.tokens[0]) & (round_counts <= trace.tokens[-1])]
    above.set_xticks(np.interp(wanted, trace.tokens, trace.seconds), [short_count(value) for value in wanted])
    above.set_xlabel("tokens")
    above.spines["right"].set_visible(False)
