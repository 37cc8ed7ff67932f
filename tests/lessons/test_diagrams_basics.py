"""Diagrams of lessons 00 to 08: whole, on their card, and true where they show numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from lessons.figures import basics as diagrams_basics
from lessons.figures.svg import Drawing
from utils.tokenizer import Tokenizer

PLAIN = (
    *("writing_loop", "training_memory", "kv_cache", "draft_and_check", "pickle_or_numbers", "files_and_programs"),
    *("shared_scales", "gptq_columns", "awq_fold"),
)


def tags(drawing: Drawing, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(drawing.svg()).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


@pytest.mark.parametrize("name", PLAIN)
def test_a_diagram_lies_on_its_card_and_is_described(name):
    drawing = getattr(diagrams_basics, name)()
    (width, height), boxes = drawing.size, tags(drawing, "rect")
    assert all(float(box.get("x", 0)) + float(box.get("width")) <= width for box in boxes)
    assert all(float(box.get("y", 0)) + float(box.get("height")) <= height for box in boxes)
    assert all(0 < float(text.get("y")) < height for text in tags(drawing, "text"))
    assert len(drawing.alt.split()) > 25


def test_a_kv_cache_computes_as_many_squares_as_the_words_say():
    squares = [box for box in tags(diagrams_basics.kv_cache(), "rect") if box.get("height") == "24"]
    kept = sum(box.get("stroke-dasharray") is not None for box in squares)
    assert len(squares) == 60 and len(squares) - kept == 30 + 8


def test_the_way_of_a_text_to_its_ids_is_the_tokenizers():
    tokenizer = Tokenizer.gpt2()
    drawing = diagrams_basics.token_path(tokenizer, "the lovable boat")
    words = {text.text for text in tags(drawing, "text")}
    assert {str(token) for token in tokenizer.encode("the lovable boat")} | {"·lovable", "·l", "ovable"} <= words
    assert "cut into 3 pieces" in drawing.alt and "4 tokens" in drawing.alt
