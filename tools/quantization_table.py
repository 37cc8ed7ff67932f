"""Benchmark of quantization methods in one table: bytes, perplexity, coherence, tokens a second.

What each way to fewer bits costs and gains. Bits per weight count the whole model: what a method packs, and what it
leaves in 16 bits. Lesson 08 reads the table of nano and measures a row of it again;
docs/benchmarks.md shows it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tools.fast_layers import for_generation
from tools.repo.marks import put_between
from utils.config import total_parameters
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.files.places import ROOT
from utils.files.whole_files import write_whole
from utils.model import GPT2
from utils.quantize.quantized_linear import computed_bytes, dequantize_model, plan_of
from utils.quantize.recipe import QuantizationRecipe, apply_recipe
from utils.sampling import END_OF_TEXT_ID, Sampling, generate

Tell = Callable[[GPT2], list[str]]  # lets a model tell stories
TABLE = ROOT / "benchmarks" / "results" / "quantization_nano" / "table.csv"  # of nano
PAGE = ROOT / "docs" / "benchmarks.md"
START = "<!-- quantization table of nano: python -m tools quantize-readme writes it -->"
END = "<!-- end of the quantization table -->"

# What the table compares: the same bits by several methods, and the same method with other bits and groups.
RECIPES = (
    QuantizationRecipe("rtn", 8, "row"),
    *(QuantizationRecipe(method, bits, 64) for bits in (4, 3) for method in ("rtn", "awq", "gptq", "mixed")),
    QuantizationRecipe("nf4", 4, 64),
    QuantizationRecipe("rtn", 4, 128),
    QuantizationRecipe("gptq", 4, 128),
    QuantizationRecipe("gptq", 4, 32),
    QuantizationRecipe("gptq", 2, 16),
    QuantizationRecipe("gptq", 4, 64, head=True),
)


@dataclass(frozen=True)
class Row:
    """One line of the table; a coherence of None was not asked for."""

    method: str
    bits: float
    group: int | str
    bytes: int  # of the whole model, everything that is not quantized in 16 bits
    bits_per_weight: float  # of the whole model, scales and zeros included
    perplexity: float
    coherence: float | None
    tokens_per_second: float


@dataclass(frozen=True)
class Texts:
    """What a table is measured on; text for calibration and held-out text must not overlap."""

    calibration: Tensor  # (rows, time)
    held_out: np.ndarray  # (time,)
    context: int = 256
    tell: Tell | None = None  # only for models that tell stories


def compare_recipes(
    model: GPT2,
    texts: Texts,
    recipes: Sequence[QuantizationRecipe] | None = None,
    show: Callable[[Row], object] | None = None,
) -> list[Row]:
    """Measure the model with 16-bit weights, and then under each recipe, RECIPES if None; `model` is left alone."""
    rows = []
    for recipe in (None, *(RECIPES if recipes is None else recipes)):
        rows.append(measure_row(model, recipe, texts))
        if show:
            show(rows[-1])
    return rows


def measure_row(model: GPT2, recipe: QuantizationRecipe | None, texts: Texts) -> Row:
    """Quantize a copy of the model by a recipe and measure it; without a recipe, round its weights to 16 bits."""
    from utils.stories.parser import coherence

    changed = copy.deepcopy(model)
    if recipe is None:
        changed = changed.half().float()
    else:
        apply_recipe(changed, recipe, texts.calibration)
    size = computed_bytes(changed, plan_of(changed), torch.float16)
    dense = 8 * size / total_parameters(changed.config)
    fast = for_generation(copy.deepcopy(changed))
    speed = tokens_per_second(fast)
    plain = dequantize_model(changed)  # the same numbers, and quicker with many rows
    context = min(texts.context, model.config.context)
    score = measure_loss(plain, texts.held_out, Protocol(context, context))
    meaning = None if texts.tell is None else coherence(texts.tell(plain))
    speed = max(speed, tokens_per_second(fast))  # twice, at some distance: something else may run for a while
    measured = (size, dense, score.perplexity, meaning, speed)
    if recipe is None:
        return Row("none", 16, "none", *measured)
    return Row(recipe.name, recipe.bits, recipe.group, *measured)


def storyteller(model: GPT2, count: int) -> Tell | None:
    """Return what lets this model, under any recipe, tell so many stories; None for no stories."""
    from utils.evaluate import tell_stories

    if count and model.config.vocab_size <= END_OF_TEXT_ID:
        raise CourseError(
            f"Stories are told in GPT-2's own tokens; this model knows {model.config.vocab_size:,} others. "
            "Leave the stories out."
        )
    return partial(tell_stories, count=count) if count else None


def tokens_per_second(model: GPT2, count: int = 24, at_least: float = 0.6) -> float:
    """Return the speed of generation at batch 1, in the fastest of some short rounds."""
    settings = Sampling(max_new=min(count, model.config.context), temperature=0, stop=())
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < at_least:
        began = time.perf_counter()
        generate(model, [[0]], settings)
        seconds.append(time.perf_counter() - began)
    return settings.max_new / min(seconds)


def write_csv(rows: Sequence[Row], path: str | Path) -> Path:
    """Write the table as CSV, one line for each row, in the order of Row's fields."""
    text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    write_whole(Path(path), lambda file: file.write(text.encode("utf-8")))
    return Path(path)


