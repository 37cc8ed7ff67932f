"""Pictures: each function draws one and returns its figure. Colors are told apart by color-blind readers too."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.config import format_bytes

# Okabe and Ito's palette, in the order in which we use it
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def new_axes(width: float = 8, height: float = 3) -> tuple[Figure, Axes]:
    """Return a figure with one plain pair of axes."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file, for a widget that shows one."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def memory_bar(parts: Mapping[str, float], limits: Mapping[str, float], title: str = "") -> Figure:
    """Stack the parts of a model's memory in one bar, with a line for each limit of this machine (all in bytes)."""
    figure, axes = new_axes(8, 2.2)
    left = 0.0
    for color, (name, size) in zip(cycle(COLORS), parts.items(), strict=False):
        axes.barh(0, size, left=left, color=color, edgecolor="white", label=f"{name} {format_bytes(size)}")
        left += size
    for style, (name, size) in zip(cycle(("-", "--", ":")), limits.items(), strict=False):
        axes.axvline(size, color="black", linestyle=style, label=f"{name} {format_bytes(size)}")
    axes.set(yticks=[], title=title, xlim=(0, 1.05 * max([left, *limits.values()])))
    axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    plt.close(figure)  # the notebook shows what is returned, once
    return figure


def next_token_chart(pieces: Sequence[str], probabilities: Sequence[float], title: str = "") -> Figure:
    """Draw the likeliest next tokens as bars, the likeliest at the top."""
    figure, axes = new_axes(8, 0.3 * len(pieces) + 0.8)
    places = range(len(pieces))
    bars = axes.barh(places, probabilities, color=COLORS[0])
    axes.bar_label(bars, [f"{p:.1%}" for p in probabilities], padding=3)
    labels = [repr(piece) for piece in pieces]
    axes.set_yticks(places, labels, parse_math=False)  # "$$" is a token here and no formula
    axes.set_xlabel("probability")
    axes.set_title(title, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(probabilities))
    plt.close(figure)
    return figure


def loss_curve(steps: Sequence[int], losses: Mapping[str, Sequence[float]], floor: float | None = None) -> Figure:
    """Draw losses over steps, and the line that no loss can go below where it is known."""
    figure, axes = new_axes()
    for color, (name, values) in zip(cycle(COLORS), losses.items(), strict=False):
        axes.plot(steps, values, color=color, label=name)
    if floor is not None:
        axes.axhline(floor, color="black", linestyle="--", label=f"entropy {floor:.2f}")
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.legend(frameon=False)
    plt.close(figure)
    return figure
