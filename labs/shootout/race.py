"""Benchmark of loaders: all on one machine with one model, measured alike, and a recommendation by rules.

Lesson 06 runs it for some loaders, lab 05 for all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from labs.alone import run_alone
from labs.shootout.loader_zoo import Loader, file_bytes, find_loaders, write_file
from labs.shootout.measure import Job, measure
from utils.config import format_bytes
from utils.errors import CourseError
from utils.model import GPT2

PROMPTS = (16, 40, 64, 96)  # tokens of a story after which logits are compared; text goes on from the first
STORY_SEED = 4_000  # of that story
EXACT = 1e-5  # errors below this are those of float32 itself
GOOD, FAIR = 0.05, 0.2  # errors: hardly to be noticed, and to be noticed in some texts
TRAINS = ("ours", "transformers")
# Imports take seconds, so once for all loaders; quiet comes first.
SHARED = ("labs.shootout.quiet", "torch", "utils.loaders", "transformers.models.gpt2.modeling_gpt2")


@dataclass(frozen=True)
class Row:
    """One loader and what it costs.

    `error` is the root mean square of its logits' error over their spread, `divergence` the KL divergence of its odds
    from the model's own in nats, `same_top` the share of prompts at which both put the same token first.
    """

    loader: str
    program: str
    file: str
    file_bytes: int
    weight_bytes: int
    load_seconds: float
    memory_bytes: int
    tokens_per_second: float
    error: float
    divergence: float = 0.0  # of an exact copy, as the next one
    same_top: float = 1.0


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


def kl_divergence(logits: Tensor, expected: Tensor) -> float:
    """Return the mean Kullback–Leibler divergence (nats) of the odds of logits (prompts, vocab) from the expected ones.

    It is what believing them costs on average, for each token that the expected odds would draw.
    """
    given, wanted = (one.double().log_softmax(-1) for one in (logits, expected))
    return max(0.0, float(kl_div(given, wanted, log_target=True, reduction="batchmean")))  # rounding gives -1e-17


def top1_agreement(logits: Tensor, expected: Tensor) -> float:
    """Return the share of prompts at which logits (prompts, vocab) and the expected ones put the same token first."""
    return float((logits.argmax(-1) == expected.argmax(-1)).float().mean())


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
    loaders, rows = find_loaders(names), {}
    skipped = {loader.name: reason for loader in loaders if (reason := loader.lacking())}
    ready = [loader for loader in loaders if loader.name not in skipped]
    prompts = story_prompts(model.config.context)
    expected = expected_logits(model, prompts)
    folder = Path(folder) / "files"
    for file in dict.fromkeys(loader.file for loader in ready):
        folder.mkdir(parents=True, exist_ok=True)
        path = (files or {}).get(file) or write_file(model, file, folder)
        for loader in (one for one in ready if one.file == file):
            try:
                rows[loader.name] = measure_row(loader, path, prompts, expected)
            except CourseError as error:
                skipped[loader.name] = str(error)
            if show:
                show(line_of(rows[loader.name]) if loader.name in rows else skipped[loader.name])
        shutil.rmtree(folder)
    return Shootout([rows[loader.name] for loader in loaders if loader.name in rows], skipped)


def measure_row(loader: Loader, path: Path, prompts: list[list[int]], expected: Tensor) -> Row:
    """Measure one loader in a process of its own."""
    measured, logits = run_alone(loader.name, measure, Job(loader.name, str(path.resolve()), prompts), shared=SHARED)
    found = torch.from_numpy(logits)
    kl, same = kl_divergence(found, expected), top1_agreement(found, expected)
    row = Row(loader.name, loader.program, loader.file, file_bytes(path), **asdict(measured), error=0)
    return replace(row, error=relative_error(found, expected), divergence=kl, same_top=same)


COLUMNS = {"file": 9, "weights": 9, "load": 8, "memory": 9, "tokens/s": 10, "error": 8, "KL": 9, "same top": 10}
HEADER = f"{'loader':26}" + "".join(f"{name:>{width}}" for name, width in COLUMNS.items())


def error_words(error: float) -> str:
    """Write an error as a share, with a floor under which float32 itself is not exact.

    >>> error_words(0.0312), error_words(3e-4), error_words(2e-6)
    ('3.1%', '0.03%', 'none')
    """
    return "none" if error < EXACT else f"{error:.1%}" if error >= 0.001 else f"{error:.2%}"


def cells(row: Row) -> list[str]:
    """Return a row's figures for people: bytes on disk, weights, load, memory, tokens/s, error, KL, same top."""
    file, weights, memory = map(format_bytes, (row.file_bytes, row.weight_bytes, row.memory_bytes))
    off = [error_words(row.error), f"{row.divergence:.4f}", f"{row.same_top:.0%}"]
    return [file, weights, f"{row.load_seconds:.2f} s", memory, f"{row.tokens_per_second:.0f}", *off]


def line_of(row: Row) -> str:
    """Write a row as a line under HEADER."""
    return f"{row.loader:26}" + "".join(f"{c:>{w}}" for c, w in zip(cells(row), COLUMNS.values(), strict=True))


def to_markdown(rows: Sequence[Row]) -> str:
    """Write the table for a report."""
    head = "| loader | file | bytes on disk | weights | load | memory | tokens/s | logit error | KL, nats | same top |"
    lines = [f"| {row.loader} | {row.file} | {' | '.join(cells(row))} |" for row in rows]
    return "\n".join([head, "|---|---|" + "---:|" * 8, *lines])


def recommend(rows: Sequence[Row], memory: int) -> dict[str, str]:
    """Choose a loader for each purpose from what was measured and from the bytes of memory that are free."""
    fits = [row for row in rows if row.memory_bytes <= 0.8 * memory]
    exact = [row for row in fits if row.error < EXACT and row.program in TRAINS]
    good, fair = ([row for row in fits if row.error <= limit] for limit in (GOOD, FAIR))
    best = {
        "to study and to train": min(exact, key=lambda row: row.load_seconds, default=None),
        "to write text here": max(good, key=lambda row: row.tokens_per_second, default=None),
        "to keep memory free": min(fair, key=lambda row: row.memory_bytes, default=None),
        "to send to others": min(good, key=lambda row: row.file_bytes, default=None),
    }
    why = {
        "to study and to train": "exact, and loads fastest: {2}",
        "to write text here": "fastest of the good ones: {4} tokens a second",
        "to keep memory free": "least memory of the fair ones: {3}",
        "to send to others": "smallest good file: {file}, {0}",
    }
    found = dict.fromkeys(best, f"nothing that was measured fits into {format_bytes(memory)}; choose a smaller size")
    for purpose, row in best.items():
        if row:
            reason = why[purpose].format(*cells(row), file=row.file)
            found[purpose] = f"{row.loader} ({reason}, logit error {error_words(row.error)})"
    return found
