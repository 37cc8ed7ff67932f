"""Distributed data parallel training: under torchrun each process takes its share of each batch.

Lesson 16 builds it. Gradients are averaged. Two ways to hold the model. DDP (Li et al. 2020, arXiv:2006.15704): every
process keeps all of it. FSDP (Zhao et al. 2023, arXiv:2304.11277): each keeps its shard of every weight, gradient and
moment, and borrows the rest of a block while it computes with it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.errors import CourseError
from utils.model import GPT2

if TYPE_CHECKING:  # its import takes a while, and one process alone needs none of it
    from torch.distributed.tensor import DTensor


class World:
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
            if torch.cuda.is_available():
                torch.cuda.set_device(self.local_rank)
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield self
        finally:
            if mine:
                dist.destroy_process_group()

    def wrap(self, model: GPT2, parallel: str = "ddp") -> nn.Module:
        """Return the network to call in training, which averages gradients over all processes during backward."""
        if self.world_size == 1:
            return model
        if parallel == "fsdp":
            return shard(model)
        device = next(model.parameters()).device
        return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def without_sync(self, network: nn.Module):
        """Return a context in which backward keeps gradients to itself, for all but the last micro-batch."""
        if isinstance(network, nn.parallel.DistributedDataParallel):
            return network.no_sync()
        return nullcontext()  # FSDP shares each time: gradients that wait would be whole ones, which it is to avoid

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
            value /= self.world_size
        return value

    def agrees(self, wish: bool, device: torch.device) -> bool:
        """Say whether any process wishes so; all of them hear the same, whatever their clocks say."""
        return bool(self.mean(torch.tensor(float(wish), device=device)) > 0)

    def gathered(self, tensors: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
        """Return named tensors whole on the first process and nothing on the others, all of which have to call this.

        The first one then holds all of them in CPU memory: 12 bytes a parameter for a checkpoint with moments.
        """
        found = []
        for name, tensor in tensors:
            full = full_tensor(tensor).cpu() if is_sharded(tensor) else tensor
            if self.is_first:
                found.append((name, full))
        return found

    def barrier(self) -> None:
        if self.world_size > 1:
            dist.barrier()


def shard(model: GPT2) -> GPT2:
    """Return a twin of `model` with every weight cut over all processes; `model` is empty until `unshard_into`."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from utils.lora import adapters

    if adapters(model):
        raise CourseError("parallel is fsdp and this model has adapters, expected ddp: they are small enough for it.")
    weights = list(model.parameters())
    for weight in weights:  # they may have begun apart: the first process's weights count
        dist.broadcast(weight.detach(), 0)
    twin = copy.deepcopy(model, {id(weight): weight for weight in weights})  # other modules, the same weights
    mesh = init_device_mesh(weights[0].device.type, (dist.get_world_size(),))
    for part in (*twin.blocks, twin):  # the root last: it takes what the blocks left, the tables and the final norm
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    for weight in weights:
        weight.data = weight.data.new_empty(0)
    return twin


def unshard_into(twin: nn.Module, model: nn.Module) -> None:
    """Fill the model that `shard` emptied with the twin's weights, whole on every process."""
    if twin is not model:
        for weight, trained in zip(model.parameters(), twin.parameters(), strict=True):
            weight.data = full_tensor(trained.detach())


def is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Say whether this process holds only a part of a tensor."""
    return hasattr(tensor, "full_tensor")


def full_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor with all its parts; all processes have to ask at the same time."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def local_shard(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Return this process's part of a whole tensor, cut as `like` is cut; every process has the same `value`."""
    if not is_sharded(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    value = value.to(like.device).contiguous()
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
