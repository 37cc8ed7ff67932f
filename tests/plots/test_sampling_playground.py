"""The sampling playground of lesson 04: what its sliders do, what its button writes, and the chart it draws."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from shapes import TINY, tiny_model
from torch.testing import assert_close

from utils.plots import basic as plots
from utils.plots import widgets
from utils.sampling import VOCAB, Sampling, complete, next_token_probabilities
from utils.tokenizer import CharTokenizer, Tokenizer

LETTERS = CharTokenizer.from_text("".join(map(chr, range(32, 127))) + "\n")  # 96 characters and an end: TINY's 97
GPT2 = Tokenizer.gpt2()
SETTINGS = {"temperature": 0.7, "top_k": 9, "top_p": 0.8, "min_p": 0.2, "repetition_penalty": 1.5}


@pytest.fixture(scope="module")
def model():
    return tiny_model(spread=0.3)


class Playground:
    """The parts of a playground by name."""

    def __init__(self, model, tokenizer=LETTERS, text: str = "once upon", **settings) -> None:
        self.box = widgets.sampling_playground(model, tokenizer, text, **settings)
        self.field, *sliders, self.button, self.picture, self.message = self.box.children
        self.sliders = dict(zip(SETTINGS, sliders, strict=True))


@torch.no_grad()
def always(token: int, vocab_size: int):
    """Return a model that finds one token much likelier than all others, whatever it reads."""
    model = tiny_model(replace(TINY, vocab_size=vocab_size), spread=0.01)
    model.final_norm.weight.zero_()
    model.final_norm.bias.fill_(1.0)
    model.token_embedding.weight[token] = 1.0
    return model


def shaped_by(playground: Playground, model) -> torch.Tensor:
    tokens = widgets.readable_tokens(model, LETTERS, playground.field.value)
    return next_token_probabilities(model, tokens, widgets.chosen_sampling(playground.sliders))


# The sliders


def test_sliders_at_rest_leave_the_models_own_probabilities(model):
    playground = Playground(model)
    assert widgets.chosen_sampling(playground.sliders) == Sampling(top_p=1.0)
    assert_close(shaped_by(playground, model), next_token_probabilities(model, LETTERS.encode("once upon")))


@pytest.mark.parametrize("name", SETTINGS)
def test_each_slider_does_what_its_setting_does_when_text_is_written(model, name):
    playground, setting = Playground(model), {name: SETTINGS[name]}
    resting = shaped_by(playground, model)
    playground.sliders[name].value = SETTINGS[name]
    assert widgets.chosen_sampling(playground.sliders) == replace(Sampling(top_p=1.0), **setting)
    expected = next_token_probabilities(model, LETTERS.encode("once upon"), Sampling(**setting))
    assert_close(shaped_by(playground, model), expected)
    assert not torch.allclose(expected, resting, atol=1e-3)


def test_a_temperature_of_zero_leaves_the_likeliest_token_alone(model):
    playground = Playground(model)
    resting = shaped_by(playground, model)
    playground.sliders["temperature"].value = 0
    assert shaped_by(playground, model).argmax() == resting.argmax()
    assert playground.message.value == "1 token is possible; it is as open as a choice among 1.0."


def test_every_slider_and_the_text_redraw_the_chart(model):
    playground = Playground(model)
    resting = bytes(playground.picture.value)
    assert resting.startswith(b"\x89PNG")
    controls = [*playground.sliders.values(), playground.field]
    for control, value in zip(controls, [*SETTINGS.values(), "a fox"], strict=True):
        before, control.value = control.value, value
        assert bytes(playground.picture.value) != resting, control.description
        control.value = before
        assert bytes(playground.picture.value) == resting, control.description
    assert not any(isinstance(part, ipywidgets.Output) for part in playground.box.children), "a state to be stored"


def test_the_message_counts_possible_tokens_and_choices(model):
    playground = Playground(model)
    assert playground.message.value.startswith("97 tokens are possible")
    playground.sliders["top_k"].value = 5
    assert playground.message.value.startswith("5 tokens are possible")
    assert widgets.describe_choices(torch.full((6,), 1 / 6)).endswith("a choice among 6.0.")
    assert widgets.describe_choices(torch.tensor([0.25, 0.75])).endswith("a choice among 1.8.")  # 4 / 3^0.75


# The text


def test_an_empty_text_and_one_longer_than_the_context_are_read(model):
    playground = Playground(model, text="")
    with torch.no_grad():
        expected = model(torch.tensor([[LETTERS.end_of_text]]))[0, -1].softmax(-1)
    assert_close(shaped_by(playground, model), expected)
    playground.field.value = "ab" * TINY.context
    assert "choice among" in playground.message.value
    shortened = LETTERS.encode("ab" * (TINY.context // 2))
    assert widgets.readable_tokens(model, LETTERS, playground.field.value) == shortened
    playground.button.click()
    assert len(playground.field.value) == 2 * TINY.context + 1


def test_half_a_surrogate_pair_is_explained_and_the_playground_goes_on():
    playground = Playground(tiny_model(replace(TINY, vocab_size=VOCAB)), GPT2)
    before = playground.picture.value
    playground.field.value = "<b>\ud83d"
    playground.button.click()
    assert "surrogate" in playground.message.value and "<" not in playground.message.value
    assert (playground.field.value, playground.picture.value) == ("<b>\ud83d", before)
    playground.field.value = "a fox"
    assert "choice among" in playground.message.value


def test_rows_beyond_the_vocabulary_are_never_possible():
    playground = Playground(always(50_300, vocab_size=50_304), GPT2)
    assert playground.message.value.startswith(f"{VOCAB:,} tokens are possible")
    assert all(token < VOCAB for token in GPT2.encode(playground.field.value))


# The button


def test_the_button_writes_what_sampling_draws(model):
    playground = Playground(model)
    for name, value in SETTINGS.items():
        playground.sliders[name].value = value
    text = "once upon"
    for click in range(3):
        text += complete(model, LETTERS, text, Sampling(max_new=1, seed=click, **SETTINGS))[0]
        playground.button.click()
        assert playground.field.value == text
    assert len(text) == len("once upon") + 3


def test_at_a_texts_end_the_button_says_so_and_writes_nothing():
    playground = Playground(always(LETTERS.end_of_text, 97))
    playground.button.click()
    assert (playground.field.value, playground.message.value) == ("once upon", "The model ends its text here.")


def test_the_button_never_writes_a_part_of_a_character():
    (first, _) = GPT2.encode("東")
    assert GPT2.decode_bytes([first]) == b"\xe6\x9d"  # the first two of three bytes
    playground = Playground(always(first, VOCAB), GPT2, "a")
    playground.button.click()
    assert playground.field.value == "a\ufffd"  # known as broken only when a second token has come


# The chart


def test_the_chart_puts_settings_beside_the_model_and_the_likeliest_of_both_on_top():
    before, after = torch.tensor([0.1, 0.5, 0.1, 0.3]), torch.tensor([0.0, 0.25, 0.75, 0.0])
    axes = widgets.shaping_picture(CharTokenizer.from_text("abc"), before, after, most=3).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "b", "<|endoftext|>"]
    assert_close([bar.get_width() for bar in axes.patches], [0.1, 0.5, 0.3, 0.75, 0.25, 0.0])
    assert [text.get_text() for text in axes.texts] == ["10.0%", "50.0%", "30.0%", "75.0%", "25.0%", "–"]
    whole = widgets.shaping_picture(CharTokenizer.from_text("abc"), before, after, most=8)
    assert len(whole.axes[0].patches) == 8, "a vocabulary smaller than the chart"


def test_rows_of_a_comparison_differ_in_color_and_never_overlap():
    before = plt.get_fignums()
    rows = {"$low$": [0.5, 0.25], "mid": [0.4, 0.0], "high": [0.3, 0.2]}
    figure = plots.next_token_comparison([" $x$", "\n東"], rows, "$$")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["·$x$", "\\n\\u6771"]
    assert not axes.title.get_parse_math() and plt.get_fignums() == before and axes.yaxis_inverted()
    assert len({to_hex(bar.get_facecolor()) for bar in axes.patches}) == 3
    edges = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bar in axes.patches)
    assert all(end <= start + 1e-9 for (_, end), (start, _) in zip(edges, edges[1:], strict=False))
    assert axes.get_xlim()[1] > 0.5
    plots.as_png(figure)
