"""The table, its files and pictures, and the two commands, on a tiny model with a vocabulary of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from shapes import random_tokens, tiny_model

from tools.__main__ import main
from tools.quantization_table import (
    END,
    HEADER,
    RECIPES,
    START,
    TABLE,
    Row,
    Texts,
    compare_recipes,
    format_row,
    measure_row,
    read_csv,
    storyteller,
    to_markdown,
    update_readme,
    write_csv,
)
from utils.config import SIZES, GPT2Config, total_parameters
from utils.errors import CourseError
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.plots.quantization import costs_and_gains
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import bits_per_weight, computed_bytes, layer_shapes, plan_for, plan_of
from utils.quantize.recipe import (
    HEAD_GRID,
    METHODS,
    QuantizationRecipe,
    apply_recipe,
    calibration_rows,
    read_tokens,
    story_tokens,
)

SHAPE = GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=97, context=24)
TEXTS = Texts(random_tokens(4, 24), random_tokens(1, 100, seed=1)[0].numpy(), context=24)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_what_its_recipe_says(method):
    model = tiny_model(SHAPE)
    apply_recipe(model, QuantizationRecipe(method, 4, 32, head=True), random_tokens(4, 24))
    plan = plan_of(model)
    assert plan.pop("head") == Grid(8, "row")
    sizes = {name: rows * columns for name, (rows, columns) in layer_shapes(model).items()}
    mean = sum(grid.bits * sizes[name] for name, grid in plan.items()) / sum(sizes[name] for name in plan)
    assert abs(mean - 4) < 0.05
    assert {grid.kind for grid in plan.values()} == {"nf4" if method == "nf4" else "linear"}
    assert bool(model(random_tokens(1, 9)).isfinite().all())


@pytest.mark.parametrize(
    ("settings", "datum"),
    [
        ({"method": "exl2"}, "'exl2'"),
        ({"bits": 3.5}, "3.5"),
        ({"bits": 9}, "bits is 9"),
        ({"method": "mixed", "bits": 9}, "9 bits"),
        ({"group": "column"}, "'column'"),
        ({"method": "nf4", "bits": 3}, "nf4"),
        ({"method": "gptq"}, "gptq"),  # these three without text to calibrate with
        ({"method": "awq"}, "awq"),
        ({"method": "mixed"}, "mixed"),
    ],
)
def test_recipes_that_can_not_be_are_refused(settings, datum):
    with pytest.raises(CourseError) as error:
        apply_recipe(tiny_model(SHAPE), QuantizationRecipe(**settings))
    assert datum in str(error.value)


def test_a_row_says_what_the_model_takes_and_costs():
    model = tiny_model(SHAPE)
    row = measure_row(model, QuantizationRecipe("rtn", 4, 32), TEXTS)
    plan = dict.fromkeys([name for name in layer_shapes(model) if name != "head"], Grid(4, 32))
    assert row.bytes == computed_bytes(model, plan, torch.float16)
    assert bits_per_weight(plan, layer_shapes(model)) == 4.5
    packed = sum(rows * columns for name, (rows, columns) in layer_shapes(model).items() if name != "head")
    weights = sum(weight.numel() for weight in model.parameters())
    assert row.bits_per_weight == pytest.approx((4.5 * packed + 16 * (weights - packed)) / weights)
    assert row.perplexity > 1 and row.tokens_per_second > 0
    assert row.coherence is None
    assert torch.equal(model.blocks[0].mlp.up.weight, tiny_model(SHAPE).blocks[0].mlp.up.weight)  # of a copy


def test_the_table_begins_with_the_model_as_it_is(tmp_path):
    seen = []
    recipes = (QuantizationRecipe("rtn", 8, "row"), QuantizationRecipe("rtn", 2, 32))
    rows = compare_recipes(tiny_model(SHAPE), TEXTS, recipes, seen.append)
    assert rows == seen
    assert [(row.method, row.bits) for row in rows] == [("none", 16), ("rtn", 8), ("rtn", 2)]
    assert rows[0].bytes > rows[1].bytes > rows[2].bytes
    before, eight, two = (row.perplexity for row in rows)
    assert abs(eight - before) < abs(two - before)
    assert read_csv(write_csv(rows, tmp_path / "new" / "table.csv")) == rows
    figure = costs_and_gains(rows, "tiny")
    assert [axes.get_xlabel() for axes in figure.axes] == ["megabytes", "perplexity rises by %", "tokens/s"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [row.bytes / 1e6 for row in rows]
    rise = figure.axes[1].patches[2].get_width()
    assert rise == pytest.approx(max(0, 100 * (two / before - 1)))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["none 16", "rtn 8/row", "rtn 2/32"]


def test_coherence_stands_in_the_table_where_stories_are_told():
    story = "Nothing of this is a story of that world."
    texts = Texts(TEXTS.calibration, TEXTS.held_out, 24, tell=lambda model: [story])
    row = measure_row(tiny_model(SHAPE), None, texts)
    assert 0 <= row.coherence < 1
    assert f"{row.coherence:.3f}" in format_row(row)
    with pytest.raises(CourseError, match="97"):
        storyteller(tiny_model(SHAPE), 2)
    assert storyteller(tiny_model(SHAPE), 0) is None


def test_rows_line_up_under_their_header():
    row = Row("gptq", 4, 128, 41_250_000, 4.125, 12.3456, 0.9876, 107.23)
    assert format_row(row) == "gptq          4    128    41.25                4.12      12.346      0.988       110"
    assert len(format_row(row)) == len(HEADER)
    first = replace(row, method="none", perplexity=12.0)
    lines = to_markdown([first, row]).splitlines()
    assert lines[2] == "| none | 4 | 128 | 41.25 | 4.12 | 12.000 |  | 0.988 | 110 |"
    assert lines[3] == "| gptq | 4 | 128 | 41.25 | 4.12 | 12.346 | +2.9% | 0.988 | 110 |"
    assert {line.count("|") for line in lines} == {10}


def test_stories_to_calibrate_with_are_the_same_everywhere():
    tokens = story_tokens(3)
    assert (tokens == 50256).sum() == 3
    assert np.array_equal(tokens, story_tokens(3))
    assert not np.array_equal(tokens[:50], story_tokens(3, seed=1)[:50])


def test_tokens_are_read_from_texts_and_bins(tmp_path):
    (tmp_path / "a.txt").write_text("Hello world", encoding="utf-8")
    assert read_tokens(tmp_path / "a.txt").tolist() == [15496, 995]
    np.array([1, 2, 515], dtype="<u2").tofile(tmp_path / "a.bin")
    assert read_tokens(tmp_path / "a.bin").tolist() == [1, 2, 515]
    (tmp_path / "b.txt").write_bytes(b"ab\xff")
    with pytest.raises(CourseError, match="byte 2"):
        read_tokens(tmp_path / "b.txt")
    with pytest.raises(CourseError, match="c.txt"):
        read_tokens(tmp_path / "c.txt")
    with pytest.raises(CourseError, match="515.* 97"):
        calibration_rows(tiny_model(SHAPE), read_tokens(tmp_path / "a.bin"))


# The commands


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A tiny model and a .bin of its own tokens, in the current folder."""
    monkeypatch.chdir(tmp_path)
    save_gpt2(tiny_model(SHAPE), tmp_path / "model")
    random_tokens(1, 600)[0].numpy().astype("<u2").tofile(tmp_path / "text.bin")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "--method rtn --bits 8 --group row --head",
        "--method nf4 --group 32",
        "--method gptq --bits 3 --group 32 --asymmetric --act-order --calibration text.bin",
        "--method mixed --bits 3.5 --group 32 --calibration text.bin --rows 4",
    ],
)
def test_the_command_writes_a_model_that_loads(folder, words, capsys):
    assert main(["quantize", "model", "--out", "packed", *words.split()]) == 0
    assert "quantized.safetensors" in capsys.readouterr().out
    assert plan_of(load_gpt2("packed"))
    assert (folder / "packed" / "quantized.safetensors").stat().st_size < (
        folder / "model" / "model.safetensors"
    ).stat().st_size


