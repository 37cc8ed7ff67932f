"""The form of a model that generates fastest: the same choices, half the bytes."""

from __future__ import annotations

import pytest
import torch
from shapes import random_tokens, tiny_model

from utils.config import GPT2Config, total_parameters
from utils.model import GPT2
from utils.quantize.fbgemm import PackedLinear, can_pack, for_generation, pack
from utils.sampling import Sampling, generate

SHAPE = GPT2Config(n_layer=2, n_head=2, n_embd=64, vocab_size=500, context=64)
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
    found, expected = logits(pack(tiny_model(SHAPE)), time), logits(rounded, time)
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
