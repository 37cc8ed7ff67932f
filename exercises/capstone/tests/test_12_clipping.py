"""Part 12: gradient clipping, beside PyTorch's own."""

import torch

from utils.checks import compare


def reference(gradients, limit):
    """Return the norm before, and the gradients after."""
    weights = [torch.nn.Parameter(torch.zeros_like(each)) for each in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(weights, limit)
    return float(norm), [weight.grad for weight in weights]


def question(case, got, expected):
    gradients, limit = case
    norm, scaled = got
    wrong = {
        "All gradients together have one norm, and are scaled alike. Do you clip each by itself?": [
            reference([each], limit)[1][0] for each in gradients
        ],
        "Gradients below the limit stay as they are.": [each * limit / expected[0] for each in gradients],
        "Do the gradients change, in place?": gradients,
        "Do you divide by the norm only? What is `limit` for?": [each / expected[0] for each in gradients],
        "A norm scales all numbers alike. Do you cut off each of them?": [
            each.clamp(-limit, limit) for each in gradients
        ],
    }
    for asked, values in wrong.items():
        if all(torch.allclose(one, other, rtol=1e-4, atol=1e-7) for one, other in zip(scaled, values, strict=True)):
            near = all(torch.allclose(o, e, rtol=1e-4, atol=1e-7) for o, e in zip(values, expected[1], strict=True))
            if not near:
                return asked
    if abs(norm - min(expected[0], limit)) < 1e-4 * limit:
        return "Return the norm before, not the one after."
    return ""


def answer(mine):
    def clipped_by_yours(gradients, limit):
        gradients = [each.clone() for each in gradients]
        return float(mine.clip_gradients(gradients, limit)), gradients

    return clipped_by_yours


def drawn(*shapes, size=1.0):
    return [size * torch.randn(shape) for shape in shapes]


def test_three_and_four_make_five(mine):
    gradients = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    compare(answer(mine), reference, (gradients, 1.0), (gradients, 2.5), question=question, tolerance=1e-4)


def test_below_the_limit_nothing_changes(mine):
    gradients = drawn((5, 7), (3,), size=0.01)
    compare(answer(mine), reference, (gradients, 1.0), question=question, tolerance=1e-4)


def test_several_tensors(mine):
    cases = [(drawn((5, 7), (3,), (2, 4)), limit) for limit in (0.5, 2.0, 100.0)]
    compare(answer(mine), reference, *cases, question=question, tolerance=1e-4)


def test_gradients_of_zero(mine):
    compare(answer(mine), reference, ([torch.zeros(3), torch.zeros(2, 2)], 1.0), question=question)
