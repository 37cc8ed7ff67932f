"""Codes of GPTQ folders by arithmetic that is not the course's own."""

from __future__ import annotations

import torch

from labs.shootout.gptq_writer import LayerCodes
from utils.config import GPT2Config
from utils.formats.hub_layout import LINEAR

CONFIG = GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=97, context=24)


def round_to_codes(weight: torch.Tensor, bits: int, group: int, symmetric: bool, shuffled: bool = False) -> LayerCodes:
    """Quantize a matrix (outputs, inputs) by rounding, with arithmetic of its own."""
    outputs, inputs = weight.shape
    width = inputs if group == -1 else group
    g_idx = torch.arange(inputs) // width
    if shuffled:
        g_idx = g_idx[torch.randperm(inputs, generator=torch.Generator().manual_seed(3))]
    top, count = 2**bits - 1, -(-inputs // width)
    scales, zeros = torch.empty(outputs, count), torch.empty(outputs, count)
    for g in range(count):
        columns = weight[:, g_idx == g]
        low, high = columns.amin(1).clamp(max=0), columns.amax(1).clamp(min=0)
        if symmetric:
            scales[:, g], zeros[:, g] = torch.maximum(-low, high) * 2 / top, 2 ** (bits - 1)
        else:
            scales[:, g] = (high - low) / top
            zeros[:, g] = (-low / scales[:, g]).round()
    scales = scales.half().float()
    codes = (weight / scales[:, g_idx] + zeros[:, g_idx]).round().clamp(0, top)
    found = None if symmetric else zeros.byte()
    return LayerCodes(bits, group, codes.byte(), scales.half(), found, g_idx.int() if shuffled else None)


def linear_names(model) -> list[str]:
    return [name.removesuffix(".weight") for name, _ in model.named_parameters() if name.endswith(LINEAR)]


def quantize_all(model, *settings) -> dict[str, LayerCodes]:
    weights = {name: model.get_parameter(f"{name}.weight").detach() for name in linear_names(model)}
    return {name: round_to_codes(weight, *settings) for name, weight in weights.items()}
