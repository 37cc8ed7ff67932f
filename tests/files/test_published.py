"""What others published of GPT-2 small is consistent in itself, and readable with our vocabulary."""

from __future__ import annotations

import math

import pytest
import torch

from utils.files.published import published_prompts, published_texts
from utils.tokenizer import Tokenizer

PROMPTS, TEXTS = published_prompts(), published_texts()
WORDS = [prompt.text for prompt in PROMPTS]


def masked_softmax(scores: torch.Tensor) -> torch.Tensor:
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    return scores.masked_fill(future, -math.inf).softmax(-1)


@pytest.mark.parametrize("prompt", PROMPTS, ids=WORDS)
def test_the_attention_is_the_softmax_of_the_masked_scores_in_all_144_heads(prompt):
    assert prompt.attention.shape == (12, 12, len(prompt.tokens), len(prompt.tokens))
    torch.testing.assert_close(masked_softmax(prompt.scores), prompt.attention, atol=1e-6, rtol=0)


@pytest.mark.parametrize("prompt", PROMPTS, ids=WORDS)
def test_our_tokenizer_reads_the_prompts_as_theirs_did(prompt):
    tokenizer = Tokenizer.gpt2()
    assert tokenizer.encode(prompt.text) == prompt.tokens
    assert [tokenizer.decode([token]) for token in prompt.tokens] == prompt.pieces


def test_the_likeliest_next_words_are_those_that_were_published():
    tokenizer = Tokenizer.gpt2()
    best = [tokenizer.decode([int(prompt.logits.argmax())]) for prompt in PROMPTS]
    assert best == [" visualize", " way", " planet", " strange", " importance"]
    assert all(prompt.logits.shape == (50257,) for prompt in PROMPTS)


def test_head_4_11_looks_one_back_and_most_attention_rests_on_the_first_token():
    for prompt in PROMPTS:
        assert prompt.attention[4, 11].diagonal(-1).min() > 0.995
        assert 0.7 < prompt.attention[:, :, 1:, 0].mean() < 0.75
    assert TEXTS[0].attention[4][11].diagonal(-1).mean() > 0.99


@pytest.mark.parametrize("text", TEXTS, ids=["a", "b"])
def test_each_row_of_the_longer_texts_sums_to_one_and_none_sees_the_future(text):
    for pattern in text.attention.values():
        assert pattern.shape == (12, len(text.pieces), len(text.pieces))
        torch.testing.assert_close(pattern.sum(-1), torch.ones(pattern.shape[:-1]), atol=1e-5, rtol=0)
        assert pattern.triu(1).abs().max() == 0
