"""Pictures of what fewer bits do: to one matrix, to the layers, to the whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from utils.config import format_bytes
from utils.plots.basic import COLORS, new_axes
from utils.quantize.grids import Grid, Quantized, find_scales, from_codes, to_groups
from utils.quantize.report import Row

MARKS = ("o", "s", "^", "D", "v", "P", "X")


def costs_and_gains(rows: Sequence[Row], title: str = "") -> Figure:
    """Draw the table as bars, one line for each row: bytes, rise of perplexity over the first row, coherence, speed."""
    rise = [100 * (row.perplexity / rows[0].perplexity - 1) for row in rows]
    columns = {"megabytes": [row.bytes / 1e6 for row in rows], "perplexity rises by %": rise}
    if rows[0].coherence is not None:
        columns["coherence"] = [row.coherence for row in rows]
    columns["tokens/s"] = [row.tokens_per_second for row in rows]
    size = (10, 0.27 * len(rows) + 1)
    figure, grid = plt.subplots(1, len(columns), sharey=True, figsize=size, layout="constrained")
    for color, axes, (name, values) in zip(cycle(COLORS), grid, columns.items(), strict=False):
        form = "{:.0f}" if name == "tokens/s" else "{:.2f}" if name == "coherence" else "{:.1f}"
        bars = axes.barh(range(len(rows)), [max(value, 0) for value in values], color=color)
        axes.bar_label(bars, [form.format(value).replace("-0.0", "0.0") for value in values], padding=3)
        axes.set(xlabel=name, xticks=[], xlim=(0, 1.3 * max([*values, 1e-9])))
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    names = [f"{row.method} {row.bits:g}/{row.group}" for row in rows]
    grid[0].set_yticks(range(len(rows)), [name.removesuffix("/none") for name in names])
    grid[0].invert_yaxis()
    figure.suptitle(title)
    plt.close(figure)
    return figure


def rounding_ruler(weights: Tensor, values: Tensor, title: str = "") -> Figure:
    """Draw weights (count,) as points above a ruler of values (marks,), each with an arrow to its nearest mark."""
    figure, axes = new_axes(8, 2)
    nearest = values[(weights[:, None] - values).abs().argmin(-1)]
    axes.vlines(values, -0.25, 0, color="black", linewidth=1.5)
    axes.plot(weights, [1] * len(weights), "o", color=COLORS[0])
    for weight, value in zip(weights.tolist(), nearest.tolist(), strict=True):
        arrow = {"arrowstyle": "->", "color": COLORS[5], "shrinkA": 4, "shrinkB": 1}
        axes.annotate("", (value, 0), (weight, 1), arrowprops=arrow)
    axes.axhline(0, color="black", linewidth=1)
    axes.set(yticks=[0, 1], ylim=(-0.4, 1.3), xlabel="value", title=title)
    axes.set_yticklabels(["ruler", "weights"])
    axes.spines[["left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    plt.close(figure)
    return figure


def grid_on_weights(weight: Tensor, grids: Sequence[Grid], title: str = "") -> Figure:
    """Draw the histogram of a matrix, each weight over its group's largest, with each grid's values as ticks below."""
    figure, axes = new_axes(8, 2.2 + 0.35 * len(grids))
    groups = to_groups(weight.detach().float(), grids[0])
    shares = groups / groups.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    counts, _, _ = axes.hist(shares.flatten().cpu().numpy(), bins=121, range=(-1.05, 1.05), color=COLORS[4])
    step = 0.1 * counts.max()
    for number, (color, grid) in enumerate(zip(cycle(COLORS), grids, strict=False), start=1):
        values = grid_values(grid)
        axes.vlines(values, -step * (number - 0.1), -step * (number - 0.8), color=color, linewidth=1.5)
        axes.text(1.13, -step * (number - 0.45), str(grid), va="center", fontsize=9)
    axes.set(xlabel="weight over the largest of its group", yticks=[], title=title, ylim=(-step * len(grids), None))
    plt.close(figure)
    return figure


def grid_values(grid: Grid) -> list[float]:
    """Return the values of a grid for a group that reaches from −1 to 1."""
    scales, zeros = find_scales(torch.tensor([-1.0, 1.0]), grid)
    return from_codes(torch.arange(2**grid.bits, dtype=torch.uint8), scales, zeros, grid).tolist()


def error_histogram(errors: Mapping[str, Tensor], title: str = "") -> Figure:
    """Draw how large rounding errors are: for each name, how many of them (any shape) are how large."""
    figure, axes = new_axes(8, 2.8)
    reach = 1.02 * max(float(error.abs().max()) for error in errors.values())
    for color, style, (name, error) in zip(cycle(COLORS), cycle(("-", "--", "-.")), errors.items(), strict=False):
        values = error.detach().flatten().cpu().numpy()
        settings = {"bins": 101, "range": (-reach, reach), "histtype": "step", "linewidth": 1.8}
        axes.hist(values, color=color, linestyle=style, label=name, **settings)
    axes.set(xlabel="error of a weight", ylabel="weights", title=title)
    axes.legend(frameon=False)
    plt.close(figure)
    return figure


def error_map(weight: Tensor, quantized: Quantized, title: str = "", most: int = 128) -> Figure:
    """Draw where the rounding errors of a matrix are: the root mean square of each tile, at most 128 tiles a side."""
    error = (quantized.dequantize() - weight.detach().float()).square()
    tiles = torch.nn.functional.adaptive_avg_pool2d(error[None], [min(most, size) for size in error.shape])[0].sqrt()
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    across, down = error.shape[1], error.shape[0]
    image = axes.imshow(tiles.cpu().numpy(), cmap="cividis", aspect="auto", extent=(0, across, down, 0), vmin=0)
    axes.set(xlabel="input channel", ylabel="output channel", title=title)
    figure.colorbar(image, label="error (root mean square)")
    plt.close(figure)
    return figure


def layer_map(values: Mapping[str, float], label: str, title: str = "") -> Figure:
    """Draw a number for each layer (names like blocks.0.mlp.up) as a map of blocks and layers: which one hurts?

    Small numbers are written in the power of ten of the largest, which the label then names.
    """
    blocks = sorted({int(name.split(".")[1]) for name in values})
    layers = list(dict.fromkeys(name.split(".", 2)[2] for name in values))
    table = np.array([[values[f"blocks.{block}.{layer}"] for block in blocks] for layer in layers])
    power = int(np.floor(np.log10(table.max()))) if 0 < table.max() < 0.1 else 0
    table = table / 10.0**power
    figure, axes = plt.subplots(figsize=(0.6 * len(blocks) + 3.4, 2.6), layout="constrained")
    whole = bool((table == table.round()).all())  # such as bits
    image = axes.imshow(table, cmap="cividis", vmin=None if whole else 0, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        dark = image.norm(value) < 0.5
        text = f"{value:.0f}" if whole else f"{value:.1f}"
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
    axes.set_yticks(range(len(layers)), layers)
    axes.set_xticks(range(len(blocks)), blocks)
    axes.set(xlabel="block", title=title)
    ticks = np.unique(table) if whole else None
    figure.colorbar(image, label=f"{label}, 10$^{{{power}}}$" if power else label, ticks=ticks)
    plt.close(figure)
    return figure


def group_sweep(errors: Mapping[str, Sequence[float]], groups: Sequence[int], nbytes: Sequence[int]) -> Figure:
    """Draw the error of each kind of grid over the size of its groups, and the bytes that the groups take."""
    figure, axes = new_axes(8, 3.4)
    for color, mark, (name, values) in zip(COLORS, MARKS, errors.items(), strict=False):
        axes.plot(groups, values, color=color, marker=mark, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(groups, [f"{group}\n{format_bytes(size)}" for group, size in zip(groups, nbytes, strict=True)])
    axes.set(xlabel="weights in a group, and bytes of the matrix", ylabel="relative squared error", ylim=(0, None))
    axes.legend(frameon=False)
    plt.close(figure)
    return figure
