"""Training and chat logs in CSV files: a line a step, a row an epoch, a row a turn; throughput, MFU, learning rate.

Nothing is logged that nobody asked for. Lessons 10 and 11 read these logs, lesson 14 those of chats.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from utils.errors import CourseError

LOSSES = ("Avg Training Loss", "Avg Validation Loss")
EPOCH_COLUMNS = ("Epoch", "Total Steps", *LOSSES, "Time per Epoch (seconds)", "Generated Sentence", "Resource")
CHAT_COLUMNS = ("Date and Time", "User Query", "GPT Response", "Model")


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
    """Append one row to a CSV file in one write, so that several programs may write one file.

    A new file gets its header first; the row is on disk when this returns.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _begin(path, columns)
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(as_line(row))
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(f"{path} could not be written: {reason}. Make room or choose another folder.") from error


def _begin(path: Path, columns: Sequence[str]) -> None:
    """Write the header if the file is new; one that begins with other columns is refused."""
    header = as_line(columns)
    with suppress(FileExistsError), path.open("x", newline="", encoding="utf-8") as file:
        file.write(header)
    end = time.monotonic() + 1
    while path.stat().st_size == 0 and time.monotonic() < end:  # somebody else has just made it
        time.sleep(0.01)
    with path.open("a+", newline="", encoding="utf-8", errors="replace") as file:
        file.seek(0)
        found = file.readline() or header
        if file.tell() == 0:
            file.write(header)
    if found.rstrip("\r\n") != header.rstrip("\r\n"):
        raise CourseError(
            f"{path} begins with {found.strip()[:120]!r}, expected {header.strip()!r}. "
            "Move it away or choose another file: rows of two kinds in one table could not be read."
        )


def as_line(row: Sequence) -> str:
    """Return a row as the line of a CSV file, without formulas.

    >>> as_line(["a", 1, "x, y"])
    'a,1,"x, y"\\r\\n'
    """
    line = io.StringIO()
    csv.writer(line).writerow(map(no_formula, row))
    return line.getvalue()


def no_formula(cell: object) -> object:
    """Keep a text from being a formula in a spreadsheet, by the apostrophe that spreadsheets know (CSV injection).

    >>> no_formula("-1+cmd|' /C calc'!A0"), no_formula("Ada"), no_formula(-1)
    ("'-1+cmd|' /C calc'!A0", 'Ada', -1)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


class RunLog:
    """The logger of a training run: steps.csv, evaluations.csv and training_log.csv in a folder, lines on the screen.

    `sample` writes the sentence of each epoch's row, `resource` says what the machine was doing; each of `watchers`
    (a live view, say) has callbacks `step(log)` and `epoch(log, cells)`.
    """

    def __init__(
        self,
        folder: str | Path,
        every: int = 10,
        show: Callable[[str], object] = print,
        *,
        sample: Callable[[], str] | None = None,
        resource: Callable[[], str] | None = None,
        watchers: Sequence = (),
    ) -> None:
        self.folder, self.every, self.show = Path(folder), every, show
        self.sample, self.resource, self.watchers = sample, resource, list(watchers)
        self.history: list[StepRecord] = []
        self.moments: list[datetime] = []  # at which the steps were done, on the clock of system_log.csv
        self.evaluations: list[Evaluation] = []

    def step(self, record: StepRecord) -> None:
        self.history.append(record)
        self.moments.append(datetime.now())
        row = asdict(record)
        append_row(self.folder / "steps.csv", [*row], [*row.values()])
        if record.step % self.every == 0 or record.step == 1:
            self.show(record.line())
        for watcher in self.watchers:
            watcher.step(self)

    def evaluation(self, found: Evaluation) -> None:
        self.evaluations.append(found)
        row = {"step": found.step, "held_out": found.held_out, "memorized": found.memorized, **found.others}
        append_row(self.folder / "evaluations.csv", [*row], [*row.values()])
        self.show(found.line())

    def losses(self, name: str = "") -> list[tuple[int, float]]:
        """Return (step, loss) of every evaluation, on the held-out text or on the other text of that name."""
        measured = [(found.step, found.others[name] if name else found.held_out) for found in self.evaluations]
        return [(step, loss) for step, loss in measured if loss is not None]

    def epoch(self, row: Sequence) -> None:
        """Write an epoch's row; its empty sentence and resource are filled where that was asked for."""
        cells = dict(zip(EPOCH_COLUMNS, row, strict=True))
        for column, ask in (("Generated Sentence", self.sample), ("Resource", self.resource)):
            if ask and not cells[column]:
                cells[column] = ask()
        append_row(self.folder / "training_log.csv", EPOCH_COLUMNS, list(cells.values()))
        step, loss = int(cells["Total Steps"]), cells["Avg Validation Loss"]
        if loss and (not self.evaluations or self.evaluations[-1].step != step):
            self.evaluations.append(Evaluation(step, float(loss), False))
        for watcher in self.watchers:
            watcher.epoch(self, cells)

    def say(self, text: str) -> None:
        self.show(text)


def log_chat(path: str | Path, query: str, response: str, model: str = "") -> None:
    """Add one turn of a conversation, and whose answer it is, to chat_log.csv."""
    append_row(Path(path), CHAT_COLUMNS, (datetime.now().isoformat(" ", "seconds"), query, response, model))
