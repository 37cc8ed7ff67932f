"""A live loss curve in a notebook, with a sample of text every few steps below it (lesson 12)."""

from __future__ import annotations

from collections.abc import Callable

from IPython.display import display

from utils.plots.runs import plot_losses
from utils.run_log import RunLog


class LiveCurve:
    """Redraws a run's losses every few steps and prints what the model writes by then; one of a RunLog's watchers."""

    def __init__(self, sample: Callable[[], str], every: int, also: str) -> None:
        self.sample, self.every, self.also = sample, every, also
        self.picture = None

    def step(self, log: RunLog) -> None:
        """Draw and print if it is time to."""
        step = log.history[-1].step
        if step == 1 or step % self.every == 0:
            self.draw(log)
            print(f"step {step:3}: {' / '.join(self.sample().splitlines())}")

    def epoch(self, log: RunLog, cells: dict) -> None:
        """Leave an epoch's end alone."""

    def draw(self, log: RunLog) -> None:
        """Draw the run as it is now, in the place of the picture before."""
        figure = plot_losses(log.history, log.losses(), also={self.also: log.losses(self.also)})
        if self.picture:
            self.picture.update(figure)
        else:
            self.picture = display(figure, display_id=True)
