"""Loss, perplexity and its protocol, and logits side by side: by hand and against a plain strided loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from shapes import TINY, random_tokens, tiny_model
from torch.testing import assert_close

from utils.errors import CourseError
from utils.evaluate import Protocol, Score, compare_logits, measure_loss, next_token_loss, scoring_windows
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


def test_more_past_is_used_with_a_smaller_stride(model):
    tokens = random_tokens(1, 100)[0]
    losses = {stride: measure_loss(model, tokens, Protocol(20, stride)).loss for stride in (20, 5)}
    assert losses[20] != pytest.approx(losses[5], rel=1e-6)


def test_a_fair_die_has_the_perplexity_of_its_sides():
    model = tiny_model()
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.zero_()
    score = measure_loss(model, random_tokens(1, 50)[0])
    assert score.perplexity == pytest.approx(97, rel=1e-5)
    assert (
        str(score) == f"perplexity 97.00 (loss {math.log(97):.4f}, 49 tokens, context 24, stride 24, mean over tokens)"
    )


def test_an_infinite_perplexity_does_not_overflow():
    assert Score(800.0, 1, Protocol()).perplexity == math.inf


@pytest.mark.parametrize("make", [list, np.array, torch.tensor, lambda t: np.array(t, dtype=np.uint16)])
def test_tokens_come_in_any_form_and_the_model_keeps_its_mode(model, make):
    tokens = random_tokens(1, 40)[0].tolist()
    expected = measure_loss(model, torch.tensor(tokens)).loss
    model.train()
    assert measure_loss(model, make(tokens)).loss == expected and model.training
    model.eval()
    measure_loss(model, make(tokens))
    assert not model.training and all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_without_a_next_token_is_refused(model, count):
    with pytest.raises(CourseError, match=f"has {count} tokens; a loss needs at least 2"):
        measure_loss(model, list(range(count)))


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"stride": 9}, {"batch": 0}, {"context": 0, "stride": 0}])
def test_a_protocol_that_skips_tokens_is_refused(wrong):
    with pytest.raises(CourseError, match=r"stride .* context .* can't be, expected a stride from 1 to"):
        Protocol(**{"context": 8, "stride": 8} | wrong)


def test_a_protocol_longer_than_the_model_is_refused(model):
    with pytest.raises(CourseError, match="knows positions for 24"):
        measure_loss(model, random_tokens(1, 60)[0], Protocol(25, 25))


def test_next_token_loss_by_hand():
    logits = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])  # the last one guesses beyond the text
    tokens = torch.tensor([[0, 1, 0]])
    by_hand = (math.log(1 + math.exp(1)) + math.log(1 + math.exp(2))) / 2  # both guesses are wrong
    assert float(next_token_loss(logits, tokens)) == pytest.approx(by_hand)
    assert next_token_loss(logits.half(), tokens).dtype == torch.float32


def test_next_token_loss_is_the_models_own(model):
    tokens = random_tokens(3, 20)
    assert_close(next_token_loss(model(tokens), tokens), model(tokens[:, :-1], tokens[:, 1:]))


def test_logits_are_compared_by_hand():
    a = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
    b = torch.tensor([[[1.0, 5.0], [3.0, 4.0]]])
    difference = compare_logits(a, b)
    assert difference.largest == 4.0 and difference.same_choice == 0.5
    assert difference.root_mean_square == pytest.approx(math.sqrt((3**2 + 4**2) / 4))
    same = compare_logits(a.half(), a)
    assert (same.largest, same.root_mean_square, same.same_choice) == (0.0, 0.0, 1.0)


def test_logits_of_different_texts_are_not_compared():
    with pytest.raises(CourseError, match=r"\(1, 2, 97\) and \(1, 3, 97\) can't be compared"):
        compare_logits(torch.zeros(1, 2, TINY.vocab_size), torch.zeros(1, 3, TINY.vocab_size))
