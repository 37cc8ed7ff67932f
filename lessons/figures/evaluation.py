"""Drawings of how a model is measured: windows with their stride, and answers by log-likelihood (lesson 14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import fill

import ipywidgets as widgets
import torch

from lessons.figures.svg import Drawing
from utils.evaluate import Protocol, scoring_windows
from utils.model import IGNORE
from utils.plots import basic as plots
from utils.plots.widgets import Panel, panel


def windows_and_stride(context: int = 8, stride: int = 4, tokens: int = 17) -> Drawing:
    """Draw the windows that move over a text: what each only sees, and what it guesses."""
    found = scoring_windows(torch.arange(tokens), Protocol(context, stride))
    wide, left = 30, 90
    drawing = Drawing(
        left + wide * tokens + 20,
        70 + 36 * len(found),
        f"{len(found)} windows of {context} tokens, each {stride} further on: what is gray is only seen, what is blue "
        "is guessed, each token once.",
    )
    drawing.text(left - 12, 24, "text", anchor="end")
    for place in range(tokens):
        drawing.box(left + wide * place, 10, wide - 3, 28, str(place + 1), "white")
    for number, (inputs, targets) in enumerate(found):
        top, guessed = 50 + 36 * number, {int(target) for target in targets if target != IGNORE}
        drawing.text(left - 12, top + 14, f"window {number + 1}", anchor="end")
        for place in range(int(inputs[0]), int(inputs[-1]) + 2):
            drawing.box(left + wide * place, top, wide - 3, 28, color="blue" if place in guessed else "gray")
    return drawing.note(left, 62 + 36 * len(found), "gray: only seen · blue: guessed in this window", width=60)


def likeliest_answer(question: str, scores: dict[str, float], right: str) -> Drawing:
    """Draw how a question is marked: the mean log-probability of each answer's tokens, the highest is the choice."""
    chosen = max(scores, key=lambda answer: scores[answer])
    drawing = Drawing(
        760,
        80 + 44 * len(scores),
        f"Each of {len(scores)} answers follows the same story and question; the model's choice is {chosen!r}, "
        f"the right one is {right!r}.",
    )
    middle = 40 + 22 * len(scores)
    drawing.box(10, middle - 50, 190, 100, "the story\n" + fill(question.strip(), 25), "gray")
    drawing.text(640, 20, "mean log-probability of a token", size=11)
    for number, (answer, score) in enumerate(scores.items()):
        y = 56 + 44 * number
        drawing.arrow(200, middle, 258, y)
        drawing.box(260, y - 17, 290, 34, answer.strip(), "blue" if answer == chosen else "white")
        ends = f"{score:.2f}".replace("-", "−") + ("  ← the choice" if answer == chosen else "")
        drawing.text(570, y, ends, anchor="start", bold=answer == chosen)
    verdict = "and it is right" if chosen == right else "and it is wrong"
    return drawing.note(260, 64 + 44 * len(scores), f"the highest number is the model's choice, {verdict}", width=80)


def tokens_seen(length: int, protocol: Protocol) -> tuple[list[int], int]:
    """Return how many tokens each guess can look back at, and how many tokens are computed for that."""
    found = scoring_windows(torch.arange(length), protocol)
    seen = [place + 1 for _, targets in found for place, target in enumerate(targets) if target != IGNORE]
    return seen, sum(len(inputs) for inputs, _ in found)


def window_sliders(measure: Callable[[int, int], float], length: int, longest: int = 128) -> Panel:
    """Return sliders for window and stride above what each guess then sees; `measure` of both is a perplexity."""
    quiet = {"continuous_update": False, "min": 8, "max": longest, "step": 8}
    window = widgets.IntSlider(value=64, description="window", **quiet)
    stride = widgets.IntSlider(value=64, description="stride", **quiet)
    picture = widgets.Image(format="png", width=720)

    def draw(change: dict | None = None) -> None:
        step = min(window.value, stride.value)  # a larger one would leave tokens out
        seen, computed = tokens_seen(length, Protocol(window.value, step))
        figure, axes = plots.new_axes(8, 2.6)
        axes.plot(range(2, length + 1), seen, color=plots.COLORS[0])
        perplexity = measure(window.value, step)
        axes.set(xlabel="token of the text", ylabel="tokens in view", ylim=(0, longest + 2))
        cost = f"{computed / length:.1f} × the computing"
        axes.set_title(f"window {window.value}, stride {step}: perplexity {perplexity:.2f}, {cost}")
        picture.value = plots.as_png(figure)

    return panel(draw, (window, stride), picture)


def kinds_of_questions(marks: Sequence[tuple[str, bool]], chance: float):
    """Draw the share of right answers for each kind of question, with a line for a guesser."""
    kinds = dict.fromkeys(kind for kind, _ in marks)
    right = {kind: [good for name, good in marks if name == kind] for kind in kinds}
    figure, axes = plots.new_axes(8, 0.36 * len(kinds) + 1.3)
    names = [f"{kind} … ? ({len(found)})" for kind, found in right.items()]
    drawn = axes.barh(names, [sum(found) / len(found) for found in right.values()], color=plots.COLORS[0])
    axes.bar_label(drawn, [f"{sum(found)} right" for found in right.values()], padding=3)
    axes.axvline(chance, color="black", linestyle="--", label="by guessing")
    axes.set(xlabel="share of right answers", xlim=(0, 1.2))
    axes.invert_yaxis()
    plots.legend_below(figure, 1)
    return figure
