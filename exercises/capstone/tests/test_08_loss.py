"""Part 8: cross-entropy, its padding and its gradient."""

import math

import torch
import torch.nn.functional as F

from utils.checks import compare


def reference(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def question(case, got, expected):
    logits, targets = case
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none")
    wrong = {
        "Is it the sum, or the mean?": each.sum(),
        "By how many tokens do you divide? Those of -100 don't count.": each.sum() / targets.numel(),
        "Is it in bits? Expected are nats.": expected / math.log(2),
        "Is the sign right?": -expected,
    }
    return next((asked for asked, value in wrong.items() if torch.allclose(got, value, rtol=1e-4)), "")


def drawn(batch, time, vocab, ignored=()):
    targets = torch.randint(vocab, (batch, time))
    for row, position in ignored:
        targets[row, position] = -100
    return torch.randn(batch, time, vocab), targets


def test_two_tokens(mine):
    case = (torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 1.0]]]), torch.tensor([[1, 2]]))
    compare(mine.loss, reference, case, question=question)


def test_a_batch(mine):
    compare(mine.loss, reference, drawn(2, 5, 7), drawn(3, 1, 11), question=question)


def test_some_targets_do_not_count(mine):
    cases = [drawn(2, 5, 7, [(0, 4), (1, 2), (1, 3)]), drawn(3, 4, 6, [(2, 0)])]
    compare(mine.loss, reference, *cases, question=question)


def test_large_logits(mine):
    """Whose exponentials overflow."""
    logits, targets = drawn(2, 5, 7)
    compare(mine.loss, reference, (300 * logits, targets), question=question)


def test_its_gradient(mine):
    def gradient(function):
        def answer(logits, targets):
            return torch.autograd.grad(function(logits.requires_grad_(), targets), logits)[0]

        return answer

    compare(gradient(mine.loss), gradient(reference), drawn(2, 5, 7, [(1, 3)]), in_place="allowed")
