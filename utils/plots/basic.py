"""Figures with matplotlib: each function draws one and returns it, for notebooks to show.

Colors are told apart by color-blind readers too, and every picture says with marks or words what it says with color.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from utils.config import format_bytes

# Okabe and Ito's palette, in the order in which we use it
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
TINTS = ("#D3E8F8", "#FCE3B5", "#CBECDF", "#F6DCEA")  # pale, to stand behind black text

Part = TypeVar("Part")
Look = tuple[str, str, str]  # of a token's box: face, hatch, color of its text
LOOKS = {
    "given, not learned": ("#E8E8E8", "", "#555555"),
    "learned": ("#FCE3B5", "", "black"),
    "padding": ("white", "////", "none"),
}


def new_axes(width: float = 8, height: float = 3) -> tuple[Figure, Axes]:
    """Return a figure with one plain pair of axes."""
    figure, grid = new_grid(figsize=(width, height))
    grid[0, 0].spines[["top", "right"]].set_visible(False)
    return figure, grid[0, 0]


def new_grid(rows: int = 1, columns: int = 1, **settings: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure with axes (rows, columns); the notebook shows it where it is returned, and only there."""
    figure, grid = plt.subplots(rows, columns, squeeze=False, layout="constrained", **settings)
    plt.close(figure)
    return figure, grid


def as_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file, for a widget that shows one."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def colored(parts: Mapping[str, Part]) -> Iterator[tuple[str, str, Part]]:
    """Yield (color, name, part), the colors in their order and from the first again."""
    for color, (name, part) in zip(cycle(COLORS), parts.items(), strict=False):
        yield color, name, part


def legend_below(figure: Figure, columns: int) -> None:
    """Explain the colors below the picture."""
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)


def stack(rows: Mapping[str, Mapping[str, float]], height: float) -> tuple[Figure, Axes, list[BarContainer]]:
    """Draw each row as one bar cut into its parts, the first row at the top, and return what is drawn for each part."""
    figure, axes = new_axes(8, height)
    names = dict.fromkeys(name for parts in rows.values() for name in parts)
    sizes = {name: np.array([parts.get(name, 0) for parts in rows.values()]) for name in names}
    left, drawn = np.zeros(len(rows)), []
    for color, name, widths in colored(sizes):
        drawn.append(axes.barh(list(rows), widths, left=left, color=color, edgecolor="white", label=name))
        left = left + widths
    axes.invert_yaxis()
    return figure, axes, drawn


def memory_bar(parts: Mapping[str, float], limits: Mapping[str, float], title: str = "") -> Figure:
    """Stack the parts of a model's memory in one bar, with a line for each limit of this machine (all in bytes)."""
    figure, axes, _ = stack({"": {f"{name} {format_bytes(size)}": size for name, size in parts.items()}}, 2.2)
    for style, (name, size) in zip(cycle(("-", "--", ":")), limits.items(), strict=False):
        axes.axvline(size, color="black", linestyle=style, label=f"{name} {format_bytes(size)}")
    axes.set(yticks=[], title=title, xlim=(0, 1.05 * max([sum(parts.values()), *limits.values()])))
    axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    legend_below(figure, 3)
    return figure


def next_token_chart(pieces: Sequence[str], probabilities: Sequence[float], title: str = "") -> Figure:
    """Draw the likeliest next tokens as bars, the likeliest at the top."""
    figure, axes = _ranked([repr(piece) for piece in pieces], probabilities, "{:.1%}")
    axes.set(xlabel="probability", xlim=(0, 1.15 * max(probabilities)))
    axes.set_title(title, parse_math=False)
    return figure


