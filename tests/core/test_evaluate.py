"""Loss, perplexity and its protocol: by hand and against a plain strided loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from shapes import random_tokens, tiny_model

from utils.errors import CourseError
from utils.evaluate import Protocol, Score, measure_loss, scoring_windows
from utils.model import IGNORE


@pytest.fixture(scope="module")
def model():
    return tiny_model(spread=0.3)


@given(length=st.integers(2, 90), context=st.integers(1, 30), data=st.data())
def test_every_token_but_the_first_is_scored_once_with_the_right_past(length, context, data):
    stride = data.draw(st.integers(1, context))
    tokens = torch.arange(1000, 1000 + length)
    scored = []
    for inputs, targets in scoring_windows(tokens, Protocol(context, stride)):
        assert inputs.shape == targets.shape and 1 <= len(inputs) <= context
        for place, target in enumerate(targets.tolist()):
            if target != IGNORE:
                scored.append(target)
                assert int(inputs[place]) == target - 1, "a target is the token after its input"
                past = target - int(inputs[0])  # tokens seen before the guess
                assert past >= min(target - 1000, context - stride + 1), "less past than the stride promises"
    assert scored == list(range(1001, 1000 + length))


def test_windows_leave_the_text_as_it_was():
    tokens = torch.arange(20)
    scoring_windows(tokens, Protocol(8, 3))
    assert tokens.tolist() == list(range(20))


def strided_loss(model, tokens: torch.Tensor, context: int, stride: int) -> tuple[float, int]:
    """Return the summed loss and the number of targets, by the loop that `transformers` recommends."""
    total, count, done = 0.0, 0, 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + context, len(tokens))
        inputs, new = tokens[begin:end], end - done
        losses = F.cross_entropy(model(inputs[None])[0, :-1], inputs[1:], reduction="none")
        fresh = losses[max(0, len(losses) - new) :]
        total, count, done = total + float(fresh.sum()), count + len(fresh), end
        if end == len(tokens):
            break
    return total, count


@pytest.mark.parametrize(("context", "stride"), [(24, 24), (24, 12), (24, 1), (10, 7), (1, 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_loss_is_what_a_plain_loop_over_every_token_gives(model, context, stride, batch):
    tokens = random_tokens(1, 77, seed=3)[0]
    guessed = []  # the loss of each token, from the window that scores it
    with torch.no_grad():
        for target in range(1, len(tokens)):
            window = max(0, math.ceil((target - context) / stride)) * stride
            logits = model(tokens[None, window:target])[0, -1]
            guessed.append(float(F.cross_entropy(logits, tokens[target])))
    score = measure_loss(model, tokens, Protocol(context, stride, batch))
    assert score.tokens == len(guessed) == 76
    assert score.loss == pytest.approx(sum(guessed) / 76, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(sum(guessed) / 76), rel=1e-4)


@pytest.mark.parametrize("stride", [5, 9])
def test_perplexity_agrees_with_the_loop_of_transformers(model, stride):
    tokens = random_tokens(1, 60, seed=4)[0]
    with torch.no_grad():
        # its window of 10 tokens guesses 9 of them, so it equals ours with a context of 9
        total, count = strided_loss(model, tokens, context=10, stride=stride)
    score = measure_loss(model, tokens, Protocol(context=9, stride=stride))
    assert (score.tokens, pytest.approx(score.loss, rel=1e-5)) == (count, total / count)


def test_a_fair_die_has_the_perplexity_of_its_sides():
    model = tiny_model()
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.zero_()
    score = measure_loss(model, random_tokens(1, 50)[0])
    assert score.perplexity == pytest.approx(97, rel=1e-5)
    for datum in ("97.00", f"{math.log(97):.4f}", "49 tokens", "context 24", "stride 24"):
        assert datum in str(score)
    assert Score(800.0, 1, Protocol()).perplexity == math.inf, "it does not overflow"


@pytest.mark.parametrize("make", [list, np.array, torch.tensor, lambda t: np.array(t, dtype=np.uint16)])
def test_tokens_come_in_any_form_and_the_model_keeps_its_mode(model, make):
    tokens = random_tokens(1, 40)[0].tolist()
    expected = measure_loss(model, torch.tensor(tokens)).loss
    model.train()
    assert measure_loss(model, make(tokens)).loss == expected and model.training
    model.eval()
    measure_loss(model, make(tokens))
    assert not model.training and all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"stride": 9}, {"batch": 0}, {"context": 0, "stride": 0}])
def test_a_protocol_that_skips_tokens_is_refused(wrong):
    with pytest.raises(CourseError, match=f"stride {wrong.get('stride', 8)} "):
        Protocol(**{"context": 8, "stride": 8} | wrong)


def test_a_text_too_short_or_a_protocol_too_long_is_refused(model):
    for count in (0, 1):
        with pytest.raises(CourseError, match=f"{count} tokens"):
            measure_loss(model, list(range(count)))
    with pytest.raises(CourseError, match="24"):
        measure_loss(model, random_tokens(1, 60)[0], Protocol(25, 25))
