"""Pictures of a run: what they show is what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from lessons.figures.training import epoch_strip, training_step
from utils.errors import CourseError
from utils.plots.basic import curves
from utils.plots.runs import plot_losses, plot_patients, save_figure
from utils.plots.widgets import sliders
from utils.run_log import StepRecord


def records(count: int, tokens: int = 1000, first: int = 1) -> list[StepRecord]:
    numbers = range(first, first + count)
    return [StepRecord(n, 4 / n + 0.5, 0.1, 4, tokens * (1 + n % 2), 1e-3, 1.0, None) for n in numbers]


def lines_of(figure) -> dict[str, np.ndarray]:
    return {line.get_label(): np.array(line.get_data()) for line in figure.axes[0].lines}


def test_each_loss_stands_at_its_step_and_the_entropy_is_a_level_line():
    held_out, stories = [(10, 2.5), (20, 2.0)], [(10, 0.4), (20, 0.9)]
    history = records(20)
    lines = lines_of(plot_losses(history, held_out, entropy=0.35, also={"stories": stories}))
    assert lines["training"].T.tolist() == [[record.step, record.loss] for record in history]
    assert lines["held out"].T.tolist() == [list(point) for point in held_out]
    assert lines["stories"].T.tolist() == [list(point) for point in stories]
    assert set(lines["entropy 0.35"][1]) == {0.35}


def test_many_steps_get_a_running_mean_each_at_the_middle_of_its_steps():
    history = records(200)
    x, y = lines_of(plot_losses(history))["training, mean of 25 steps"]
    assert (x[0], x[-1], len(x)) == (13, 188, 176)
    assert y[-1] == pytest.approx(np.mean([record.loss for record in history[-25:]]))


@pytest.mark.parametrize("first", [1, 101])  # a resumed run begins later
def test_the_axis_above_counts_the_tokens_of_these_steps(first):
    history = records(10, first=first)
    figure = plot_losses(history)
    (above,) = figure.axes[0].child_axes
    to_tokens, to_steps = above._functions
    sums = np.cumsum([record.tokens for record in history])
    steps = [record.step for record in history]
    assert to_tokens(steps).tolist() == sums.tolist()
    assert to_tokens([first - 1])[0] == 0
    places = np.array([first - 3, first + 0.5, first + 4.25, first + 30])
    assert to_steps(to_tokens(places)) == pytest.approx(places)  # also outside of what was measured


def test_a_picture_is_saved_as_png_and_pdf(tmp_path):
    files = save_figure(plot_losses(records(3)), tmp_path / "plots" / "losses")
    assert [file.name for file in files] == ["losses.png", "losses.pdf"]
    assert files[0].read_bytes()[:4] == b"\x89PNG"
    assert files[1].read_bytes()[:5] == b"%PDF-"


def test_no_steps_are_no_picture_but_a_sentence():
    with pytest.raises(CourseError, match="no step to draw"):
        plot_losses([])


def test_several_floors_are_drawn_and_patients_stand_side_by_side(drawn_without_warnings):
    lines = lines_of(plot_losses(records(20), entropy={"entropy": 0.35, "64 tokens": 0.7}))
    assert {"entropy 0.35", "64 tokens 0.70"} <= set(lines)
    figure = plot_patients({name: (records(20), [(10, 2.5), (20, 2.0)]) for name in "ABCD"}, 0.35)
    assert [axes.get_title() for axes in figure.axes] == list("ABCD")


def test_a_slider_draws_its_middle_choice_and_again_whenever_it_is_turned():
    drawn = []

    def draw(rate: float, devices: int):
        drawn.append((rate, devices))
        return curves({"line": {0: 1, 1: rate}}, ("x", "y"))

    panel = sliders(draw, rate=[0.1, 0.2, 0.3], devices=[1, 8])
    before = panel.children[-1].value
    panel.children[0].value = 0.3
    assert drawn == [(0.2, 8), (0.3, 8)] and panel.children[-1].value != before


def test_diagrams_of_training_say_in_words_what_they_show():
    for drawing in (training_step(), epoch_strip()):
        assert drawing.alt in drawing.svg() and drawing.svg() == drawing.svg()
