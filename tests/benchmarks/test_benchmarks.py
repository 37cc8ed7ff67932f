"""The benchmarks' arithmetic, their order of turns, their reports, and that each runs; nothing here is timed."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import sys

import numpy as np
import pytest
import torch
from shapes import compare_logits

import benchmarks
from benchmarks import (
    adapters,
    drafting,
    finetuning,
    generation,
    loading,
    measure,
    offload,
    quantization,
    report,
    serving,
    tokenizing,
    training,
    watching,
)
from benchmarks.gptqmodel_peer import gptqmodel_python, quantize_there, with_tokenizer
from benchmarks.measure import Child, Report, Rounds, Summary, compare, interleave, summarize
from utils.config import GPT2Config, flops_per_token, total_parameters
from utils.errors import CourseError
from utils.formats.gguf_writer import save_gguf
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.quantize.gptq import gptq_model
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import plan_for, quantize_model
from utils.sampling import Sampling, generate
from utils.serve.llama_cpp import LlamaCpp

TINY = GPT2Config(n_layer=2, n_head=2, n_embd=64, context=64)  # GPT-2's vocabulary, which llama.cpp asks for
SMALL = GPT2Config(n_layer=1, n_head=2, n_embd=128, context=64)
AT_ONCE = Rounds(count=1, warm_up=0, patience=0)


@pytest.fixture
def race(monkeypatch):
    """Run a benchmark once at a tiny shape.

    Its contestants fork from a process that holds torch: each would import it for seconds. How they start otherwise,
    the tests of Child hold; Windows has no fork.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        ours = [
            "utils.training.loop",
            "utils.system_log",
            "tools.fast_layers",
            "utils.quantize.gptq",
            "utils.loaders",
        ]
        context.set_forkserver_preload([*adapters.IMPORTS, generation.TRANSFORMERS, *ours])
        monkeypatch.setattr(Child, "context", context)

    def run(benchmark, **settings) -> Report:
        found = benchmark.measure(benchmark.Settings(**settings, rounds=AT_ONCE))
        assert json.dumps(report.to_json(found))
        assert all(value >= 0 for turns in found.samples.values() for turn in turns for value in turn.values())
        return found

    return run


def tiny_report(**changes) -> Report:
    samples = {"ours": [{"tokens/s": 10.0, "peak bytes": 3e6}, {"tokens/s": 30.0, "peak bytes": 3e6}]}
    samples["theirs"] = [{"tokens/s": 5.0}, {"tokens/s": 10.0}]
    ratio = compare(samples, "ours", "theirs", "tokens/s", target=1.25)
    parts = {"settings": {"rounds": 2}, "samples": samples, "ratios": [ratio], "notes": ["Said plainly."]}
    return Report("tiny", "A tiny race", **parts | {"machine": {"cores": 2}} | changes)


def test_a_summary_is_the_median_and_the_extremes():
    assert summarize([9.0, 1.0, 5.0]) == Summary(median=5.0, low=1.0, high=9.0, count=3)
    assert summarize([1.0, 2.0, 4.0, 100.0]).median == 3.0


def test_a_summary_of_nothing_is_refused():
    with pytest.raises(CourseError, match="at least one round"):
        summarize([])


def test_ratios_are_taken_within_a_round_and_not_between_medians():
    samples = {"a": [{"x": 10.0}, {"x": 2.0}, {"x": 9.0}], "b": [{"x": 5.0}, {"x": 4.0}, {"x": 3.0}]}
    ratio = compare(samples, "a", "b", "x")
    assert ratio.summary == Summary(median=2.0, low=0.5, high=3.0, count=3)  # the medians' ratio would be 2.25


def test_ratios_of_unequal_numbers_of_rounds_are_refused():
    with pytest.raises(ValueError, match="longer|shorter"):
        compare({"a": [{"x": 1.0}], "b": [{"x": 1.0}, {"x": 1.0}]}, "a", "b", "x")


def test_contestants_take_turns_and_the_warm_up_does_not_count():
    order = []

    def turn(name: str):
        return lambda: order.append(name) or {"turn": float(len(order))}

    samples = interleave({name: turn(name) for name in "ABC"}, Rounds(2, warm_up=1, patience=0))
    assert "".join(order) == "ABCABCABC"
    assert samples == {
        "A": [{"turn": 4.0}, {"turn": 7.0}],
        "B": [{"turn": 5.0}, {"turn": 8.0}],
        "C": [{"turn": 6.0}, {"turn": 9.0}],
    }


def hold(megabytes: int):
    """A contestant that holds memory in its first turn only."""
    blocks = [np.ones(megabytes * 125_000)]  # 8 bytes each
    return lambda: {"held": float(sum(block.nbytes for block in blocks)), "process": float(os.getpid()), **drop(blocks)}


