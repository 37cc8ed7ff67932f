"""Figures of memory: batches that fit, placement of layers, and what DDP and FSDP hold (lessons 09 and 16).

What fits where, computed from the estimate; nothing that they show was allocated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.config import SIZES, GPT2Config, Workload, estimate_memory, format_bytes, held_bytes
from utils.fit.placement import NAMES, PLACES, Plan, block_bytes, table_bytes
from utils.plots.basic import COLORS, TINTS, new_grid, share_bars

SHARE = 0.9  # of a GPU's memory: the rest is for the driver and for what falls between allocations
TITLES = {"ddp": "DDP: everybody holds everything", "fsdp": "FSDP: everybody holds a part"}


def largest_batch(config: GPT2Config, memory: float, work: Workload, most: int = 1024) -> int:
    """Return the largest power of two of sequences whose estimate fits `memory` bytes; 0 when not even one does."""
    batch = 0
    while batch < most:
        wish = replace(work, batch=max(1, 2 * batch))
        if sum(estimate_memory(config, wish).values()) > memory:
            break
        batch = wish.batch
    return batch


def batches_that_fit(works: Mapping[str, Workload], gigabytes: Sequence[int]) -> dict[str, np.ndarray]:
    """Return for each kind of work the largest batches, (sizes of GPT-2, sizes of memory)."""
    return {
        name: np.array([[largest_batch(SIZES[s], SHARE * g * 1e9, work) for g in gigabytes] for s in SIZES])
        for name, work in works.items()
    }


def batch_tables(tables: Mapping[str, np.ndarray], gigabytes: Sequence[int]) -> Figure:
    """Draw tables (sizes of GPT-2, sizes of memory) of largest batches side by side: darker is more, a dash is none."""
    figure, grid = new_grid(1, len(tables), figsize=(4.2 * len(tables), 2.7))
    for axes, (name, table) in zip(grid.flat, tables.items(), strict=True):
        shade = np.log2(np.maximum(table, 0.5)) + 1  # 0 for none
        axes.pcolormesh(shade, cmap="Blues", vmin=0, vmax=14, edgecolors="white", linewidth=2)
        for (row, column), batch in np.ndenumerate(table):
            color = "white" if shade[row, column] > 8 else "black"
            axes.text(column + 0.5, row + 0.5, f"{batch:,}" if batch else "–", ha="center", va="center", color=color)
        axes.set_xticks(np.arange(len(gigabytes)) + 0.5, [f"{g} GB" for g in gigabytes])
        axes.set_yticks(np.arange(len(SIZES)) + 0.5, list(SIZES))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(name, fontsize=10)
        axes.invert_yaxis()
    return figure


def plan_bars(plans: Mapping[str, Plan]) -> Figure:
    """Draw for each plan how much of the model lies in which place, as shares of its bytes."""
    rows = {}
    for name, plan in plans.items():
        block, table = block_bytes(plan.config, plan.work), table_bytes(plan.config, plan.work)
        rows[name] = {
            NAMES[place].removeprefix("the "): block * plan.blocks.count(place) + table * (plan.table == place)
            for place in PLACES
        }
    return share_bars(rows)


def who_holds_what(config: GPT2Config, devices: int) -> Figure:
    """Draw for DDP and FSDP which parts of weights, gradients and optimizer each device holds, with its bytes."""
    figure, grid = new_grid(2, figsize=(8, 5))
    for axes, (parallel, title) in zip(grid.flat, TITLES.items(), strict=True):
        held = held_bytes(config, devices, parallel)
        for device in range(devices):
            draw_device(axes, device, devices, sharded=parallel == "fsdp")
        axes.set_yticks(range(len(held)), list(held))
        labels = [f"device {device}\n{format_bytes(sum(held.values()))}" for device in range(devices)]
        axes.set_xticks(range(devices), labels)
        axes.set(title=title, xlim=(-0.5, devices - 0.5), ylim=(len(held) - 0.5, -0.5))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


def draw_device(axes: Axes, device: int, devices: int, sharded: bool) -> None:
    """Draw one device's three strips, each cut into as many parts as there are devices; what it holds is dark."""
    wide = 0.84 / devices
    for row in range(3):
        for part in range(devices):
            color = TINTS[row] if sharded and part != device else COLORS[row]
            axes.barh(row, wide, left=device - 0.42 + part * wide, height=0.7, color=color, edgecolor="white")
