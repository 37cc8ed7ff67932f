"""16-bit weights, laid out the way in which most CPUs read them fastest.

A token costs one pass over all weights, and half the bytes take half the time, even where a CPU computes in
float32 only. The weights are packed once for PyTorch's FBGEMM, which widens them to float32 on their way
through the registers; everything else stays in float32. Only CPUs with AMX read plain bfloat16 faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.machine import has_amx, small_dtype
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
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack_fp16(linear.weight.detach().float(), bias)

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        return torch.ops.quantized.linear_dynamic_fp16.default(x, self.packed)

    @property
    def weight(self) -> Tensor:
        """A float32 copy (out, in) of the weights."""
        return torch.ops.quantized.linear_unpack_fp16(self.packed)[0]

    @property
    def bias(self) -> Tensor | None:
        return torch.ops.quantized.linear_unpack_fp16(self.packed)[1]


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
    return model.to(small_dtype(model.device)).eval()


def pack(model: GPT2) -> GPT2:
    """Pack every linear layer of `model` in place, one at a time; the head becomes a copy of its own."""
    names = [name for name, _ in model.named_modules()]  # names alone, so that packed layers are freed one by one
    for name in reversed(names):  # the head first: it needs the most room
        parent, _, child = name.rpartition(".")
        module = model.get_submodule(name)
        if isinstance(module, nn.Linear):
            setattr(model.get_submodule(parent), child, PackedLinear(module))
        elif isinstance(module, nn.LayerNorm):
            module.float()
    if isinstance(model.token_embedding, nn.Embedding):  # and not quantized together with the head
        model.token_embedding = HalfEmbedding(model.token_embedding)
    model.position_embedding = HalfEmbedding(model.position_embedding)
    return model.eval()
