"""Part 4: causal self-attention with several heads."""

import math

import torch
import torch.nn.functional as F

from utils.checks import compare

HEADS = 3


def reference(x, weights, n_head, *, scale=None, causal=True, order=(0, 1, 2), by_head=False, project=True):
    batch, time, width = x.shape
    qkv = x @ weights["c_attn.weight"] + weights["c_attn.bias"]
    if by_head:  # one head's queries, keys and values side by side: not GPT-2's way
        q, k, v = qkv.view(batch, time, n_head, 3, -1).permute(3, 0, 2, 1, 4)
    else:
        q, k, v = qkv.view(batch, time, 3, n_head, -1).permute(2, 0, 3, 1, 4)[list(order)]
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
    y = y.transpose(1, 2).reshape(batch, time, width)
    return y @ weights["c_proj.weight"] + weights["c_proj.bias"] if project else y


def question(case, got, expected):
    x, weights, n_head = case
    width = x.shape[-1]
    mistakes = {
        "May a token look at those after it?": {"causal": False},
        "Are the scores divided before the softmax?": {"scale": 1.0},
        "You divide by the root of the whole width. How wide is one head?": {"scale": 1 / math.sqrt(width)},
        "You divide by the width of a head itself. Is a root missing?": {"scale": n_head / width},
        "In which order do queries, keys and values stand?": {"order": (1, 0, 2)},
        "Queries of all heads come first, then keys of all heads. How do you cut c_attn's columns?": {"by_head": True},
        "Is the last projection, c_proj, missing?": {"project": False},
    }
    wrong = {asked: reference(*case, **mistake) for asked, mistake in mistakes.items()}
    wrong["Is c_proj's bias added?"] = expected - weights["c_proj.bias"]
    wrong["You attend with one head only. Where are the others?"] = reference(x, weights, 1)
    return next((asked for asked, each in wrong.items() if torch.allclose(got, each, rtol=1e-4, atol=1e-5)), "")


def drawn(batch, time, width, size=0.4):
    shapes = {"c_attn.weight": (width, 3 * width), "c_attn.bias": (3 * width,)}
    shapes |= {"c_proj.weight": (width, width), "c_proj.bias": (width,)}
    return torch.randn(batch, time, width), {name: size * torch.randn(shape) for name, shape in shapes.items()}


def test_one_head_and_two_tokens(mine):
    compare(mine.attention, reference, (*drawn(1, 2, 4), 1), question=question)


def test_several_heads_and_a_batch(mine):
    cases = [(*drawn(2, 5, 24), 3), (*drawn(3, 7, 10), 5), (*drawn(4, 1, 6), 2)]
    compare(mine.attention, reference, *cases, question=question)


def test_as_transformers(mine, peer, heard):
    for layer, block in enumerate(peer.transformer.h):
        x, expected = heard[f"h.{layer}.attn"]
        weights = {name: value.detach() for name, value in block.attn.named_parameters()}
        compare(mine.attention, lambda *case, same=expected: same, (x, weights, HEADS), question=question)


def test_large_scores(mine):
    """Whose exponentials overflow: a softmax has to subtract the largest first."""
    x, weights = drawn(2, 6, 12)
    compare(mine.attention, reference, (30 * x, weights, 4), question=question)


def test_it_has_a_gradient(mine):
    x, weights = drawn(2, 3, 8)

    def gradient(function):
        def answer(x, weights, n_head):
            return torch.autograd.grad(function(x.requires_grad_(), weights, n_head).square().sum(), x)[0]

        return answer

    compare(gradient(mine.attention), gradient(reference), (x, weights, 2), in_place="allowed")
