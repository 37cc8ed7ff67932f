"""Commands for fewer bits: quantize, quantize-table, quantize-readme."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from tools.commands import Add
from utils.config import format_bytes
from utils.errors import CourseError
from utils.formats.quantized_files import FILE, save_quantized
from utils.loaders import load_gpt2
from utils.model import GPT2
from utils.quantize.quantized_linear import bits_per_weight, layer_shapes, plan_of
from utils.quantize.recipe import (
    HELD_OUT_SEED,
    NEED_TEXT,
    QuantizationRecipe,
    apply_recipe,
    calibration_rows,
    check_tokens,
    read_tokens,
    story_tokens,
)


def declare(add: Add) -> None:
    command = add("quantize", quantize, "write a model with fewer bits")
    command.add_argument("model", help="a size, a folder or a file")
    command.add_argument("--method", default="rtn", help="rtn, gptq, awq, mixed or nf4 (%(default)s)")
    command.add_argument("--bits", type=float, default=4, help="2 to 8; for mixed the average (%(default)s)")
    command.add_argument("--group", default="64", help="weights that share a scale, or row, or tensor (%(default)s)")
    command.add_argument("--asymmetric", action="store_true", help="give each group a zero of its own")
    command.add_argument("--act-order", action="store_true", help="gptq, mixed: largest inputs first")
    command.add_argument("--head", action="store_true", help="8 bits for head and token embedding, too")
    command.add_argument("--out", required=True, help="folder for the result")
    tables = add("quantize-table", quantize_table, "compare methods, bits and groups on one model")
    tables.add_argument("model", help="a size, a folder or a file")
    tables.add_argument("--out", required=True, help="folder for the table (CSV, Markdown) and the picture")
    tables.add_argument("--held-out", help="a text or .bin to measure on; stories for nano")
    tables.add_argument("--tokens", type=int, default=5_120, help="how much of it (%(default)s)")
    tables.add_argument("--stories", type=int, default=0, help="so many stories, for their coherence (%(default)s)")
    readme = add("quantize-readme", quantize_readme, "put nano's stored table into README.md")
    readme.add_argument("--check", action="store_true", help="change nothing, report whether it is there")
    for each in (command, tables):
        each.add_argument("--calibration", help="a text or .bin for gptq, awq and mixed; stories for nano")
        each.add_argument("--rows", type=int, default=64, help="rows of calibration text (%(default)s)")
        each.add_argument("--context", type=int, default=256, help="tokens of each row (%(default)s)")


def quantize(options: argparse.Namespace) -> None:
    """Write a model with fewer bits, and say how many bytes that took."""
    group = int(options.group) if options.group.isdigit() else options.group
    recipe = QuantizationRecipe(
        options.method, options.bits, group, not options.asymmetric, options.head, options.act_order
    )
    model = load_gpt2(options.model)
    rows = _calibration(model, options) if recipe.method in NEED_TEXT else None
    apply_recipe(model, recipe, rows)
    folder = save_quantized(model, options.out)
    bits = bits_per_weight(plan_of(model), layer_shapes(model))
    size = format_bytes((folder / FILE).stat().st_size)
    print(f"{folder / FILE} has {size}; its quantized weights take {bits:.2f} bits each, scales included.")


def quantize_table(options: argparse.Namespace) -> None:
    """Measure the recipes one after the other; write table.csv, table.md and table.png."""
    from utils.plots.quantization import costs_and_gains
    from utils.quantize.report import HEADER, Texts, compare_recipes, format_row, storyteller, to_markdown, write_csv

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
    from tools.repo.readme_table import TABLE, update_readme

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
