"""Tokens made visible: the colored field, its HTML, and the pictures of lesson 01."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

import matplotlib.pyplot as plt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb

from utils.plots import basic as plots
from utils.plots import widgets
from utils.tokenizer import CharTokenizer, Tokenizer

GPT2 = Tokenizer.gpt2()
HOSTILE = "<script>alert('x')</script> <img src=x onerror=alert(1)> \"q\" 'q' &amp; </kbd></div>"


class Boxes(HTMLParser):
    """Reads the boxes back as a browser would: their text, hover text and style, and every tag that was met."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts, self.hovers, self.styles, self.tags, self.words = [], [], [], [], ""
        self._inside = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._inside = tag == "kbd"
        if self._inside:
            values = dict(attributes)
            assert set(values) == {"title", "style"}
            self.texts.append("")
            self.hovers.append(values["title"])
            self.styles.append(dict(part.split(":") for part in values["style"].split(";")))

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.texts[-1] += data
        else:
            self.words += data


def boxes(text: str, tokenizer=GPT2) -> Boxes:
    return Boxes(widgets.tokens_as_html(tokenizer, tokenizer.encode(text)))


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2, from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# HTML


def test_each_token_is_a_box_with_its_text_id_and_bytes():
    shown = boxes("Hello world")
    assert shown.texts == ["Hello", "·world"]
    assert shown.hovers == ["id 15496, bytes 48 65 6c 6c 6f", "id 995, bytes 20 77 6f 72 6c 64"]
    assert boxes("!").hovers == ["id 0, byte 21"]


def test_text_that_looks_like_html_stays_text():
    shown = boxes(HOSTILE)
    assert set(shown.tags) == {"div", "kbd"}
    assert "".join(shown.texts) == HOSTILE.replace(" ", "·")


def test_line_ends_are_shown_and_start_a_new_line():
    shown = boxes("a\nb\tc")
    assert shown.texts == ["a", "↵", "b", "⇥", "c"] and shown.tags.count("br") == 1


def test_half_characters_are_shown_as_their_bytes_and_unprintable_ones_as_escapes():
    assert boxes("東").texts == ["\\xe6\\x9d", "\\xb1"]
    assert boxes("El último").texts == ["El", "·\\xc3", "\\xba", "lt", "imo"]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_the_bytes_on_hover_spell_the_text(text):
    shown = boxes(text)
    assert b"".join(bytes.fromhex(hover.split("byte")[1].lstrip("s")) for hover in shown.hovers) == text.encode()
    assert [int(hover.split(",")[0].removeprefix("id ")) for hover in shown.hovers] == GPT2.encode(text)
    assert set(shown.tags) <= {"div", "kbd", "br"} and all(shown.texts) and shown.words == ""


def test_neighbors_differ_in_color_and_have_a_border_that_needs_none():
    styles = boxes("one two three four five six").styles
    assert all(a["background-color"] != b["background-color"] for a, b in pairwise(styles))
    assert {style["background-color"] for style in styles} == set(plots.TINTS)
    assert {style["border"] for style in styles} == {"1px solid #555"}


@pytest.mark.parametrize("tint", plots.TINTS)
def test_black_text_is_easy_to_read_on_every_tint(tint):
    assert (luminance(tint) + 0.05) / 0.05 > 12  # WCAG asks for 7; the text is black in dark themes too
    assert boxes("a").styles[0]["color"] == "#000"


def test_the_special_token_is_one_box_and_a_character_tokenizer_can_be_shown():
    assert Boxes(widgets.tokens_as_html(GPT2, [50256])).texts == ["<|endoftext|>"]
    assert boxes("to be", CharTokenizer.from_text("to be")).texts == ["t", "o", "·", "b", "e"]
    assert Boxes(widgets.tokens_as_html(GPT2, [])).tags == ["div"]


# The field


def field(text: str = "", **settings):
    """Return the box and its three parts: what is typed, whether the marker counts, what is shown."""
    box = widgets.token_colors(GPT2, text, **settings)
    return box.children


def test_the_field_redraws_what_is_typed():
    typed, _, picture = field("Hello world")
    assert "Tokens: 2. Characters: 11. Bytes: 11." in picture.value
    for text in ("strawberry", "naïve 東京", HOSTILE, ""):
        typed.value = text
        counts = f"Tokens: {len(GPT2.encode(text)):,}. Characters: {len(text):,}. Bytes: {len(text.encode()):,}."
        assert Boxes(picture.value).words == counts
        assert picture.value.endswith(widgets.tokens_as_html(GPT2, GPT2.encode(text)))


def test_the_marker_is_one_token_only_when_asked_for():
    _, special, picture = field("a<|endoftext|>b")
    assert "Tokens: 9." in picture.value
    special.value = True
    assert "Tokens: 3." in picture.value and Boxes(picture.value).texts == ["a", "<|endoftext|>", "b"]
    special.value = False
    assert "Tokens: 9." in picture.value


def test_a_long_text_is_cut_and_says_so():
    typed, _, picture = field("ab " * 10, most=30)
    assert "Only" not in picture.value
    typed.value += "c"
    assert "Characters: 30." in picture.value and "Only the first 30 characters are shown." in picture.value


def test_half_a_surrogate_pair_is_explained_and_the_field_goes_on():
    typed, _, picture = field("a")
    typed.value = "<b>\ud83d"
    assert "surrogate" in picture.value and "<" not in picture.value
    typed.value = "a"
    assert "Tokens: 1. Characters: 1." in picture.value


# Pictures


def test_rows_of_tokens_are_as_wide_as_their_text():
    before = plt.get_fignums()
    figure = plots.token_rows({"bytes": ["a", " ", "$", "\n"], "joined": ["a $", "\n"]})
    axes = figure.axes[0]
    assert [patch.get_width() for patch in axes.patches] == [1, 1, 1, 1, 3, 1]
    assert [patch.get_x() for patch in axes.patches] == [0, 1, 2, 3, 0, 3]
    assert [text.get_text() for text in axes.texts] == ["a", "·", "$", "↵", "a·$", "↵"]
    assert not any(text.get_parse_math() for text in axes.texts)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bytes", "joined"]
    colors = [to_hex(patch.get_facecolor()) for patch in axes.patches]
    assert all(a != b for a, b in pairwise(colors[:4])) and plt.get_fignums() == before
    plots.as_png(figure)


def test_bars_are_their_values_from_top_to_bottom():
    figure = plots.bars({"English": 9, "$Hindi$": 1263}, "tokens")
    axes = figure.axes[0]
    assert [patch.get_width() for patch in axes.patches] == [9, 1263]
    assert [text.get_text() for text in axes.texts] == ["9", "1,263"]
    assert axes.yaxis_inverted() and axes.get_xlabel() == "tokens"
    plots.as_png(figure)


def test_curves_hold_their_points_and_differ_in_more_than_color():
    lines = {"mine": {1: 1.0, 10: 2.0}, "theirs": {x: x / 2 for x in range(1, 30)}}
    figure = plots.curves(lines, ("merges", "bytes per token"), log="x")
    axes = figure.axes[0]
    assert [dict(zip(*line.get_data(), strict=True)) for line in axes.lines] == list(lines.values())
    assert len({line.get_marker() for line in axes.lines}) == 2
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mine", "theirs"]
    plots.as_png(figure)
