"""Pictures of data: which tokens of a batch are learned."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from utils.plots.basic import new_axes

LOOKS = {  # face, hatch, text
    "given, not learned": ("#E8E8E8", "", "#555555"),
    "learned": ("#FCE3B5", "", "black"),
    "padding": ("white", "////", "#999999"),
}


def loss_mask(rows: Sequence[Sequence[tuple[str, str]]]) -> Figure:
    """Draw a batch, a row for each example: tokens as (text, one of LOOKS) in boxes as wide as their text."""
    shown = [[(piece.translate({0x20: "·", 0x0A: "↵"}), kind) for piece, kind in row] for row in rows]
    longest = max(sum(len(piece) for piece, _ in row) for row in shown)
    figure, axes = new_axes(10, 0.5 * len(rows) + 0.7)
    size = min(11, 72 * 9.4 / (0.62 * longest))  # points; a monospaced letter is 0.6 of them wide
    for place, row in enumerate(shown):
        left = 0
        for piece, kind in row:
            face, hatch, color = LOOKS[kind]
            box = {"height": 0.8, "color": face, "edgecolor": "#555555", "linewidth": 0.8, "hatch": hatch}
            axes.barh(place, len(piece), left=left, **box)
            if kind != "padding":
                middle = left + len(piece) / 2
                axes.text(middle, place, piece, size=size, color=color, family="monospace", ha="center", va="center")
            left += len(piece)
    axes.set(xticks=[], yticks=[], xlim=(-0.2, longest + 0.2))
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.invert_yaxis()
    keys = [
        Patch(facecolor=face, hatch=hatch, edgecolor="#555555", label=kind) for kind, (face, hatch, _) in LOOKS.items()
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    plt.close(figure)
    return figure
