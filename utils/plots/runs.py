"""Loss curves of a training run over steps and tokens, saved as PNG and PDF (lessons 11 and 12, lab 03)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.plots.basic import COLORS, legend_below, new_axes, new_grid
from utils.run_log import StepRecord

Points = Sequence[tuple[int, float]]  # (step, loss), one for each evaluation


def plot_losses(
    history: Sequence[StepRecord],
    held_out: Points = (),
    entropy: float | Mapping[str, float] | None = None,
    also: Mapping[str, Points] | None = None,
    title: str = "",
) -> Figure:
    """Draw the training loss of each step, losses measured now and then, and lines that none can go below, by name.

    `history` is a RunLog's, and so are `held_out=log.losses()` and `also={name: log.losses(name)}`. Steps are counted
    below, tokens above.
    """
    if not history:
        raise CourseError("There is no step to draw. Hand a RunLog to train(…, run_log=log) and draw log.history.")
    figure, axes = new_axes(8, 3.8)
    axes.spines["top"].set_visible(True)
    draw_training_loss(axes, history)
    measured = {"held out": held_out, **(also or {})}
    for color, mark, (name, points) in zip(cycle(COLORS[1:]), cycle("osD^v"), measured.items(), strict=False):
        if points:
            axes.plot(*zip(*points, strict=True), color=color, marker=mark, label=name)
    floors = entropy if isinstance(entropy, Mapping) else {} if entropy is None else {"entropy": entropy}
    for style, (name, floor) in zip(cycle(("--", ":")), floors.items(), strict=False):
        axes.axhline(floor, color="black", linestyle=style, label=f"{name} {floor:.2f}")
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=title)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
    add_token_axis(axes, history)
    legend_below(figure, 4)
    return figure


def plot_patients(runs: Mapping[str, tuple[Sequence[StepRecord], Points]], floor: float) -> Figure:
    """Draw runs side by side on one scale, three in a row: training loss as a line, held-out loss as marks."""
    rows = -(-len(runs) // 3)
    figure, grid = new_grid(rows, 3, figsize=(9, 2.6 * rows), sharey=True)
    for axes in grid.flat[len(runs) :]:
        axes.remove()
    for axes, (name, (history, held_out)) in zip(grid.flat, runs.items(), strict=False):
        axes.plot([record.step for record in history], [record.loss for record in history], COLORS[0], label="training")
        axes.plot(*zip(*held_out, strict=True), color=COLORS[1], marker="o", label="held out")
        axes.axhline(floor, color="black", linestyle="--", label=f"entropy {floor:.2f}")
        axes.set(title=name, ylim=(0, 13))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("step")
    figure.supylabel("loss (nats per token)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def draw_training_loss(axes: Axes, history: Sequence[StepRecord], window: int = 25) -> None:
    """Draw each step's loss; where there are many, pale, with their running mean on top."""
    steps, losses = [record.step for record in history], [record.loss for record in history]
    many = len(history) >= 4 * window
    pale = {"alpha": 0.3, "linewidth": 0.8} if many else {"label": "training"}
    axes.plot(steps, losses, color=COLORS[0], **pale)
    if many:
        label = f"training, mean of {window} steps"
        middles = steps[window // 2 : -(window // 2)]  # a mean stands at its middle, or it would lag behind
        axes.plot(middles, running_mean(losses, window), color=COLORS[0], label=label)


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Return the mean of each `window` values in a row.

    >>> running_mean([1, 2, 3, 6], 2).tolist()
    [1.5, 2.5, 4.5]
    """
    return np.convolve(values, np.ones(window) / window, mode="valid")


def add_token_axis(axes: Axes, history: Sequence[StepRecord]) -> None:
    """Write above the picture how many tokens had been learned from at each step."""
    steps = np.array([history[0].step - 1, *(record.step for record in history)], float)
    tokens = np.array(list(accumulate((record.tokens for record in history), initial=0)), float)
    per_step = tokens[-1] / (steps[-1] - steps[0])

    def to_tokens(at) -> np.ndarray:  # beyond the ends the mean goes on, so that each place has its inverse
        at = np.asarray(at, float)
        beyond = np.minimum(at - steps[0], 0) + np.maximum(at - steps[-1], 0)
        return np.interp(at, steps, tokens) + per_step * beyond

    def to_steps(at) -> np.ndarray:
        at = np.asarray(at, float)
        beyond = np.minimum(at, 0) + np.maximum(at - tokens[-1], 0)
        return np.interp(at, tokens, steps) + beyond / per_step

    above = axes.secondary_xaxis("top", functions=(to_tokens, to_steps))
    above.set_xlabel("tokens")
    above.xaxis.set_major_formatter(lambda value, _: short_count(value))


def short_count(value: float) -> str:
    """Write a number of tokens for an axis.

    >>> [short_count(n) for n in (0, 500, 20_000, 1_250_000)]
    ['0', '500', '20k', '1.25M']
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Write a figure beside `path` as PNG and as PDF and return both files."""
    files = [Path(path).with_suffix(suffix) for suffix in (".png", ".pdf")]
    for file in files:
        kind = file.suffix[1:]
        write_whole(file, lambda out, kind=kind: figure.savefig(out, format=kind, dpi=150))
    return files
