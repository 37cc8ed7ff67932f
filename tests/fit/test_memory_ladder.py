"""The ladder under real caps on memory, set by the system on a process of its own; and every rung by arithmetic."""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import QUICK, make_trainer
from shapes import child, random_tokens, tiny_model

from utils.batches import Batches
from utils.errors import CourseError
from utils.fit.memory_ladder import (
    Effort,
    efforts,
    generate_within_memory,
    is_out_of_memory,
    lighten,
    step_down,
    train_within_memory,
)
from utils.machine import cpu_memory_cap, gpu_memory_cap
from utils.sampling import Sampling, generate
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.loop import train

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a limit of its memory")

ALLOCATE = """
import json, sys
import numpy as np, torch
from utils.machine import cpu_memory_cap
from utils.fit.memory_ladder import Effort, is_out_of_memory, step_down
MB, kind, said, errors = 10**6, sys.argv[1], [], []
def run(effort):
    count = effort.batch * effort.context * effort.layers * MB
    try:
        taken = torch.empty(count, dtype=torch.uint8) if kind == "torch" else np.empty(count, np.uint8)
    except Exception as error:
        errors.append(f"{type(error).__name__}: {is_out_of_memory(error)}")
        raise
    return str(effort)
with cpu_memory_cap(int(sys.argv[2]) * MB):
    ended = step_down(run, Effort(4, 8, 4), say=said.append)
print(json.dumps([ended, said, errors]))
"""


@on_linux
@pytest.mark.parametrize(
    ("kind", "cap", "steps", "ended"),
    [
        ("torch", 20, 3, "batch 1, context 4, layers 4"),  # 128, 64, 32 and then 16 MB
        ("numpy", 3, 6, "batch 1, context 1, layers 2"),
    ],
)
def test_the_ladder_goes_down_in_order_under_a_real_cap_and_ends_where_memory_suffices(kind, cap, steps, ended):
    found, said, errors = json.loads(child(ALLOCATE, kind, str(cap)))
    assert found == ended and len(said) == steps
    assert said[0] == ("Memory ran out with batch 4, context 8, layers 4. Going on with batch 2, context 8, layers 4.")
    expected = {"torch": "RuntimeError: True", "numpy": "MemoryError: True"}[kind]
    assert {error.removeprefix("_Array") for error in errors} == {expected}


GENERATE = """
import json, sys
from utils.config import GPT2Config
from utils.machine import cpu_memory_cap
from utils.loaders import load_gpt2
from utils.fit.memory_ladder import generate_within_memory
from utils.sampling import Sampling, generate
model, said = load_gpt2(sys.argv[1]), []
prompts = [[i, i + 1, i + 2] * 40 for i in range(24)]
generate(model, prompts[:1], Sampling(max_new=4, stop=()))
with cpu_memory_cap(int(sys.argv[3])):
    rows = generate_within_memory(model, prompts, Sampling(max_new=8, seed=5, stop=()), sys.argv[2], said.append)
print(json.dumps([said, rows == generate(model, prompts, Sampling(max_new=8, seed=5, stop=()))]))
"""


@on_linux
def test_generation_under_a_real_cap_takes_fewer_prompts_at_a_time_and_writes_the_same(tmp_path):
    from utils.config import GPT2Config
    from utils.loaders import save_gpt2

    folder = save_gpt2(tiny_model(GPT2Config(3, 4, 128, 600, 160)), tmp_path / "model")
    said, same = json.loads(child(GENERATE, str(folder), str(tmp_path), str(6 * 10**6)))  # all at once: 27 MB
    assert same
    assert said[0].startswith("Memory ran out with batch 24, context 128, layers 3. Going on with batch 12,")


TRAIN = """
import json, sys
import torch
from contextlib import nullcontext
from utils.batches import Batches
from utils.config import GPT2Config
from utils.machine import cpu_memory_cap
from utils.fit.memory_ladder import train_within_memory
from utils.model import GPT2
from utils.training.loop import TrainConfig, TrainingData
class Log:
    def __init__(self): self.losses, self.tokens = [], []
    def step(self, record): self.losses.append(record.loss); self.tokens.append(record.tokens)
    def epoch(self, row): pass
    def say(self, text): pass
torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # its first use imports half of PyTorch
torch.manual_seed(0)
model, log, said = GPT2(GPT2Config(3, 4, 64, 300, 128)), Log(), []
text = torch.randint(300, (9000,), generator=torch.Generator().manual_seed(1))
config = TrainConfig(context=128, batch_size=16, max_steps=3, warmup_steps=0, learning_rate=1e-3, dtype="float32")
with cpu_memory_cap(int(sys.argv[1])) if len(sys.argv) > 1 else nullcontext():
    result = train_within_memory(model, TrainingData(Batches(text, 16, 128)), config, log, said.append)
print(json.dumps([said, log.losses, log.tokens, result.steps]))
"""


@on_linux
def test_training_under_a_real_cap_goes_on_with_the_same_losses():
    free, capped = (json.loads(child(TRAIN, *words)) for words in ([], [str(24 * 10**6)]))
    assert free[0] == [] and free[2] == [2048] * 3
    assert "batch 16, context 128" in capped[0][0] and "Going on with batch 8, context 128" in capped[0][0]
    assert "batch 1, context 64" not in str(capped[0]), "the context was given up, though a smaller batch would do"
    assert capped[1] == pytest.approx(free[1], abs=1e-4)
    assert capped[2:] == free[2:] and capped[3] == 3


# Without a cap: what the callable does is decided here, so that each rung can be looked at


