"""A calculator for adapters: what rank, bits and batch cost in memory (lesson 13)."""

from __future__ import annotations

import ipywidgets as widgets

from utils.config import SIZES, Workload, estimate_memory
from utils.lora import estimate_lora_memory
from utils.plots import basic as plots
from utils.plots.widgets import Panel, panel


def adapter_calculator(size: str) -> Panel:
    """Return sliders for rank, bits of the base and batch above the memory of one step, beside that of all weights."""
    quiet = {"continuous_update": False}
    controls = {
        "rank": widgets.SelectionSlider(options=[1, 2, 4, 8, 16, 32, 64], value=8, description="rank", **quiet),
        "base_bits": widgets.SelectionSlider(options=[("4", 4), ("8", 8), ("32", 0)], description="bits", **quiet),
        "batch": widgets.IntSlider(value=4, min=1, max=16, description="batch", **quiet),
    }
    picture = widgets.Image(format="png", width=720)

    def draw(change: dict | None = None) -> None:
        rank, bits, batch = (control.value for control in controls.values())
        work = Workload(batch=batch, context=256, training=True)
        rows = {"all weights": estimate_memory(SIZES[size], work)}
        rows["adapters"] = estimate_lora_memory(SIZES[size], work, rank=rank, base_bits=bits)
        picture.value = plots.as_png(plots.stacked_bars(rows, f"{size}, {batch} × 256 tokens a step, rank {rank}"))

    return panel(draw, controls.values(), picture)
