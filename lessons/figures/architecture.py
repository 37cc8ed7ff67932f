"""The architecture of GPT-2 as a drawing that fills in: the parts that are known so far stand in color.

Lesson 03 shows it again and again (transformer, decoder-only), with shapes and shares of the parameters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from utils.config import GPT2Config, count_parameters, total_parameters
from utils.errors import CourseError
from utils.plots.basic import TINTS, new_axes

FACES = {"embeddings": TINTS[1], "norm": TINTS[3], "attention": TINTS[0], "MLP": TINTS[2], "head": TINTS[1]}
PARTS = (*FACES, "residual")
STREAM = 1.4  # where the residual stream runs
SUM: dict[str, Any] = {"boxstyle": "circle,pad=0.15", "fc": "white"}


@dataclass(frozen=True)
class Box:
    """One part of the drawing: which name of PARTS it goes by, where it stands, what it says."""

    part: str
    left: float
    bottom: float
    width: float
    label: str
    height: float = 0.9


def architecture(config: GPT2Config, known: Collection[str] = PARTS) -> Figure:
    """Draw GPT-2 from tokens (below) to logits (above); parts that are not `known` stay pale and dashed."""
    if unknown := set(known) - set(PARTS):
        raise CourseError(f"Found the parts {', '.join(sorted(unknown))}, expected some of {', '.join(PARTS)}.")
    figure, axes = new_axes(7.4, 7)
    axes.add_patch(Rectangle((0.4, 2.6), 8.2, 6.0, fc="none", ec="#777777", lw=1.2))
    axes.text(8.45, 8.25, f"block, {config.n_layer} times", ha="right", va="center", fontsize=10, style="italic")
    _draw_stream(axes, config, "residual" in known)
    for box in boxes(config):
        _draw_box(axes, box, box.part in known)
    axes.text(4.5, 0.35, "tokens (batch, time)", ha="center", va="center", fontsize=10)
    axes.text(4.5, 11.95, f"logits (batch, time, {config.vocab_size:,})", ha="center", va="center", fontsize=10)
    axes.set(xlim=(0.2, 8.8), ylim=(0, 12.2), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return figure


def boxes(config: GPT2Config) -> list[Box]:
    """Return the boxes from below to above."""
    said = labels(config)
    return [
        Box("embeddings", 0.4, 1.0, 8.2, said["embeddings"]),
        Box("norm", 2.6, 3.0, 5.8, "layer norm", 0.5),
        Box("attention", 2.6, 3.9, 5.8, said["attention"]),
        Box("norm", 2.6, 5.7, 5.8, "layer norm", 0.5),
        Box("MLP", 2.6, 6.6, 5.8, said["MLP"]),
        Box("norm", 0.4, 9.1, 8.2, said["norm"], 0.5),
        Box("head", 0.4, 10.3, 8.2, said["head"]),
    ]


def labels(config: GPT2Config) -> dict[str, str]:
    """Say of each part which shapes it has and which share of all parameters it holds."""
    width, vocab, counts = config.n_embd, f"{config.vocab_size:,}", count_parameters(config)
    shares = {part: count / total_parameters(config) for part, count in counts.items()}
    return {
        "embeddings": f"token embedding, {vocab} × {width}: {shares['token embedding']:.1%} of the parameters\n"
        f"+ position embedding, {config.context:,} × {width}: {shares['position embedding']:.1%}",
        "attention": f"multi-head self-attention, {config.n_head} heads × {config.head_width}\n"
        f"all blocks: {shares['attention']:.1%}",
        "MLP": f"feed-forward (MLP), {width} → {4 * width:,} → {width}\nall blocks: {shares['mlp']:.1%}",
        "norm": f"final layer norm; all {2 * config.n_layer + 1} norms: {shares['norms']:.2%}",
        "head": f"head, {width} → {vocab}\ntied: the token embedding again, no parameters",
    }


def _draw_stream(axes: Axes, config: GPT2Config, known: bool) -> None:
    """Draw the residual stream at the left, the ways that leave it and the sums where they come back."""
    color, style = ("#333333", "-") if known else ("#AAAAAA", "--")
    line: dict[str, Any] = {"color": color, "ls": style, "lw": 2.2 if known else 1.2}
    axes.annotate("", (4.5, 1.0), (4.5, 0.6), arrowprops={"arrowstyle": "-|>", "color": "#333333"})
    axes.annotate("", (4.5, 11.7), (4.5, 11.1), arrowprops={"arrowstyle": "-|>", "color": "#333333"})
    axes.plot([STREAM, STREAM], [1.9, 9.1], **line)
    axes.plot([4.5, 4.5], [9.6, 10.3], **line)
    for bottom, top in ((3.25, 5.3), (5.95, 8.0)):
        axes.plot([STREAM, 2.6], [bottom, bottom], **line)
        axes.plot([5.5, 5.5, STREAM], [bottom, top, top], **line)
        axes.text(STREAM, top, "+", ha="center", va="center", fontsize=13, color=color, bbox=SUM | {"ec": color})
    name = f"residual stream\n(batch, time, {config.n_embd})" if known else "?"
    axes.text(STREAM + 0.12, 2.2, name, ha="left", va="center", fontsize=9, color=color)


def _draw_box(axes: Axes, box: Box, known: bool) -> None:
    look: dict[str, Any] = (
        {"fc": FACES[box.part], "ec": "#333333"} if known else {"fc": "white", "ec": "#999999", "ls": "--"}
    )
    axes.add_patch(Rectangle((box.left, box.bottom), box.width, box.height, zorder=3, **look))
    middle = box.left + box.width / 2, box.bottom + box.height / 2
    color = "black" if known else "#777777"
    axes.text(*middle, box.label if known else "?", ha="center", va="center", fontsize=9.5, color=color, zorder=4)
