"""Cross-entropy that never holds the logits of a whole batch.

At GPT-2's vocabulary the logits of 8 × 1024 tokens take 1.6 GB, and their gradient as much again. This
function makes them a few hundred tokens at a time, and takes each chunk's gradient while it is at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from utils.config import LOSS_CHUNK

IGNORE = -100  # a target that does not count, PyTorch's own convention


def chunked_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Return the summed loss of x (tokens, width) · weightᵀ (width, vocab) against targets, over `divisor`.

    Without a divisor the sum is divided by the number of targets that count, which makes it the mean.
    """
    if divisor is None:
        divisor = (targets != IGNORE).sum().clamp(min=1)
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    if not torch.is_grad_enabled():  # inside of the function it is always off, so it can't ask by itself
        x, weight = x.detach(), weight.detach()
    return _ChunkedCrossEntropy.apply(x, weight, targets, divisor, dtype)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, targets: Tensor, divisor: Tensor, dtype: torch.dtype) -> Tensor:
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x) if wants_x else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        x16, weight16 = x.to(dtype), weight.to(dtype)  # no copy when the dtype is already right
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        for rows in torch.arange(len(x), device="cpu").split(LOSS_CHUNK):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            logits = (x16[part] @ weight16.T).float()  # (chunk, vocab)
            counts = targets[part] != IGNORE
            ids = targets[part].where(counts, 0)[:, None]
            log_total = logits.logsumexp(-1, keepdim=True)
            total += ((log_total - logits.gather(1, ids)).squeeze(1) * counts).sum()
            if not (wants_x or wants_weight):
                continue
            # the gradient of the summed loss with respect to the logits is softmax − one-hot
            error = logits.sub_(log_total).exp_().scatter_add_(1, ids, torch.full_like(log_total, -1))
            error = error.mul_(counts[:, None]).to(dtype)
            if wants_x:
                grad_x[part] = (error @ weight16).to(x.dtype)
            if wants_weight:
                if dtype == grad_weight.dtype:
                    grad_weight.addmm_(error.T, x16[part])  # no product as large as the head beside the sum
                else:
                    grad_weight += error.T @ x16[part]
        ctx.save_for_backward(divisor, *(g for g in (grad_x, grad_weight) if g is not None))
        return total / divisor

    @staticmethod
    def backward(ctx, grad: Tensor):
        divisor, *saved = ctx.saved_tensors
        scale = grad / divisor  # not before: a softmax over thousands of targets is 0 in float16
        grads = [saved.pop(0).mul_(scale) if wanted else None for wanted in ctx.needs_input_grad[:2]]
        return (*grads, None, None, None)
