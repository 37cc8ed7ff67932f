"""Optimizers and learning rate schedules: how a gradient becomes a step.

Lesson 11 builds AdamW by hand (Loshchilov and Hutter 2019, arXiv:1711.05101) and the cosine schedule (the same, 2017,
arXiv:1608.03983). Muon for the matrices of the blocks: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon,
with AdamW's size of steps as in Liu et al. 2025, arXiv:2502.16982.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import CourseError
from utils.machine import has_real_bf16
from utils.model import GPT2
from utils.training.config import TrainConfig
from utils.training.distributed import full_tensor, shard_like

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Keller Jordan's odd polynomial: draws all singular values near 1


def learning_rate_at(step: int, config: TrainConfig, cuts: int = 0) -> float:
    """Return the learning rate of a step (from 0): up in a line, then down along half a cosine, or by `cuts`.

    >>> [round(learning_rate_at(s, TrainConfig(max_steps=20, warmup_steps=10)) * 1e4, 2) for s in (0, 9, 10, 19)]
    [0.6, 6.0, 6.0, 0.73]
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    low = min(config.min_learning_rate, config.learning_rate)
    if config.schedule == "plateau":
        return max(low, config.learning_rate * config.plateau_factor**cuts)
    done = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return low + (config.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * min(done, 1)))


def freeze_all_but_last(model: GPT2, layers: int) -> list[nn.Parameter]:
    """Let only the last so many blocks and the final norm learn, and return what was frozen; 0 freezes nothing."""
    if layers > len(model.blocks):
        raise CourseError(f"train_layers is {layers}, this model has {len(model.blocks)} blocks; 0 trains all of it.")
    if not layers:
        return []
    learning = {id(p) for part in (*model.blocks[-layers:], model.final_norm) for p in part.parameters()}
    frozen = [p for p in model.parameters() if p.requires_grad and id(p) not in learning]
    for parameter in frozen:
        parameter.requires_grad = False
    return frozen


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Decay matrices and embeddings; leave biases and norms alone."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW in its fused form, which passes over the weights once, or Muon on top of it."""
    groups = parameter_groups(model, config.weight_decay)
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    settings: dict[str, Any] = dict(lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=fused)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, **settings)
    matrices = {p for name, p in model.named_parameters() if ".blocks." in f".{name}" and p.dim() == 2}
    hidden = [p for p in groups[0]["params"] if p in matrices]
    groups[0]["params"] = [p for p in groups[0]["params"] if p not in matrices]
    groups.append({"params": hidden, "weight_decay": config.weight_decay, "orthogonal": True})
    return Muon(groups, config.muon_rounds, **settings)


class Muon(torch.optim.AdamW):
    """AdamW, but groups marked `orthogonal` step by their momentum with all its singular values made alike.

    A gradient's few strong directions drown the many weak ones; made orthogonal, all count the same. The step
    is scaled to the size of AdamW's, so that one learning rate and one decay serve both. torch.optim.Muon does the
    same in bfloat16 only, which most laptops imitate: a step of a 768 × 256 matrix takes 13 times as long there, one
    of 256 × 1024 60 times; and it takes q, k and v for one matrix.
    """

    momentum = 0.95

    def __init__(self, groups: list[dict], rounds: int = 5, **settings) -> None:
        super().__init__(groups, **settings)
        self.rounds = rounds
        for group in self.param_groups:
            group.setdefault("orthogonal", False)
        self._step_supports_amp_scaling = False  # GradScaler itself skips a step with infinities, for all groups

    @torch.no_grad()
    def step(self, closure=None):
        everything = self.param_groups
        self.param_groups = [group for group in everything if not group["orthogonal"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = everything
        for group in everything:
            for parameter in group["params"] if group["orthogonal"] else []:
                if parameter.grad is not None:
                    self._step_matrix(parameter, parameter.grad, group)
        return loss

    def _step_matrix(self, weight: Tensor, gradient: Tensor, group: dict) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        average = state["momentum"].lerp_(gradient, 1 - self.momentum)
        ahead = full_tensor(gradient.lerp(average, self.momentum))  # Nesterov: look where the momentum leads
        rows, columns = weight.shape
        parts = ahead.view(3, -1, columns) if rows == 3 * columns else ahead  # q, k and v are three matrices
        step = shard_like(orthogonalize(parts, self.rounds).view(rows, columns), weight)
        size = 0.2 * math.sqrt(max(parts.shape[-2:]))  # AdamW's updates have a root mean square of about 0.2
        weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-group["lr"] * size)


def orthogonalize(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Bring the singular values of matrices (..., rows, columns) near 1 and keep their directions."""
    a, b, c = NEWTON_SCHULZ
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = x.to(torch.bfloat16 if has_real_bf16(x.device.type) else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)
