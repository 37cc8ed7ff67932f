"""What a run did: a line a step, a row an epoch, a row a chat turn. Nothing is logged that nobody asked for."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from utils.errors import CourseError

EPOCH_COLUMNS = (
    "Epoch",
    "Total Steps",
    "Avg Training Loss",
    "Avg Validation Loss",
    "Time per Epoch (seconds)",
    "Generated Sentence",
    "Resource",
)
CHAT_COLUMNS = ("Date and Time", "User Query", "GPT Response")


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step; every derived figure can be recomputed from the others."""

    step: int
    loss: float  # mean over all targets of the step, all micro-batches and all processes
    seconds: float
    samples: int  # sequences that really went through, all processes together
    tokens: int
    learning_rate: float
    gradient_norm: float  # before clipping, after unscaling
    mfu: float | None  # share of the device's peak, None where the peak is unknown

    def line(self) -> str:
        mfu = "n/a" if self.mfu is None else f"{self.mfu:.1%}"
        return (
            f"step {self.step} | loss {self.loss:.4f} | dt {self.seconds * 1000:.0f} ms | "
            f"{self.samples / self.seconds:.2f} samples/s | {self.tokens / self.seconds:.0f} tokens/s | "
            f"mfu {mfu} | lr {self.learning_rate:.2e} | norm {self.gradient_norm:.3f}"
        )


@dataclass(frozen=True)
class Evaluation:
    """What was measured after a step, beside the loss that it learned from."""

    step: int
    held_out: float | None  # nats per token; None where nothing is held out
    best: bool
    others: Mapping[str, float] = field(default_factory=dict)  # losses on other texts, by name
    memorized: float | None = None  # share of phrases in samples that stand in the training text

    def line(self) -> str:
        parts = [] if self.held_out is None else [f"held-out loss {self.held_out:.4f}{' (best)' if self.best else ''}"]
        parts += [f"{name} loss {loss:.4f}" for name, loss in self.others.items()]
        parts += [] if self.memorized is None else [f"memorized {self.memorized:.1%}"]
        return " | ".join([f"step {self.step}", *parts])


def append_row(path: Path, columns: Sequence[str], row: Sequence) -> None:
    """Append one row to a CSV file, with its header if the file is new; it is on disk when this returns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(columns)
            writer.writerow(row)
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(f"{path} could not be written: {reason}. Make room or choose another folder.") from error


class RunLog:
    """Writes steps.csv, evaluations.csv and training_log.csv into a folder and a line to the screen every few steps."""

    def __init__(self, folder: str | Path, every: int = 10, show=print) -> None:
        self.folder, self.every, self.show = Path(folder), every, show
        self.history: list[StepRecord] = []
        self.evaluations: list[Evaluation] = []

    def step(self, record: StepRecord) -> None:
        self.history.append(record)
        append_row(self.folder / "steps.csv", list(asdict(record)), list(asdict(record).values()))
        if record.step % self.every == 0 or record.step == 1:
            self.show(record.line())

    def evaluation(self, found: Evaluation) -> None:
        self.evaluations.append(found)
        row = {"step": found.step, "held_out": found.held_out, "memorized": found.memorized, **found.others}
        append_row(self.folder / "evaluations.csv", list(row), list(row.values()))
        self.show(found.line())

    def losses(self, name: str = "") -> list[tuple[int, float]]:
        """Return (step, loss) of every evaluation, on the held-out text or on the other text of that name."""
        measured = [(found.step, found.others[name] if name else found.held_out) for found in self.evaluations]
        return [(step, loss) for step, loss in measured if loss is not None]

    def epoch(self, row: Sequence) -> None:
        append_row(self.folder / "training_log.csv", EPOCH_COLUMNS, row)

    def say(self, text: str) -> None:
        self.show(text)


def log_chat(path: str | Path, query: str, response: str) -> None:
    """Add one turn of a conversation to chat_log.csv."""
    append_row(Path(path), CHAT_COLUMNS, (datetime.now().isoformat(" ", "seconds"), query, response))
