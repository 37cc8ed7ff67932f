"""The form of a model that generates fastest: the same choices, half the bytes."""

from __future__ import annotations

import copy

import pytest
import torch
from shapes import random_tokens, tiny_model
from torch.testing import assert_close

from tools.fast_layers import FastInt4, FastInt8, PackedLinear, can_pack, fast_form, for_generation, swap_layers
from utils.config import GPT2Config, total_parameters
from utils.model import GPT2
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import QuantizedLinear, plan_for, quantize_model
from utils.sampling import Sampling, generate

SHAPE = GPT2Config(n_layer=2, n_head=2, n_embd=64, vocab_size=500, context=64)
QUANTIZED = GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=97, context=24)
packs = pytest.mark.skipif(not can_pack(), reason="this build of PyTorch has no FBGEMM: it packs on x86 only")


@torch.inference_mode()
def logits(model: GPT2, time: int = 20) -> torch.Tensor:
    return model(random_tokens(1, time, 500))


@packs
@pytest.mark.parametrize("time", [1, 2, 20])
def test_packed_logits_are_those_of_weights_rounded_to_float16(time):
    rounded = tiny_model(SHAPE)
    with torch.no_grad():
        for module in rounded.modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
                module.weight.copy_(module.weight.half())
    found, expected = logits(swap_layers(tiny_model(SHAPE), pack=True), time), logits(rounded, time)
    assert float((found - expected).square().mean().sqrt()) < 1e-3 * float(expected.std())


@packs
def test_a_packed_layer_gives_its_weights_back():
    layer = torch.nn.Linear(64, 32)
    assert torch.equal(PackedLinear(layer).weight, layer.weight.half().float())


def test_the_generating_form_writes_the_same_text_with_and_without_companions_in_half_the_bytes():
    settings = Sampling(max_new=20, temperature=0, stop=())
    model = for_generation(tiny_model(SHAPE))
    alone = generate(model, [[5, 6, 7]], settings)
    assert generate(model, [[5, 6, 7], [9]], settings)[0] == alone[0]
    assert (logits(model).argmax(-1) == logits(tiny_model(SHAPE)).argmax(-1)).float().mean() > 0.9
    packed = [module for module in model.modules() if isinstance(module, PackedLinear)]
    held = sum(2 * layer.weight.numel() for layer in packed)
    held += sum(p.nbytes for name, p in model.named_parameters() if p.dim() > 1)
    tied = 2 * 500 * 64 if packed else 0  # a head of its own
    assert held <= 2 * total_parameters(SHAPE) + tied


@pytest.mark.parametrize(
    ("grid", "form"),
    [
        (Grid(8, "row"), FastInt8),
        (Grid(4, 32), FastInt4),
        (Grid(4, 64, symmetric=False), FastInt4),
        (Grid(4, 16), QuantizedLinear),  # a group that the fast product does not know
        (Grid(3, 32), QuantizedLinear),
        (Grid(4, 32, "nf4"), QuantizedLinear),
        (Grid(8, 32), QuantizedLinear),
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_the_fast_form_multiplies_like_the_packed_one(grid, form, rows):
    layer = QuantizedLinear.of(quantize(torch.randn(64, 128), grid), torch.randn(64))
    fast, x = fast_form(layer), torch.randn(rows, 128)
    assert type(fast) is form
    with torch.no_grad():
        expected = layer(x)
        assert_close(fast(x), expected, rtol=0.02, atol=0.05 * float(expected.std()))


@pytest.mark.parametrize("head", [None, Grid(8, "row")])
@pytest.mark.parametrize("grid", [Grid(8, "row"), Grid(4, 32)], ids=str)
def test_the_generating_form_of_a_quantized_model_chooses_alike(grid, head):
    model = tiny_model(QUANTIZED)
    quantize_model(model, plan_for(model, grid, head))
    fast = for_generation(copy.deepcopy(model))
    with torch.inference_mode():
        found, expected = fast(random_tokens(4, 20)), model(random_tokens(4, 20))
    assert (found.argmax(-1) == expected.argmax(-1)).float().mean() > 0.9
    rows = generate(fast, [[1, 2, 3], [4]], Sampling(max_new=8, temperature=0, stop=()))
    assert [len(row) for row in rows] == [8, 8]
