"""Training and chat logs in CSV files: a line a step, a row an epoch, a row a turn; throughput, MFU, learning rate.

Nothing is logged that nobody asked for. Lessons 11 and 12 read these logs, lesson 15 those of chats.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from utils.errors import CourseError
from utils.files.whole_files import write_whole

LOSSES = ("Avg Training Loss", "Avg Validation Loss")
FIGURES = ("Epoch", "Total Steps", *LOSSES, "Time per Epoch (seconds)")
EPOCH_COLUMNS = (*FIGURES, "Generated Sentence", "Resource", "Machine")
TABLES = {"steps.csv": "step", "evaluations.csv": "step", "training_log.csv": "Total Steps"}  # and their step
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
    # of all micro-batches; the rest of `seconds` is reading and the optimizer
    forward_seconds: float | None = field(default=None, compare=False)
    backward_seconds: float | None = field(default=None, compare=False)

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
    if found.rstrip("\r\n") != header.rstrip("\r\n") and not _widened(path, columns):
        raise CourseError(
            f"{path} begins with {found.strip()[:120]!r}, expected {header.strip()!r}. "
            "Move it away or choose another file: rows of two kinds in one table could not be read."
        )


def _widened(path: Path, columns: Sequence[str]) -> bool:
    """Give a table of an older version its new columns, empty, in one atomic write; say whether it was one."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    if not set(header) <= set(columns):
        return False
    found = [dict(zip(header, row, strict=False)) for row in rows]
    _rewrite(path, [columns, *([row.get(name, "") for name in columns] for row in found)])
    return True


def _rewrite(path: Path, rows: Iterable[Sequence]) -> None:
    """Put other rows into a table, the header first, in one atomic write."""
    text = "".join(map(as_line, rows))
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


def cut_rows(path: Path, column: str, last: int) -> list[dict[str, str]]:
    """Drop the rows of a table whose number in `column` is beyond `last`, in one atomic write, and return the others.

    A row that a crash cut short goes as well; a table of another kind is left alone.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, csv.Error) as error:
        raise CourseError(f"{path} could not be read as a table: {error}. Move it away and resume again.") from error
    if not rows or column not in rows[0]:
        return []
    header, *rows = rows
    whole = rows if text.endswith("\n") else rows[:-1]
    at = header.index(column)
    kept = [row for row in whole if len(row) == len(header) and row[at].isdecimal() and int(row[at]) <= last]
    if kept != rows:
        _rewrite(path, [header, *kept])
    return [dict(zip(header, row, strict=True)) for row in kept]


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

    `sample` writes the sentence of an epoch's row, the first time and then once at least `sample_every` steps have gone
    by; `resource` names the texts, `machine` says what the machine was doing; each of `watchers` (a live view, say) has
    callbacks `step(log)` and `epoch(log, cells)`.
    """

    def __init__(
        self,
        folder: str | Path,
        every: int = 10,
        show: Callable[[str], object] = print,
        *,
        sample: Callable[[], str] | None = None,
        sample_every: int = 1,
        resource: str = "",
        machine: Callable[[], str] | None = None,
        watchers: Sequence = (),
    ) -> None:
        self.folder, self.every, self.show = Path(folder), every, show
        self.sample, self.sample_every, self.sampled_step = sample, sample_every, -sample_every
        self.resource, self.machine, self.watchers = resource, machine, list(watchers)
        self.history: list[StepRecord] = []
        self.moments: list[datetime] = []  # at which the steps were done, on the clock of system_log.csv
        self.evaluations: list[Evaluation] = []

    def resume(self, step: int) -> None:
        """Cut off what was logged beyond a checkpoint's step: a run that goes on from it logs those steps again."""
        for name, column in TABLES.items():
            kept = cut_rows(self.folder / name, column, step)
        told = [
            int(row["Total Steps"]) for row in kept if row.get("Generated Sentence")
        ]  # training_log.csv is the last
        self.sampled_step = max(told, default=self.sampled_step)
        self.history = [record for record in self.history if record.step <= step]
        self.moments = self.moments[: len(self.history)]
        self.evaluations = [found for found in self.evaluations if found.step <= step]

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
        """Write an epoch's row; its sentence and what the machine did are filled where that was asked for."""
        cells = dict(zip(EPOCH_COLUMNS, (*row, "", self.resource, ""), strict=True))
        step = int(cells["Total Steps"])
        if self.sample and step - self.sampled_step >= self.sample_every:
            cells["Generated Sentence"], self.sampled_step = self.sample(), step
        if self.machine:
            cells["Machine"] = self.machine()
        append_row(self.folder / "training_log.csv", EPOCH_COLUMNS, list(cells.values()))
        for watcher in self.watchers:
            watcher.epoch(self, cells)

    def say(self, text: str) -> None:
        self.show(text)


def log_chat(path: str | Path, query: str, response: str, model: str = "") -> None:
    """Add one turn of a conversation, and whose answer it is, to chat_log.csv."""
    append_row(Path(path), CHAT_COLUMNS, (datetime.now().isoformat(" ", "seconds"), query, response, model))
