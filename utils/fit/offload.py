"""CPU and disk offload: blocks whose weights lie elsewhere are copied in for each forward pass (lesson 09 builds it).

What isn't at hand visits when its turn comes. All visiting blocks share one block's room, into which each one's weights
are copied before it computes. Copies are the same numbers in the same layout, so the logits are those of the whole
model, to the last bit. accelerate's `disk_offload` gives the same logits, but writes the tied table twice (123 MB for
nano's 71), leaves `model.device` at meta, so that generation stops, and does not count activations and KV cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.config import GPT2Config
from utils.errors import CourseError
from utils.fit.placement import VISITING_ROWS, Plan
from utils.formats.hub_layout import read_parameter
from utils.formats.open_file import ModelFile, open_model_file, open_weights
from utils.formats.safetensors import LazyTensor, write_safetensors
from utils.machine import linear, parse_dtype, pick_device, prepare_for_speed
from utils.model import GPT2, Block, KeyValueCache

Kept = Mapping[str, Tensor | LazyTensor]  # weights by name, in memory or in a file
TABLE = "token_embedding.weight"


def look(weight: Tensor | LazyTensor) -> Tensor:
    """Return a weight where it lies: as it is, or mapped from its file, of which only what is used is read."""
    return weight if isinstance(weight, Tensor) else weight.read()


def rows_of(table: Tensor | LazyTensor, start: int, end: int) -> Tensor:
    """Return some rows of a table; from a file no others are mapped, so that the rest takes no memory."""
    if isinstance(table, Tensor):
        return table[start:end]
    return table.rows(start, min(end, table.shape[0]) - start)


class VisitingBlock(nn.Module):
    """One block of a model whose weights lie elsewhere; `room` is the block that all visitors share."""

    def __init__(self, layer: int, kept: Kept, room: Block) -> None:
        super().__init__()
        self.layer, self.kept = layer, kept
        self._room = (room,)  # in a tuple, so that it doesn't count as a part of every block

    @torch.no_grad()
    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        room = self._room[0]
        for name, weight in room.named_parameters():
            weight.copy_(look(self.kept[name]))
        room.attention.layer = self.layer  # where its keys and values stand in the cache
        return room(x, cache, mask)


class VisitingTable(nn.Module):
    """The token table, kept elsewhere: a lookup fetches its rows, the head has all of them visit, part by part."""

    def __init__(self, kept: Tensor | LazyTensor, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.kept, self.dtype, self.device = kept, dtype, device

    @property
    def weight(self) -> Tensor:
        """A copy (vocab, width) of all of it, at hand; for what asks for the whole, such as a loss."""
        return look(self.kept).to(self.device, self.dtype)

    def forward(self, tokens: Tensor) -> Tensor:  # (...) → (..., width)
        rows = look(self.kept)[tokens.to("cpu").flatten()]
        return rows.to(self.device, self.dtype).view(*tokens.shape, -1)


class VisitingHead(nn.Module):
    """The matmul with a table that is kept elsewhere."""

    def __init__(self, table: VisitingTable) -> None:
        super().__init__()
        self._table = (table,)
        rows, width = table.kept.shape
        self._room = torch.empty(min(VISITING_ROWS, rows), width, dtype=table.dtype, device=table.device)

    @property
    def weight(self) -> Tensor:
        return self._table[0].weight

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:  # (..., width) → (..., vocab)
        kept = self._table[0].kept
        vocab = kept.shape[0]
        logits = x.new_empty(*x.shape[:-1], vocab)
        for start in range(0, vocab, VISITING_ROWS):
            rows = rows_of(kept, start, start + VISITING_ROWS)
            logits[..., start : start + len(rows)] = linear(x, self._room[: len(rows)].copy_(rows))
        return logits


def load_with_plan(
    name_or_path: str | Path | ModelFile,
    plan: Plan,
    folder: str | Path | None = None,
    device: str | torch.device | None = None,
) -> GPT2:
    """Load a GPT-2 with each part where `plan` puts it; what goes to the disk is written into `folder` first.

    `device` is where products are computed: the GPU when the plan has one, unless told otherwise. The model is for
    reading and generating, not for training.
    """
    file = open_model_file(name_or_path)
    if file.is_packed:
        raise CourseError(f"{file.file} holds quantized layers, plans are for plain weights. Load it with load_gpt2.")
    if file.config != plan.config:
        raise CourseError(f"{file.file} holds {file.config}, the plan is for {plan.config}. Plan for the file's shape.")
    if folder is None and "disk" in (plan.table, *plan.blocks):
        raise CourseError("This plan keeps parts on the disk. Say in which folder: load_with_plan(…, folder=…).")
    worker = torch.device(device) if device else pick_device("cpu" if plan.worker == "cpu" else None)
    return _Places(file, plan, worker, Path(folder or ".")).fill()


class _Places:
    """Brings the weights of a file to the places where a plan keeps them."""

    def __init__(self, file: ModelFile, plan: Plan, worker: torch.device, folder: Path) -> None:
        self.stored, self.plan, self.worker, self.folder = file.stored, plan, worker, folder
        self.dtype = parse_dtype(plan.work.dtype)
        with torch.device("meta"):
            self.model = GPT2(plan.config)
        self.shapes = {name: weight.shape for name, weight in self.model.named_parameters()}
        self.passing: dict[str, Tensor] = {}  # room for a part on its way to the disk, since glibc frees it too late

    @cached_property
    def room(self) -> Block:
        return new_room(self.plan.config, self.dtype, self.worker)

    def fill(self) -> GPT2:
        """Return the model with each part in its place."""
        plan, model = self.plan, self.model
        names = [name for name, _ in model.blocks[0].named_parameters()]
        here = [name for name in self.shapes if name.startswith(("position_embedding", "final_norm"))]
        if plan.table == plan.worker:
            put(model, TABLE, self.fetch(TABLE, self.worker))
            model.tie_head()
        else:
            table = VisitingTable(self.keep(plan.table, "", [TABLE])[TABLE], self.dtype, self.worker)
            model.set_submodule("token_embedding", table)
            model.set_submodule("head", VisitingHead(table))
        for layer, place in enumerate(plan.blocks):
            if place == plan.worker:
                here += [f"blocks.{layer}.{name}" for name in names]
            else:
                kept = self.keep(place, f"blocks.{layer}.", names)
                model.set_submodule(f"blocks.{layer}", VisitingBlock(layer, kept, self.room))
        for name in here:
            put(model, name, self.fetch(name, self.worker))
        return prepare_for_speed(model.eval())

    def fetch(self, name: str, where: torch.device, target: Tensor | None = None) -> Tensor:
        """Read a parameter into a device's memory, or into a tensor that is there already."""
        target = torch.empty(self.shapes[name], dtype=self.dtype, device=where) if target is None else target
        read_parameter(self.stored, name, target)
        return target

    def keep(self, place: str, prefix: str, names: list[str]) -> Kept:
        """Fetch what is called prefix + name into CPU memory or into a file of its own."""
        used = {} if place == "cpu" else self.passing
        found = {name: self.fetch(prefix + name, torch.device("cpu"), used.get(name)) for name in names}
        if place == "cpu":
            return found
        if prefix:  # blocks follow each other, all of one shape
            self.passing = found
        return write_part(self.folder, prefix.strip(".") or "table", found)


