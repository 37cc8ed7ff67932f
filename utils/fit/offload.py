"""A model whose weights lie in several places: what isn't at hand visits when its turn comes.

All visiting blocks share one block's room, into which each one's weights are copied before it computes. Copies
are the same numbers in the same layout, so the logits are those of the whole model, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        table = self._table[0]
        vocab = table.kept.shape[0]
        logits = x.new_empty(*x.shape[:-1], vocab)
        for start in range(0, vocab, VISITING_ROWS):
            rows = rows_of(table.kept, start, start + VISITING_ROWS)
            logits[..., start : start + len(rows)] = linear(x, self._room[: len(rows)].copy_(rows))
        return logits


def load_with_plan(
    name_or_path: str | Path | ModelFile,
    plan: Plan,
    folder: str | Path | None = None,
    device: str | torch.device | None = None,
) -> GPT2:
    """Load a GPT-2 with each part where `plan` puts it; what goes to the disk is written into `folder` first.

    `device` is where matmuls are computed: the GPU when the plan has one, unless told otherwise. The model is for
    reading and generating, not for training.
    """
    file = open_model_file(name_or_path)
    _check_file(file, plan, folder)
    worker = torch.device(device) if device else pick_device("cpu" if plan.worker == "cpu" else None)
    dtype = parse_dtype(plan.work.dtype)

    def fetch(name: str, where: torch.device, target: Tensor | None = None) -> Tensor:
        target = torch.empty(shapes[name], dtype=dtype, device=where) if target is None else target
        read_parameter(file.stored, name, target)
        return target

    with torch.device("meta"):
        model = GPT2(file.config)
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    return _place(model, plan, Places(fetch, worker, Path(folder or ".")))


def _check_file(file: ModelFile, plan: Plan, folder: str | Path | None) -> None:
    if file.is_packed:
        raise CourseError(f"{file.file} holds quantized layers, plans are for plain weights. Load it with load_gpt2.")
    if file.config != plan.config:
        raise CourseError(f"{file.file} holds {file.config}, the plan is for {plan.config}. Plan for the file's shape.")
    if folder is None and "disk" in (plan.table, *plan.blocks):
        raise CourseError("This plan keeps parts on the disk. Say in which folder: load_with_plan(…, folder=…).")


class Places:
    """Brings weights to the place where they are kept."""

    def __init__(self, fetch: Callable[..., Tensor], worker: torch.device, folder: Path) -> None:
        self.fetch, self.worker, self.folder = fetch, worker, folder
        self.passing: dict[str, Tensor] = {}  # room for a part on its way to the disk, since glibc frees it too late

    def here(self, name: str) -> nn.Parameter:
        return nn.Parameter(self.fetch(name, self.worker), requires_grad=False)

    def keep(self, place: str, prefix: str, names: list[str]) -> Kept:
        """Fetch what is called prefix + name into CPU memory or into a file of its own."""
        cpu = torch.device("cpu")
        if place == "cpu":
            return {name: self.fetch(prefix + name, cpu) for name in names}
        found = {name: self.fetch(prefix + name, cpu, self.passing.get(name)) for name in names}
        if prefix:  # blocks follow each other, all of one shape
            self.passing = found
        return write_part(self.folder, prefix.strip(".") or "table", found)


def write_part(folder: Path, name: str, weights: Mapping[str, Tensor]) -> dict[str, LazyTensor]:
    """Write weights into a safetensors file of their own and return where each one lies in it."""
    path = folder / f"{name}.safetensors"
    write_safetensors(path, weights.items(), {})
    return dict(open_weights(path))


def _place(model: GPT2, plan: Plan, places: Places) -> GPT2:
    """Give a model on the meta device its weights, each part in its place."""
    dtype = parse_dtype(plan.work.dtype)
    names = [name for name, _ in model.blocks[0].named_parameters()]
    room = new_room(plan.config, dtype, places.worker) if set(plan.blocks) - {plan.worker} else None
    if plan.table == plan.worker:
        model.token_embedding.weight = places.here(TABLE)
        model.tie_head()
    else:
        kept = places.keep(plan.table, "", [TABLE])[TABLE]
        put_table_away(model, kept, dtype, places.worker)
    for module in ("position_embedding", "final_norm"):
        for name, _ in list(model.get_submodule(module).named_parameters()):
            setattr(model.get_submodule(module), name, places.here(f"{module}.{name}"))
    for layer, place in enumerate(plan.blocks):
        if place == plan.worker:
            for name in names:
                parent, _, child = name.rpartition(".")
                setattr(model.blocks[layer].get_submodule(parent), child, places.here(f"blocks.{layer}.{name}"))
        else:
            model.blocks[layer] = VisitingBlock(layer, places.keep(place, f"blocks.{layer}.", names), room)
    return prepare_for_speed(model.eval())


def new_room(config: GPT2Config, dtype: torch.dtype, device: torch.device) -> Block:
    """Return an empty block, in which visiting blocks compute."""
    with torch.device("meta"):
        room = Block(config, 0)
    for name, weight in list(room.named_parameters()):  # `to_empty` would import 25 MB of PyTorch
        parent, _, child = name.rpartition(".")
        empty = torch.empty(weight.shape, dtype=dtype, device=device)
        setattr(room.get_submodule(parent), child, nn.Parameter(empty, requires_grad=False))
    return prepare_for_speed(room.eval())


def put_table_away(model: GPT2, kept: Tensor | LazyTensor, dtype: torch.dtype, device: torch.device) -> None:
    """Let the token table of a model, which is also its head, visit from where it is kept."""
    model.token_embedding = VisitingTable(kept, dtype, device)
    model.head = VisitingHead(model.token_embedding)


def keep_blocks(model: GPT2, count: int, folder: str | Path) -> GPT2:
    """Keep the first `count` blocks at hand and move the others away, in place.

    They go from a GPU to CPU memory, and from CPU memory to files in `folder`.
    """
    away = [layer for layer, block in enumerate(model.blocks) if layer >= count and isinstance(block, Block)]
    visitors = [block for block in model.blocks if isinstance(block, VisitingBlock)]
    weight = model.final_norm.weight
    if away:
        room = visitors[0]._room[0] if visitors else new_room(model.config, weight.dtype, weight.device)
    for layer in away:
        kept = {name: weight.detach() for name, weight in model.blocks[layer].named_parameters()}
        if weight.device.type == "cpu":
            kept = write_part(Path(folder), f"blocks.{layer}", kept)
        else:
            kept = {name: tensor.cpu() for name, tensor in kept.items()}
        model.blocks[layer] = VisitingBlock(layer, kept, room)
    return model.eval()
