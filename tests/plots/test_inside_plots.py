"""The pictures of what happens inside of the network: they hold the numbers and the tokens that they were given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils.config import SIZES, count_parameters
from utils.plots import basic as plots

PIECES = ["Once", " upon", " a"]
PATTERN = torch.tensor([[1.0, 0, 0], [0.25, 0.75, 0], [0, 0.5, 0.5]])


pytestmark = pytest.mark.usefixtures("drawn_without_warnings")


def labels(ticks) -> list[str]:
    return [tick.get_text() for tick in ticks]


def test_an_attention_map_holds_the_pattern_and_hides_only_the_future():
    figure = plots.attention_maps({"head 0": PATTERN}, PIECES)
    plots.as_png(figure)
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    assert np.array_equal(shown.filled(0), PATTERN) and axes.get_title() == "head 0"
    assert shown.mask.tolist() == [[False, True, True], [False, False, True], [False, False, False]]
    assert labels(axes.get_xticklabels()) == labels(axes.get_yticklabels()) == ["Once", "·upon", "·a"]
    assert axes.images[0].get_clim() == (0, 1), "two pictures with other scales can't be compared"


def test_many_heads_stand_in_rows_of_four_and_none_is_left_out():
    figure = plots.attention_maps({f"head {i}": PATTERN for i in range(6)}, PIECES)
    plots.as_png(figure)
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in maps] == [f"head {i}" for i in range(6)]
    assert [any(labels(axes.get_yticklabels())) for axes in maps] == [True, False, False, False, True, False]


def test_the_logit_lens_names_every_cell_with_the_last_layer_on_top():
    answers = [["a", " b", "c"], [" fox", "\n", " incomprehensible"]]
    figure = plots.logit_lens_table(answers, torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.5, 1.0]]), PIECES, ["in", "out"])
    plots.as_png(figure)
    axes = figure.axes[0]
    cells = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert cells[0, 1] == ("·fox", "white") and cells[1, 1] == ("\\n", "black") and cells[1, 0] == ("·b", "black")
    assert cells[2, 1][0] == "·incomp…" and len(cells) == 6
    assert labels(axes.get_yticklabels()) == ["in", "out"]
    assert axes.transData.transform((0, 1))[1] > axes.transData.transform((0, 0))[1], "the last layer is not on top"
    assert np.allclose(axes.collections[0].get_array(), [[0.1, 0.2, 0.3], [0.9, 0.5, 1.0]])


def test_layer_bars_stand_side_by_side_and_never_overlap():
    figure = plots.layer_bars({"attention": [1.0, 2.0], "MLP": [3.0, 4.0], "stream": [5.0, 6.0]}, "length")
    plots.as_png(figure)
    bars = sorted((bar.get_x(), bar.get_width(), bar.get_height()) for bar in figure.axes[0].patches)
    assert [height for _, _, height in bars] == [1, 3, 5, 2, 4, 6]
    assert all(x + width <= following[0] + 1e-9 for (x, width, _), following in zip(bars, bars[1:], strict=False))
    assert labels(figure.legends[0].get_texts()) == ["attention", "MLP", "stream"]


def test_share_bars_fill_every_row_and_print_the_shares():
    figure = plots.share_bars({size: count_parameters(SIZES[size]) for size in ("nano", "xl")})
    plots.as_png(figure)
    axes = figure.axes[0]
    for row in (0, 1):
        widths = [bar.get_width() for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2 - row) < 0.1]
        assert len(widths) == 5 and sum(widths) == pytest.approx(1)
    printed = [text.get_text() for text in axes.texts if text.get_text()]
    # by hand: 50257 · 256 of 17,867,008 at nano and 50257 · 1600 of 1,557,611,200 at xl
    assert printed[:2] == ["72%", "5%"]


def test_a_logarithmic_bar_chart_prints_what_is_too_small_for_a_bar():
    figure = plots.bars({"8 bits": -0.03, "4 bits": 1.0, "2 bits": 857.0}, "rise", log_from=0.1)
    plots.as_png(figure)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and axes.get_xlim()[0] == 0.1
    assert [text.get_text() for text in axes.texts] == ["-0.03", "1", "857"]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 1, 857]


@pytest.mark.parametrize(
    ("piece", "label"),
    [
        (" fox", "·fox"),
        ("\n\n", "\\n\\n"),
        ("$x_$", "$x_$"),
        ("é", "é"),
        ("�", "�"),
        ("\x01", "\\x01"),
        ("", ""),
        ("木", "\\u6728"),  # the font has no such letter
        ("abcdefghijk", "abcdefghi…"),
    ],
)
def test_every_token_has_a_label_that_the_font_can_write(piece, label):
    assert plots.short_piece(piece) == label
    plots.as_png(plots.attention_maps({"head 0": np.eye(2)}, [piece, "b"]))  # a missing letter would warn


def test_what_a_batch_learns_is_told_by_more_than_color_and_padding_has_no_text():
    figure = plots.loss_mask(
        [[("$a\n", "given, not learned"), (" b", "learned")], [("x", "learned"), ("p", "padding")]]
    )
    plots.as_png(figure)
    axes = figure.axes[0]
    assert [box.get_width() for box in axes.patches] == [3, 2, 1, 1]
    assert [text.get_text() for text in axes.texts if text.get_color() != "none"] == ["$a↵", "·b", "x"]
    assert [box.get_hatch() or "" for box in axes.patches] == ["", "", "", "////"]
    assert labels(figure.legends[0].get_texts()) == list(plots.LOOKS)


def test_next_token_charts_give_each_model_its_own_list_on_one_scale():
    figure = plots.next_token_charts({"small": {" strange": 0.25, "$$": 0.125}, "nano": {" little": 0.5}}, "after 'a'")
    plots.as_png(figure)
    left, right = figure.axes
    assert [left.get_title(), right.get_title()] == ["small", "nano"]
    assert labels(left.get_yticklabels()) == ["·strange", "$$"] and labels(right.get_yticklabels()) == ["·little"]
    assert [bar.get_width() for bar in left.patches] == [0.25, 0.125]
    assert left.get_xlim() == right.get_xlim(), "two models on two scales can't be compared"


def test_maps_of_many_tokens_have_room_for_every_label():
    pieces = [f" t{i}" for i in range(30)]
    figure = plots.attention_maps({f"head {i}": torch.eye(30) for i in range(3)}, pieces)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in zip(boxes, boxes[1:], strict=False))
