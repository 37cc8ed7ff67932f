"""Pictures: each function draws one and returns its figure. Colors are told apart by color-blind readers too."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from utils.config import format_bytes

# Okabe and Ito's palette, in the order in which we use it
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


TINTS = ("#D3E8F8", "#FCE3B5", "#CBECDF", "#F6DCEA")  # pale, to stand behind black text


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


def attention_maps(patterns: Mapping[str, np.ndarray], pieces: Sequence[str]) -> Figure:
    """Draw patterns (time, time) as maps, four in a row: each row is a token that looks, each column one it sees."""
    columns = min(4, len(patterns))
    rows = -(-len(patterns) // columns)
    size = max(2.6, 0.3 * len(pieces)) if columns == 1 else 2.6
    figure, grid = plt.subplots(
        rows, columns, squeeze=False, layout="constrained", figsize=(columns * size + 1.2, rows * (size + 0.9) + 0.2)
    )
    labels = [short_piece(piece) for piece in pieces]
    for axes in grid.flat[len(patterns) :]:
        axes.remove()
    for number, (axes, (title, pattern)) in enumerate(zip(grid.flat, patterns.items(), strict=False)):
        pattern = np.asarray(pattern)
        hidden = np.triu(pattern == 0, 1)  # the future, which nobody may look at
        colors = plt.get_cmap("Blues").with_extremes(bad="0.88")
        image = axes.imshow(np.ma.masked_where(hidden, pattern), cmap=colors, vmin=0, vmax=1)
        axes.set_title(title, fontsize=10, parse_math=False)
        small = {"fontsize": 9 if columns == 1 else 7, "parse_math": False}
        axes.set_xticks(range(len(labels)), labels, rotation=90, **small)
        axes.set_yticks(range(len(labels)), labels if number % columns == 0 else [], **small)
    figure.colorbar(image, ax=figure.axes[columns - 1 :: columns], label="attention", shrink=0.8)
    plt.close(figure)
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
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(grid[0], [short_piece(piece) for piece in pieces], fontsize=9, parse_math=False, **slanted)
    axes.set_xlabel("the text read so far, token by token")
    figure.colorbar(image, label="probability")
    plt.close(figure)
    return figure


def layer_bars(series: Mapping[str, Sequence[float]], label: str, title: str = "") -> Figure:
    """Draw one figure for each layer, as groups of bars, the first block at the left."""
    figure, axes = new_axes()
    wide = 0.8 / len(series)
    for number, (color, (name, values)) in enumerate(zip(cycle(COLORS), series.items(), strict=False)):
        places = np.arange(len(values)) + (number - (len(series) - 1) / 2) * wide
        axes.bar(places, values, width=wide, color=color, label=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="block", ylabel=label, title=title)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    plt.close(figure)
    return figure


def share_bars(rows: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw each row as one bar of full length, cut into the shares of its parts."""
    figure, axes = new_axes(8, 0.45 * len(rows) + 1.2)
    names = list(next(iter(rows.values())))
    left = np.zeros(len(rows))
    for color, name in zip(cycle(COLORS), names, strict=False):
        shares = np.array([parts[name] / sum(parts.values()) for parts in rows.values()])
        bars = axes.barh(list(rows), shares, left=left, color=color, edgecolor="white", label=name)
        axes.bar_label(bars, [f"{share:.0%}" if share >= 0.05 else "" for share in shares], label_type="center")
        left += shares
    axes.set(xlim=(0, 1), title=title)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    plt.close(figure)
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
    longest = max(sum(map(len, pieces)) for pieces in rows.values())
    figure, axes = new_axes(8.5, 0.42 * len(rows) + 0.1)
    size = min(11, 72 * 7 / (0.62 * longest))  # points; a monospaced letter is 0.6 of them wide
    for row, pieces in enumerate(rows.values()):
        left = 0
        for color, piece in zip(cycle(TINTS), pieces, strict=False):
            axes.barh(row, len(piece), left=left, height=0.8, color=color, edgecolor="#555555", linewidth=0.8)
            text, middle = piece.translate({0x20: "·", 0x0A: "↵"}), left + len(piece) / 2
            axes.text(middle, row, text, size=size, family="monospace", ha="center", va="center", parse_math=False)
            left += len(piece)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(left=False)
    axes.set(xticks=[], xlim=(0, longest))
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.invert_yaxis()
    plt.close(figure)
    return figure


def bars(values: Mapping[str, float], label: str) -> Figure:
    """Draw one bar for each name, the first at the top, with its value at its end."""
    figure, axes = new_axes(8, 0.3 * len(values) + 0.8)
    drawn = axes.barh(range(len(values)), list(values.values()), color=COLORS[0])
    axes.bar_label(drawn, [f"{value:,g}" for value in values.values()], padding=3)
    axes.set_yticks(range(len(values)), list(values), parse_math=False)
    axes.set(xlabel=label, xlim=(0, 1.1 * max(values.values())))
    axes.invert_yaxis()
    plt.close(figure)
    return figure


def curves(lines: Mapping[str, Mapping[float, float]], labels: tuple[str, str], log: str = "") -> Figure:
    """Draw lines given as {x: y}, each with a mark of its own; `log` names the axes to stretch, such as "xy"."""
    figure, axes = new_axes(8, 3.4)
    for color, mark, (name, points) in zip(cycle(COLORS), cycle("osD^v"), lines.items(), strict=False):
        every = 1 if len(points) <= 12 else 0.1  # marks a tenth of the picture apart
        axes.plot(list(points), list(points.values()), color=color, marker=mark, markevery=every, label=name)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    for axis in log:
        axes.set(**{f"{axis}scale": "log"})
        getattr(axes, f"{axis}axis").set_major_formatter(lambda value, _: f"{value:,g}")
    axes.legend(frameon=False)
    plt.close(figure)
    return figure


def next_token_comparison(pieces: Sequence[str], rows: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draw several probabilities of each next token side by side, one color for each row; a dash is no chance."""
    figure, axes = new_axes(8, (0.17 * len(rows) + 0.12) * len(pieces) + 1.4)
    high = 0.84 / len(rows)
    for number, (color, (name, values)) in enumerate(zip(cycle(COLORS), rows.items(), strict=False)):
        places = np.arange(len(pieces)) + (number - (len(rows) - 1) / 2) * high
        drawn = axes.barh(places, values, height=high, color=color, edgecolor="white", label=name)
        axes.bar_label(drawn, [f"{p:.1%}" if p else "–" for p in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(pieces)), [short_piece(piece, 16) for piece in pieces], parse_math=False)
    axes.set(xlabel="probability", xlim=(0, 1.12 * max(max(values) for values in rows.values())))
    axes.set_title(title, parse_math=False)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    plt.close(figure)
    return figure


def stacked_bars(rows: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw each row of bytes as one bar, cut into its parts, with its sum at its end; the longest fills the width."""
    figure, axes = new_axes(8, 0.5 * len(rows) + 1.4)
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    left = np.zeros(len(rows))
    for color, name in zip(cycle(COLORS), names, strict=False):
        sizes = np.array([parts.get(name, 0) for parts in rows.values()])
        bars = axes.barh(list(rows), sizes, left=left, color=color, edgecolor="white", label=name)
        left += sizes
    axes.bar_label(bars, [f" {format_bytes(total)}" for total in left], padding=3)
    axes.set(xlim=(0, 1.15 * left.max()), title=title)
    axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    plt.close(figure)
    return figure
