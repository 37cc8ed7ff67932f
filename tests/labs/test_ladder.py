"""The ladder of training speed: which rungs a machine has, that they train alike, and what pictures and tables say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from labs.ladder.climb import Climbed, Rung, Task, build_ladder, lacks_compiler, middle, take_steps
from labs.ladder.pictures import as_table, draw_climb, draw_ladders, own_ladder, published_ladders
from labs.ladder.stored import Ladder
from labs.true_size.lab_results import RESULTS, read_result
from utils.config import GPT2Config
from utils.machine import has_real_bf16

CPU = torch.device("cpu")
TINY = GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=300, context=32)
TASK = Task(TINY, [(7 * i * i + i // 5) % 300 for i in range(2000)], context=16, steps=3)

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="these compare losses of a CPU")


@pytest.fixture(scope="module")
def plain() -> Climbed:
    return take_steps(Rung(), TASK)


EXACT = {
    "fused": Rung(fused=True),
    "chunked": Rung(chunked=True),
    "kept": Rung(keep_memory=True),
    "parts": Rung(parts=4),
    "all": Rung(fused=True, chunked=True, keep_memory=True, parts=2),
}


@pytest.mark.parametrize("rung", EXACT.values(), ids=EXACT.keys())
def test_a_rung_that_only_changes_how_takes_the_same_steps(rung, plain):
    assert plain.losses[-1] < plain.losses[0]
    assert_close(torch.tensor(take_steps(rung, TASK).losses), torch.tensor(plain.losses), rtol=1e-5, atol=0)


def test_sixteen_bits_move_the_loss_by_rounding_only(plain):
    narrow = take_steps(Rung(dtype="bfloat16"), TASK).losses
    assert narrow != plain.losses
    assert_close(torch.tensor(narrow), torch.tensor(plain.losses), rtol=1e-2, atol=0)


def test_a_larger_batch_is_another_training(plain):
    larger = take_steps(Rung(sequences=32), TASK)
    assert abs(larger.losses[-1] / plain.losses[-1] - 1) > 1e-4
    assert larger.tokens_per_second > 0


def test_each_rung_keeps_the_changes_of_those_below():
    rungs, left_out = build_ladder(CPU)
    assert rungs[0] == Rung()
    for below, above in zip(rungs, rungs[1:], strict=False):
        same = replace(above, name=below.name)
        changed = [name for name in vars(below) if getattr(below, name) != getattr(same, name)]
        assert len(changed) == 1, changed
    assert len(rungs) + len(left_out) == 8
    assert ("bfloat16" in [rung.name for rung in rungs]) == has_real_bf16("cpu")
    assert rungs[-1].sequences == 4 * rungs[0].sequences


def test_a_device_without_some_rungs_has_the_others_and_the_reasons():
    rungs, left_out = build_ladder(torch.device("mps"))
    assert [rung.name for rung in rungs] == ["plain loop", "chunked loss", "accumulation", "larger batch"]
    assert {rung.dtype for rung in rungs} == {"float32"}
    assert [reason.partition(":")[0] for reason in left_out] == [
        *("fused optimizer", "bfloat16", "memory kept", "torch.compile")
    ]


def test_a_machine_without_a_compiler_is_told_which_was_looked_for(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in lacks_compiler(CPU)


def test_of_several_rounds_the_middle_speed_and_the_largest_peak_count(plain):
    turns = [replace(plain, tokens_per_second=speed, peak_bytes=peak) for speed, peak in ((5, 1), (100, 9), (6, 2))]
    assert (middle(turns).tokens_per_second, middle(turns).peak_bytes) == (6, 9)


def test_the_table_says_what_a_rung_gained(plain):
    climbed = [replace(plain, tokens_per_second=speed, peak_bytes=10**6) for speed in (100.0, 150.0, 300.0)]
    climbed = [replace(one, rung=Rung(name)) for one, name in zip(climbed, "abc", strict=True)]
    table = as_table(climbed)
    assert table["by the rung below"].tolist() == [1, 1.5, 2]
    assert table["by the plain loop"].tolist() == [1, 1.5, 3]
    assert own_ladder(climbed) == {"a": 100, "b": 150, "c": 300}
    texts = {text.get_text() for axes in draw_climb(climbed).axes for text in axes.texts}
    assert {"100", "150", "300"} <= texts


def test_published_ladders_gain_what_their_authors_say():
    ladders = published_ladders()
    karpathy, raschka = ladders["Karpathy, one A100, 2024"], ladders["Raschka, one A100, 2025"]
    assert round(16_384 / karpathy["fused AdamW"] * 1000) == 90  # milliseconds
    assert (raschka["float32"], raschka["larger batch"]) == (12_525, 142_156)
    assert all(list(rungs.values()) == sorted(rungs.values()) for rungs in ladders.values())
    said = [text.get_text() for axes in draw_ladders(ladders).axes for text in axes.texts]
    assert said.count("1 ×") == 2 and said[-1] == "11 ×"


def test_the_stored_ladder_trained_alike_on_every_rung():
    stored = read_result(Ladder, RESULTS / "ladder.json")
    assert stored is not None
    losses = {name: torch.tensor(row["losses"]) for name, row in stored.rungs.items()}
    assert_close(losses["fused optimizer"], losses["plain loop"], rtol=1e-4, atol=0)
    for name in losses.keys() - {"plain loop", "fused optimizer", "larger batch"}:
        assert_close(losses[name], losses["plain loop"], rtol=1e-2, atol=0)
    assert stored.command.startswith("python course.py ladder small") and "larger batch" in str(stored)