def next_token_charts(models: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw the likeliest next tokens of several models, each with its own list, side by side on one scale."""
    figure, grid = new_grid(1, len(models), figsize=(4.4 * len(models), 0.3 * max(map(len, models.values())) + 1.4))
    most = max(share for shares in models.values() for share in shares.values())
    for axes, (color, name, shares) in zip(grid.flat, colored(models), strict=True):
        drawn = axes.barh(range(len(shares)), list(shares.values()), color=color)
        axes.bar_label(drawn, [f"{share:.1%}" for share in shares.values()], padding=3)
        axes.set_yticks(range(len(shares)), [short_piece(piece, 16) for piece in shares], parse_math=False)
        axes.set(xlabel="probability", xlim=(0, 1.25 * most), title=name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.invert_yaxis()
    figure.suptitle(title, parse_math=False)
    return figure


def bars(values: Mapping[str, float], label: str, log_from: float = 0) -> Figure:
    """Draw one bar for each name, the first at the top, with its value at its end.

    With `log_from` the axis is logarithmic and begins there; what is smaller has its value, and no bar.
    """
    figure, axes = _ranked(list(values), list(values.values()), "{:,g}", log_from)
    axes.set(xlabel=label, xlim=(0, 1.1 * max(values.values())))
    if log_from:
        axes.set(xscale="log", xlim=(log_from, 4 * max(values.values())))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    return figure


def _ranked(names: Sequence[str], values: Sequence[float], form: str, least: float = -1) -> tuple[Figure, Axes]:
    figure, axes = new_axes(8, 0.3 * len(names) + 0.8)
    drawn = axes.barh(range(len(names)), [max(value, least) for value in values], color=COLORS[0])
    axes.bar_label(drawn, [form.format(value) for value in values], padding=3)
    axes.set_yticks(range(len(names)), names, parse_math=False)  # "$$" is a token here and no formula
    axes.invert_yaxis()
    return figure, axes


def attention_maps(patterns: Mapping[str, np.ndarray], pieces: Sequence[str]) -> Figure:
    """Draw patterns (time, time) as maps, four in a row: each row is a token that looks, each column one it sees."""
    columns = min(4, len(patterns))
    rows = -(-len(patterns) // columns)
    size = max(2.6, (0.3 if columns == 1 else 0.12) * len(pieces))  # inches; a label must not touch the next one
    figure, grid = new_grid(rows, columns, figsize=(columns * size + 1.2, rows * (size + 0.9) + 0.2))
    labels, fontsize = [short_piece(piece) for piece in pieces], 9 if columns == 1 else 7
    for axes in grid.flat[len(patterns) :]:
        axes.remove()
    for number, (axes, (title, pattern)) in enumerate(zip(grid.flat, patterns.items(), strict=False)):
        pattern = np.asarray(pattern)
        hidden = np.triu(pattern == 0, 1)  # the future, which nobody may look at
        colors = plt.get_cmap("Blues").with_extremes(bad="0.88")
        image = axes.imshow(np.ma.masked_where(hidden, pattern), cmap=colors, vmin=0, vmax=1)
        axes.set_title(title, fontsize=10, parse_math=False)
        shown = labels if number % columns == 0 else []
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=fontsize, parse_math=False)
        axes.set_yticks(range(len(labels)), shown, fontsize=fontsize, parse_math=False)
    figure.colorbar(image, ax=figure.axes[columns - 1 :: columns], label="attention", shrink=0.8)
    return figure


def logit_lens_table(
    answers: Sequence[Sequence[str]], probabilities: np.ndarray, pieces: Sequence[str], layers: Sequence[str]
) -> Figure:
    """Draw the likeliest next token (layers, time) at each layer, darker where it is likelier; last layer on top."""
    shares = np.asarray(probabilities)
    figure, axes = new_axes(0.75 * len(pieces) + 1.6, 0.32 * len(layers) + 1.4)
    grid = np.arange(len(pieces)), np.arange(len(layers))
    image = axes.pcolormesh(*grid, shares, shading="nearest", cmap="Blues", vmin=0, vmax=1, edgecolors="white")
    for (layer, place), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        text = short_piece(answers[layer][place], 8)
        axes.text(place, layer, text, ha="center", va="center", color=color, fontsize=9, parse_math=False)
    axes.set_yticks(grid[1], layers, fontsize=8)
    labels = [short_piece(piece) for piece in pieces]
    axes.set_xticks(grid[0], labels, fontsize=9, parse_math=False, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlabel("the text read so far, token by token")
    figure.colorbar(image, label="probability")
    return figure


def layer_bars(series: Mapping[str, Sequence[float]], label: str, title: str = "") -> Figure:
    """Draw one figure for each layer, as groups of bars, the first block at the left."""
    figure, axes = new_axes()
    wide = 0.8 / len(series)
    for number, (color, name, values) in enumerate(colored(series)):
        places = np.arange(len(values)) + (number - (len(series) - 1) / 2) * wide
        axes.bar(places, values, width=wide, color=color, label=name)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
    axes.set(xlabel="block", ylabel=label, title=title)
    legend_below(figure, 4)
    return figure


def share_bars(rows: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw each row as one bar of full length, cut into the shares of its parts."""
    shares = {row: {name: part / sum(parts.values()) for name, part in parts.items()} for row, parts in rows.items()}
    figure, axes, drawn = stack(shares, 0.45 * len(rows) + 1.2)
    for part in drawn:
        labels = [f"{bar.get_width():.0%}" if bar.get_width() >= 0.05 else "" for bar in part]
        axes.bar_label(part, labels, label_type="center")
    axes.set(xlim=(0, 1), title=title)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    legend_below(figure, 3)
    return figure


def stacked_bars(rows: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw each row of bytes as one bar, cut into its parts, with its sum at its end; the longest fills the width."""
    figure, axes, drawn = stack(rows, 0.5 * len(rows) + 1.4)
    totals = [sum(parts.values()) for parts in rows.values()]
    axes.bar_label(drawn[-1], [f" {format_bytes(total)}" for total in totals], padding=3)
    axes.set(xlim=(0, 1.15 * max(totals)), title=title)
    axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    legend_below(figure, 4)
    return figure


def short_piece(piece: str, longest: int = 10) -> str:
    """Write a token as a label: a dot for each space, escapes for what the font has no letter for.

    >>> short_piece(" fox\\n")
    '·fox\\\\n'
    """
    font = get_font(findfont("DejaVu Sans"))
    known = (c if font.get_char_index(ord(c)) else c.encode("unicode_escape").decode() for c in piece)
    text = "".join("·" if c == " " else c for c in known)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def token_rows(rows: Mapping[str, Sequence[str]]) -> Figure:
    """Draw each list of tokens as a row of boxes as wide as their text; spaces and line ends are made visible."""
    looks = [(tint, "", "black") for tint in TINTS]
    boxes = [list(zip(pieces, cycle(looks), strict=False)) for pieces in rows.values()]
    figure, axes = _token_boxes(boxes, 8.5, 0.42 * len(rows) + 0.1)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(left=False)
    return figure


def loss_mask(rows: Sequence[Sequence[tuple[str, str]]]) -> Figure:
    """Draw a batch, a row for each example: tokens as (text, one of LOOKS), which says what of it is learned."""
    boxes = [[(piece, LOOKS[kind]) for piece, kind in row] for row in rows]
    figure, axes = _token_boxes(boxes, 10, 0.5 * len(rows) + 0.7)
    axes.set_yticks([])
    keys = [Patch(facecolor=f, hatch=h, edgecolor="#555555", label=kind) for kind, (f, h, _) in LOOKS.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _token_boxes(rows: Sequence[Sequence[tuple[str, Look]]], width: float, height: float) -> tuple[Figure, Axes]:
    figure, axes = new_axes(width, height)
    longest = max(sum(len(piece) for piece, _ in row) for row in rows)
    size = min(11, 72 * (width - 1.2) / (0.62 * longest))  # points; a monospaced letter is 0.6 of them wide
    for place, row in enumerate(rows):
        left = 0
        for piece, (face, hatch, color) in row:
            box = axes.barh(place, len(piece), left=left, height=0.8, color=face, edgecolor="#555555", linewidth=0.8)
            box[0].set_hatch(hatch)
            text, middle = piece.translate({0x20: "·", 0x0A: "↵"}), left + len(piece) / 2
            font = {"family": "monospace", "size": size}
            axes.text(middle, place, text, font, color=color, ha="center", va="center", parse_math=False)
            left += len(piece)
    axes.set(xticks=[], xlim=(0, longest))
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.invert_yaxis()
    return figure, axes


def curves(lines: Mapping[str, Mapping[float, float]], labels: tuple[str, str], log: str = "") -> Figure:
    """Draw lines given as {x: y}, each with a mark of its own; `log` names the axes to stretch, such as "xy"."""
    figure, axes = new_axes(8, 3.4)
    for mark, (color, name, points) in zip(cycle("osD^v"), colored(lines), strict=False):
        every = 1 if len(points) <= 12 else 0.1  # marks a tenth of the picture apart
        axes.plot(list(points), list(points.values()), color=color, marker=mark, markevery=every, label=name)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    for axis in log:
        axes.set(**{f"{axis}scale": "log"})
        getattr(axes, f"{axis}axis").set_major_formatter(lambda value, _: f"{value:,g}")
    axes.legend(frameon=False)
    return figure


def next_token_comparison(pieces: Sequence[str], rows: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draw several probabilities of each next token side by side, one color for each row; a dash is no chance."""
    figure, axes = new_axes(8, (0.17 * len(rows) + 0.12) * len(pieces) + 1.4)
    high = 0.84 / len(rows)
    for number, (color, name, values) in enumerate(colored(rows)):
        places = np.arange(len(pieces)) + (number - (len(rows) - 1) / 2) * high
        drawn = axes.barh(places, values, height=high, color=color, edgecolor="white", label=name)
        axes.bar_label(drawn, [f"{p:.1%}" if p else "–" for p in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(pieces)), [short_piece(piece, 16) for piece in pieces], parse_math=False)
    axes.set(xlabel="probability", xlim=(0, 1.12 * max(max(values) for values in rows.values())))
    axes.set_title(title, parse_math=False)
    axes.invert_yaxis()
    legend_below(figure, 3)
    return figure
