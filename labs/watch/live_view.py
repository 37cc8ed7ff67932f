"""Live training dashboard in the notebook: a picture of the run that redraws itself while it goes on (lab 03)."""

from __future__ import annotations

import time
from pathlib import Path

from utils.errors import CourseError
from utils.plots.basic import as_png
from utils.plots.runs import save_figure
from utils.plots.system import plot_run, trace_run
from utils.run_log import RunLog

SHARE = 0.05  # of the run's time that drawing may take
LONGEST = 10.0  # seconds between two pictures, however slow drawing is


class LiveView:
    """Shows loss, speed, memory and temperature of a run on one clock; give it to a RunLog's watchers.

    It draws between two steps and takes about a twentieth of the time, or a picture every ten seconds. `widget` is
    an image that any notebook can show; `save` leaves the last picture as PNG and PDF.
    """

    def __init__(self, system_log: str | Path | None = None, entropy: float | None = None, title: str = "") -> None:
        import ipywidgets

        self.system_log, self.entropy, self.title = system_log, entropy, title
        self.widget = ipywidgets.Image(format="png", width=720)
        self.log: RunLog | None = None
        self.drawn = 0
        self._next = 0.0

    def show(self) -> LiveView:
        """Put the picture below the cell; it changes there while the cell runs."""
        from IPython.display import display

        display(self.widget)
        return self

    def step(self, log: RunLog) -> None:
        self.log = log
        if time.monotonic() >= self._next:
            self.draw()

    def epoch(self, log: RunLog, cells) -> None:
        self.log = log

    def draw(self) -> None:
        """Draw the run as it is now, and rest for as long as keeps the share."""
        began = time.monotonic()
        self.widget.value = as_png(self.figure())
        self.drawn += 1
        ended = time.monotonic()
        self._next = ended + min(LONGEST, (ended - began) * (1 / SHARE - 1))

    def figure(self):
        """Return the picture of the run so far."""
        if self.log is None:
            raise CourseError("No step has been seen. Make RunLog(…, watchers=[view]) and hand it to train.")
        table = self.system_log if self.system_log and Path(self.system_log).exists() else None
        return plot_run(trace_run(self.log, table), self.entropy, self.title)

    def save(self, path: str | Path) -> list[Path]:
        """Draw the whole run once more and write it beside `path` as PNG and PDF."""
        figure = self.figure()
        self.widget.value = as_png(figure)
        return save_figure(figure, path)
