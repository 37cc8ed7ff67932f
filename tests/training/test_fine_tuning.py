"""What fine-tuning adds to the loop: plateau, last layers only, less memory, other texts, phrases known by heart."""

from __future__ import annotations

import csv
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import QUICK, TINY, equal_weights, make_trainer, quiet_log, tiny_data, tiny_model, tiny_tokens
from shapes import peak_bytes
from torch.testing import assert_close

from utils.batches import Batches
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.model import GPT2
from utils.run_log import RunLog
from utils.texts.memorization import Phrases
from utils.training.checkpoints import LAST, Progress
from utils.training.config import TrainConfig
from utils.training.data import MemorizationMeter, TrainingData
from utils.training.distributed import World
from utils.training.loop import Trainer, train
from utils.training.optimizers import freeze_all_but_last, learning_rate_at

PLATEAU = replace(QUICK, schedule="plateau", warmup_steps=0, learning_rate=1.0, min_learning_rate=0.02)


# The plateau schedule


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_plateau_cuts_the_rate_when_pytorchs_own_scheduler_does(patience):
    config = replace(PLATEAU, plateau_patience=patience, plateau_factor=0.3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.3, patience=patience - 1, threshold=0, min_lr=0.02
    )
    trainer = make_trainer(config)
    losses = [3, 2, 2.5, 2.4, 2.2, 2.3, 1.9, 2, 2, 2, 2, 2, 1.8, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9]
    for loss in losses:
        trainer.progress.judge(loss)
        trainer.cut_rate_on_plateau()
        theirs.step(loss)
        assert learning_rate_at(5, config, trainer.progress.cuts) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert trainer.progress.cuts >= 2


