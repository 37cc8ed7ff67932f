"""What training takes, against counting and against figures that others published."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_rgba

from lessons.figures.memory import who_holds_what
from utils.config import SIZES, Cluster, best_split, held_bytes, sent_bytes, step_seconds, total_parameters
from utils.plots.basic import COLORS


def test_the_best_split_of_chinchillas_budget_is_chinchilla():
    parameters, tokens = best_split(6 * 70e9 * 1.4e12)
    assert parameters == pytest.approx(70e9)
    assert tokens == pytest.approx(1.4e12)


def test_sixteen_bytes_a_parameter_are_held_by_all_or_shared():
    xl, count = SIZES["xl"], total_parameters(SIZES["xl"])
    assert sum(held_bytes(xl, 8, "ddp").values()) == sum(held_bytes(xl).values()) == 16 * count
    assert sum(held_bytes(xl, 8, "fsdp").values()) == 2 * count


@pytest.mark.parametrize(("parallel", "passes"), [("ddp", 2), ("fsdp", 3)])
def test_each_device_sends_all_parts_but_one_in_every_pass(parallel, passes):
    count = 4 * total_parameters(SIZES["small"])
    assert sent_bytes(SIZES["small"], 1, parallel) == 0
    assert sent_bytes(SIZES["small"], 4, parallel) == passes * count * 3 / 4


def test_a_published_line_of_xl_is_twelve_sequences_of_1024_tokens():
    a100 = Cluster(1, 312e12, 0.439, 25e9)
    computing, sending = step_seconds(SIZES["xl"], a100, 12 * 1024)
    assert computing == pytest.approx(0.922, abs=2e-3)  # 1 ms is the positions, which that line left out
    assert sending == 0
    assert step_seconds(SIZES["xl"], Cluster(4, 312e12, 0.439, 25e9), 48 * 1024)[0] == pytest.approx(computing)


def test_the_picture_shows_what_each_device_holds():
    figure = who_holds_what(SIZES["xl"], 4)
    labels = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
    assert labels == [
        [f"device {device}\n24.9 GB" for device in range(4)],
        [f"device {device}\n6.23 GB" for device in range(4)],
    ]
    held = {to_rgba(color) for color in COLORS[:3]}
    dark = [sum(bar.get_facecolor() in held for bar in axes.patches) for axes in figure.axes]
    assert dark == [3 * 4 * 4, 3 * 4]  # strips × devices × parts, or one part each
