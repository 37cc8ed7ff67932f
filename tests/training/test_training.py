"""The loop: gradients, schedules, early ends, resuming."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from runs import (
    QUICK,
    TINY,
    equal_weights,
    make_trainer,
    quiet_log,
    tiny_data,
    tiny_model,
    tiny_tokens,
    train_at_once_and_in_parts,
    weights,
)
from torch.testing import assert_close

from utils.batches import Batches
from utils.config import flops_per_token
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.signals import StopRequest
from utils.loaders import load_gpt2
from utils.model import GPT2
from utils.training.checkpoints import Progress
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.distributed import World
from utils.training.loop import Trainer, train
from utils.training.optimizers import learning_rate_at, parameter_groups


def gradients(parts: int) -> list[torch.Tensor]:
    trainer = make_trainer(replace(QUICK, batch_size=8 // parts, accumulate=parts))
    trainer.backward([trainer.data.batches.next_batch() for _ in range(parts)])
    return [parameter.grad for parameter in trainer.model.parameters()]


def test_accumulation_equals_one_large_batch():
    assert_close(gradients(parts=4), gradients(parts=1), atol=1e-6, rtol=1e-5)


def test_accumulation_weighs_parts_by_their_targets():
    inputs = torch.randint(0, 50, (4, 16))
    targets = inputs.roll(-1, 1)
    targets[:2, 3:] = -100  # the first half has far fewer targets
    grads = []
    for parts in ([(inputs, targets)], [(inputs[:2], targets[:2]), (inputs[2:], targets[2:])]):
        trainer = make_trainer()
        loss = trainer.backward(parts)
        grads.append([loss, *[parameter.grad for parameter in trainer.model.parameters()]])
    assert_close(grads[0], grads[1], atol=1e-6, rtol=1e-5)


def test_the_step_reports_the_mean_loss_over_all_its_parts_and_a_line_that_can_be_recomputed():
    trainer = make_trainer(replace(QUICK, accumulate=3))
    twin = tiny_data().batches
    parts = [twin.next_batch() for _ in range(3)]
    with torch.no_grad():
        expected = sum(float(trainer.model(x, y)) for x, y in parts) / 3
    record = trainer.step()
    assert record.loss == pytest.approx(expected, rel=1e-5)
    assert (record.samples, record.tokens) == (12, 12 * 16)
    assert record.step == 1
    line = record.line()
    assert f"{record.tokens / record.seconds:.0f} tokens/s" in line
    assert f"{record.samples / record.seconds:.2f} samples/s" in line
    assert "mfu n/a" in line  # no peak is known for this CPU
    assert record.forward_seconds > 0 < record.backward_seconds
    assert record.forward_seconds + record.backward_seconds < record.seconds


def test_a_peak_that_is_given_makes_the_share_of_it_known():
    record = make_trainer(replace(QUICK, peak_tflops=1e-3)).step()
    assert record.mfu == pytest.approx(flops_per_token(TINY, 16) * record.tokens / record.seconds / 1e9)


def test_a_loss_must_be_lower_by_min_delta_to_renew_patience():
    progress, waited = Progress(), []
    for loss in (3.0, 2.95, 2.92, 2.85, 2.84):
        better = progress.judge(loss, min_delta=0.1)
        assert better, "the best weights are the best, by however little"
        waited.append(progress.waited)
    assert waited == [0, 1, 2, 0, 1] and progress.best_loss == 2.84
    assert [Progress(best_loss=3.0, counted_loss=3.0).judge(loss) for loss in (3.0, 2.99)] == [False, True]


def test_weights_follow_pytorch_adamw_step_by_step():
    trainer, model = make_trainer(), tiny_model()
    config, batches = trainer.config, tiny_data().batches
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay), lr=1.0, betas=(config.beta1, config.beta2), fused=False
    )
    for step in range(5):
        trainer.step()
        inputs, targets = batches.next_batch()
        loss = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        optimizer.step()
    for (name, ours), theirs in zip(trainer.model.named_parameters(), model.parameters(), strict=True):
        if not name.endswith("qkv.bias"):  # keys' biases have no gradient but rounding, which AdamW blows up
            assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_learning_rate_warms_up_then_follows_a_cosine_to_its_floor():
    config = TrainConfig(max_steps=110, warmup_steps=10, learning_rate=1.0, min_learning_rate=0.1)
    rates = [learning_rate_at(step, config) for step in range(110)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)  # half way down
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate_at(10_000, config) == pytest.approx(0.1)
    low = TrainConfig(max_steps=10, warmup_steps=0, learning_rate=1e-5, min_learning_rate=1e-4)
    assert {learning_rate_at(step, low) for step in range(10)} == {1e-5}, "below its floor it stays as it is"


def test_training_lowers_train_and_held_out_loss():
    model = tiny_model()
    result = train(model, tiny_data(), replace(QUICK, max_steps=150, evaluate_every=50))
    assert result.train_loss < 0.5 < math.log(50)
    assert result.best_validate_loss < 0.5
    assert "max_steps" in result.reason
    assert not model.training


def test_clipping_is_off_at_zero_and_limits_the_update_otherwise():
    free, tight = make_trainer(replace(QUICK, clip=0.0)), make_trainer(replace(QUICK, clip=1e-3))
    norm = free.step().gradient_norm
    assert norm == pytest.approx(tight.step().gradient_norm, rel=1e-5)  # the norm is logged before clipping

    def first_moments(trainer: Trainer) -> float:
        return math.sqrt(sum(float(s["exp_avg"].square().sum()) for s in trainer.optimizer.state.values()))

    assert first_moments(free) == pytest.approx(norm * (1 - QUICK.beta1), rel=1e-4)
    assert first_moments(tight) == pytest.approx(1e-3 * (1 - QUICK.beta1), rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_before_the_weights_and_names_its_batch(value):
    trainer = make_trainer(replace(QUICK, accumulate=2))
    trainer.step()
    with torch.no_grad():
        trainer.model.final_norm.bias[3] = value
    before = weights(trainer.model)
    with pytest.raises(CourseError, match="Step 2 gave loss .* Lower learning_rate") as caught:
        trainer.step()
    assert len(trainer.places) == 8 and ", ".join(map(str, trainer.places)) in str(caught.value)
    assert_close(weights(trainer.model), before, equal_nan=True)


def test_a_target_loss_stops_once_and_saves(tmp_path):
    config = replace(QUICK, max_steps=500, target_loss=2.0, out=str(tmp_path / "run"))
    log = quiet_log(tmp_path)
    result = train(model := tiny_model(), tiny_data(), config, log)
    losses = [record.loss for record in log.history]
    assert losses[-1] < 2.0 <= min(losses[:-1])
    assert result.steps == len(losses) < 500
    assert "below the target" in result.reason
    assert_close(weights(load_gpt2(tmp_path / "run" / "last.safetensors")), weights(model))


def test_a_target_for_an_epoch_stops_at_its_end(tmp_path):
    config = replace(QUICK, max_steps=500, target_epoch_loss=2.0, out=str(tmp_path / "run"))
    log = quiet_log(tmp_path)
    result = train(tiny_model(), tiny_data(), config, log)
    with (tmp_path / "training_log.csv").open(encoding="utf-8", newline="") as file:
        means = [float(row["Avg Training Loss"]) for row in csv.DictReader(file)]
    assert means[-1] < 2.0 <= min(means[:-1])
    assert result.steps < 500 and f"{means[-1]:.6f} over epoch {len(means)} is below the target 2" in result.reason


@pytest.mark.parametrize("in_folder", [False, True])
def test_early_stopping_brings_the_best_weights_back(tmp_path, in_folder):
    data = TrainingData(Batches(tiny_tokens(), 4, 16), noise())  # what is learned can't help on noise
    config = replace(QUICK, max_steps=400, evaluate_every=5, patience=3, out=str(tmp_path / "run") if in_folder else "")
    trainer = Trainer(model := tiny_model(), data, config, World())
    result = trainer.run(StopRequest())
    assert result.steps < 400
    assert "no better held-out loss in 3" in result.reason
    trainer.progress.evaluated_step = -1
    assert trainer.evaluate() == pytest.approx(result.best_validate_loss, rel=1e-6)
    if in_folder:
        assert_close(weights(load_gpt2(tmp_path / "run" / "model.safetensors")), weights(model))


def short_epochs(held_out: torch.Tensor) -> TrainingData:
    return TrainingData(Batches(tiny_tokens(), 8, 32), held_out)  # 400 tokens: an epoch is over in one step or two


def noise() -> torch.Tensor:
    return torch.randint(0, 50, (100,), generator=torch.Generator().manual_seed(1))


def test_epochs_of_a_step_or_two_neither_eat_patience_nor_cost_evaluations(tmp_path):
    config = replace(QUICK, context=32, batch_size=8, evaluate_every=100, patience=3, max_steps=400)
    log = quiet_log(tmp_path)
    model = GPT2(replace(TINY, n_layer=1))
    result = train(model, short_epochs(noise()), config, log)  # what is learned can't help on noise
    assert (result.steps, result.reason) == (400, "reached max_steps 400")
    assert [found.step for found in log.evaluations] == [2, 100, 200, 300, 400], "the first epoch's, and those due"
    assert result.best_validate_loss == min(found.held_out for found in log.evaluations[1:])


def test_patience_ends_a_run_at_the_evaluation_that_is_due(tmp_path):
    config = replace(QUICK, context=32, batch_size=8, evaluate_every=10, patience=3, max_steps=4000)
    log = quiet_log(tmp_path)
    result = train(tiny_model(), short_epochs(noise()), config, log)
    due = [found for found in log.evaluations if found.step % 10 == 0]
    best = min(due, key=lambda found: found.held_out)
    assert result.steps == best.step + 3 * 10 == due[-1].step
    assert result.best_validate_loss == best.held_out


def test_what_an_epochs_end_measures_counts_for_nothing_but_its_row():
    trainer = make_trainer(replace(QUICK, schedule="plateau", plateau_patience=1, patience=1))
    for _ in range(3):
        trainer.step()
        assert trainer.evaluate(due=False) == trainer.progress.validate_loss
    progress = trainer.progress
    assert (progress.best_loss, progress.waited, progress.stalled, progress.cuts) == (None, 0, 0, 0)
    trainer.step()
    assert trainer.evaluate() == progress.best_loss


def test_the_best_loss_is_updated_and_never_raised():
    trainer = make_trainer(replace(QUICK, max_steps=40))
    seen = []
    while trainer.progress.step < 40:
        trainer.step()
        seen.append(trainer.evaluate())
        assert trainer.progress.best_loss == min(seen)


def test_an_evaluation_belongs_to_its_step(tmp_path):
    trainer = make_trainer()
    trainer.step()
    first = trainer.evaluate()
    assert trainer.evaluate() == first  # the same step is not measured twice
    trainer.step()
    assert trainer.evaluate() != first


@pytest.mark.parametrize(
    ("changes", "first"),
    [*(({"accumulate": 2}, first) for first in (1, 5, 11)), ({"optimizer": "muon"}, 5), ({"train_layers": 1}, 5)],
    ids=str,
)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path, changes, first):
    (whole, entire), (resumed, rest) = train_at_once_and_in_parts(
        tiny_model, replace(QUICK, **changes), tmp_path, first
    )
    figures = [[replace(record, seconds=0) for record in log.history] for log in (entire, rest)]
    assert figures[1] == figures[0][first:]
    assert equal_weights(resumed, whole)


def test_resuming_a_finished_run_does_nothing_and_one_with_more_steps_knows_its_best(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"), patience=50)
    first = train(tiny_model(), tiny_data(), config)
    again = train(model := tiny_model(seed=9), tiny_data(), replace(config, resume=True))
    assert again == first
    assert_close(weights(load_gpt2(tmp_path / "run" / "model.safetensors")), weights(model))
    progress = make_trainer(replace(config, resume=True, max_steps=20)).progress
    assert (progress.step, progress.best_loss) == (12, first.best_validate_loss)


def test_a_new_run_moves_an_older_one_aside(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"), max_steps=2)
    train(tiny_model(0), tiny_data(), config)
    first = (tmp_path / "run" / "last.safetensors").read_bytes()
    train(tiny_model(1), tiny_data(), config)
    assert (tmp_path / "run.1" / "last.safetensors").read_bytes() == first
    assert (tmp_path / "run" / "last.safetensors").read_bytes() != first


def test_what_can_not_be_resumed_says_so_and_what_to_do(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"), max_steps=1)
    again = replace(config, resume=True)
    with pytest.raises(CourseError, match="nothing to resume.*resume=false"):
        train(tiny_model(), tiny_data(), again)
    train(tiny_model(), tiny_data(), config)
    with pytest.raises(CourseError, match="another shape"):
        train(GPT2(replace(TINY, n_layer=3)), tiny_data(), again)
    (tmp_path / "run" / "model.safetensors").replace(tmp_path / "run" / "last.safetensors")
    with pytest.raises(CourseError, match="no state of training"):
        train(tiny_model(), tiny_data(), again)


def test_a_run_in_memory_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tiny_model(), tiny_data(), replace(QUICK, patience=2))
    assert list(tmp_path.iterdir()) == []


def test_the_epoch_log_has_each_epochs_own_figures(tmp_path):
    log = quiet_log(tmp_path)
    data = tiny_data()
    train(tiny_model(), data, replace(QUICK, max_steps=30, out=""), log)
    with (tmp_path / "training_log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["Epoch"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 3
    ends = [0, *(int(row["Total Steps"]) for row in rows)]
    for row, begin, end in zip(rows, ends, ends[1:], strict=False):
        own = [record for record in log.history if begin < record.step <= end]
        assert float(row["Avg Training Loss"]) == pytest.approx(sum(r.loss for r in own) / len(own), abs=1e-5)
        assert float(row["Time per Epoch (seconds)"]) == pytest.approx(sum(r.seconds for r in own), abs=2e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_steps": 0}, "max_steps is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"clip": math.nan}, "clip"),
        ({"schedule": "linear"}, "schedule is 'linear', expected one of cosine, plateau"),
        ({"optimizer": "lion"}, "optimizer is 'lion', expected one of adamw, muon"),
        ({"parallel": "zero"}, "parallel is 'zero', expected one of ddp, fsdp"),
        ({"plateau_patience": 0}, "plateau_patience is 0"),
        ({"plateau_factor": 1.5}, "plateau_factor is 1.5"),
        ({"train_layers": -1}, "train_layers is -1"),
        ({"save_minutes": -1.0}, "save_minutes is -1"),
        ({"beta2": 1.0}, "beta2 is 1.0"),
        ({"dtype": "float8"}, "'float8'"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(CourseError, match=message):
        TrainConfig(**wrong)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_products_give_the_norm_and_nearly_the_loss_of_float32(dtype):
    exact, short = make_trainer().step(), make_trainer(replace(QUICK, dtype=dtype)).step()
    assert short.loss == pytest.approx(exact.loss, rel=0.02)
    assert short.gradient_norm == pytest.approx(exact.gradient_norm, rel=0.05)  # scaled, it would be 65,536 times that


def test_float16_skips_a_step_that_overflows_and_goes_on():
    trainer = make_trainer(replace(QUICK, dtype="float16"))
    trainer.step()
    before = weights(trainer.model)
    trainer.scaler.update(1e30)  # gradients times this are infinite in float16
    record = trainer.step()
    assert not math.isfinite(record.gradient_norm)
    assert_close(weights(trainer.model), before, rtol=0, atol=0)
    assert trainer.scaler.get_scale() < 1e30


def test_float16_resumes_with_its_scale(tmp_path):
    config = replace(QUICK, dtype="float16", out=str(tmp_path / "run"))
    trainer = make_trainer(config)
    trainer.step()
    trainer.scaler.update(128.0)
    trainer.checkpoints.save(trainer.state)
    resumed = make_trainer(replace(config, resume=True))
    assert resumed.scaler.get_scale() == trainer.scaler.get_scale() == 128.0
    assert resumed.step() == replace(trainer.step(), seconds=pytest.approx(0, abs=60))


def test_all_rows_of_a_mostly_ignored_batch_still_train():
    trainer = make_trainer()
    inputs = torch.randint(0, 50, (4, 16))
    nothing = torch.full_like(inputs, -100)
    assert trainer.backward([(inputs, nothing)]) == 0.0  # no target at all: no loss, and no division by zero
    assert all(torch.isfinite(parameter.grad).all() for parameter in trainer.model.parameters())


LEFT = """
import gc, weakref, torch
from shapes import tiny_model
from utils.batches import Batches
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.loop import train

seen, make = [], torch.optim.AdamW.__init__
def watched(self, *words, **more):
    make(self, *words, **more)
    seen.append(weakref.ref(self))
torch.optim.AdamW.__init__ = watched
gc.disable()
data = TrainingData(Batches(torch.randint(0, 90, (600,)), 2, 16))
train(tiny_model(seed=0), data, TrainConfig(context=16, batch_size=2, max_steps=2))
print(len(seen), *(each() is None for each in seen))
"""


def test_the_first_run_of_a_process_leaves_no_optimizer_in_memory():
    search = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    words = [sys.executable, "-c", LEFT]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": search}, capture_output=True, text=True)
    assert done.stdout == "1 True\n", done.stdout + done.stderr
