"""Checkpoints, written atomically: one file that is whole or not there, from which a run goes on as if never stopped.

Lesson 11 builds them. last.safetensors holds the weights under the hub's names, the optimizer's moments and the RNG
state; model.safetensors holds the best weights alone, ready for `load_gpt2` and for `transformers`. However many
processes trained, the first one writes whole tensors, so that any other number of them can go on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from utils.batches import Batches
from utils.errors import CourseError
from utils.formats.hub_layout import LINEAR, hub_config, hub_name, hub_tensors, write_config
from utils.formats.open_file import open_weights
from utils.formats.peft_files import WEIGHTS, adapter_tensors, fill_adapters, save_lora
from utils.formats.safetensors import LazyTensor, open_safetensors, write_safetensors
from utils.lora import adapters, lora_settings
from utils.model import GPT2
from utils.training.checksums import (
    NUMBER,
    STATE,
    check_fields,
    check_intact,
    check_shape,
    checked_note,
    damaged,
    parse_note,
)
from utils.training.distributed import World, shard_like
from utils.training.run_folder import check_still_there, move_aside, sweep

LAST = "last.safetensors"
BEST = "model.safetensors"


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    loss: float = float("inf")
    validate_loss: float | None = None
    best_loss: float | None = None
    counted_loss: float = float("inf")  # the last one that was lower by min_delta
    evaluated_step: int = -1
    waited: int = 0  # due evaluations since the best one
    stalled: int = 0  # the same, or since the learning rate was last cut
    cuts: int = 0  # how often it was
    epoch: int = 0
    epoch_loss: float = 0.0  # losses of this epoch so far, each times its tokens
    epoch_tokens: int = 0
    epoch_seconds: float = 0.0
    epoch_steps: int = 0
    mean_loss: float = float("inf")  # of the last whole epoch

    def judge(self, loss: float, due: bool = True, min_delta: float = 0.0) -> bool:
        """Take in a held-out loss and say whether it is the best so far; only one that was due counts for anything.

        Patience wants more: a loss that is lower by more than min_delta than the last one that was.
        """
        if not math.isfinite(loss):
            raise CourseError(f"The held-out loss of step {self.step} is {loss}. Look for damage in the held-out text.")
        self.validate_loss = loss
        if not due:
            return False
        better = self.best_loss is None or loss < self.best_loss
        self.best_loss = loss if better else self.best_loss
        counts = loss < self.counted_loss - min_delta
        self.counted_loss = loss if counts else self.counted_loss
        self.waited, self.stalled = (0, 0) if counts else (self.waited + 1, self.stalled + 1)
        return better

    def start_epoch(self, epoch: int) -> None:
        self.epoch, self.epoch_steps = epoch, 0
        self.epoch_loss, self.epoch_tokens, self.epoch_seconds = 0.0, 0, 0.0


@dataclass(frozen=True)
class RunState:
    """All that a run goes on from: a checkpoint is what of it changes, written down, with the RNG state."""

    model: GPT2
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    batches: Batches
    progress: Progress


class Checkpoints:
    """The files of one run in its folder; without a folder only its best weights, in memory.

    `wants_best` says that the run ends with its best weights and not with its last ones (early stopping).
    """

    def __init__(self, folder: str | Path, world: World, wants_best: bool = False) -> None:
        self.folder, self.on_disk, self.world, self.wants_best = Path(folder), bool(folder), world, wants_best
        self.best: dict[str, Tensor] = {}

    def start_anew(self, model: GPT2) -> None:
        """Make the folder ready for a new run; an older run in it is moved aside, never overwritten."""
        if self.world.is_first:
            if (self.folder / LAST).exists():
                move_aside(self.folder)
            sweep(self.folder)
            write_config(model.config, self.folder)
        self.world.barrier()

    def save(self, state: RunState) -> None:
        """Write last.safetensors; killed at any moment, the file is the old one or the new one."""
        model = state.model
        if self.on_disk and (tensors := self._gathered(state, [*_weights(model), *_moments(state)])):
            tensors.append(("random.cpu", torch.get_rng_state()))
            if model.device.type == "cuda":
                tensors.append(("random.cuda", torch.cuda.get_rng_state(model.device)))
            write_safetensors(self.folder / LAST, tensors, checked_note(tensors, _note(state)))

    def _gathered(self, state: RunState, tensors: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
        """Return tensors whole on the process that writes, nothing on the others; every process gives its shards."""
        tensors = self.world.gathered(tensors)
        if self.world.is_first:
            check_still_there(self.folder, state.progress.step)
        return tensors

    def restore(self, state: RunState) -> None:
        """Set a run's state and the RNG to where last.safetensors left them, in place."""
        path = self.folder / LAST
        if not path.is_file():
            raise CourseError(f"{path} is not there, so there is nothing to resume. Start with resume=false.")
        if self.world.is_first:
            sweep(self.folder)
        stored, said = open_safetensors(path)
        if not isinstance(said.get(STATE), str):
            raise CourseError(f"{path} holds weights but no state of training. Start from it with weights={path}.")
        check_intact(path, stored, said)
        note = _read_note(path, said[STATE], state)
        _check_tensors(path, stored, state)
        copy_weights(state.model, stored)
        _restore_moments(state, stored, note["optimizer_step"])
        torch.set_rng_state(stored["random.cpu"].read().clone())
        if state.model.device.type == "cuda" and "random.cuda" in stored:
            torch.cuda.set_rng_state(stored["random.cuda"].read().clone(), state.model.device)
        vars(state.progress).update(note["progress"])
        state.batches.load_state_dict(note["batches"])
        if note["scaler"]:
            state.scaler.load_state_dict(note["scaler"])

    def keep_best(self, state: RunState) -> None:
        """Remember the weights of the best evaluation so far: the whole model, or its adapters alone."""
        if not self.on_disk:
            learned = [(name, weight) for name, weight in state.model.named_parameters() if weight.requires_grad]
            self.best = {name: weight.detach().clone() for name, weight in learned} if self.wants_best else {}
        elif tensors := self._gathered(state, _weights(state.model)):
            if adapters(state.model):
                save_lora(state.model, self.folder)
            else:
                write_safetensors(self.folder / BEST, tensors, {})

    def finish(self, state: RunState) -> None:
        """Leave the best weights in model.safetensors, and in the model if the run may stop early."""
        measured = state.progress.best_loss is not None
        if self.on_disk and not measured:
            self.keep_best(state)
        self.world.barrier()
        if self.wants_best and measured and self.on_disk:
            copy_weights(state.model, open_weights(self.folder / (WEIGHTS if adapters(state.model) else BEST)))
        elif self.wants_best and measured:
            state.model.load_state_dict(self.best, strict=False)  # the head shares the embedding


