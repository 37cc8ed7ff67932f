"""The diagrams of lessons 09 and 10: well-formed, and nothing stands outside its card."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from lessons.figures import fitting as diagrams_fitting

DRAWINGS = [
    getattr(diagrams_fitting, name)
    for name in ("visit_or_stay", "road_to_the_cores", "text_to_tokens", "minhash_table")
]


@pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)
def test_a_diagram_stays_within_its_card(draw):
    drawing = draw()
    width, height = drawing.size
    for part in ElementTree.fromstring(drawing.svg()).iter():
        x, y = float(part.get("x", 0)), float(part.get("y", 0))
        assert x >= 0 and x + float(part.get("width", 0)) <= width, ElementTree.tostring(part)
        assert y >= 0 and y + float(part.get("height", 0)) <= height, ElementTree.tostring(part)