class RunsOutAbove:
    """A callable for which memory ends above some effort; it really asks for more than any machine has."""

    def __init__(self, **most: int) -> None:
        self.most, self.tried = most, []

    def __call__(self, effort: Effort) -> Effort:
        self.tried.append(effort)
        if any(getattr(effort, rung) > most for rung, most in self.most.items()):
            torch.empty(2**60, dtype=torch.uint8)
        return effort


def test_each_rung_is_halved_to_its_least_before_the_next_one_is_touched():
    found = [str(effort) for effort in efforts(Effort(5, 3, 4), Effort(1, 1, 1))]
    shapes = [(5, 3, 4), (2, 3, 4), (1, 3, 4), (1, 1, 4), (1, 1, 2), (1, 1, 1)]
    assert found == [f"batch {b}, context {c}, layers {n}" for b, c, n in shapes]


def test_only_what_memory_asks_for_is_given_up_layers_last():
    said, run = [], RunsOutAbove(batch=99)
    assert step_down(run, Effort(8, 64, 6), say=said.append) == Effort(8, 64, 6)
    assert said == [] and len(run.tried) == 1
    run = RunsOutAbove(layers=2)
    assert step_down(run, Effort(2, 2, 8), say=str) == Effort(1, 1, 2)
    assert [effort.layers for effort in run.tried] == [8, 8, 8, 4, 2]


def test_at_the_foot_of_the_ladder_and_for_other_errors_it_stops():
    with pytest.raises(CourseError, match="batch 1, context 4, layers 1"):
        step_down(RunsOutAbove(batch=0), Effort(2, 8, 2), Effort(1, 4, 1), str)

    def run(effort: Effort):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        step_down(run, Effort(2, 2, 2), say=str)


def test_out_of_memory_is_known_in_all_its_forms():
    wrapped = CourseError("could not be read")
    wrapped.__cause__ = OSError(errno.ENOMEM, "Cannot allocate memory")
    windows = RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.")
    known = (MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory"), wrapped, windows)
    assert all(is_out_of_memory(error) for error in known)
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(real.value)
    with pytest.raises(MemoryError) as real:
        np.empty(2**60, np.uint8)
    assert is_out_of_memory(real.value)
    for other in (RuntimeError("mat1 and mat2 shapes"), OSError(errno.ENOSPC, "No space"), ValueError(), CourseError()):
        assert not is_out_of_memory(other)


def test_freezing_leaves_the_upper_blocks_and_the_final_norm_learning(tmp_path):
    trainer = make_trainer()
    trainer.step()
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    lighten(trainer, Effort(4, 16, 1))
    assert len(trainer.optimizer.state) == 14  # twelve of one block, two of the norm
    trainer.step()
    changed = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if name.startswith(("blocks.1.", "final_norm"))}
    assert len(trainer.frozen) == len(before) - 14, "and the next run may train all of it"
    asked = make_trainer(replace(QUICK, train_layers=1))
    for parameter in asked.frozen:
        parameter.requires_grad = True  # as a run leaves it that memory has stopped
    lighten(asked, Effort(2, 16, 2))
    assert sum(parameter.requires_grad for parameter in asked.model.parameters()) == 14


def test_with_enough_memory_training_and_generation_are_the_plain_ones(tmp_path):
    text, config = random_tokens(1, 400)[0], TrainConfig(context=12, batch_size=4, max_steps=3, dtype="float32")
    models = [tiny_model(), tiny_model()]
    train(models[0], TrainingData(Batches(text, 4, 12)), config)
    train_within_memory(models[1], TrainingData(Batches(text, 4, 12)), config)
    assert all(map(torch.equal, models[0].parameters(), models[1].parameters()))
    prompts, settings = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]], Sampling(max_new=9, seed=2, stop=())
    assert generate_within_memory(models[0], prompts, settings, tmp_path) == generate(models[0], prompts, settings)


# Caps


@on_linux
def test_a_cap_holds_within_its_block_and_no_longer():
    code = """
import torch
from utils.machine import cpu_memory_cap
with cpu_memory_cap(50 * 10**6):
    torch.ones(5 * 10**6)
    try:
        torch.ones(10**8)
    except RuntimeError as error:
        print("refused" if "can't allocate memory" in str(error) else error)
print(len(torch.ones(10**8)))
"""
    assert child(code).split() == ["refused", "100000000"]


@on_linux
def test_what_was_freed_before_is_not_handed_out_beyond_the_cap():
    code = """
import torch
from utils.machine import cpu_memory_cap
from utils.training.malloc import KeepFreedMemory
with KeepFreedMemory():
    large = torch.zeros(75 * 10**6)
    after = [bytearray(5000) for _ in range(1000)]  # so that the C library keeps the hole
    del large
with cpu_memory_cap(100 * 10**6):
    torch.empty(90 * 10**6, dtype=torch.uint8)
    try:
        torch.empty(220 * 10**6, dtype=torch.uint8)
    except RuntimeError:
        print("refused")
"""
    assert child(code).split() == ["refused"]


def test_a_cap_that_this_machine_can_not_hold_is_refused():
    if sys.platform != "linux":
        with pytest.raises(CourseError, match="Linux"), cpu_memory_cap(10**9):
            pass
    if not torch.cuda.is_available():
        with pytest.raises(CourseError, match="CUDA"), gpu_memory_cap(10**9):
            pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cap_on_a_gpu_holds():
    with gpu_memory_cap(200 * 10**6), pytest.raises(torch.cuda.OutOfMemoryError):
        torch.empty(400 * 10**6, dtype=torch.uint8, device="cuda")
    torch.empty(400 * 10**6, dtype=torch.uint8, device="cuda")
