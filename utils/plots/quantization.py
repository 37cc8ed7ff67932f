"""Figures of quantization error: on one matrix, by layer, for the whole model; and a slider (lessons 07 and 08).

What fewer bits do: where the values of a grid lie, how large the errors are and where, which layers hurt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from utils.config import format_bytes
from utils.plots.basic import COLORS, as_png, colored, new_axes, new_grid
from utils.plots.widgets import panel
from utils.quantize.grids import (
    ROW,
    TENSOR,
    Grid,
    Quantized,
    find_scales,
    from_codes,
    quantize,
    relative_error,
    to_groups,
)

MARKS = "os^DvPX"
GROUPS = (8, 16, 32, 64, 128, 256, ROW, TENSOR)  # to choose from with the slider


def costs_and_gains(rows: Sequence[Any], title: str = "") -> Figure:
    """Draw a table as bars, one line for each row: bytes, rise of perplexity over the first row, coherence, speed."""
    rise = [100 * (row.perplexity / rows[0].perplexity - 1) for row in rows]
    columns = {"megabytes": [row.bytes / 1e6 for row in rows], "perplexity rises by %": rise}
    if rows[0].coherence is not None:
        columns["coherence"] = [row.coherence or 0.0 for row in rows]
    columns["tokens/s"] = [row.tokens_per_second for row in rows]
    figure, grid = new_grid(1, len(columns), sharey=True, figsize=(10, 0.27 * len(rows) + 1))
    for axes, (color, name, values) in zip(grid[0], colored(columns), strict=True):
        form = "{:.2g}" if name == "tokens/s" else "{:.2f}" if name == "coherence" else "{:.1f}"
        bars = axes.barh(range(len(rows)), [max(value, 0) for value in values], color=color)
        axes.bar_label(bars, [f"{float(form.format(value)) + 0.0:g}" for value in values], padding=3)
        axes.set(xlabel=name, xticks=[], xlim=(0, 1.3 * max([*values, 1e-9])))
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    names = [f"{row.method} {row.bits:g}/{row.group}" for row in rows]
    grid[0, 0].set_yticks(range(len(rows)), [name.removesuffix("/none") for name in names])
    grid[0, 0].invert_yaxis()
    figure.suptitle(title)
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
    return figure


def grid_on_weights(weight: Tensor, grids: Sequence[Grid], title: str = "") -> Figure:
    """Draw the histogram of a matrix, each weight over its group's largest, with each grid's values as ticks below."""
    figure, axes = new_axes(8, 2.2 + 0.35 * len(grids))
    groups = to_groups(weight.detach().float(), grids[0])
    shares = groups / groups.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    counts, _, _ = axes.hist(shares.flatten().cpu().numpy(), bins=121, range=(-1.05, 1.05), color=COLORS[4])
    step = 0.1 * np.max(counts)
    for number, (color, grid) in enumerate(zip(cycle(COLORS), grids, strict=False), start=1):
        values = grid_values(grid)
        axes.vlines(values, -step * (number - 0.1), -step * (number - 0.8), color=color, linewidth=1.5)
        axes.text(1.13, -step * (number - 0.45), str(grid), va="center", fontsize=9)
    axes.set(xlabel="weight over the largest of its group", yticks=[], title=title, ylim=(-step * len(grids), None))
    return figure


def grid_values(grid: Grid) -> list[float]:
    """Return the values of a grid for a group that reaches from −1 to 1."""
    scales, zeros = find_scales(torch.tensor([-1.0, 1.0]), grid)
    return from_codes(torch.arange(2**grid.bits, dtype=torch.uint8), scales, zeros, grid).tolist()


def code_shares(codes: Mapping[str, Tensor], title: str = "") -> Figure:
    """Draw which share of the weights has each code, as bars side by side, for each of some grids of 4 bits."""
    figure, axes = new_axes(8, 2.8)
    wide = 0.8 / len(codes)
    for number, (color, name, each) in enumerate(colored(codes)):
        shares = each.flatten().bincount(minlength=16) / each.numel()
        places = np.arange(len(shares)) + (number - (len(codes) - 1) / 2) * wide
        axes.bar(places, shares.cpu().numpy(), width=wide, color=color, label=name)
    axes.set_xticks(range(16))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(xlabel="code", ylabel="share of the weights", title=title)
    axes.legend(frameon=False)
    return figure


def error_map(
    weight: Tensor, quantized: Quantized, title: str = "", rows: tuple[int, int] | None = None, most: int = 128
) -> Figure:
    """Draw where the rounding errors of a matrix are: the root mean square of each tile, at most 128 tiles a side.

    With rows (first, last + 1), only these are drawn.
    """
    first, last = rows or (0, len(weight))
    error = (quantized.dequantize() - weight.detach().float())[first:last].square()
    down, across = error.shape
    tiles = F.adaptive_avg_pool2d(error[None], (min(most, down), min(most, across)))[0].sqrt()
    figure, grid = new_grid(figsize=(7, 3.6))
    axes = grid[0, 0]
    extent = (0, across, first + down, first)
    image = axes.imshow(tiles.cpu().numpy(), cmap="cividis", aspect="auto", extent=extent, vmin=0)
    axes.set(xlabel="input channel", ylabel="output channel", title=title)
    figure.colorbar(image, label="error (root mean square)")
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
    figure, grid = new_grid(figsize=(0.6 * len(blocks) + 3.4, 2.6))
    axes = grid[0, 0]
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
    return figure


def group_sweep(errors: Mapping[str, Sequence[float]], groups: Sequence[int], bits: Sequence[float]) -> Figure:
    """Draw the error of each kind of grid over the size of its groups, and the bits that a weight takes in each."""
    figure, axes = new_axes(8, 3.4)
    for mark, (color, name, values) in zip(cycle(MARKS), colored(errors), strict=False):
        axes.plot(groups, values, color=color, marker=mark, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(groups, [f"{group}\n{each:.3f} bits" for group, each in zip(groups, bits, strict=True)])
    axes.set(xlabel="weights in a group, and bits per weight", ylabel="relative squared error", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def quantization_slider(weight: Tensor) -> widgets.VBox:
    """Return sliders for the grid of a matrix (rows, columns), a picture of where its values lie, and what it costs."""
    controls = grid_controls()
    picture, message = widgets.Image(format="png", width=720), widgets.HTML()

    def draw(change: dict | None = None) -> None:
        controls["nf4"].disabled = controls["bits"].value != 4
        grid = chosen_grid(controls)
        controls["symmetric"].disabled = grid.kind == "nf4"
        picture.value = as_png(grid_on_weights(weight, [grid]))
        message.value = describe_grid(weight, grid)

    return panel(draw, controls.values(), picture, message)


def grid_controls() -> dict[str, widgets.Widget]:
    """Return a control for each choice that makes a grid."""
    quiet = {"continuous_update": False, "layout": widgets.Layout(width="30em")}
    return {
        "bits": widgets.IntSlider(value=4, min=2, max=8, description="bits", **quiet),
        "group": widgets.SelectionSlider(options=GROUPS, value=64, description="group", **quiet),
        "symmetric": widgets.Checkbox(value=True, description="symmetric"),
        "nf4": widgets.Checkbox(value=False, description="NF4 (4 bits only)"),
    }


def chosen_grid(controls: dict[str, widgets.Widget]) -> Grid:
    """Return the grid that the controls stand at; NF4 counts at 4 bits only, and is symmetric."""
    bits, group, symmetric, nf4 = (control.value for control in controls.values())
    if nf4 and bits == 4:
        return Grid(bits, group, "nf4")
    return Grid(bits, group, symmetric=symmetric)


def describe_grid(weight: Tensor, grid: Grid) -> str:
    """Say what a matrix costs on a grid.

    >>> describe_grid(torch.ones(8, 64), Grid(4, 64))
    '4 bits, group 64: 272 bytes, 4.25 bits a weight, relative squared error 0.0044'
    """
    size = grid.nbytes(*weight.shape)
    error = relative_error(weight, quantize(weight, grid))
    bits = 8 * size / weight.numel()
    return f"{grid}: {format_bytes(size)}, {bits:.2f} bits a weight, relative squared error {error:.4f}"
