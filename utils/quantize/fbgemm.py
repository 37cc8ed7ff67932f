"""FBGEMM prepacked fp16 linear layers for CPU inference.

16-bit weights, laid out the way in which most CPUs read them fastest. A token costs one pass over all weights, and half
the bytes take half the time: GPT-2 small writes 81 to 98 tokens a second where plain float32 writes 23 and plain
bfloat16 38 (two cores with AVX-512, no AMX). Only CPUs with AMX read plain bfloat16 faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.machine import has_amx, prepare_for_speed, small_dtype
from utils.model import GPT2
from utils.quantize.int_matmul import speed_up


def can_pack() -> bool:
    """Say whether this build of PyTorch has FBGEMM's 16-bit weights: on x86 it has, on ARM it has not."""
    there = {"fbgemm", "x86"} & set(torch.backends.quantized.supported_engines)
    return bool(there) and torch.backends.quantized.engine in ("fbgemm", "x86")


class PackedLinear(nn.Module):
    """A linear layer with packed float16 weights; for use, not for training."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bias = linear.bias.detach().float() if linear.bias is not None else None
        self.packed = torch.ops.quantized.linear_prepack_fp16(linear.weight.detach().float(), bias)

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        return torch.ops.quantized.linear_dynamic_fp16.default(x, self.packed)

    @property
    def weight(self) -> Tensor:
        """A float32 copy (out, in) of the weights."""
        return torch.ops.quantized.linear_unpack_fp16(self.packed)[0]


class HalfEmbedding(nn.Module):
    """A table of float16 rows that are widened to float32 when they are looked up."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = nn.Parameter(embedding.weight.detach().half(), requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:  # (...) → (..., width)
        return F.embedding(tokens, self.weight).float()


@torch.no_grad()
def for_generation(model: GPT2) -> GPT2:
    """Turn `model` in place into the form that generates fastest on its device, with 16-bit weights.

    Layers that are quantized keep their bits. The result is for reading only: it can't be trained or saved.
    """
    speed_up(model)
    if model.device.type == "cpu" and not has_amx() and can_pack():
        return pack(model)
    return prepare_for_speed(model.to(small_dtype(model.device)).eval())


def pack(model: GPT2) -> GPT2:
    """Pack every linear layer of `model` in place, one at a time; the head becomes a copy of its own."""
    names = [
        name for name, _ in model.named_modules() if name
    ]  # names alone, so that packed layers are freed one by one
    for name in reversed(names):  # the head first: it needs the most room
        module = model.get_submodule(name)
        if isinstance(module, nn.Linear):
            model.set_submodule(name, PackedLinear(module))
        elif isinstance(module, nn.Embedding):  # and not quantized together with the head
            model.set_submodule(name, HalfEmbedding(module))
        elif isinstance(module, nn.LayerNorm):
            module.float()
    return model.eval()