def test_the_command_writes_the_table(folder, capsys, monkeypatch):
    monkeypatch.setattr(
        "tools.quantization_table.RECIPES", (QuantizationRecipe("rtn", 4, 32), QuantizationRecipe("gptq", 4, 32))
    )
    words = ["--calibration", "text.bin", "--held-out", "text.bin", "--tokens", "100", "--rows", "4", "--out", "t"]
    assert main(["quantize-table", "model", *words]) == 0
    assert [row.method for row in read_csv(folder / "t" / "table.csv")] == ["none", "rtn", "gptq"]
    assert (folder / "t" / "table.png").stat().st_size > 5000
    assert (folder / "t" / "table.md").read_text(encoding="utf-8").count("\n") == 5
    assert capsys.readouterr().out.startswith(HEADER)


# The stored table of nano


def test_nanos_stored_table_is_of_all_recipes_and_has_the_bytes_of_the_arithmetic():
    rows, recipes = read_csv(TABLE), (None, *RECIPES)
    assert {recipe.method for recipe in RECIPES} == set(METHODS) and "gptq+head" in {recipe.name for recipe in RECIPES}
    assert len({recipe.bits for recipe in RECIPES}) >= 3 <= len({recipe.group for recipe in RECIPES})
    with torch.device("meta"):
        model = GPT2(SIZES["nano"])
    assert [row.method for row in rows] == [recipe.name if recipe else "none" for recipe in recipes]
    for row, recipe in zip(rows, recipes, strict=True):
        assert row.coherence is not None
        if recipe is None or recipe.method != "mixed":  # which layers get which bits is in no arithmetic
            plan = plan_for(model, recipe.grid, HEAD_GRID if recipe.head else None) if recipe else {}
            assert row.bytes == computed_bytes(model, plan, torch.float16)
        assert row.bits_per_weight == 8 * row.bytes / total_parameters(SIZES["nano"])
    assert (TABLE.parent / "table.md").read_text(encoding="utf-8") == to_markdown(rows) + "\n"


