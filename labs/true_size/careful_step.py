"""One training step that never holds all gradients: each is applied, and forgotten, as soon as it is complete.

AdamW keeps two moments for each weight, and its first step doesn't need them: both begin at zero, so what they
say after one gradient is that gradient, and the step is its sign. So a first step takes the weights, the largest
gradient and little else: a good quarter of what the loop of `utils.training.loop` needs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from utils.config import GPT2Config, Workload, estimate_memory
from utils.model import GPT2

EPSILON = 1e-8  # AdamW's own
ROWS = 1024  # of a matrix whose step is computed at a time
KEPT_TABLES = 3  # as large as the token table: the head's gradient, the table's own, and their sum


def careful_step(model: GPT2, inputs: Tensor, targets: Tensor, rate: float = 1e-4, decay: float = 0.1) -> float:
    """Take AdamW's first step on inputs and targets (batch, time), and return the loss before it.

    Blocks are computed twice, so that only what went into each is kept. There is no clipping, since no gradient is
    left when the norm would be known; a first step is the same for gradients of any size.
    """
    apply = partial(apply_gradient, rate=rate, decay=decay)
    hooks = [weight.register_post_accumulate_grad_hook(apply) for weight in model.parameters()]
    before, model.recompute = getattr(model, "recompute", False), True
    try:
        loss = model.train()(inputs, targets)
        loss.backward()
    finally:
        model.recompute = before
        model.eval()
        for hook in hooks:
            hook.remove()
    return float(loss.detach())


@torch.no_grad()
def apply_gradient(weight: Tensor, rate: float, decay: float) -> None:
    """Take AdamW's first step on one weight, some rows at a time, and let its gradient go."""
    if weight.dim() >= 2:  # biases and norms don't decay
        weight.mul_(1 - rate * decay)
    assert weight.grad is not None  # a hook runs when it is complete
    for part, slope in zip(weight.split(ROWS), weight.grad.split(ROWS), strict=True):
        part.sub_(slope / (slope.abs() + EPSILON), alpha=rate)
    weight.grad = None


def careful_memory(config: GPT2Config, work: Workload = Workload()) -> dict[str, int]:
    """Estimate the bytes of a careful step in float32; weights are exact."""
    training = replace(work, dtype="float32", training=True)
    whole = estimate_memory(config, training)
    one_block = estimate_memory(replace(config, n_layer=1), training)["activations"]
    table = 4 * config.vocab_size * config.n_embd
    stream = 4 * config.n_layer * work.batch * work.context * config.n_embd  # what went into each block
    return {
        "weights": whole["weights"],
        "gradients": (KEPT_TABLES - 1) * table,  # the third is counted with the activations, as the head's product
        "activations": one_block + stream,
    }
