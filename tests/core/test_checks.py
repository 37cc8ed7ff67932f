"""Checks of a learner's answer: silent about what is right, and for each kind of mistake the sentence that helps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from utils.checks import check_close

X = torch.linspace(-3, 3, 24).view(2, 3, 4)
HINT = "Is the mask applied before the softmax?"


def complaint(got, expected=X) -> str:
    with pytest.raises(AssertionError) as caught:
        check_close(got, expected, hint=HINT)
    return str(caught.value)


def test_equal_numbers_pass_and_say_how_many(capsys):
    check_close(X.clone(), X)
    check_close(X + 1e-6, X)
    check_close(torch.tensor(2.0), torch.tensor(2.0))
    assert capsys.readouterr().out.splitlines() == ["The same in all 24 numbers."] * 2 + ["The same number."]


def test_another_order_of_sums_passes():
    a, b = torch.randn(50, 3000), torch.randn(3000, 40)
    check_close((a.double() @ b.double()).float() * (1 + 1e-5), a @ b)


def test_infinities_and_nans_agree_only_with_themselves():
    expected = torch.tensor([0.5, -torch.inf, torch.nan])
    check_close(expected.clone(), expected)
    assert "1 of 3 values differ" in complaint(torch.tensor([0.5, 7.0, torch.nan]), expected)
    assert "1 of 3 values differ" in complaint(torch.tensor([0.6, -torch.inf, torch.nan]), expected)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (None, "You give NoneType, expected a tensor of 2 × 3 × 4 numbers. Does your function return"),
        ([1.0], "You give list, expected a tensor"),
        (X.transpose(0, 2), "The shape is 4 × 3 × 2, expected 2 × 3 × 4. Are two axes swapped?"),
        (X[0], "The shape is 3 × 4, expected 2 × 3 × 4. Which step changes the number of axes?"),
        (X[:, :2], "The shape is 2 × 2 × 4, expected 2 × 3 × 4. Which step changes the axis that differs?"),
        (X.double(), "The dtype is float64, expected float32"),
        (X / 0, "24 of 24 values are infinite or nan, first at [0, 0, 0]"),
    ],
    ids=str,
)
def test_what_is_fundamental_is_said_first_and_without_the_hint(got, words):
    assert words in complaint(got) and HINT not in complaint(got)


def test_a_wrong_value_is_shown_where_it_is_worst_with_the_hint():
    got = X.clone()
    got[1, 2, 0] += 0.5
    got[0, 0, 1] += 0.1
    message = complaint(got)
    assert "2 of 24 values differ, most of all at [1, 2, 0]" in message and message.endswith(HINT)


def test_a_forgotten_factor_is_named():
    assert "every value is 8 times what is expected" in complaint(8 * X)
    assert "every value is -1 times what is expected" in complaint(-X)


def test_whole_numbers_agree_exactly_or_not_at_all():
    check_close(torch.tensor([50256, 7]), torch.tensor([50256, 7]))
    assert "1 of 2 values differ" in complaint(torch.tensor([50257, 7]), torch.tensor([50256, 7]))


def test_the_small_mistakes_of_a_lesson_are_noticed():
    x = torch.randn(15, 768)
    assert "values differ" in complaint(F.gelu(x), F.gelu(x, approximate="tanh"))
    centered = x - x.mean(-1, keepdim=True)
    check_close(centered / x.std(-1, correction=0, keepdim=True), F.layer_norm(x, (768,)))
    assert "values differ" in complaint(centered / x.std(-1, keepdim=True), F.layer_norm(x, (768,)))
