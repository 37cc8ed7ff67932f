"""What training takes, worked out before any machine is rented: operations, time, memory and messages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from utils.config import GPT2Config, Workload, estimate_memory, flops_per_token, total_parameters

TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022: 70 billion parameters, 1.4 trillion tokens


def training_flops(parameters: float, tokens: float) -> float:
    """Return the operations of a training run, 6·N·D: two a weight and token forward, four backward.

    >>> training_flops(124_439_808, 1e9) / 1e15
    746.638848
    """
    return 6 * parameters * tokens


def best_split(flops: float) -> tuple[float, float]:
    """Return the parameters and tokens that make the most of so many operations.

    >>> best_split(training_flops(1000, 20_000))
    (1000.0, 20000.0)
    """
    parameters = math.sqrt(flops / (6 * TOKENS_PER_PARAMETER))
    return parameters, TOKENS_PER_PARAMETER * parameters


@dataclass(frozen=True)
class Cluster:
    """Devices that train together, and what one of them can do."""

    devices: int
    peak: float  # FLOP/s of one device
    mfu: float  # share of the peak that it reaches while it computes; measured, or a guess
    bandwidth: float  # bytes/s that it can send while it receives as many


def held_bytes(config: GPT2Config, devices: int = 1, parallel: str = "ddp") -> dict[str, float]:
    """Return the bytes of weights, gradients and optimizer that each device keeps between two steps."""
    whole = estimate_memory(config, Workload(training=True))
    share = devices if parallel == "fsdp" else 1
    return {name: whole[name] / share for name in ("weights", "gradients", "optimizer")}


def sent_bytes(config: GPT2Config, devices: int, parallel: str = "ddp") -> float:
    """Return the bytes that each device sends in one step, in float32.

    DDP adds gradients up and hands the sums around, which is two passes; FSDP gathers weights for the way forward
    and again for the way back, and adds gradients up once. In a pass a device sends all parts but one.
    """
    passes = 2 if parallel == "ddp" else 3
    return passes * 4 * total_parameters(config) * (devices - 1) / devices


def step_seconds(config: GPT2Config, cluster: Cluster, tokens: int, parallel: str = "ddp") -> tuple[float, float]:
    """Return the seconds that each device computes and that it sends in one step of `tokens` tokens in all."""
    computing = flops_per_token(config) * tokens / cluster.devices / (cluster.peak * cluster.mfu)
    return computing, sent_bytes(config, cluster.devices, parallel) / cluster.bandwidth
