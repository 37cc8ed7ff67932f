"""SVG drawings: well-formed, described, the same each time, and kind about mistakes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from lessons.figures.svg import FILLS, LINES, Drawing
from utils.errors import CourseError

NAMESPACE = "{http://www.w3.org/2000/svg}"


def small_drawing() -> Drawing:
    drawing = Drawing(300, 100, "A box called a < b leads to a second box")
    drawing.box(10, 10, 100, 40, "a < b\n& more").box(190, 10, 100, 40, "c", "green", dashed=True)
    return drawing.arrow(110, 30, 190, 30, "leads").line([(0, 0), (1 / 3, 2)], "pink").note(10, 80, "words " * 20)


def test_a_drawing_is_well_formed_and_says_what_it_shows():
    drawing = small_drawing()
    root = ElementTree.fromstring(drawing.svg())
    assert root.find(f"{NAMESPACE}title").text == drawing.alt
    assert {"a < b", "& more", "c", "leads"} <= {part.text for part in root.iter(f"{NAMESPACE}text")}
    assert drawing._repr_mimebundle_() == {"image/svg+xml": drawing.svg(), "text/plain": drawing.alt}


def test_the_same_calls_give_the_same_text_without_long_numbers():
    assert small_drawing().svg() == small_drawing().svg()
    assert "0.3,2" in small_drawing().svg() and "0.33" not in small_drawing().svg()


def test_every_fill_has_a_line_of_its_color():
    assert set(FILLS) == set(LINES)


@pytest.mark.parametrize("draw", [
    lambda: Drawing(10, 10, ""),
    lambda: small_drawing().box(0, 0, 1, 1, color="purple"),
    lambda: small_drawing().line([(0, 0), (1, 1)], color="purple"),
])  # fmt: skip
def test_a_mistake_is_named(draw):
    with pytest.raises(CourseError, match="Found"):
        draw()
