"""One process or many: under torchrun every process takes its share of the batches and they average gradients."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn


class ProcessGroup:
    """The processes that train together; alone, it does nothing and costs nothing."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.world_size = int(os.environ.get("WORLD_SIZE", 1))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @contextmanager
    def joined(self):
        """Join the other processes for the length of a with block, if there are any and we have not joined yet."""
        mine = self.world_size > 1 and not dist.is_initialized()
        if mine:
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield self
        finally:
            if mine:
                dist.destroy_process_group()

    def wrap(self, model: nn.Module) -> nn.Module:
        """Let gradients be averaged over all processes during backward."""
        if self.world_size == 1:
            return model
        device = next(model.parameters()).device
        return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def without_sync(self, network: nn.Module):
        """Return a context in which backward keeps gradients to itself, for all but the last micro-batch."""
        return network.no_sync() if self.world_size > 1 else nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
            value /= self.world_size
        return value

    def barrier(self) -> None:
        if self.world_size > 1:
            dist.barrier()
