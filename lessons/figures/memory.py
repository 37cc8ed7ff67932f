"""Figures of memory: batches that fit, memory over training steps, what DDP and FSDP hold (lessons 09 and 16).

What fits where, computed from the estimate; nothing that they show was allocated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.config import BYTES, LOSS_CHUNK, SIZES, GPT2Config, Workload, estimate_memory, format_bytes, held_bytes
from utils.fit.placement import block_bytes
from utils.plots.basic import COLORS, TINTS, legend_below, new_axes, new_grid

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


def step_timeline(config: GPT2Config, work: Workload, steps: int = 2) -> list[dict[str, float]]:
    """Return the bytes of each part that training holds: block by block forward, in the loss, and back to the front."""
    need, n = estimate_memory(config, work), config.n_layer
    tokens, size = work.batch * work.context, BYTES[work.dtype]
    kept = tokens * config.n_embd * (14 * size + 2 * 4)  # of each block, for its backward pass
    block, table = block_bytes(config, replace(work, dtype="float32")), 4 * config.vocab_size * config.n_embd
    held: dict[str, float] = {"weights": need["weights"], "optimizer": 0, "gradients": 0, "activations": 0, "logits": 0}
    history: list[dict[str, float]] = []

    def then(**changed: float) -> None:
        held.update(changed)
        history.append(dict(held))

    for _ in range(steps):
        then(gradients=0)
        for layer in range(n):
            then(activations=kept * (layer + 1))
        then(logits=min(tokens, LOSS_CHUNK) * config.vocab_size * size, gradients=table)  # the head's are made here
        then(logits=0)
        for layer in reversed(range(n)):
            then(activations=kept * layer, gradients=table + block * (n - layer))
        then(gradients=need["gradients"], optimizer=need["optimizer"])
    return [*history, {**held, "gradients": 0}]


def memory_over_steps(history: Sequence[Mapping[str, float]], steps: int = 2) -> Figure:
    """Draw the parts of a timeline on top of each other, with words where each step begins and turns back."""
    figure, axes = new_axes(8.5, 3.4)
    parts = {name: [held[name] for held in history] for name in history[0]}
    axes.stackplot(range(len(history)), *parts.values(), labels=list(parts), colors=COLORS, step="post", linewidth=0)
    every = len(history) // steps
    for step in range(steps):
        for at, name in ((step * every, f"step {step + 1}: forward"), (step * every + every // 2, "loss, backward")):
            axes.axvline(at, color="black", linestyle=":", linewidth=0.8)
            axes.text(at + 0.2, 1.02, name, transform=axes.get_xaxis_transform(), fontsize=9)
    axes.set(xticks=[], xlim=(0, len(history) - 1))
    axes.yaxis.set_major_formatter(lambda value, _: format_bytes(value) if value else "0")
    legend_below(figure, len(parts))
    return figure


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
