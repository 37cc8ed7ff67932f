"""Matrix products on a CPU: PyTorch has several ways to the same numbers, some many times faster than others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.devices import has_amx, has_real_bf16


def cpu_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x (..., in) · weightᵀ (in, out) + bias, by the fastest way for this shape and dtype."""
    shape = (*x.shape[:-1], len(weight))
    if x.numel() == x.shape[-1]:  # one row, a new token: a matrix × vector product reads the weights fastest
        y = torch.mv(weight, x.reshape(-1)).view(shape)
        return y if bias is None else y + bias
    if is_imitated(x):
        return cpu_linear(x.float(), weight.float(), None if bias is None else bias.float()).to(x.dtype)
    if x.dtype == torch.float32 and not torch.is_grad_enabled():  # weights first: up to 1.6 times as fast
        y = (weight @ x.reshape(-1, x.shape[-1]).T).T.reshape(shape)
        return y if bias is None else y + bias
    return F.linear(x, weight, bias)


def is_imitated(x: Tensor) -> bool:
    """Say whether this CPU has no products in the 16-bit dtype of x, and would take hundreds of times longer."""
    if x.device.type != "cpu" or x.dtype not in (torch.float16, torch.bfloat16):
        return False
    return x.dtype == torch.float16 or not has_real_bf16("cpu")


def looks_back_in_float32(qkv: Tensor) -> bool:
    """Say whether attention is faster on queries, keys and values (…, time, head width) widened to float32."""
    narrow = qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16 and not has_amx()
    return is_imitated(qkv) or (narrow and qkv.shape[-2] <= 512)  # there and back at 256 tokens: 1.3 times as fast
