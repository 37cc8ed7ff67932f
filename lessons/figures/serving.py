"""Drawings of how a model is served: a request's way, a batch that is never closed, waiting over load (lesson 15)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, quantiles

import ipywidgets as widgets

from lessons.figures.svg import Drawing
from utils.plots import basic as plots
from utils.plots.widgets import Panel, panel

LOADS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def way_of_a_request() -> Drawing:
    """Draw a request's way from the visitor to the first word, and what is measured on it."""
    drawing = Drawing(
        780, 230,
        "A request goes from the visitor through the limits into the queue, from there to a seat in the batch; tokens "
        "stream back one by one. The time to the first token is all that lies before the first piece.",
    )  # fmt: skip
    drawing.box(10, 60, 100, 60, "visitor", "white").arrow(110, 90, 158, 90)
    drawing.box(160, 60, 110, 60, "limits", "orange").arrow(270, 90, 318, 90)
    for place in range(4):
        drawing.box(320 + 30 * place, 70, 26, 40, color="gray")
    drawing.text(380, 50, "queue, with an end", size=12)
    drawing.arrow(442, 90, 488, 90)
    for seat in range(4):
        drawing.box(490, 40 + 26 * seat, 130, 24, f"text {seat + 1}", "blue")
    drawing.text(555, 24, "batch", size=12).arrow(620, 90, 668, 90)
    drawing.box(670, 60, 100, 60, "one step:\na token each", "green")
    drawing.line([(720, 120), (720, 176), (60, 176)]).arrow(60, 176, 60, 122)
    drawing.text(390, 166, "pieces of text stream back, as soon as they are written", size=12)
    drawing.note(160, 136, "no: refused in words").note(320, 126, "full: told so at once")
    return drawing.note(10, 206, "time to first token = waiting + reading the prompt + one step", width=80)


def batches_over_time(lengths: Sequence[int] = (3, 8, 4, 6, 5, 2), seats: int = 2) -> Drawing:
    """Draw texts of several lengths in a batch that waits for its longest, and in one that is never closed."""
    closed, going = _in_turns(lengths, seats), _as_seats_get_free(lengths, seats)
    step = 26
    drawing = Drawing(
        150 + step * (max(end for *_, end in closed) + 1), 90 + 2 * 34 * seats,
        f"{len(lengths)} texts on {seats} seats. A closed batch needs {max(end for *_, end in closed)} steps, since it "
        f"waits for its longest text; continuous batching needs {max(end for *_, end in going)}.",
    )  # fmt: skip
    for top, name, rows in ((10, "closed\nbatches", closed), (50 + 34 * seats, "continuous\nbatching", going)):
        drawing.text(60, top + 17 * seats, name)
        for text, seat, begin, end in rows:
            color = ("blue", "orange", "green", "pink")[text % 4]
            drawing.box(130 + step * begin, top + 34 * seat, step * (end - begin) - 2, 30, f"{text + 1}", color)
    return drawing.note(130, 74 + 68 * seats, "time in steps →; a gap is a seat that nobody uses", width=80)


Row = tuple[int, int, int, int]  # text, seat, first step, step after the last


def _in_turns(lengths: Sequence[int], seats: int) -> list[Row]:
    rows, begin = [], 0
    for first in range(0, len(lengths), seats):
        group = lengths[first : first + seats]
        rows += [(first + seat, seat, begin, begin + length) for seat, length in enumerate(group)]
        begin += max(group)
    return rows


def _as_seats_get_free(lengths: Sequence[int], seats: int) -> list[Row]:
    rows, free = [], [0] * seats
    for text, length in enumerate(lengths):
        seat = free.index(min(free))
        rows.append((text, seat, free[seat], free[seat] + length))
        free[seat] += length
    return rows


def waiting_sliders(waits: Callable[..., list[float]], visitors: int = 20_000) -> Panel:
    """Return sliders for load and servers above the mean wait over load, as `waits(load, workers, visitors)` says."""
    load = widgets.FloatSlider(value=0.8, min=0.1, max=0.95, step=0.05, description="load", continuous_update=False)
    servers = widgets.IntSlider(value=1, min=1, max=8, description="at a time", continuous_update=False)
    picture = widgets.Image(format="png", width=720)

    def draw(change: dict | None = None) -> None:
        found, figure = waits(load.value, servers.value, visitors), _waiting(waits, servers.value, visitors)
        unlucky = quantiles(found, n=20)[-1]
        figure.axes[0].axvline(load.value, color=plots.COLORS[1])
        figure.axes[0].set_title(
            f"load {load.value:.2f}: mean wait {fmean(found):.1f}, one in twenty over {unlucky:.1f}"
        )
        picture.value = plots.as_png(figure)

    return panel(draw, (load, servers), picture)


def _waiting(waits: Callable[..., list[float]], servers: int, visitors: int):
    """Draw the mean wait of simulated visitors over the load, beside the formula for one server."""
    means = {load: fmean(waits(load, servers, visitors)) for load in LOADS}
    formula = {load: load / (2 * (1 - load)) for load in LOADS}  # Pollaczek and Khinchine, equal service times
    lines = {f"{servers} at a time, {visitors:,} visitors": means, "one at a time, by the formula": formula}
    return plots.curves(lines, ("load", "mean wait, in answers"))
