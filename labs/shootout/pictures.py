"""Pictures of a comparison of loaders: what the bits cost, how fast they are, and which file suits which hardware."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from labs.shootout.race import EXACT, Row
from utils.config import format_bytes
from utils.plots.basic import COLORS, new_axes

HARDWARE = Path(__file__).with_name("hardware.csv")  # what the makers of each program say, with the page
MARKS = ("o", "s", "D", "^", "v", "P", "X")
FLOOR = 3e-5  # where exact ones are drawn, since a logarithm has no place for 0
SHADES = {"best": "#0072B2", "yes": "#7FB8D9", "adapters": "#7FB8D9", "slow": "#FCE3B5", "no": "#EEEEEE"}


def size_against_error(rows: Sequence[Row], title: str = "") -> Figure:
    """Draw each loader as a point: the bytes of its weights in memory against its logit error, left and low is good."""
    figure, axes = new_axes(8, 4.4)
    programs, said = dict.fromkeys(row.program for row in rows), set()
    for size, color, mark, program in zip(count(13, -1), cycle(COLORS), cycle(MARKS), programs, strict=False):
        own = [row for row in rows if row.program == program]
        places = [row.weight_bytes for row in own], [max(row.error, FLOOR) for row in own]
        axes.plot(*places, color=color, marker=mark, linestyle="", markersize=size, label=program)
        for row, x, y in zip(own, *places, strict=True):
            label = row.loader.partition(", ")[2] or row.loader
            if row.error >= EXACT and (label, x) not in said:  # two programs may do the same
                axes.annotate(label, (x, y), xytext=(9, 4), textcoords="offset points", fontsize=8)
            said.add((label, x))
    axes.axhline(FLOOR * 2, color="0.6", linestyle=":", linewidth=1)
    axes.text(0.01, FLOOR * 1.15, "below: exact", transform=axes.get_yaxis_transform(), fontsize=8, color="0.3")
    axes.set(xlabel="weights in memory", ylabel="error of the logits", title=title, xlim=(0, None), yscale="log")
    axes.set_ylim(FLOOR / 2, max(0.2, *(2 * row.error for row in rows)))
    axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.2%}" if value < 0.001 else f"{value:.1%}")
    figure.legend(loc="outside lower center", ncols=6, frameon=False)
    plt.close(figure)
    return figure


def speed_and_memory(rows: Sequence[Row], title: str = "") -> Figure:
    """Draw tokens a second and memory of each loader as two columns of bars."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 0.3 * len(rows) + 1), layout="constrained", sharey=True)
    names = [row.loader for row in rows]
    columns: tuple[tuple[Any, list, str, Callable], ...] = (
        (left, [row.tokens_per_second for row in rows], "tokens a second", lambda value: f"{value:,.0f}"),
        (right, [row.memory_bytes for row in rows], "memory that the process took", format_bytes),
    )
    for color, (axes, values, label, words) in zip(COLORS, columns, strict=False):
        drawn = axes.barh(names, values, color=color)
        axes.bar_label(drawn, [words(value) for value in values], padding=3, fontsize=8)
        axes.set(xlabel=label, xlim=(0, 1.2 * max(values)), xticks=[])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    left.invert_yaxis()
    figure.suptitle(title)
    plt.close(figure)
    return figure


def hardware_chart() -> Figure:
    """Draw which kind of file serves how well on which hardware, in words and in shades, as hardware.csv says."""
    table = pd.read_csv(HARDWARE, index_col=0).drop(columns="source")
    figure, axes = new_axes(8, 0.5 * len(table) + 0.6)
    for (row, column), answer in np.ndenumerate(table.to_numpy()):
        axes.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=SHADES[answer], edgecolor="white"))
        color = "white" if answer == "best" else "black"
        axes.text(column + 0.5, row + 0.5, answer, ha="center", va="center", color=color)
    axes.set_xticks([column + 0.5 for column in range(table.shape[1])], table.columns)
    axes.set_yticks([row + 0.5 for row in range(len(table))], table.index)
    axes.set(xlim=(0, table.shape[1]), ylim=(len(table), 0))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    plt.close(figure)
    return figure