def test_plateau_warms_up_first_and_ends_at_the_smallest_rate():
    config = replace(PLATEAU, warmup_steps=4)
    assert [learning_rate_at(step, config) for step in (0, 1, 3, 4, 500)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert learning_rate_at(500, config, cuts=3) == 0.125
    assert learning_rate_at(500, config, cuts=30) == 0.02


def test_a_run_on_noise_is_slowed_and_goes_on_so_after_a_resume(tmp_path):
    noise = torch.randint(0, 50, (100,), generator=torch.Generator().manual_seed(1))
    data = lambda: TrainingData(Batches(tiny_tokens(), 4, 16), noise)  # noqa: E731
    config = replace(QUICK, schedule="plateau", evaluate_every=5, plateau_patience=1, max_steps=60)
    whole = quiet_log(tmp_path / "a")
    train(tiny_model(), data(), config, whole)
    rates = [record.learning_rate for record in whole.history]
    assert rates[-1] < rates[10]
    parted = replace(config, out=str(tmp_path / "run"))
    train(tiny_model(), data(), replace(parted, max_steps=40))
    log = quiet_log(tmp_path / "b")
    train(tiny_model(3), data(), replace(parted, resume=True), log)
    assert [record.learning_rate for record in log.history] == rates[40:]


def test_plateau_and_patience_need_a_held_out_text():
    for config in (PLATEAU, replace(QUICK, patience=2)):
        with pytest.raises(CourseError, match=r"(schedule=plateau|patience=2) needs a held-out loss"):
            train(tiny_model(), TrainingData(Batches(tiny_tokens(), 4, 16)), config)


def test_a_held_out_loss_that_is_no_number_is_never_the_best():
    progress = Progress(step=7)
    with pytest.raises(CourseError, match="held-out loss of step 7 is nan"):
        progress.judge(float("nan"))
    assert progress.best_loss is None


# Only some layers


def bits_of(model: GPT2) -> dict[str, bytes]:
    return {name: weight.detach().numpy().tobytes() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_frozen_bytes_never_change_and_all_others_do(optimizer):
    model = GPT2(replace(TINY, n_layer=3))
    before = bits_of(model)
    train(model, tiny_data(), replace(QUICK, train_layers=1, optimizer=optimizer))
    changed = {name for name, bits in bits_of(model).items() if bits != before[name]}
    assert changed == {name for name in before if name.startswith(("blocks.2.", "final_norm."))}
    assert all(weight.requires_grad for weight in model.parameters()), "the next run may train all of it"


def test_the_last_layers_get_the_gradients_of_training_everything():
    part, full = (make_trainer(replace(QUICK, train_layers=layers, clip=0.0)) for layers in (1, 0))
    for trainer in (part, full):
        trainer.backward([trainer.data.batches.next_batch()])
    whole = dict(full.model.named_parameters())
    for name, weight in part.model.named_parameters():
        if name.startswith(("blocks.1.", "final_norm.")):
            assert_close(weight.grad, whole[name].grad)
        else:
            assert weight.grad is None


def test_what_was_frozen_by_hand_stays_frozen():
    model = tiny_model()
    model.position_embedding.weight.requires_grad = False  # as an adapter's base would be
    train(model, tiny_data(), replace(QUICK, max_steps=1, train_layers=1))
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == [
        "position_embedding.weight"
    ]


def test_more_layers_than_there_are_get_a_sentence():
    with pytest.raises(CourseError, match="train_layers is 3, this model has 2 blocks"):
        freeze_all_but_last(tiny_model(), 3)


# Gradient checkpointing


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [0, 1])
def test_recomputed_blocks_give_the_same_gradients_bit_for_bit(dtype, layers):
    config = replace(QUICK, dtype=dtype, train_layers=layers)
    kept, again = (make_trainer(replace(config, gradient_checkpointing=on)) for on in (False, True))
    losses = [trainer.backward([trainer.data.batches.next_batch()]) for trainer in (kept, again)]
    assert losses[0] == losses[1]
    for ours, theirs in zip(again.model.parameters(), kept.model.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)


def test_recomputing_blocks_takes_far_less_memory(tmp_path):
    shape = GPT2Config(n_layer=8, n_head=2, n_embd=32, vocab_size=50, context=64)
    peaks = {}
    for on in (False, True):
        torch.manual_seed(0)
        data = TrainingData(Batches(tiny_tokens(4000), 16, 64))
        config = TrainConfig(context=64, batch_size=16, dtype="float32", gradient_checkpointing=on)
        trainer = Trainer(GPT2(shape), data, config, World())
        parts = [data.batches.next_batch()]
        trainer.backward(parts)  # gradients are there from now on
        peaks[on] = peak_bytes(lambda trainer=trainer, parts=parts: trainer.backward(parts), tmp_path)
    print(f"\npeak of one step: {peaks[False] / 1e6:.0f} MB kept, {peaks[True] / 1e6:.0f} MB recomputed")
    assert peaks[True] < 0.35 * peaks[False]


def test_the_next_run_on_a_model_recomputes_only_if_it_asks(tmp_path):
    model = tiny_model()
    train(model, tiny_data(), replace(QUICK, max_steps=1, gradient_checkpointing=True))
    train(model, tiny_data(), replace(QUICK, max_steps=1))
    assert model.recompute is False


# Other texts, and phrases known by heart


def test_the_loss_on_other_texts_is_measured_beside_the_held_out_one(tmp_path):
    other = torch.arange(193) * 3 % 50  # twelve windows of 16 targets
    data = replace(tiny_data(), also={"threes": other})
    log = quiet_log(tmp_path)
    model = tiny_model()
    train(model, data, replace(QUICK, max_steps=40, evaluate_every=20), log)
    assert {20, 40} <= {found.step for found in log.evaluations}  # and after each epoch
    windows = other.unfold(0, 17, 16)  # inputs and targets, 16 tokens at a time
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
    assert log.losses("threes")[-1] == (40, pytest.approx(float(expected), rel=1e-4))
    assert log.losses("threes")[-1][1] > log.losses("threes")[0][1] + 0.1, "sevens are learned, threes forgotten"
    assert "threes loss" in log.evaluations[0].line()
    with (tmp_path / "evaluations.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["threes"]) for row in rows] == [loss for _, loss in log.losses("threes")]
    assert [float(row["held_out"]) for row in rows] == [loss for _, loss in log.losses()]


def test_a_text_too_short_to_measure_stops_at_the_start():
    data = replace(tiny_data(), also={"haiku": torch.tensor([3])})
    with pytest.raises(CourseError, match="The haiku text has 1 tokens, expected at least 2"):
        train(tiny_model(), data, QUICK)


def letters(tokens) -> str:
    return " ".join(str(token) for token in tokens)


def test_the_meter_goes_from_nothing_to_all_while_a_text_is_learned_by_heart(tmp_path):
    meter = MemorizationMeter(Phrases([letters(tiny_tokens().tolist())], words=4), letters, start=0, length=30)
    data, model = TrainingData(Batches(tiny_tokens(), 4, 16), memorization=meter), tiny_model()
    assert meter(model) < 0.05
    log = quiet_log(tmp_path)
    train(model, data, replace(QUICK, max_steps=250, evaluate_every=250), log)
    (found,) = log.evaluations
    assert found.held_out is None
    assert found.memorized > 0.9
    assert found.line() == f"step 250 | memorized {found.memorized:.1%}"


def test_measuring_changes_nothing_about_training():
    meter = MemorizationMeter(Phrases(["1 2 3"], words=2), letters, start=0)
    plain, measured = tiny_model(), tiny_model()
    train(plain, TrainingData(Batches(tiny_tokens(), 4, 16)), QUICK)
    train(measured, replace(tiny_data(), also={"b": tiny_tokens(90)}, memorization=meter), QUICK)
    assert equal_weights(plain, measured)


# Saving by the clock


def test_checkpoints_are_saved_by_the_clock_too(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"), save_minutes=1e-9)
    trainer = make_trainer(config)
    trainer.progress.step = 3  # no multiple of save_every
    time.sleep(0.001)
    assert trainer.time_to_save()
    calm = make_trainer(replace(config, save_minutes=10.0))
    calm.progress.step = 3
    assert not calm.time_to_save()
    calm.saved_at -= 601
    assert calm.time_to_save()


def test_a_run_saves_in_the_middle_when_minutes_say_so(tmp_path):
    seen = []
    config = replace(QUICK, out=str(tmp_path / "run"), save_minutes=1e-9, log_every=1)
    log = RunLog(tmp_path, every=1, show=lambda line: seen.append((tmp_path / "run" / LAST).exists()))
    train(tiny_model(), tiny_data(), config, log)
    assert seen[0] is False and seen[-1] is True


# A damaged batch


def test_a_token_that_the_model_does_not_know_stops_with_step_and_batch():
    tokens = np.array(tiny_tokens())
    tokens[300:] = 60000
    trainer = Trainer(tiny_model(), TrainingData(Batches(tokens, 4, 16)), QUICK, World())
    with pytest.raises(CourseError) as caught:
        for _ in range(10):
            trainer.step()
    message = str(caught.value)
    step = trainer.progress.step + 1
    assert f"Step {step} met token 60000, expected ids from 0 to 49" in message
    batches = Batches(tokens, 4, 16)
    for _ in range(step):
        inputs, _ = batches.next_batch()
    assert f"windows that begin at tokens {', '.join(str(place) for place in batches.places)}." in message
    assert all(
        (tokens[place : place + 16] == row.numpy()).all() for place, row in zip(batches.places, inputs, strict=True)
    )
