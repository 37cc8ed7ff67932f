"""Byte layouts of file formats and quantization blocks: each row a strip of bytes, cut into named fields.

Lesson 05 draws safetensors and GGUF by it, lesson 06 the blocks of Q4_0 and Q4_K.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from utils.plots.basic import TINTS, new_axes

Field = tuple[str, float]  # what stands there, and how wide it is drawn
PALE = (*TINTS, "#EAEAEA", "#FFF7B8", "#E3DCF3", "#F3E3D7")
NARROW = 0.0095  # of the width, for each letter of a label; where there is less room, the legend has to say it


def byte_strips(rows: Mapping[str, Sequence[Field]], title: str = "") -> Figure:
    """Draw each row as one strip from its first byte to its last; fields of one name have one color in all rows."""
    names = list(dict.fromkeys(name for fields in rows.values() for name, _ in fields))
    colors = {name: PALE[index % len(PALE)] for index, name in enumerate(names)}
    figure, axes = new_axes(9, 0.62 * len(rows) + 0.7)
    longest = max(sum(width for _, width in fields) for fields in rows.values())
    shown: set[str] = set()
    for row, fields in enumerate(rows.values()):
        left = 0.0
        for name, width in fields:
            bar = axes.barh(row, width, 0.7, left, color=colors[name], edgecolor="#555555", linewidth=0.6, label=name)
            room = max(map(len, name.split("\n"))) * NARROW * longest <= width
            axes.bar_label(bar, [name if room else ""], label_type="center", fontsize=8)
            shown |= {name} if room else set()
            left += width
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1.003 * longest), xticks=[], title=title)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    hidden = {name: bar for bar, name in zip(*axes.get_legend_handles_labels(), strict=True) if name not in shown}
    if hidden:
        figure.legend(list(hidden.values()), list(hidden), loc="outside lower center", ncols=4, frameon=False)
    return figure
