"""The form of a model that generates fastest: the same choices, half the bytes."""

from __future__ import annotations

import pytest
import torch

from utils.config import GPT2Config, total_parameters
from utils.evaluate import compare_logits
from utils.model import GPT2
from utils.quantize.fbgemm import PackedLinear, can_pack, for_generation, pack
from utils.sampling import Sampling, generate

SHAPE = GPT2Config(n_layer=2, n_head=2, n_embd=64, vocab_size=500, context=64)
packs = pytest.mark.skipif(not can_pack(), reason="this build of PyTorch has no FBGEMM: it packs on x86 only")


def make(seed: int = 0) -> GPT2:
    torch.manual_seed(seed)
    model = GPT2(SHAPE)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # biases too, so that none can be forgotten
    return model.eval()


def logits(model: GPT2, time: int = 20) -> torch.Tensor:
    tokens = torch.arange(time)[None] * 37 % 500
    with torch.inference_mode():
        return model(tokens)


@packs
@pytest.mark.parametrize("time", [1, 2, 20])
def test_packed_logits_are_those_of_weights_rounded_to_float16(time):
    rounded = make()
    with torch.no_grad():
        for module in rounded.modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
                module.weight.copy_(module.weight.half())
    difference = compare_logits(logits(pack(make()), time), logits(rounded, time))
    assert difference.root_mean_square < 1e-3 * float(logits(rounded, time).std())


@packs
def test_a_packed_layer_gives_its_weights_and_bias_back():
    layer = torch.nn.Linear(64, 32)
    packed = PackedLinear(layer)
    assert torch.equal(packed.weight, layer.weight.half().float())
    assert torch.equal(packed.bias, layer.bias)


def test_the_generating_form_writes_the_same_text_with_and_without_companions():
    settings = Sampling(max_new=20, temperature=0, stop=())
    model = for_generation(make())
    alone = generate(model, [[5, 6, 7]], settings)
    assert generate(model, [[5, 6, 7], [9]], settings)[0] == alone[0]
    difference = compare_logits(logits(model), logits(make()))
    assert difference.same_choice > 0.9


def test_16_bit_weights_take_half_the_bytes():
    model = for_generation(make())
    held = 0
    for module in model.modules():
        if isinstance(module, PackedLinear):
            held += 2 * module.weight.numel()
        else:
            held += sum(p.numel() * p.element_size() for p in module.parameters(recurse=False) if p.dim() > 1)
    tied = 2 * 500 * 64 if any(isinstance(m, PackedLinear) for m in model.modules()) else 0  # a head of its own
    assert held <= 2 * total_parameters(SHAPE) + tied
