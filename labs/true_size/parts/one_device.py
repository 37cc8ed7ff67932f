"""Distributed training on one device: a process group of one by NCCL (gloo on a CPU), DDP's step beside a plain one.

What NCCL can't do here (send to another GPU) needs two; that it starts, adds up and steps, this shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from labs.true_size.bench import Bench, Figures, Measure, largest_difference, losses, new_trainer, take_steps
from utils.training.config import TrainConfig


@contextmanager
def group_of_one(bench: Bench) -> Iterator[str]:
    """Within a with block, this process is a process group of its own; yields the backend."""
    backend = "nccl" if bench.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield backend
    finally:
        dist.destroy_process_group()


def add_up(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Let all_reduce add up a tensor: of one process, it stays as it is."""
    count = 1_000 if bench.tiny else 50_000_000
    given = torch.arange(count, dtype=torch.float32, device=bench.device)
    summed = given.clone()
    with group_of_one(bench) as backend:
        dist.all_reduce(summed)
        gathered = [torch.empty_like(given)]
        dist.all_gather(gathered, given)
    right = torch.equal(summed, given) and torch.equal(gathered[0], given)
    return {"backend": backend, "numbers": count, "all_reduce and all_gather are right": right}


def step_by_ddp(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Take the same steps with DDP around the network and without, accumulation included."""
    batch, context = (2, 32) if bench.tiny else (4, 256)
    config = TrainConfig(
        context=context, batch_size=batch, accumulate=2, learning_rate=3e-4, warmup_steps=1, dtype="float32"
    )
    plain, shared = new_trainer(bench, config), new_trainer(bench, config)
    with group_of_one(bench) as backend:
        ids = [bench.device] if bench.device.type == "cuda" else None
        shared.network = nn.parallel.DistributedDataParallel(shared.model, device_ids=ids)
        curves = [losses(take_steps(bench, trainer, 3)) for trainer in (plain, shared)]
    pairs = zip(plain.model.parameters(), shared.model.parameters(), strict=True)
    return {
        "backend": backend,
        "losses": curves[1],
        "largest difference of losses": largest_difference(*curves),
        "largest difference of weights": max(float((a - b).detach().abs().max()) for a, b in pairs),
    }


MEASURES: dict[str, Measure] = {"process group": add_up, "DDP step": step_by_ddp}