def drop(blocks: list) -> dict:
    blocks.clear()
    return {}


def fail():
    raise ValueError("no such weights")


def vanish():
    os._exit(3)


def test_a_child_keeps_its_state_in_a_process_of_its_own_and_reports_its_peak():
    with Child(hold, 200, imports=("numpy", __name__)) as child:
        first, second = child.turn(), child.turn()
    assert first["process"] == second["process"] != os.getpid()
    assert (first["held"], second["held"]) == (200e6, 0.0)
    assert 195e6 <= first["peak bytes"] < 260e6  # counted in pages
    assert second["peak bytes"] >= first["peak bytes"]  # a peak does not fall
    assert not child.process.is_alive()


def test_a_child_that_fails_or_dies_is_named(race):
    with Child(fail) as child, pytest.raises(CourseError, match="contestant fail failed: ValueError: no such weights"):
        child.turn()
    with Child(vanish) as child, pytest.raises(CourseError, match="contestant vanish ended with exit code 3"):
        child.turn()


def test_the_json_holds_samples_summaries_and_ratios(tmp_path):
    path = report.save(tiny_report(), tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "tiny.json"
    assert list(content) == ["benchmark", "title", "machine", "settings", "summaries", "ratios", "notes", "samples"]
    assert content["summaries"]["ours"]["tokens/s"] == {"median": 20.0, "low": 10.0, "high": 30.0, "count": 2}
    assert content["samples"]["theirs"] == [{"tokens/s": 5.0}, {"tokens/s": 10.0}]
    assert content["ratios"] == [
        {
            "of": "ours",
            "to": "theirs",
            "quantity": "tokens/s",
            "summary": {"median": 2.5, "low": 2.0, "high": 3.0, "count": 2},
            "target": 1.25,
        }
    ]


def test_the_table_shows_machine_rows_ratios_and_notes():
    text = report.to_markdown(tiny_report())
    assert "Measured on: cores 2." in text
    assert "|  | tokens/s | peak (MB) |" in text
    assert "| ours | 20 (10–30) | 3 |" in text
    assert "| theirs | 7.5 (5–10) |  |" in text  # what was not measured stays empty
    assert "| ours / theirs | tokens/s | 2.50 (2.00–3.00) | ≥ 1.25 |" in text
    assert text.endswith("- Said plainly.\n")


def test_the_machine_is_described_without_names():
    described = measure.machine_description()
    assert {"system", "cores", "instruction set", "memory GiB", "bfloat16 in hardware"} <= set(described)
    assert platform.node() not in json.dumps(described)


def test_an_unknown_benchmark_is_refused_before_anything_runs():
    with pytest.raises(CourseError, match="no benchmark 'speed', expected some of startup, "):
        benchmarks.run(["startup", "speed"])


def test_run_prints_the_table_and_keeps_the_json(tmp_path, capsys):
    assert benchmarks.run(["startup"], count=1, folder=tmp_path) == 0
    assert "| import utils |" in capsys.readouterr().out
    content = json.loads((tmp_path / "startup.json").read_text(encoding="utf-8"))
    assert content["settings"]["rounds"]["count"] == 1
    assert {len(turns) for turns in content["samples"].values()} == {1}


def test_the_share_of_the_memory_limit_is_bytes_of_weights_over_what_can_be_read():
    config = GPT2Config(n_layer=1, n_head=1, n_embd=10, vocab_size=100, context=20)
    read = total_parameters(config) - 20 * 10  # a token looks up one position, and reads the table as the head
    samples = {
        "reading memory": [{generation.READ: 8.0}],
        "ours 16-bit": [{generation.DECODE: 1e6}],
        "llama.cpp Q8_0": [{generation.DECODE: 1e6}],
    }
    generation.add_bandwidth_share(samples, config)
    share = "of the memory limit share"
    assert samples["ours 16-bit"][0][share] == pytest.approx(1e6 * 2 * read / 8e9)
    assert samples["llama.cpp Q8_0"][0][share] == pytest.approx(1e6 * (34 / 32) * read / 8e9)
    assert share not in samples["reading memory"][0]


def test_the_share_of_the_matrix_peak_is_taken_round_by_round():
    samples = {
        "matrix product float32, 4 × 256": [{training.FLOPS: 0.1}, {training.FLOPS: 0.2}],
        "ours float32, 4 × 256": [{training.SPEED: 50.0}, {training.SPEED: 50.0}],
    }
    training.add_share_of_peak(samples, flops=10**9)
    assert [s[training.SHARE] for s in samples["ours float32, 4 × 256"]] == pytest.approx([0.5, 0.25])


def test_the_gguf_file_gives_the_same_tokens_in_llama_cpp_as_ours(tmp_path):
    torch.manual_seed(3)
    model = GPT2(TINY).eval()
    for weight in model.parameters():
        weight.data.add_(torch.randn_like(weight), alpha=0.2)
    prompt = [464, 2068, 7586]
    theirs = LlamaCpp(save_gguf(model, tmp_path / "F32.gguf", "F32"), threads=1, context=64)
    expected = generate(model, [prompt], Sampling(max_new=12, temperature=0, stop=()))[0]
    assert theirs.tokens(prompt, 12) == expected
    assert len(set(expected)) > 3


def test_serving_runs_at_a_tiny_shape(race, tmp_path):
    torch.manual_seed(0)
    save_gpt2(GPT2(TINY), tmp_path)
    found = race(serving, model=str(tmp_path), visitors=3, abandoned=2, max_new=4, abandoned_new=8, seats=2)
    assert list(found.samples) == ["ours × 2", "ours × 1", "llama.cpp F32"]
    assert [(ratio.of, ratio.to) for ratio in found.ratios[:2]] == [
        ("ours × 2", "ours × 1"),
        ("ours × 2", "llama.cpp F32"),
    ]


def test_generation_runs_at_a_tiny_shape(race):
    found = race(generation, config=TINY, prompt=3, max_new=4, batch=2, llama_kinds=("F16",))
    expected = {"ours float32", "ours 16-bit", "transformers float32", "ours 16-bit × 2", "transformers float32 × 2"}
    assert expected | {"llama.cpp F16", "reading memory"} <= set(found.samples)
    assert all(sample["peak bytes"] > 0 for turns in found.samples.values() for sample in turns)
    assert {(r.of, r.to) for r in found.ratios} >= {("ours 16-bit", "llama.cpp F16")}


def test_drafting_runs_at_a_tiny_shape_and_a_repetition_saves_passes(race):
    found = race(drafting, config=TINY, max_new=20, dtypes=("float32",), counted_stories=100)
    counted, story = f"{drafting.COUNTED}, float32, draft 6", f"{drafting.STORY}, float32"
    assert found.samples[counted][0][drafting.KEPT] > found.samples[story][0][drafting.KEPT]
    assert (counted, story) in {(ratio.of, ratio.to) for ratio in found.ratios}
    plain, drafted = f"{drafting.REPEATS}, float32", f"{drafting.REPEATS}, float32, draft 4"
    assert found.samples[plain][0][drafting.KEPT] == 1 < found.samples[drafted][0][drafting.KEPT]
    assert {(ratio.of, ratio.to, ratio.quantity) for ratio in found.ratios} >= {(drafted, plain, drafting.SPEED)}


@pytest.fixture
def trained_folder(tmp_path):
    """A small model with GPT-2's vocabulary, in the place of nano."""
    torch.manual_seed(0)
    return save_gpt2(GPT2(SMALL), tmp_path / "judged")


def test_quantization_runs_at_a_tiny_shape_without_its_peer(race, trained_folder):
    judge = {"model": str(trained_folder), "judge_rows": 2, "held_out": 64}
    found = race(quantization, config=SMALL, rows=2, context=16, **judge, max_new=4, peer=False, llama_kinds=())
    assert set(found.samples) == {
        quantization.ROUND, quantization.GPTQ, "ours 16-bit", "ours 8-bit", "ours 4-bit",
        f"16-bit, {trained_folder}", f"{quantization.GPTQ}, {trained_folder}", "8-bit in memory", "4-bit in memory",
    }  # fmt: skip
    assert [(ratio.of, ratio.to) for ratio in found.ratios] == [(f"ours {n}-bit", "ours 16-bit") for n in (8, 4)]
    assert any("gptqmodel is not installed" in note for note in found.notes)


@pytest.mark.skipif(not gptqmodel_python(), reason="gptqmodel (requirements/gptqmodel.txt) is not installed")
def test_gptqmodel_quantizes_the_same_weights_with_the_same_rows(tmp_path, trained_folder):
    rows = torch.randint(50257, (4, 24), generator=torch.Generator().manual_seed(0))
    seconds = quantize_there(with_tokenizer(trained_folder), rows.tolist(), quantization.peer_grid(), tmp_path / "q")
    theirs, model = load_gpt2(tmp_path / "q"), load_gpt2(trained_folder)
    ours = gptq_model(load_gpt2(trained_folder), Grid(*quantization.GRID), rows)
    assert seconds > 0
    with torch.no_grad():
        errors = [compare_logits(each(rows), model(rows)).root_mean_square for each in (theirs, ours)]
    assert 0 < errors[1] < 1.3 * errors[0]


def test_the_ratios_with_the_peer_say_who_is_faster_and_who_is_better():
    settings = quantization.Settings()
    seconds = {quantization.PEER: 30.0, quantization.GPTQ: 10.0}
    samples = {name: [{quantization.SECONDS: value}] for name, value in seconds.items()}
    samples |= {f"{name}, nano": [{quantization.PERPLEXITY: 1.6}] for name in seconds}
    first, second = quantization.ratios(samples, settings)
    assert (first.summary.median, first.target) == (3.0, 1.0)
    assert (second.summary.median, second.target) == (1.0, 0.98)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says to the page how much memory a process holds")
@pytest.mark.parametrize("grid", [Grid(8, "row"), Grid(4, 64)], ids=str)
def test_weights_in_memory_take_what_the_arithmetic_says_within_3_percent(tmp_path, grid):
    shape = GPT2Config(n_layer=8, n_head=8, n_embd=768, vocab_size=20_000, context=64)
    for folder, config in (("model", shape), ("warm-up", TINY)):
        model = GPT2(config)
        save_quantized(quantize_model(model, plan_for(model, grid, Grid(8, "row"))), tmp_path / folder)
    found = quantization.loaded_once(tmp_path / "model", tmp_path / "warm-up")
    assert found[quantization.MEMORY] == pytest.approx(1, abs=0.03)


def test_training_runs_at_a_tiny_shape(race):
    found = race(training, config=TINY, shapes=((2, 16), (4, 16)), matrix=64)
    ours, peak = (found.samples[f"{who} float32, 4 × 16"][0] for who in ("ours", "matrix product"))
    flops = flops_per_token(TINY, 16)
    assert ours[training.SHARE] == pytest.approx(ours[training.SPEED] * flops / peak[training.FLOPS] / 1e12)
    assert any(ratio.quantity == "peak bytes" for ratio in found.ratios)


def test_finetuning_runs_at_a_tiny_shape(race):
    config = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=300, context=32)
    found = race(finetuning, config=config, batch=2, context=16, steps=2)
    names = [f"{who} {dtype}" for dtype in finetuning.dtypes() for who in (finetuning.OURS, finetuning.TRAINER)]
    assert set(found.samples) == {*names, "gpt-2-simple float32"}
    assert all(turn[finetuning.SPEED] > 0 for turns in found.samples.values() for turn in turns)
    assert {ratio.quantity for ratio in found.ratios} == {finetuning.SPEED, "peak bytes"}
    assert "gpt-2-simple float32" in {ratio.to for ratio in found.ratios}


