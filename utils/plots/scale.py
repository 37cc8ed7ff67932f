"""Pictures of a model on several devices: who holds what."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from utils.config import GPT2Config, format_bytes, held_bytes
from utils.plots.basic import COLORS, TINTS

TITLES = {"ddp": "DDP: everybody holds everything", "fsdp": "FSDP: everybody holds a part"}


def who_holds_what(config: GPT2Config, devices: int) -> Figure:
    """Draw for DDP and FSDP which parts of weights, gradients and optimizer each device holds, with its bytes."""
    figure, grid = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
    for axes, (parallel, title) in zip(grid, TITLES.items(), strict=True):
        held = held_bytes(config, devices, parallel)
        for device in range(devices):
            draw_device(axes, device, devices, spread=parallel == "fsdp")
        axes.set_yticks(range(len(held)), list(held))
        labels = [f"device {device}\n{format_bytes(sum(held.values()))}" for device in range(devices)]
        axes.set_xticks(range(devices), labels)
        axes.set(title=title, xlim=(-0.5, devices - 0.5), ylim=(len(held) - 0.5, -0.5))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    plt.close(figure)
    return figure


def draw_device(axes, device: int, devices: int, spread: bool) -> None:
    """Draw one device's three strips, each cut into as many parts as there are devices; what it holds is dark."""
    wide = 0.84 / devices
    for row in range(3):
        for part in range(devices):
            held = not spread or part == device
            color = COLORS[row] if held else TINTS[row]
            axes.barh(row, wide, left=device - 0.42 + part * wide, height=0.7, color=color, edgecolor="white")
