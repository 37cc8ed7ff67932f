"""Checks of a learner's answer: silent about what is right, and for each kind of mistake the sentence that helps."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from utils.checks import check_close, compare
from utils.checks.tensors import MAP, CheckError
from utils.files.places import ROOT

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


# Where values differ, as a map


def drawn(got, expected=X) -> list[str]:
    with pytest.raises(CheckError) as caught:
        check_close(got, expected)
    return caught.value.map_of_wrong.splitlines()


def test_a_map_shows_the_shape_of_what_is_wrong():
    weights = torch.rand(6, 6)
    legend, *rows = drawn(weights, weights.tril())
    assert rows == ["·█████", "··████", "···███", "····██", "·····█", "······"]
    assert legend == f"{MAP}, each sign a value (· none, ▒ some, █ all):"


def test_a_map_looks_through_the_first_axes_and_shrinks_what_is_large():
    got = X.clone()
    got[1, 2, :2] += 1
    legend, *rows = drawn(got)
    assert rows == ["····", "····", "▒▒··"] and "the last two axes, over all others" in legend
    large = torch.zeros(768, 3072)
    large[0, 0] = large[400, 1600:] = 1
    legend, *rows = drawn(large, torch.zeros(768, 3072))
    assert [row.count("▒") for row in rows] == [1, 0, 0, 0, 16, 0, 0, 0] and "up to 96 × 96 values" in legend


@pytest.mark.parametrize("got", [8 * X, X + 1, X[0, 0] + torch.tensor([0, 0, 0, 1.0]), X.view(24, 1).exp()], ids=str)
def test_there_is_no_map_where_it_would_show_nothing(got):
    assert drawn(got, X.view(24, 1) if got.shape[-1] == 1 else X[0, 0] if got.dim() == 1 else X) == []


def test_a_comparison_draws_the_same_map(capsys):
    with pytest.raises(CheckError) as caught:
        compare(lambda x: x, torch.tril, (torch.ones(3, 3),))
    assert caught.value.map_of_wrong.splitlines()[1:] == ["·██", "··█", "···"] and MAP not in str(caught.value)


# In a notebook

IN_IPYTHON = """
import sys, traceback
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

settings = {"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}}
shell = InteractiveShell(config=Config(settings))
for cell in sys.argv[1:]:
    print("<cell>")
    shell.run_cell(cell)
print("<cell>", *[frame.name for frame in traceback.extract_tb(sys.last_traceback)], type(sys.last_value).__name__)
"""


def test_ipython_shows_the_sentence_and_the_map_and_keeps_the_place_for_the_debugger():
    cells = [
        "import torch\nfrom utils.checks import check_close\nfrom utils.errors import CourseError",
        "raise CourseError('Two were found, expected three. Add one.')",
        "assert 1 == 2, 'plain'",
        "check_close(torch.ones(2, 2), torch.eye(2), hint='Which of them?')",
    ]
    done = subprocess.run(
        [sys.executable, "-c", IN_IPYTHON, *cells], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    _, nothing, course, plain, check, kept = done.stdout.split("<cell>")
    assert (nothing.strip(), course.strip()) == ("", "Two were found, expected three. Add one.")
    assert "Traceback" in plain, "what is not ours looks as always"
    said, legend, *rows = check.strip().splitlines()
    assert said.endswith("most of all at [0, 1] you have 1, expected 0. Which of them?")
    assert legend.startswith(MAP) and rows == ["·█", "█·"]
    assert kept.split()[-2:] == ["check_close", "CheckError"]


def test_python_itself_shows_its_traceback_as_always():
    code = "from utils.errors import CourseError\nraise CourseError('Add one.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.stderr.startswith("Traceback") and done.stderr.strip().endswith("utils.errors.CourseError: Add one.")