def test_nanos_stored_table_shows_what_the_course_claims():
    found = {(row.method, row.bits, row.group): row.perplexity for row in read_csv(TABLE)}
    assert found["rtn", 8, "row"] < 1.005 * found["none", 16, "none"]
    for bits in (4, 3):
        assert found["gptq", bits, 64] < found["rtn", bits, 64]
    assert found["awq", 3, 64] < found["rtn", 3, 64]
    assert found["awq", 4, 64] < 1.001 * found["rtn", 4, 64], "at four bits nano has next to nothing to gain"


def test_the_benchmarks_page_holds_nanos_stored_table():
    assert update_readme(check=True), "docs/benchmarks.md is stale: run `python -m tools quantize-readme`"


def test_the_readme_gets_the_table_of_the_csv_and_keeps_all_else(tmp_path):
    rows = [Row("none", 16, "none", 100, 16.0, 2.0, None, 5.0), Row("rtn", 4, 64, 50, 4.25, 2.1, None, 6.0)]
    table, readme = write_csv(rows, tmp_path / "table.csv"), tmp_path / "README.md"
    readme.write_text(f"# Before\n{START}\nold\n{END}\nafter é\n", encoding="utf-8")
    assert update_readme(readme, table, check=True) is False
    assert "\nold\n" in readme.read_text(encoding="utf-8")
    assert update_readme(readme, table) is False
    assert readme.read_text(encoding="utf-8") == f"# Before\n{START}\n{to_markdown(rows)}\n{END}\nafter é\n"
    assert update_readme(readme, table, check=True) is True
    readme.write_text("no marks", encoding="utf-8")
    with pytest.raises(CourseError, match=START):
        update_readme(readme, table)


@pytest.mark.parametrize(
    ("words", "datum"),
    [
        ("model --method gptq", "--calibration"),
        ("nowhere", "nowhere"),
    ],
)
def test_mistakes_in_a_command_end_in_a_sentence(folder, words, datum, capsys):
    assert main(["quantize", *words.split(), "--out", "packed"]) == 1
    assert datum in capsys.readouterr().err
