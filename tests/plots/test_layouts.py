"""Strips of bytes: each field as wide as it was given, named in its place or in the legend."""

from __future__ import annotations

from utils.plots.layouts import byte_strips


def test_fields_stand_side_by_side_and_each_name_is_read_once_somewhere():
    figure = byte_strips({"Q4_0": [("d", 2), ("32 codes", 16)] * 8, "Q4_K": [("d", 4), ("256 codes", 140)]}, "bytes")
    (axes,) = figure.axes
    bars = [bar for container in axes.containers for bar in container]
    assert sum(bar.get_width() for bar in bars) == 2 * 144
    assert [bar.get_x() for bar in bars[:4]] == [0, 2, 18, 20]
    assert bars[0].get_facecolor() == bars[16].get_facecolor() != bars[1].get_facecolor()  # one name, one color
    inside = {text.get_text() for text in axes.texts} - {""}
    below = {text.get_text() for text in figure.legends[0].get_texts()} if figure.legends else set()
    assert inside | below == {"d", "32 codes", "256 codes"}


def test_a_name_that_has_room_somewhere_needs_no_legend():
    assert not byte_strips({"a": [("head", 10), ("numbers", 90)], "b": [("head", 50)]}).legends