def read_csv(path: str | Path) -> list[Row]:
    """Read a table that `write_csv` wrote."""
    parse = {
        "group": lambda cell: int(cell) if cell.isdigit() else cell,
        "coherence": lambda cell: float(cell) if cell else None,
    }
    exact = dict.fromkeys(("bits", "bits_per_weight", "perplexity", "tokens_per_second"), float)
    table = pd.read_csv(path, converters=parse | exact)
    table["coherence"] = table["coherence"].astype(object)
    return [Row(*line) for line in table.itertuples(index=False, name=None)]


HEADER = "method     bits  group       MB  bits/weight in all  perplexity  coherence  tokens/s"


def format_row(row: Row) -> str:
    """Write a row as a line under HEADER."""
    method, bits, group, size, dense, perplexity, coherence = _cells(row)
    measured = f"{perplexity:>12}{coherence:>11}{two_digits(row.tokens_per_second):>10}"
    return f"{method:10}{bits:>5}{group:>7}{size:>9}{dense:>20}{measured}"


def two_digits(value: float) -> str:
    """Write a speed no finer than it can be measured.

    >>> two_digits(478.8), two_digits(53.19), two_digits(4.26)
    ('480', '53', '4.3')
    """
    return f"{float(f'{value:.2g}'):g}"


def to_markdown(rows: Sequence[Row]) -> str:
    """Write the table for a README; perplexity stands also beside that of the first row, the model as it was."""
    lines = ["| method | bits | group | MB | bits per weight, whole model | perplexity | more | coherence | tokens/s |"]
    lines.append("|---|" + "---:|" * 8)
    for row in rows:
        *cells, coherence = _cells(row)
        rise = round(row.perplexity / rows[0].perplexity - 1, 3) + 0.0  # never -0.0
        more = f"{rise:+.1%}" if row is not rows[0] else ""
        lines.append(f"| {' | '.join((*cells, more, coherence))} | {two_digits(row.tokens_per_second)} |")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    """Return what console and README show alike: method, bits, group, MB, bits per weight, perplexity, coherence."""
    coherence = "–" if row.coherence is None else f"{row.coherence:.3f}"
    sizes = (f"{row.bits:g}", str(row.group), f"{row.bytes / 1e6:.2f}", f"{row.bits_per_weight:.2f}")
    return (row.method, *sizes, f"{row.perplexity:.3f}", coherence)


def update_readme(readme: Path = PAGE, table: Path = TABLE, check: bool = False) -> bool:
    """Put the stored table into a page, or with `check` change nothing; say whether it was up to date."""
    text = readme.read_text(encoding="utf-8")
    wanted = put_between(text, START, END, to_markdown(read_csv(table)))
    if wanted != text and not check:
        write_whole(readme, lambda file: file.write(wanted.encode("utf-8")))
    return wanted == text