def write_part(folder: Path, name: str, weights: Mapping[str, Tensor]) -> Kept:
    """Write weights into a safetensors file of their own and return where each one lies in it."""
    path = folder / f"{name}.safetensors"
    write_safetensors(path, weights.items(), {})
    return dict(open_weights(path))


def put(module: nn.Module, name: str, weight: Tensor) -> None:
    """Set a parameter by its dotted name; it is for use, not for training."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, nn.Parameter(weight, requires_grad=False))


def new_room(config: GPT2Config, dtype: torch.dtype, device: torch.device) -> Block:
    """Return an empty block, in which visiting blocks compute."""
    with torch.device("meta"):
        room = Block(config, 0)
    for name, weight in list(room.named_parameters()):  # `to_empty` would import 25 MB of PyTorch
        put(room, name, torch.empty(weight.shape, dtype=dtype, device=device))
    return prepare_for_speed(room.eval())


def keep_blocks(model: GPT2, count: int, folder: str | Path) -> GPT2:
    """Keep the first `count` blocks at hand and move the others away, in place.

    They go from a GPU to CPU memory, and from CPU memory to files in `folder`.
    """
    like = model.final_norm.weight
    rooms = [block._room[0] for block in model.blocks if isinstance(block, VisitingBlock)]
    for layer, block in list(enumerate(model.blocks))[count:]:
        if isinstance(block, VisitingBlock):
            continue
        rooms = rooms or [new_room(model.config, like.dtype, like.device)]
        weights = {name: weight.detach() for name, weight in block.named_parameters()}
        on_gpu = like.device.type != "cpu"
        kept: Kept = {name: tensor.cpu() for name, tensor in weights.items()} if on_gpu else {}
        kept = kept or write_part(Path(folder), f"blocks.{layer}", weights)
        model.set_submodule(f"blocks.{layer}", VisitingBlock(layer, kept, rooms[0]))
    return model.eval()