def _note(state: RunState) -> dict:
    """Return what a checkpoint says beside its tensors."""
    counts = [float(moments.get("step", 0)) for moments in state.optimizer.state.values()]
    return {
        "optimizer_step": max(counts, default=0.0),  # fewer than steps where float16 skipped some
        "progress": asdict(state.progress),
        "batches": state.batches.state_dict(),
        "scaler": state.scaler.state_dict(),
        "config": hub_config(state.model.config),
        "lora": _lora_note(state.model),
    }


def _moments(state: RunState) -> list[tuple[str, Tensor]]:
    """Return the optimizer's moments under the names of their weights."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in state.model.named_parameters()}
    moments = ((names[p], key, value) for p, kept in state.optimizer.state.items() for key, value in kept.items())
    return [(f"optimizer.{name}.{key}", value) for name, key, value in moments if key != "step"]


KINDS = {
    "optimizer_step": NUMBER,
    "progress": (dict,),
    "batches": (dict,),
    "scaler": (dict,),
    "config": (dict,),
    "lora": (dict, type(None)),
}


def _read_note(path: Path, text: str, state: RunState) -> dict:
    """Return a checkpoint's state of training, each field of its kind, or say what it can't go on from."""
    note = check_fields(path, STATE, parse_note(path, STATE, text), KINDS)
    _check_progress(path, note["progress"])
    places = {"fixed_windows": 0, **note["batches"]}  # older checkpoints know nothing of them
    check_fields(path, "batches", places, dict.fromkeys(state.batches.state_dict(), (int,)))
    scales = state.scaler.state_dict() if note["scaler"] else {}
    check_fields(path, "scaler", note["scaler"], dict.fromkeys(scales, NUMBER))
    if note["config"] != hub_config(state.model.config):
        raise CourseError(f"{path} was made by a model of another shape: {note['config']}. Resume with that shape.")
    if note.get("lora") != (here := _lora_note(state.model)):
        raise CourseError(f"{path} was made with the adapters {note.get('lora')}, this model has {here}.")
    return note


def _check_progress(path: Path, found: dict) -> None:
    """Older checkpoints may lack a field that is newer; none has one that nobody knows."""
    optional = ("validate_loss", "best_loss")
    kinds: dict[str, tuple[type, ...]] = {
        field.name: (*NUMBER, type(None))
        if field.name in optional
        else (int,)
        if type(field.default) is int
        else NUMBER
        for field in fields(Progress)
    }
    if unknown := found.keys() - kinds.keys():
        raise damaged(path, f"'progress.{min(unknown)}' in its note is unknown here")
    check_fields(path, "progress", found, {name: kinds[name] for name in found})


def _check_tensors(path: Path, stored: Mapping[str, LazyTensor], state: RunState) -> None:
    """Refuse missing tensors and other shapes before anything is changed."""
    for name, like in [*_weights(state.model), ("random.cpu", torch.get_rng_state())]:
        check_shape(path, stored, name, like)
    for name, parameter in state.model.named_parameters():
        for moment in (key for key in stored if key.startswith(f"optimizer.{name}.")):
            check_shape(path, stored, moment, parameter)


def _lora_note(model: GPT2) -> dict | None:
    """Return what a checkpoint says about a model's adapters, in JSON's own types."""
    return json.loads(json.dumps(asdict(lora_settings(model)))) if adapters(model) else None


def _weights(model: GPT2) -> list[tuple[str, Tensor]]:
    """Return what a run of this model learns: all weights, or its adapters."""
    return list(adapter_tensors(model)) if adapters(model) else hub_tensors(model)


@torch.no_grad()
def copy_weights(model: GPT2, stored: Mapping) -> None:
    """Set a model's parameters, or its adapters, to stored tensors with the hub's names and layout."""
    if adapters(model):
        return fill_adapters(model, stored, "the checkpoint")
    for name, parameter in model.named_parameters():
        value = stored[hub_name(name)].read()
        parameter.copy_(shard_like(value.T if name.endswith(LINEAR) else value, parameter))


def _restore_moments(state: RunState, stored: Mapping, step: float) -> None:
    for name, parameter in state.model.named_parameters():
        start = f"optimizer.{name}."
        moments = {key.removeprefix(start): stored[key] for key in stored if key.startswith(start)}
        if moments:
            values = {key: moment.read().clone().to(parameter.device) for key, moment in moments.items()}
            kept = {key: shard_like(value, parameter) for key, value in values.items()}
            state.optimizer.state[parameter] = {"step": torch.tensor(step, device=parameter.device), **kept}
