"""Attention on paper: small tables of numbers, arcs from a word to those it looks at, all heads in one picture.

Lesson 02 computes with them what one attention head does (self-attention).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.plots.basic import COLORS, new_axes, new_grid


def number_tables(
    tables: Mapping[str, np.ndarray], rows: Sequence[str], columns: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Draw small matrices with their numbers, a row for each word; columns get names where `columns` has some.

    The larger a number, the darker its cell: blue above 0, orange below; −∞ stands in gray.
    """
    drawn = {name: np.atleast_2d(np.asarray(table, dtype=float)) for name, table in tables.items()}
    widths = [table.shape[1] for table in drawn.values()]
    size = (0.62 * sum(widths) + 1.1 * len(drawn) + 0.4, 0.5 * len(rows) + 1.1)
    figure, grid = new_grid(1, len(drawn), figsize=size, width_ratios=widths)
    for number, (axes, (name, table)) in enumerate(zip(grid.flat, drawn.items(), strict=True)):
        axes.set_title(name, fontsize=11)
        _write_cells(axes, table)
        axes.set_yticks(range(len(table)), rows if number == 0 else [""] * len(table))
        names = (columns or {}).get(name, [""] * table.shape[1])
        axes.set_xticks(range(table.shape[1]), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
        axes.tick_params(length=0)
    return figure


def _write_cells(axes: Axes, table: np.ndarray) -> None:
    """Draw one matrix as boxes with a number in each."""
    most = max((abs(value) for value in table.flat if math.isfinite(value)), default=0) or 1
    for (row, column), value in np.ndenumerate(table):
        color, share = COLORS[0] if value > 0 else COLORS[1], abs(value) / most
        if not math.isfinite(value):
            color, share = "#999999", 1.0
        axes.fill_between((column - 0.5, column + 0.5), row - 0.5, row + 0.5, color=color, alpha=0.6 * share, lw=0)
        axes.text(column, row, format_cell(value), ha="center", va="center", fontsize=11)
    high, wide = table.shape
    axes.hlines(np.arange(high + 1) - 0.5, -0.5, wide - 0.5, color="#777777", lw=0.8)
    axes.vlines(np.arange(wide + 1) - 0.5, -0.5, high - 0.5, color="#777777", lw=0.8)
    axes.set(xlim=(-0.55, wide - 0.45), ylim=(high - 0.45, -0.55), aspect="equal")
    axes.spines[:].set_visible(False)


def format_cell(value: float) -> str:
    """Write a number as one would on paper: two decimals at most, none that is 0.

    >>> format_cell(0.5), format_cell(2.0), format_cell(-0.001), format_cell(-math.inf)
    ('0.5', '2', '0', '−∞')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text.replace("-", "−")


def attention_arcs(words: Sequence[str], weights: Sequence[float], title: str = "") -> Figure:
    """Draw what the last of the words that have a weight looks at: an arc to each, as thick as its attention weight."""
    looker = len(weights) - 1
    figure, axes = new_axes(1.5 * len(words) + 1, 2.6)
    for place, word in enumerate(words):
        axes.text(place, -0.12, word, ha="center", va="center", fontsize=15, weight="bold" if place == looker else None)
    for place, weight in enumerate(weights[:-1]):
        turn = np.linspace(0, math.pi, 60)
        wide, high = (looker - place) / 2, 0.25 + 0.25 * (looker - place)
        if weight >= 0.005:  # a share that would be written as 0 % has no arc
            axes.plot(place + wide + wide * np.cos(turn), high * np.sin(turn), color=COLORS[0], lw=0.8 + 8 * weight)
            axes.plot(place, 0.03, "v", color=COLORS[0], markersize=7 + 5 * weight)
            label = {"ha": "center", "va": "center", "fontsize": 11, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
            axes.text(place + wide, high, f"{weight:.0%}", label)
    axes.text(looker, -0.4, f"itself {weights[looker]:.0%}", ha="center", va="center", fontsize=11, color="#555555")
    axes.set(xlim=(-0.6, len(words) - 0.4), ylim=(-0.5, 0.4 + 0.25 * max(1, looker)), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title, parse_math=False)
    return figure


def head_grid(patterns: np.ndarray, marked: Collection[tuple[int, int]] = ()) -> Figure:
    """Draw every head (layer, head, time, time) as a small map, a row for each block; marked ones get a frame."""
    shares = np.asarray(patterns)
    layers, heads = shares.shape[:2]
    side = min(1.5, 11 / heads)  # inches
    figure, grid = new_grid(layers, heads, figsize=(side * heads + 0.3, (side + 0.16) * layers + 0.5))
    for (layer, head), axes in np.ndenumerate(grid):
        axes.imshow(shares[layer, head], cmap="Blues", vmin=0, vmax=1)
        axes.set_title(f"{layer}.{head}", fontsize=8, pad=2)
        axes.set(xticks=[], yticks=[])
        found = (layer, head) in marked
        axes.spines[:].set(color=COLORS[5] if found else "#999999", linewidth=3 if found else 0.6)
    return figure
