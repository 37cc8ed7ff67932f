"""Attention on paper, the architecture as a drawing, and the head browser: what they were given is what they show."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from lessons.figures.architecture import PARTS, architecture
from lessons.figures.attention import attention_arcs, head_grid, number_tables
from lessons.figures.head_browser import MOST_BYTES, browser_page, head_browser
from utils.config import SIZES
from utils.errors import CourseError
from utils.plots.basic import COLORS, as_png

WORDS = ["Tom", "kite", "it"]
PATTERN = np.array([[1, 0, 0], [0.25, 0.75, 0], [0.2, 0.5, 0.3]])
HEADS = np.stack([np.stack([PATTERN, np.eye(3)]), np.stack([np.eye(3), PATTERN])])  # two blocks of two heads


pytestmark = pytest.mark.usefixtures("drawn_without_warnings")


def written(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_tables_write_every_number_as_on_paper_and_share_the_names_of_their_rows():
    scores = torch.tensor([[1.0, -math.inf], [1 / 3, -0.5]])
    figure = number_tables({"scores": scores, "out": torch.ones(2, 1)}, ["Tom", "it"], {"scores": ["Tom", "it"]})
    as_png(figure)
    left, right = figure.axes
    assert written(left) == ["1", "−∞", "0.33", "−0.5"] and written(right) == ["1", "1"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["Tom", "it"]
    assert [label.get_text() for label in left.get_xticklabels()] == ["Tom", "it"]
    assert not any(label.get_text() for label in right.get_yticklabels())


def test_an_arc_is_as_thick_as_its_share_and_one_of_nothing_is_left_out():
    figure = attention_arcs([*WORDS, "flew"], [0.25, 0.0, 0.75], "it looks back")
    as_png(figure)
    (axes,) = figure.axes
    arcs = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(arcs) == 1 and arcs[0].get_xdata()[[0, -1]] == pytest.approx([2, 0])
    assert written(axes) == ["Tom", "kite", "it", "flew", "25%", "itself 75%"]
    thicker = attention_arcs(WORDS, [0.5, 0.0, 0.5]).axes[0].lines[0]
    assert thicker.get_linewidth() > arcs[0].get_linewidth()


def test_all_heads_stand_in_one_picture_and_the_marked_one_has_a_frame():
    figure = head_grid(HEADS, [(1, 0)])
    as_png(figure)
    assert [axes.get_title() for axes in figure.axes] == ["0.0", "0.1", "1.0", "1.1"]
    frames = [to_hex(axes.spines["left"].get_edgecolor()).upper() for axes in figure.axes]
    assert [frame == COLORS[5] for frame in frames] == [False, False, True, False]
    assert np.array_equal(figure.axes[0].images[0].get_array(), PATTERN)


def test_the_architecture_fills_in_and_says_shapes_and_shares():
    known = written(architecture(SIZES["small"]).axes[0])
    said = "\n".join(known)
    # by hand for small: 50257 · 768 of 124,439,808; 12 · (4 · 768² + 4 · 768); 12 · (8 · 768² + 5 · 768)
    assert all(part in said for part in ("31.0%", "22.8%", "45.5%", "768 → 3,072 → 768", "12 heads × 64", "12 times"))
    assert "?" not in known and "self-attention" in said
    begun = written(architecture(SIZES["small"], ["embeddings", "norm"]).axes[0])
    assert begun.count("?") == 4 and "self-attention" not in "\n".join(begun)
    as_png(architecture(SIZES["nano"], []))


def test_a_part_that_does_not_exist_is_named():
    with pytest.raises(CourseError, match="gate") as refused:
        architecture(SIZES["nano"], ["gate"])
    assert all(part in str(refused.value) for part in PARTS)


def stored(page: str) -> dict:
    """Read the numbers back as the page's own script does."""
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    values = iter(re.findall("..", data["shares"]))
    heads, time = data["layers"] * data["heads"], len(data["pieces"])
    data["table"] = np.zeros((heads, time, time))
    for head in range(heads):
        for row in range(time):
            for column in range(row + 1):
                data["table"][head, row, column] = int(next(values), 16) / 100
    assert next(values, None) is None
    return data


def test_the_browser_holds_every_head_in_whole_percents():
    data = stored(browser_page(HEADS, WORDS, first=(1, 0)))
    assert np.array_equal(data["table"].reshape(HEADS.shape), HEADS) and data["pieces"] == WORDS
    assert data["first"] == 2
    assert head_browser(HEADS, WORDS).data == browser_page(HEADS, WORDS)


def test_no_token_can_leave_the_place_where_it_stands():
    hostile = ["</script><script>alert(1)</script>", "<!--", "</div>\\n\u2028"]
    page = browser_page(HEADS, hostile)
    assert stored(page)["pieces"] == hostile
    assert page.count("<script") == 2 and page.count("</script>") == 2 and "<!--" not in page


def test_the_browser_asks_nothing_of_another_machine():
    assert not re.search(r"https?:|src=|url\(|import |fetch\(", browser_page(HEADS, WORDS))


def test_a_text_that_is_too_long_or_does_not_fit_is_refused_with_its_numbers():
    with pytest.raises(CourseError, match="3 tokens and 2 pieces"):
        browser_page(HEADS, WORDS[:2])
    with pytest.raises(CourseError, match=f"144 heads on 200 tokens .*{MOST_BYTES:,}"):
        browser_page(np.broadcast_to(np.eye(200), (12, 12, 200, 200)), ["a"] * 200)
