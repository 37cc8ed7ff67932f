"""The commands `quantize` and `quantize-table`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from utils.config import format_bytes
from utils.errors import CourseError
from utils.formats.quantized_files import FILE, save_quantized
from utils.loaders import load_gpt2
from utils.model import GPT2
from utils.quantization.quantized_linear import bits_per_weight, layer_shapes, plan_of
from utils.quantization.recipe import (
    HELD_OUT_SEED,
    NEED_TEXT,
    Recipe,
    apply_recipe,
    calibration_rows,
    check_tokens,
    read_tokens,
    story_tokens,
)


def quantize(options: argparse.Namespace) -> None:
    """Write a model with fewer bits, and say how many bytes that took."""
    group = int(options.group) if options.group.isdigit() else options.group
    recipe = Recipe(options.method, options.bits, group, not options.asymmetric, options.head, options.act_order)
    model = load_gpt2(options.model)
    rows = _calibration(model, options) if recipe.method in NEED_TEXT else None
    apply_recipe(model, recipe, rows)
    folder = save_quantized(model, options.out)
    bits = bits_per_weight(plan_of(model), layer_shapes(model))
    size = format_bytes((folder / FILE).stat().st_size)
    print(f"{folder / FILE} has {size}; its quantized weights take {bits:.2f} bits each, scales included.")


def quantize_table(options: argparse.Namespace) -> None:
    """Measure the recipes one after the other; write table.csv, table.md and table.png."""
    from utils.pictures.quantization import costs_and_gains
    from utils.quantization.report import (
        HEADER,
        Texts,
        compare_recipes,
        format_row,
        storyteller,
        to_markdown,
        write_csv,
    )

    model = load_gpt2(options.model)
    held_out = _tokens(options.held_out, options.model, HELD_OUT_SEED)[: options.tokens + 1]
    check_tokens(model, held_out)
    tell = storyteller(model, options.stories)
    texts = Texts(_calibration(model, options), held_out, options.context, tell)
    print(HEADER)
    rows = compare_recipes(model, texts, show=lambda row: print(format_row(row), flush=True))
    folder = Path(options.out)
    write_csv(rows, folder / "table.csv")
    (folder / "table.md").write_text(to_markdown(rows) + "\n", encoding="utf-8")
    costs_and_gains(rows, f"{options.model} with fewer bits (method bits/group)").savefig(folder / "table.png", dpi=120)
    print(f"{folder} holds table.csv, table.md and table.png.")


def quantize_readme(options: argparse.Namespace) -> int:
    """Put nano's stored table into README.md, or say whether it is there."""
    from utils.quantization.readme_table import TABLE, update_readme

    current = update_readme(check=options.check)
    done = "is up to date" if current else "is stale: run this without --check" if options.check else "is written"
    print(f"README.md's table of {TABLE.parent.name} {done}.")
    return int(options.check and not current)


def _calibration(model: GPT2, options: argparse.Namespace) -> Tensor:
    return calibration_rows(model, _tokens(options.calibration, options.model), options.rows, options.context)


def _tokens(path: str | None, model: str, seed: int | None = None) -> np.ndarray:
    """Read the tokens of a file; nano was made with stories and needs none."""
    if path:
        return read_tokens(path)
    if model != "nano":
        raise CourseError(f"{model} needs a text like those it was made with: give --calibration and --held-out FILE.")
    return story_tokens() if seed is None else story_tokens(seed=seed)
