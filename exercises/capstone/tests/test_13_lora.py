"""Part 13: a frozen layer with an adapter beside it, and what it costs, counted in multiplications."""

import torch

from tools.capstone.meter import Meter
from utils.checks import compare


def reference(x, weight, bias, a, b, alpha):
    return x @ (weight + alpha / a.shape[1] * a @ b) + bias


def question(case, got, expected):
    x, weight, bias, a, b, alpha = case
    frozen, more = x @ weight + bias, x @ a @ b
    wrong = {
        "Does the adapter add anything?": frozen,
        "How is what the adapter adds scaled?": frozen + more,
        "Is it alpha, or alpha/rank?": frozen + alpha * more,
        "Is it divided by the rank, too?": frozen + more / a.shape[1],
        "Where is the bias?": expected - bias,
    }
    return next((asked for asked, each in wrong.items() if torch.allclose(got, each, rtol=1e-4, atol=1e-4)), "")


def drawn(batch, time, inputs, outputs, rank, alpha=16.0):
    shapes = ((batch, time, inputs), (inputs, outputs), (outputs,), (inputs, rank), (rank, outputs))
    return (*(torch.randn(shape) for shape in shapes), alpha)


def test_a_small_layer(mine):
    compare(mine.lora_linear, reference, drawn(1, 1, 2, 3, 1, 2.0), question=question)


def test_a_batch(mine):
    compare(mine.lora_linear, reference, drawn(2, 5, 24, 17, 3), drawn(3, 1, 6, 9, 4, 1.0), question=question)


def test_b_of_zeros_changes_nothing(mine):
    x, weight, bias, a, b, alpha = drawn(2, 5, 7, 6, 3)
    compare(mine.lora_linear, reference, (x, weight, bias, a, torch.zeros_like(b), alpha), question=question)


def test_only_the_adapter_learns(mine):
    def gradients(function):
        def answer(x, weight, bias, a, b, alpha):
            a.requires_grad_(), b.requires_grad_()
            return torch.autograd.grad(function(x, weight, bias, a, b, alpha).square().sum(), (a, b))

        return answer

    compare(gradients(mine.lora_linear), gradients(reference), drawn(2, 3, 7, 5, 2), in_place="allowed")


def test_it_multiplies_no_more_than_it_must(mine):
    batch, time, inputs, outputs, rank = 1, 3, 120, 84, 4
    case = drawn(batch, time, inputs, outputs, rank)
    with Meter() as meter:
        mine.lora_linear(*case)
    rows = batch * time
    most = rows * (inputs * outputs + rank * (inputs + outputs))
    assert meter.multiplications <= most, (
        f"Given {rows} rows, a layer of {inputs} × {outputs} and rank {rank}, your products take "
        f"{meter.multiplications:,} multiplications, expected at most {most:,}. In which order do you multiply "
        "x, a and b?"
    )
