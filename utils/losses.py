"""Cross-entropy that never holds the logits of a whole batch.

At GPT-2's vocabulary the logits of 8 × 1024 tokens take 1.6 GB, and their gradient as much again. This
function makes them a few hundred tokens at a time, and takes each chunk's gradient while it is at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from utils.config import LOSS_CHUNK
from utils.errors import CourseError

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


def loss_and_error(logits: Tensor, targets: Tensor, wants_error: bool) -> tuple[Tensor, Tensor | None]:
    """Return the summed loss of logits (chunk, vocab) and its gradient, softmax − one-hot, in the logits' own place."""
    counts = (targets != IGNORE)[:, None]
    ids = targets[:, None].where(counts, 0)
    right, top = logits.gather(1, ids), logits.amax(-1, keepdim=True)
    shares = logits.sub_(top).exp_()  # of a softmax, not yet divided by their sum
    sums = shares.sum(-1, keepdim=True)
    loss = ((sums.log() + top - right) * counts).sum()
    if not wants_error:
        return loss, None
    return loss, shares.mul_(counts / sums).scatter_add_(1, ids, -counts.to(shares.dtype))


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, targets: Tensor, divisor: Tensor, dtype: torch.dtype) -> Tensor:
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x) if wants_x else None
        grad_weight = None  # the first chunk's part becomes the sum
        x16, weight16 = x.to(dtype), weight.to(dtype)  # no copy when the dtype is already right
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        for rows in torch.arange(len(x), device="cpu").split(LOSS_CHUNK):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            loss, error = loss_and_error((x16[part] @ weight16.T).float(), targets[part], wants_x or wants_weight)
            total += loss
            if error is None:
                continue
            error = error.to(dtype)
            if wants_x:
                grad_x[part] = (error @ weight16).to(x.dtype)
            if not wants_weight:
                continue
            if grad_weight is None:
                grad_weight = (error.T @ x16[part]).to(weight.dtype)
            elif dtype == weight.dtype:
                grad_weight.addmm_(error.T, x16[part])  # no product as large as the head beside the sum
            else:
                grad_weight += error.T @ x16[part]
        ctx.grads = [divisor, grad_x, grad_weight]  # not saved_tensors: who holds them alone need not copy them
        return total / divisor

    @staticmethod
    def backward(ctx, grad: Tensor):
        if ctx.grads is None:
            raise CourseError("This loss has been taken backwards before, expected once. Compute it again first.")
        (divisor, *grads), ctx.grads = ctx.grads, None
        scale = grad / divisor  # not before: a softmax over thousands of targets is 0 in float16
        return (*(None if part is None else part.mul_(scale) for part in grads), None, None, None)
