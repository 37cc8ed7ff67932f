"""Part 2: layer norm."""

import torch
import torch.nn.functional as F

from utils.checks import compare


def reference(x, weight, bias):
    return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)


def question(case, got, expected):
    x, weight, bias = case
    centred, spread = x - x.mean(-1, keepdim=True), x.std(-1, keepdim=True, unbiased=False)
    added = "Where is 1e-5 added, and how much is it?"
    mistakes = [
        ("Is your variance divided by width, or by width − 1?", centred / (x.var(-1, keepdim=True) + 1e-5).sqrt()),
        (added, centred / spread),
        (added, centred / (spread + 1e-5)),
        ("Is the mean subtracted?", x / (spread.square() + 1e-5).sqrt()),
        ("Is each position normed by itself, along the last axis?", F.layer_norm(x, x.shape)),
    ]
    for asked, normed in mistakes:
        if torch.allclose(got, normed * weight + bias, rtol=1e-4, atol=1e-6):
            return asked
    plain = F.layer_norm(x, x.shape[-1:])
    if any(torch.allclose(got, each, rtol=1e-4, atol=1e-6) for each in (plain, plain * weight, plain + bias)):
        return "Where do weight and bias come in?"
    return ""


def drawn(*shape, size=1.0):
    return size * torch.randn(*shape) + 0.5 * size, torch.randn(shape[-1]), torch.randn(shape[-1])


def test_one_row(mine):
    case = (
        torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]),
        torch.tensor([1.0, 1.0, 2.0, 1.0]),
        torch.tensor([0.0, 0.0, 0.0, 5.0]),
    )
    compare(mine.layer_norm, reference, case, question=question)


def test_a_batch(mine):
    compare(mine.layer_norm, reference, drawn(2, 5, 7), drawn(3, 1, 24), drawn(1, 6, 2, size=40.0), question=question)


def test_small_numbers(mine):
    """Where the variance is as small as what is added to it."""
    compare(mine.layer_norm, reference, drawn(2, 5, 7, size=3e-3), question=question)


def test_a_row_of_equal_numbers(mine):
    compare(mine.layer_norm, reference, (torch.full((2, 3, 5), 4.0), torch.randn(5), torch.randn(5)), question=question)