def test_offloading_runs_at_a_tiny_shape(race):
    found = race(offload, config=TINY, prompt=3, max_new=4)
    assert set(found.samples) == {offload.HERE, offload.HALF, offload.BLOCKS, offload.ALL}
    assert all(turns[0][offload.DECODE] > 0 and turns[0]["peak bytes"] > 0 for turns in found.samples.values())
    assert {r.quantity for r in found.ratios} == {offload.DECODE, "peak bytes"}


def test_adapters_run_at_a_tiny_shape(race):
    found = race(adapters, config=TINY, batch=2, context=16, rank=2, dtypes=("float32",))
    names = {f"{name} float32" for name in (adapters.FULL, adapters.LORA, adapters.QLORA, adapters.PEFT)}
    assert names == set(found.samples)
    assert all(turns[0][training.SPEED] > 0 and turns[0]["peak bytes"] > 0 for turns in found.samples.values())
    assert any((r.of, r.to) == (f"{adapters.LORA} float32", f"{adapters.PEFT} float32") for r in found.ratios)


def test_loading_runs_at_a_tiny_shape(race):
    found = race(loading, config=TINY)
    assert set(found.samples) == {loading.OURS, loading.PEER, loading.BARE, loading.FILLED}
    weights = 4 * total_parameters(TINY)
    for turns in found.samples.values():
        assert turns[0]["peak over weights"] == turns[0]["peak bytes"] / weights


def test_tokenizing_runs_on_a_little_text(race):
    found = race(tokenizing, files=12, characters=500)
    assert set(found.samples) == {tokenizing.OURS, tokenizing.CLEANED, tokenizing.DIRECT}
    assert all(turns[0][tokenizing.SPEED] > 0 for turns in found.samples.values())


def test_watching_runs_at_a_tiny_shape(race):
    found = race(watching, config=TINY, batch=2, steps=3, every=0.05)
    assert set(found.samples) == {"training, watched", "training alone", "a row of the log"}
    assert 0 < found.samples["a row of the log"][0][watching.COST] < 1
    (ratio,) = found.ratios
    assert ratio.quantity == watching.SPEED and ratio.target == 0.99
