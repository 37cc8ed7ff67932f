"""All loaders on one machine with one model: measured alike, in one table, with a recommendation by rules."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labs.shootout.loader_child import Children, Job
from labs.shootout.loader_zoo import Loader, file_bytes, find_loaders, write_file
from utils.config import format_bytes
from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.model import GPT2

PROMPTS = (16, 96)  # tokens of a story after which logits are compared


STORY_SEED = 4_000  # of that story


@dataclass(frozen=True)
class Row:
    """One loader and what it costs; `error` is the root mean square of its logits' error over their spread."""

    loader: str
    program: str
    file: str
    file_bytes: int
    weight_bytes: int
    load_seconds: float
    memory_bytes: int
    tokens_per_second: float
    error: float


@dataclass(frozen=True)
class Shootout:
    """What came out: a row for each loader that ran, a sentence for each that did not."""

    rows: list[Row]
    skipped: dict[str, str]


def story_prompts(context: int, lengths: Sequence[int] = PROMPTS) -> list[list[int]]:
    """Return beginnings of one story as GPT-2's tokens, none longer than half of the context."""
    from utils.stories.generator import corpus
    from utils.tokenizer import Tokenizer

    tokens = Tokenizer.gpt2().encode(next(iter(corpus(1, STORY_SEED))))
    return [tokens[: min(length, context // 2)] for length in lengths]


@torch.no_grad()
def expected_logits(model: GPT2, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Return the model's own logits (prompts, vocab) after each prompt."""
    return torch.stack([model(torch.tensor([prompt], device=model.device))[0, -1].float().cpu() for prompt in prompts])


def relative_error(logits: Tensor, expected: Tensor) -> float:
    """Return how far logits (…, vocab) are off, as a share of their spread; a constant added to all does not count."""
    if logits.shape != expected.shape:
        raise CourseError(f"Logits {tuple(logits.shape)} can't be compared with {tuple(expected.shape)}.")
    given, wanted = (one.float() - one.float().mean(-1, keepdim=True) for one in (logits, expected))
    return float((given - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def run_shootout(
    model: GPT2,
    folder: str | Path,
    names: list[str] | None = None,
    show: Callable[[str], None] | None = None,
    files: Mapping[str, Path] | None = None,
) -> Shootout:
    """Write the model in every format into `folder`, measure every loader there, and clear the files away.

    `files` are formats that are there already, and stay. A loader whose package or hardware is missing, or which
    fails, is skipped with the reason.
    """
    loaders, rows, skipped = find_loaders(names), {}, {}
    prompts = story_prompts(model.config.context)
    expected = expected_logits(model, prompts)
    ready = [loader for loader in loaders if not _note(loader, skipped)]
    folder = Path(folder) / "files"
    with Children() as children:
        for file in dict.fromkeys(loader.file for loader in ready):
            folder.mkdir(parents=True, exist_ok=True)
            path = (files or {}).get(file) or write_file(model, file, folder)
            for loader in (one for one in ready if one.file == file):
                job = Job(loader.name, str(path.resolve()), prompts, str((folder / "logits.npy").resolve()))
                try:
                    rows[loader.name] = _row(loader, path, children, job, expected)
                except CourseError as error:
                    skipped[loader.name] = str(error)
                if show:
                    show(line_of(rows[loader.name]) if loader.name in rows else skipped[loader.name])
            shutil.rmtree(folder)
    return Shootout([rows[loader.name] for loader in loaders if loader.name in rows], skipped)


def _note(loader: Loader, skipped: dict[str, str]) -> bool:
    """Keep the reason why a loader can't run, and say whether there is one."""
    if reason := loader.lacking():
        skipped[loader.name] = reason
    return reason is not None


def _row(loader: Loader, path: Path, children: Children, job: Job, expected: Tensor) -> Row:
    measured = asdict(children.run(job))
    error = relative_error(torch.from_numpy(np.load(job.logits)), expected)
    return Row(loader.name, loader.program, loader.file, file_bytes(path), **measured, error=error)


EXACT = 1e-5  # errors below this are those of float32 itself


HEADER = f"{'loader':26}{'file':>9}{'weights':>9}{'load':>8}{'memory':>9}{'tokens/s':>10}{'error':>9}"


def error_words(error: float) -> str:
    """Write an error as a share, with a floor under which float32 itself is not exact.

    >>> error_words(0.0312), error_words(3e-4), error_words(2e-6)
    ('3.1%', '0.03%', 'none')
    """
    return "none" if error < EXACT else f"{error:.1%}" if error >= 0.001 else f"{error:.2%}"


def line_of(row: Row) -> str:
    """Write a row as a line under HEADER."""
    sizes = f"{format_bytes(row.file_bytes):>9}{format_bytes(row.weight_bytes):>9}{row.load_seconds:>6.2f} s"
    speed = f"{format_bytes(row.memory_bytes):>9}{row.tokens_per_second:>10.0f}"
    return f"{row.loader:26}{sizes}{speed}{error_words(row.error):>9}"


def write_csv(rows: Sequence[Row], path: str | Path) -> Path:
    """Write the table as CSV, one line for each row."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Row)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_whole(Path(path), lambda file: file.write(text.getvalue().encode("utf-8")))
    return Path(path)


def to_markdown(rows: Sequence[Row]) -> str:
    """Write the table for a report."""
    lines = [
        "| loader | file | bytes on disk | weights | load (s) | memory | tokens/s | logit error |",
        "|---|---|" + "---:|" * 6,
    ]
    for row in rows:
        sizes = (format_bytes(size) for size in (row.file_bytes, row.weight_bytes))
        cells = (*sizes, f"{row.load_seconds:.2f}", format_bytes(row.memory_bytes), f"{row.tokens_per_second:.0f}")
        lines.append(f"| {row.loader} | {row.file} | {' | '.join(cells)} | {error_words(row.error)} |")
    return "\n".join(lines)


GOOD, FAIR = 0.05, 0.2  # errors: hardly to be noticed, and to be noticed in some texts


TRAINS = ("ours", "transformers")


def recommend(rows: Sequence[Row], memory: int) -> dict[str, str]:
    """Choose a loader for each purpose from what was measured and from the bytes of memory that are free."""
    fits = [row for row in rows if row.memory_bytes <= 0.8 * memory]
    exact = [row for row in fits if row.error < EXACT and row.program in TRAINS]
    good = [row for row in fits if row.error <= GOOD]
    fair = [row for row in fits if row.error <= FAIR]
    found = {
        "to study and to train": _least(exact, lambda row: row.load_seconds, "exact, and loads fastest: {load}"),
        "to write text here": _least(good, lambda row: -row.tokens_per_second, "fastest of the good ones: {speed}"),
        "to keep memory free": _least(fair, lambda row: row.memory_bytes, "least memory of the fair ones: {memory}"),
        "to send to others": _least(good, lambda row: row.file_bytes, "smallest good file: {file}"),
    }
    return {purpose: words or f"nothing that was measured fits into {format_bytes(memory)}; choose a smaller size"
            for purpose, words in found.items()}  # fmt: skip


def _least(rows: Sequence[Row], key: Callable[[Row], float], reason: str) -> str | None:
    if not rows:
        return None
    row = min(rows, key=key)
    figures = {
        "load": f"{row.load_seconds:.2f} s",
        "speed": f"{row.tokens_per_second:.0f} tokens a second",
        "memory": format_bytes(row.memory_bytes),
        "file": f"{row.file}, {format_bytes(row.file_bytes)}",
    }
    return f"{row.loader} ({reason.format(**figures)}, logit error {error_words(row.error)})"
