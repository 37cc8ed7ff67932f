"""Shakespeare by heart: how far the recipe of lab 01 comes within its share of the time, as the loss of each epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from labs.true_size.bench import Bench, Figures, Measure
from labs.true_size.lab_results import different_settings
from labs.true_size.step_child import TEXT
from utils.config import total_parameters
from utils.files.hub import fetch_text
from utils.files.places import ROOT
from utils.files.settings import read_settings
from utils.files.signals import StopRequest
from utils.run_log import RunLog
from utils.training.distributed import World
from utils.training.loop import Trainer
from utils.training.recipes import TrainingRecipe, open_run

RECIPES = ROOT / "labs" / "recipes"
WHOLE = ["memorization_samples=0"]  # writing texts to look for phrases takes longer than the steps between
TINY = [*WHOLE, "n_layer=1", "n_head=2", "n_embd=32", "context=32", "max_steps=40", "evaluate_tokens=200"]
PLACES = ("out", "data", "device")  # of this machine
PAUSE = 5.0  # seconds that are kept for the last evaluation


class TimedTrainer(Trainer):
    """A run that also ends when its time is used up."""

    until: float

    def reason_to_stop(self, stop: StopRequest) -> str:
        late = "its share of the time is used up" if time.monotonic() >= self.until else ""
        return super().reason_to_stop(stop) or late


@dataclass
class Epochs:
    """Watches a run's log for the mean loss of each epoch, by the step at which the epoch ended."""

    losses: list[tuple[int, float]] = field(default_factory=list)

    def step(self, log: RunLog) -> None:
        """Steps don't count, epochs do."""

    def epoch(self, log: RunLog, cells: Mapping[str, str]) -> None:
        self.losses.append((int(cells["Total Steps"]), float(cells["Avg Training Loss"])))


def by_heart(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Train as the recipe says until its target over an epoch, its last step or the end of the time."""
    recipe, began = recipe_for(bench), time.monotonic()
    torch.manual_seed(recipe.seed)
    model, data, _ = open_run(recipe, World())
    epochs = Epochs()
    log = RunLog(bench.folder / "shakespeare", show=lambda line: None, watchers=[epochs])
    trainer = TimedTrainer(model, data, replace(recipe, out=""), World(), log)
    trainer.until = bench.until - (0 if bench.tiny else PAUSE)
    with trainer.memory, StopRequest() as stop:
        result = trainer.run(stop)
    if stop.requested:
        raise KeyboardInterrupt
    tokens = sum(record.tokens for record in log.history)
    lowest = min((loss for _, loss in epochs.losses), default=None)
    return {
        "recipe": {name: value for name, value in different_settings(recipe).items() if name not in PLACES},
        "parameters": total_parameters(model.config),
        "text tokens": len(data.batches.tokens),
        "steps": result.steps,
        "tokens": tokens,
        "tokens/s": round(tokens / (time.monotonic() - began), 1),
        "ended": result.reason,
        "target over an epoch": recipe.target_epoch_loss,
        "lowest loss of an epoch": lowest,
        "reached": lowest is not None and lowest < recipe.target_epoch_loss,
        "losses of epochs": epochs.losses,
        "held-out losses": log.losses(),
    }


def recipe_for(bench: Bench) -> TrainingRecipe:
    """Return the recipe with its text prepared: the target counts over an epoch, and micro-batches are one batch."""
    name, more = ("poems_by_heart", TINY) if bench.tiny else ("shakespeare", WHOLE)
    recipe = read_settings(TrainingRecipe, [f"recipe={RECIPES / f'{name}.yaml'}", f"device={bench.device}", *more])
    target, batch = recipe.target_epoch_loss or recipe.target_loss, recipe.batch_size * recipe.accumulate
    recipe = replace(recipe, target_loss=0.0, target_epoch_loss=target, batch_size=batch, accumulate=1)
    return replace(recipe, data=str(prepared(bench, Path(recipe.data))))


def prepared(bench: Bench, folder: Path) -> Path:
    """Return a folder of token files: the one that is there, or Shakespeare's text fetched and prepared, or poems."""
    from utils.texts.bins import tokenize_to_bin
    from utils.texts.corpus import BinSettings
    from utils.texts.records import Document
    from utils.tokenizer import Tokenizer

    if bench.tiny:
        folder, poems = bench.folder / "poems", sorted(TEXT.glob("*.txt"))[:4]
        texts = [Document(path.stem, path.read_text(encoding="utf-8")) for path in poems]
        tokenize_to_bin(texts, folder, Tokenizer.gpt2(), BinSettings(fraction=0.25))
    elif not (folder / "train.bin").is_file():
        tokenize_to_bin(fetch_text("tinyshakespeare"), folder, Tokenizer.gpt2(), BinSettings())
    return folder


MEASURES: dict[str, Measure] = {"by heart": by_heart}
