"""Part 11: AdamW, beside PyTorch's own."""

import torch

from utils.checks import compare

BETAS, EPSILON = (0.9, 0.95), 1e-8


def reference(parameters, gradients, rate, decay):
    """Return parameters after one step for each list of gradients."""
    return by_torch(torch.optim.AdamW, parameters, gradients, rate, decay)


def by_torch(kind, parameters, gradients, rate, decay):
    weights = [torch.nn.Parameter(each.clone()) for each in parameters]
    optimizer = kind(weights, lr=rate, betas=BETAS, eps=EPSILON, weight_decay=decay)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return [weight.detach() for weight in weights]


def by_hand(parameters, gradients, rate, decay, corrected=True, betas=BETAS):
    weights = [each.clone() for each in parameters]
    moments = [(torch.zeros_like(each), torch.zeros_like(each)) for each in weights]
    for step, given in enumerate(gradients, start=1):
        for weight, gradient, (first, second) in zip(weights, given, moments, strict=True):
            first.lerp_(gradient, 1 - betas[0])
            second.lerp_(gradient.square(), 1 - betas[1])
            by = (1 - betas[0] ** step, 1 - betas[1] ** step) if corrected else (1, 1)
            weight.mul_(1 - rate * decay).sub_(rate * (first / by[0]) / ((second / by[1]).sqrt() + EPSILON))
    return weights


def question(case, got, expected):
    parameters, gradients, rate, decay = case
    wrong = {
        "Do the parameters change, in place?": parameters,
        "Both means begin at 0. Is that corrected?": by_hand(*case, corrected=False),
        "Where does the weight decay come in? In AdamW it does not go through the means.": by_torch(
            torch.optim.Adam, *case
        ),
        "Is there a weight decay?": by_hand(parameters, gradients, rate, 0.0),
        "The second beta is 0.95.": by_hand(*case, betas=(0.9, 0.999)),
        "In which direction do you go?": [2 * old - new for old, new in zip(parameters, expected, strict=True)],
    }
    for asked, values in wrong.items():
        if all(torch.allclose(one, other, rtol=1e-5, atol=1e-6) for one, other in zip(got, values, strict=True)):
            return asked
    return ""


def drawn(*shapes, steps=1):
    gradients = [[torch.randn(shape) for shape in shapes] for _ in range(steps)]
    return [torch.randn(shape) for shape in shapes], gradients


def answer(mine):
    def steps_by_yours(parameters, gradients, rate, decay):
        parameters, state = [each.clone().requires_grad_() for each in parameters], {}
        for step in gradients:
            mine.adamw_step(parameters, [each.clone() for each in step], state, rate, decay)
        return [each.detach() for each in parameters]

    return steps_by_yours


def test_one_step(mine):
    compare(answer(mine), reference, (*drawn((3,)), 0.1, 0.0), question=question, tolerance=1e-5)


def test_weight_decay(mine):
    compare(answer(mine), reference, (*drawn((5, 7), (3,)), 0.05, 0.2), question=question, tolerance=1e-5)


def test_several_steps(mine):
    cases = [(*drawn((5, 7), (3,), steps=4), 0.03, 0.1), (*drawn((2, 6), steps=9), 0.2, 0.0)]
    compare(answer(mine), reference, *cases, question=question, tolerance=2e-5)


def test_gradients_as_small_as_epsilon(mine):
    """Where it matters that epsilon is added to the root, not under it."""
    parameters, gradients = drawn((4, 3), steps=2)
    tiny = [[1e-8 * each for each in step] for step in gradients]
    compare(answer(mine), reference, (parameters, tiny, 0.1, 0.0), question="Where is epsilon added?", tolerance=1e-4)


def test_two_models_at_a_time(mine):
    """What is kept between steps belongs to the state, not to the function."""
    one, other = drawn((4, 3), steps=3), drawn((4, 3), steps=3)
    mixed, state = [[each.clone().requires_grad_() for each in weights] for weights, _ in (one, other)], ({}, {})
    for steps in zip(one[1], other[1], strict=True):
        for weights, gradients, kept in zip(mixed, steps, state, strict=True):
            mine.adamw_step(weights, [each.clone() for each in gradients], kept, 0.1, 0.1)
    for weights, case in zip(mixed, (one, other), strict=True):
        got = [each.detach() for each in weights]
        compare(lambda *case, same=got: same, reference, (*case, 0.1, 0.1), question="Is everything kept in `state`?")
