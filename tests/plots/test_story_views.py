"""Generated text as a notebook shows it: wrapped, told apart from its prompt, shaded by probability."""

from __future__ import annotations

import re

import pytest
import torch
from bs4 import BeautifulSoup
from shapes import tiny_model

from utils.errors import CourseError
from utils.plots.stories import KEY, WIDTH, Story, shaded
from utils.tokenizer import CharTokenizer

LETTERS = CharTokenizer.from_text("".join(map(chr, range(32, 127))) + "\n")  # 96 characters and an end: 97 ids


def page(story: Story) -> BeautifulSoup:
    return BeautifulSoup(story._repr_html_(), "html.parser")


def test_prompt_and_continuation_are_told_apart_and_markup_stays_text():
    found = page(Story("<b>Once", " & then </i>", "seed <4>"))
    assert found.i.text == "<b>Once" and found.b.text == "seed <4>"
    assert found.div.text == "seed <4>\n<b>Once & then </i>" and KEY not in found.text


def test_as_plain_text_it_is_wrapped_and_keeps_its_lines():
    story = Story("Once upon", " a time" * 40 + ".\nThe end")
    lines = repr(story).split("\n")
    assert max(map(len, lines)) <= WIDTH and len(lines) > 3 and lines[-1] == "The end"
    assert " ".join(lines[:-1]) == "Once upon" + " a time" * 40 + "."
    assert repr(Story("a", "b", "greedy")) == "greedy\nab"


def test_each_token_is_shaded_by_what_the_model_gave_it():
    model, prompt, text = tiny_model(seed=1), "A fox", " ran\naway"
    story = shaded(model, LETTERS, prompt, text)
    ids = LETTERS.encode(prompt + text)
    with torch.inference_mode():
        shares = model(torch.tensor([ids])).softmax(-1)[0]
    expected = [float(shares[place - 1, ids[place]]) for place in range(len(prompt), len(ids))]
    assert [share for _, share in story.shares] == pytest.approx(expected, abs=1e-6)
    spans = page(story).find_all("span")
    assert "".join(span.text for span in spans) == text and KEY in page(story).text
    strengths = [float(re.search(r"/ ([\d.]+)\)", span["style"])[1]) for span in spans]
    assert strengths == pytest.approx([0.034 * (10 - round(10 * share)) for share in expected], abs=0.006)
    assert repr(story) == "A fox ran\naway"


def test_what_the_model_can_not_read_in_one_pass_is_refused_and_no_text_is_no_mistake():
    model = tiny_model(seed=1)
    assert shaded(model, LETTERS, "A fox", "").shares == ()
    with pytest.raises(CourseError, match=f"{model.config.context} positions. Shorten it"):
        shaded(model, LETTERS, "A fox", "x" * model.config.context)
