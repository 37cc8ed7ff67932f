"""A slider for bits and group of one matrix: its values, its errors and its bytes, redrawn at every turn."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets as widgets
from torch import Tensor

from utils.config import format_bytes
from utils.plots import basic as plots
from utils.plots.quantization import grid_on_weights
from utils.quantize.grids import ROW, TENSOR, Grid, quantize, relative_error

GROUPS = (8, 16, 32, 64, 128, 256, ROW, TENSOR)


def quantization_slider(weight: Tensor) -> widgets.VBox:
    """Return sliders for the grid of a matrix (rows, columns), a picture of where its values lie, and what it costs."""
    controls = grid_controls()
    picture, message = widgets.Image(format="png", width=720), widgets.HTML()

    def draw(change: dict | None = None) -> None:
        controls["nf4"].disabled = controls["bits"].value != 4
        controls["symmetric"].disabled = is_nf4(controls)
        grid = chosen_grid(controls)
        picture.value = plots.as_png(grid_on_weights(weight, [grid]))
        message.value = describe_grid(weight, grid)

    for control in controls.values():
        control.observe(draw, names="value")
    draw()
    return widgets.VBox([*controls.values(), picture, message])


def grid_controls() -> dict[str, widgets.Widget]:
    """Return a control for each choice that makes a grid."""
    quiet = {"continuous_update": False, "layout": widgets.Layout(width="30em")}
    return {
        "bits": widgets.IntSlider(value=4, min=2, max=8, description="bits", **quiet),
        "group": widgets.SelectionSlider(options=GROUPS, value=64, description="group", **quiet),
        "symmetric": widgets.Checkbox(value=True, description="symmetric"),
        "nf4": widgets.Checkbox(value=False, description="NF4 (4 bits only)"),
    }


def is_nf4(controls: dict[str, widgets.Widget]) -> bool:
    return controls["nf4"].value and controls["bits"].value == 4


def chosen_grid(controls: dict[str, widgets.Widget]) -> Grid:
    """Return the grid that the controls stand at; NF4 counts at 4 bits only, and is symmetric."""
    linear = Grid(*(controls[name].value for name in ("bits", "group")))
    if is_nf4(controls):
        return replace(linear, kind="nf4")
    return replace(linear, symmetric=controls["symmetric"].value)


def describe_grid(weight: Tensor, grid: Grid) -> str:
    """Say what a matrix costs on a grid.

    >>> import torch
    >>> describe_grid(torch.ones(8, 64), Grid(4, 64))
    '4 bits, group 64: 272 bytes, 4.25 bits a weight, relative squared error 0.0044'
    """
    size = grid.nbytes(*weight.shape)
    error = relative_error(weight, quantize(weight, grid))
    bits = 8 * size / weight.numel()
    return f"{grid}: {format_bytes(size)}, {bits:.2f} bits a weight, relative squared error {error:.4f}"
