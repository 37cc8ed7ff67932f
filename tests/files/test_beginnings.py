"""Beginnings that suit a model travel with its weights, and what is no beginning is left out."""

from __future__ import annotations

import json

import pytest

from utils.files.beginnings import FILE, LONGEST, MOST, read_beginnings, write_beginnings


def test_what_is_written_is_read_and_nothing_removes_what_was(tmp_path):
    write_beginnings(tmp_path / "run", ["First Citizen:", " ", "Ça et là\n"])
    assert read_beginnings(tmp_path / "run") == ["First Citizen:", "Ça et là\n"]
    write_beginnings(tmp_path / "run", [""])
    assert read_beginnings(tmp_path / "run") == [] and not (tmp_path / "run" / FILE).exists()


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        '{"a": 1}',
        '"text"',
        *(f'{{"beginnings": {it}}}' for it in ("7", "[1, null, [2]]", f'["{"x" * (LONGEST + 1)}"]')),
    ],
)
def test_what_a_stranger_wrote_does_no_harm(tmp_path, damage):
    (tmp_path / FILE).write_text(damage, encoding="utf-8")
    assert read_beginnings(tmp_path) == []


def test_no_more_are_read_than_a_page_has_room_for(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"beginnings": [f"text {n}" for n in range(99)]}), encoding="utf-8")
    assert len(read_beginnings(tmp_path)) == MOST
