"""Floating-point formats: sign, exponent and mantissa of fp32, fp16 and bf16, bit by bit (lesson 07).

What a number looks like in memory, and what of it each format keeps.
"""

from __future__ import annotations

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from utils.plots.basic import TINTS, as_png, new_axes
from utils.plots.widgets import panel

FORMATS = {"fp32": (torch.float32, 8), "fp16": (torch.float16, 5), "bf16": (torch.bfloat16, 8)}  # exponent's bits
PARTS = ("sign", "exponent", "mantissa")


def bit_fields(value: float, name: str) -> tuple[str, str, str]:
    """Return the bits of sign, exponent and mantissa of a number in a format.

    >>> bit_fields(-0.1, "fp16")
    ('1', '01011', '1001100110')
    """
    dtype, exponent = FORMATS[name]
    count = 8 * dtype.itemsize
    raw = int(torch.tensor(value).to(dtype).view({16: torch.int16, 32: torch.int32}[count]))
    bits = f"{raw % 2**count:0{count}b}"
    return bits[0], bits[1 : 1 + exponent], bits[1 + exponent :]


def describe_stored(value: float, name: str) -> str:
    """Say which number a format stores for this one, and how far off it is.

    >>> describe_stored(0.1, "fp16"), describe_stored(100000, "fp16")
    ('0.099975586, off by 0.024 %', 'inf, too large for fp16')
    """
    stored = float(torch.tensor(value).to(FORMATS[name][0]))
    if abs(stored) == float("inf"):
        return f"{stored}, too large for {name}"
    off = abs(stored / value - 1) if value else 0.0
    return f"{stored:.8g}, off by {100 * off:.2g} %"


def bit_layout(value: float) -> Figure:
    """Draw a number in fp32, fp16 and bf16: one box for each bit, tinted by what it belongs to."""
    figure, axes = new_axes(9, 2.6)
    for row, name in enumerate(FORMATS):
        left = 0
        for tint, bits in zip(TINTS, bit_fields(value, name), strict=False):
            axes.barh([row] * len(bits), 1, left=range(left, left + len(bits)), color=tint, edgecolor="#555555")
            for place, bit in enumerate(bits, start=left):
                axes.text(place + 0.5, row, bit, ha="center", va="center", fontsize=9)
            left += len(bits)
        axes.text(32.5, row, describe_stored(value, name), va="center", fontsize=9)
    axes.set_yticks(range(len(FORMATS)), list(FORMATS))
    axes.set(xticks=[], xlim=(0, 46), title=f"{value:g} in three formats")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False)
    axes.invert_yaxis()
    keys = [Patch(facecolor=tint, edgecolor="#555555", label=part) for tint, part in zip(TINTS, PARTS, strict=False)]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    return figure


def number_bits(value: float = 0.1) -> widgets.VBox:
    """Return a field for a number, and below it the number's bits in three formats."""
    field = widgets.FloatText(value=value, description="number", continuous_update=False)
    picture = widgets.Image(format="png", width=820)

    def draw(change: dict | None = None) -> None:
        picture.value = as_png(bit_layout(field.value))

    return panel(draw, (field,), picture)
