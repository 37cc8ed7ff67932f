"""What a run did: a line a step, a row an epoch, a row a chat turn. Nothing is logged that nobody asked for."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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


def append_row(path: Path, columns: Sequence[str], row: Sequence) -> None:
    """Append one row to a CSV file, with its header if the file is new; it is on disk when this returns.

    Each row is written at once, so that several programs may write one file.
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
    try:
        with path.open("x", newline="", encoding="utf-8") as file:
            file.write(header)
        return
    except FileExistsError:
        pass
    end = time.monotonic() + 1
    while path.stat().st_size == 0 and time.monotonic() < end:  # somebody else has just made it
        time.sleep(0.01)
    with path.open("r", newline="", encoding="utf-8", errors="replace") as file:
        found = file.readline()
    if not found:
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(header)
    elif found.rstrip("\r\n") != header.rstrip("\r\n"):
        raise CourseError(
            f"{path} begins with {found.strip()[:120]!r}, expected {header.strip()!r}. "
            "Move it away or choose another file: rows of two kinds in one table could not be read."
        )


def as_line(row: Sequence) -> str:
    """Return a row as the line of a CSV file.

    >>> as_line(["a", 1, "x, y"])
    'a,1,"x, y"\\r\\n'
    """
    line = io.StringIO()
    csv.writer(line).writerow(row)
    return line.getvalue()


class RunLog:
    """Writes steps.csv and training_log.csv into a folder and a line to the screen every few steps.

    `sample` writes the sentence of each epoch's row, `resource` says what the machine was doing; `watchers` are
    told of each step and each epoch: a live view, TensorBoard.
    """

    def __init__(
        self,
        folder: str | Path,
        every: int = 10,
        show=print,
        *,
        sample: Callable[[], str] | None = None,
        resource: Callable[[], str] | None = None,
        watchers: Sequence = (),
    ) -> None:
        self.folder, self.every, self.show = Path(folder), every, show
        self.sample, self.resource, self.watchers = sample, resource, list(watchers)
        self.history: list[StepRecord] = []
        self.moments: list[datetime] = []  # at which the steps were done, on the clock of system_log.csv
        self.held_out: list[tuple[int, float]] = []  # (step, loss) of each evaluation

    def step(self, record: StepRecord) -> None:
        self.history.append(record)
        self.moments.append(datetime.now())
        append_row(self.folder / "steps.csv", list(asdict(record)), list(asdict(record).values()))
        if record.step % self.every == 0 or record.step == 1:
            self.show(record.line())
        for watcher in self.watchers:
            watcher.step(self)

    def evaluated(self, step: int, loss: float, best: bool = False) -> None:
        """Keep a held-out loss and say it."""
        self._measured(step, loss)
        self.show(f"step {step} | held-out loss {loss:.4f}{' (best)' if best else ''}")

    def epoch(self, row: Sequence) -> None:
        """Write an epoch's row; its empty sentence and resource are filled where that was asked for."""
        cells = dict(zip(EPOCH_COLUMNS, row, strict=True))
        for column, ask in (("Generated Sentence", self.sample), ("Resource", self.resource)):
            if ask and not cells[column]:
                cells[column] = ask()
        append_row(self.folder / "training_log.csv", EPOCH_COLUMNS, list(cells.values()))
        if cells["Avg Validation Loss"]:
            self._measured(int(cells["Total Steps"]), float(cells["Avg Validation Loss"]))
        for watcher in self.watchers:
            watcher.epoch(self, cells)

    def _measured(self, step: int, loss: float) -> None:
        if not self.held_out or self.held_out[-1][0] != step:
            self.held_out.append((step, loss))

    def say(self, text: str) -> None:
        self.show(text)


def log_chat(path: str | Path, query: str, response: str, model: str = "") -> None:
    """Add one turn of a conversation, and whose answer it is, to chat_log.csv."""
    append_row(Path(path), CHAT_COLUMNS, (datetime.now().isoformat(" ", "seconds"), query, response, model))
