"""Part 3: GELU in its tanh form."""

import torch
import torch.nn.functional as F

from utils.checks import compare


def reference(x):
    return F.gelu(x, approximate="tanh")


def question(case, got, expected):
    if torch.allclose(got, F.gelu(case[0]), atol=1e-6):
        return "That is GELU by the error function. Which form does GPT-2 use?"
    if torch.allclose(got, case[0] * torch.sigmoid(1.702 * case[0]), atol=1e-6):
        return "That is GELU by a sigmoid. Which form does GPT-2 use?"
    return ""


def test_a_few_numbers(mine):
    compare(mine.gelu, reference, (torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]),), question=question, tolerance=1e-5)


def test_any_shape(mine):
    cases = [(3 * torch.randn(2, 5, 7),), (torch.randn(4, 3),), (torch.randn(11),)]
    compare(mine.gelu, reference, *cases, question=question, tolerance=1e-5)


def test_large_numbers(mine):
    """Which overflow where tanh is made of exponentials by hand."""
    compare(mine.gelu, reference, (torch.tensor([-100.0, -20.0, 20.0, 100.0]),), question=question)
