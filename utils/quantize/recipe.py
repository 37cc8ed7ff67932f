"""Quantization settings: method, bits, group size; and the calibration and held-out tokens they need.

One name for each way to fewer bits: a recipe says what to do, `apply_recipe` does it. Lesson 08 compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from utils.errors import CourseError
from utils.model import GPT2
from utils.quantize.awq import awq_model
from utils.quantize.calibration import draw_rows
from utils.quantize.gptq import GPTQ, gptq_model
from utils.quantize.grids import ROW, Grid
from utils.quantize.mixed_bits import mixed_plan
from utils.quantize.quantized_linear import plan_for, quantize_model
from utils.stories.generator import corpus
from utils.texts.bins import load_bin
from utils.tokenizer import Tokenizer

METHODS = {
    "rtn": "round to nearest",
    "gptq": "column by column, the rest makes up for each error",
    "awq": "scale up the weights whose inputs are large, then round",
    "mixed": "GPTQ with more bits for the layers that hurt; bits is the average",
    "nf4": "round to sixteen values that suit normal weights",
}
NEED_TEXT = ("gptq", "awq", "mixed")
HEAD_GRID = Grid(8, ROW)

STORY_SEED, STORIES = 77_000, 400  # of stories to calibrate with; no other part of the course draws from this seed
HELD_OUT_SEED, HELD_OUT_TOKENS = 88_000, 5_120  # of stories to measure with, others than those to calibrate with


@dataclass(frozen=True)
class QuantizationRecipe:
    """A method with its settings."""

    method: str = "rtn"
    bits: float = 4  # a whole number, except for mixed
    group: int | str = 64
    symmetric: bool = True
    head: bool = False  # whether head and token embedding take 8 bits
    act_order: bool = False  # for gptq and mixed

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CourseError(f"The method {self.method!r} is unknown, expected one of {', '.join(METHODS)}.")
        self.grid  # noqa: B018 (says what is wrong with bits and group)

    @property
    def name(self) -> str:
        """What tables call it: the method, and whether the head is quantized too."""
        return f"{self.method}+head" if self.head else self.method

    @property
    def grid(self) -> Grid:
        """The grid of the layers; for mixed bits the one that is varied."""
        if self.method == "mixed":
            if not 2 <= self.bits <= 8:
                raise CourseError(f"The average is {self.bits} bits, expected one from 2 to 8.")
            return Grid(4, self.group, symmetric=self.symmetric)
        if self.bits != int(self.bits):
            raise CourseError(f"bits is {self.bits}, expected a whole number; only mixed takes others.")
        kind = "nf4" if self.method == "nf4" else "linear"
        return Grid(int(self.bits), self.group, kind, self.symmetric)


def apply_recipe(model: GPT2, recipe: QuantizationRecipe, tokens: Tensor | None = None) -> GPT2:
    """Quantize a model in place; gptq, awq and mixed need calibration tokens (rows, time)."""
    plan = plan_for(model, recipe.grid, HEAD_GRID if recipe.head else None)
    if recipe.method not in NEED_TEXT:
        return quantize_model(model, plan)
    if tokens is None:
        raise CourseError(f"{recipe.method} needs calibration tokens (rows, time), got none. Draw some with draw_rows.")
    if recipe.method == "mixed":
        plan |= mixed_plan(model, tokens, recipe.bits, recipe.grid)
    if recipe.method == "awq":
        return awq_model(model, plan, tokens)
    return gptq_model(model, plan, tokens, GPTQ(act_order=recipe.act_order))


def story_tokens(count: int = STORIES, seed: int = STORY_SEED) -> np.ndarray:
    """Return stories as one row of GPT-2 tokens (time,), each followed by end-of-text."""
    tokenizer = Tokenizer.gpt2()
    rows = tokenizer.encode_batch(list(corpus(count, seed)))
    return np.concatenate([[*row, tokenizer.end_of_text] for row in rows]).astype(np.uint16)


def read_tokens(path: str | Path) -> np.ndarray:
    """Return the tokens (time,) of a .bin that `prepare` wrote, or of a text by GPT-2's tokenizer."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"{path} is not there. Give a text file, or a .bin that `prepare` wrote.")
    if path.suffix == ".bin":
        return load_bin(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CourseError(f"{path} is not UTF-8 at byte {error.start}. Save it as UTF-8, or give a .bin.") from error
    return np.array(Tokenizer.gpt2().encode(text), dtype=np.uint16)


def calibration_rows(model: GPT2, tokens: np.ndarray, rows: int = 64, context: int = 256) -> Tensor:
    """Draw calibration rows (rows, time) that this model can read."""
    check_tokens(model, tokens)
    return draw_rows(tokens, rows, min(context, model.config.context))


def check_tokens(model: GPT2, tokens: np.ndarray) -> None:
    """Refuse tokens that the model's vocabulary does not have."""
    largest = int(tokens.max()) if len(tokens) else 0
    if largest >= model.config.vocab_size:
        raise CourseError(
            f"The text has token {largest}, this model knows {model.config.vocab_size:,}: text and model were made "
            "with different tokenizers. Give a .bin that belongs to the model."
        )
