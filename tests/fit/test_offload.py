"""Weights that lie elsewhere: the same logits and text to the last bit, in less memory, which is measured."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from shapes import child, peak_bytes, random_tokens, tiny_model
from torch.testing import assert_close

from utils.config import GPT2Config, Workload
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.fit.offload import VisitingBlock, keep_blocks, load_with_plan
from utils.fit.placement import Caps, Plan, block_bytes, plan_placement
from utils.formats.gguf_writer import save_gguf
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import quantize_model
from utils.sampling import Sampling, generate
from utils.serve.llama_cpp import LlamaCpp

SHAPE = GPT2Config(n_layer=5, n_head=2, n_embd=32, vocab_size=5003, context=40)  # the table visits in two parts
WORK = Workload(2, 40)
CPU, GPU, DISK = "cpu", "gpu", "disk"
PLANS = {  # worker, table, blocks; where there is no GPU, the CPU plays its part
    "all at hand": (CPU, CPU, (CPU,) * 5),
    "last blocks on the disk": (CPU, CPU, (CPU, CPU, DISK, DISK, DISK)),
    "all blocks on the disk": (CPU, CPU, (DISK,) * 5),
    "blocks in CPU memory, products elsewhere": (GPU, GPU, (GPU, CPU, CPU, CPU, CPU)),
    "three places": (GPU, GPU, (GPU, GPU, CPU, DISK, DISK)),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_gpt2(tiny_model(SHAPE), tmp_path_factory.mktemp("whole"))


def plan_of(name: str, work: Workload = WORK) -> Plan:
    return Plan(SHAPE, work, *PLANS[name])


@torch.no_grad()
def logits_of(model: GPT2) -> torch.Tensor:
    return model(random_tokens(2, 40, SHAPE.vocab_size))


@pytest.mark.parametrize("name", PLANS)
def test_offloaded_blocks_give_the_same_logits_to_the_last_bit_and_the_same_text(saved, tmp_path, name):
    model, prompts = load_with_plan(saved, plan_of(name), tmp_path, "cpu"), [[5, 6, 7], [8]]
    assert torch.equal(logits_of(model), logits_of(load_gpt2(saved)))
    for settings in (Sampling(max_new=20, temperature=0, stop=()), Sampling(max_new=60, seed=3, stop=(), window=True)):
        expected = generate(load_gpt2(saved), prompts, settings)
        assert generate(model, prompts, settings) == expected
    assert len(set(expected[0])) > 5


@pytest.mark.parametrize("place", [CPU, DISK])
def test_a_table_that_visits_gives_the_same_logits_text_and_loss(saved, tmp_path, place):
    plan = replace(plan_of("three places"), table=place)
    model, whole = load_with_plan(saved, plan, tmp_path, "cpu"), load_gpt2(saved)
    assert_close(logits_of(model), logits_of(whole), atol=1e-5, rtol=0)
    settings = Sampling(max_new=20, temperature=0, stop=())
    assert generate(model, [[5, 6, 7]], settings) == generate(whole, [[5, 6, 7]], settings)
    tokens = random_tokens(1, 200, SHAPE.vocab_size)[0]
    losses = [measure_loss(one, tokens, Protocol(40, 40)).loss for one in (model, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_weights_visit_as_16_bits(saved, tmp_path, dtype):
    work = replace(WORK, dtype=dtype)
    plan = replace(plan_of("three places", work), table=DISK)
    model, whole = load_with_plan(saved, plan, tmp_path, "cpu"), load_gpt2(saved, getattr(torch, dtype))
    expected = logits_of(whole).float()
    assert_close(logits_of(model).float(), expected, atol=2e-2 * float(expected.std()), rtol=0)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1.02 * plan.needs[DISK]


@pytest.mark.parametrize("name", PLANS)
def test_what_a_plan_says_it_needs_is_the_measured_peak(tmp_path, name):
    config = replace(SHAPE, n_embd=128, vocab_size=3000)
    whole = save_gpt2(GPT2(config), tmp_path / "whole")
    plan = Plan(config, WORK, *PLANS[name])
    prompts = random_tokens(2, 38, 3000).tolist()

    def run() -> None:
        model = load_with_plan(whole, plan, tmp_path, "cpu")
        generate(model, prompts, Sampling(max_new=3, temperature=0, stop=()))

    here = plan.needs[plan.worker] + (plan.needs[CPU] if plan.worker == GPU else 0)  # all of it in CPU memory
    assert peak_bytes(run, tmp_path) == pytest.approx(here, rel=0.2)


RESIDENT = """
import sys
from pathlib import Path
from benchmarks.measure import peak_memory
import psutil
from utils.formats.gguf_writer import save_gguf
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2
from utils.serve.llama_cpp import LlamaCpp
from utils.fit.offload import load_with_plan
from utils.fit.placement import Caps, plan_placement
from utils.config import GPT2Config, Workload
from utils.sampling import Sampling, generate
whole, folder, cap = sys.argv[1], sys.argv[2], int(sys.argv[3])
config, work = GPT2Config(16, 4, 256, 1000, 64), Workload(1, 32)
settings = Sampling(max_new=4, temperature=0, stop=())
generate(load_gpt2(sys.argv[4]), [[1, 2]], settings)  # what PyTorch allocates once
Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
before = psutil.Process().memory_info().rss
model = load_with_plan(whole, plan_placement(config, Caps(cpu=cap, disk=10**9), work), folder)
tokens = generate(model, [[1, 2, 3]], settings)
print(peak_memory() - before, *tokens[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from Linux's /proc")
def test_a_process_really_takes_less_memory_when_blocks_lie_on_the_disk(tmp_path):
    shape = GPT2Config(16, 4, 256, 1000, 64)
    whole, small = save_gpt2(tiny_model(shape), tmp_path / "whole"), save_gpt2(tiny_model(), tmp_path / "small")
    weights = 16 * block_bytes(shape, Workload())
    found = {}
    for cap in (10**9, 15 * 10**6):
        words = child(RESIDENT, str(whole), str(tmp_path), str(cap), str(small)).split()
        found[cap] = int(words[0]), words[1:]
    (all_of_it, expected), (under_cap, tokens) = found.values()
    assert tokens == expected and len(tokens) == 4
    assert all_of_it > 0.9 * weights > 45e6
    assert under_cap < 0.5 * weights


def test_blocks_of_a_loaded_model_can_be_moved_away_step_by_step(saved, tmp_path):
    model, whole = load_gpt2(saved), load_gpt2(saved)
    for count in (5, 3, 1, 0):
        keep_blocks(model, count, tmp_path)
        assert [isinstance(block, VisitingBlock) for block in model.blocks] == [layer >= count for layer in range(5)]
        assert torch.equal(logits_of(model), logits_of(whole))
    kept = sum(weight.nbytes for weight in model.parameters())
    assert kept == sum(p.nbytes for p in whole.parameters()) - 5 * block_bytes(SHAPE, WORK)


def test_plans_for_other_files_and_without_a_folder_are_refused(saved, tmp_path):
    other = replace(plan_of("all at hand"), config=replace(SHAPE, n_head=4))
    packed = save_quantized(quantize_model(load_gpt2(saved), Grid(8)), tmp_path / "packed")
    for file, plan, folder, datum in (
        (saved, other, tmp_path, "n_head=4"),
        (saved, plan_of("all blocks on the disk"), None, "folder"),
        (packed, plan_of("all at hand"), tmp_path, "quantized"),
    ):
        with pytest.raises(CourseError, match=datum):
            load_with_plan(file, plan, folder)


def test_a_plan_made_by_the_planner_loads_and_runs(saved, tmp_path):
    plan = plan_placement(SHAPE, Caps(cpu=900_000, disk=10**7), replace(WORK, batch=1))
    assert DISK in plan.blocks or plan.table == DISK
    model = load_with_plan(saved, plan, tmp_path)
    assert_close(logits_of(model), logits_of(load_gpt2(saved)), atol=1e-5, rtol=0)


def test_layers_on_the_gpu_never_change_the_text_of_llama_cpp(tmp_path):
    model = tiny_model(GPT2Config(n_layer=3, n_head=2, n_embd=64, context=64))  # the vocabulary that llama.cpp wants
    path = save_gguf(model, tmp_path / "F32.gguf", "F32")
    expected = generate(model, [[464, 2068]], Sampling(max_new=6, temperature=0, stop=()))[0]
    for layers in (0, 2, 99):
        assert LlamaCpp(path, threads=1, context=64, gpu_layers=layers).tokens([464, 2068], 6) == expected
