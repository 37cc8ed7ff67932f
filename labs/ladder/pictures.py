"""Pictures and tables of ladders: this machine's own, and those that others have published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from labs.ladder.climb import Climbed
from utils.config import format_bytes
from utils.plots.basic import COLORS, new_grid

PUBLISHED = Path(__file__).with_name("published.csv")  # as their authors printed it, or 16,384 tokens by milliseconds


def as_table(climbed: Sequence[Climbed]) -> pd.DataFrame:
    """Return a row for each rung: speed, gain over the rung below and over the plain loop, peak memory."""
    speeds = [one.tokens_per_second for one in climbed]
    rows = {
        "tokens/s": [round(speed) for speed in speeds],
        "by the rung below": [round(a / b, 2) for a, b in zip(speeds, [speeds[0], *speeds], strict=False)],
        "by the plain loop": [round(speed / speeds[0], 2) for speed in speeds],
        "peak memory": [format_bytes(one.peak_bytes) for one in climbed],
    }
    return pd.DataFrame(rows, index=pd.Index([one.rung.name for one in climbed], name="rung"))


def draw_climb(climbed: Sequence[Climbed], title: str = "") -> Figure:
    """Draw speed and peak memory of each rung, the plain loop at the bottom."""
    figure, grid = new_grid(1, 2, figsize=(9, 0.35 * len(climbed) + 1.2), sharey=True)
    names = [one.rung.name for one in climbed]
    columns = {
        "tokens/s": ([one.tokens_per_second for one in climbed], "{:,.0f}".format),
        "peak memory": ([float(one.peak_bytes) for one in climbed], format_bytes),
    }
    for axes, color, (label, (values, words)) in zip(grid[0], COLORS, columns.items(), strict=False):
        drawn = axes.barh(names, values, color=color)
        axes.bar_label(drawn, [words(value) for value in values], padding=3, fontsize=8)
        axes.set(xlabel=label, xlim=(0, 1.25 * max(values)), xticks=[])
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return figure


def published_ladders() -> dict[str, dict[str, float]]:
    """Return tokens a second of each published rung, by source and year."""
    table = pd.read_csv(PUBLISHED)
    return {
        f"{source}, {year}": dict(zip(rows["step"], rows["tokens_per_second"].astype(float), strict=True))
        for (source, year), rows in table.groupby(["source", "year"], sort=False)
    }


def own_ladder(climbed: Sequence[Climbed]) -> dict[str, float]:
    """Return tokens a second of each rung that was climbed."""
    return {one.rung.name: one.tokens_per_second for one in climbed}


def draw_ladders(ladders: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw ladders side by side, each in multiples of its own lowest rung, on one logarithmic scale."""
    figure, grid = new_grid(1, len(ladders), figsize=(4.2 * len(ladders), 3.6), sharex=True)
    most = max(max(rungs.values()) / next(iter(rungs.values())) for rungs in ladders.values())
    for axes, color, (name, rungs) in zip(grid[0], COLORS, ladders.items(), strict=False):
        lowest = next(iter(rungs.values()))
        drawn = axes.barh(list(rungs), [speed / lowest for speed in rungs.values()], color=color)
        axes.bar_label(drawn, [f"{speed / lowest:.2g} ×" for speed in rungs.values()], padding=3, fontsize=8)
        axes.set(xscale="log", xlim=(0.5, 2.5 * most), title=f"{name}\n1 × = {lowest:,.0f} tokens/s", xticks=[])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    return figure
