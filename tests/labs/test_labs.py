"""What the labs stand on: one careful step, results as data, the last weights of a run, Shakespeare's recipe."""

from __future__ import annotations

import csv
import hashlib
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shapes import peak_bytes, random_tokens

from labs.true_size.careful_step import careful_memory, careful_step
from labs.true_size.lab_results import (
    RESULTS,
    StoredRun,
    different_settings,
    in_words,
    read_result,
    read_steps,
    recited,
    store_run,
    write_result,
)
from labs.true_size.last_weights import keep_last, last_model, learned_text
from labs.true_size.step_child import StepJob, StepReport, measure_step
from tools.__main__ import main
from utils.config import SIZES, GPT2Config, Workload, total_parameters
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.files.hub import TEXTS, Pin
from utils.files.places import ROOT
from utils.files.settings import read_settings
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.texts.bins import tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.texts.records import Document
from utils.tokenizer import Tokenizer
from utils.training.recipes import TrainingRecipe, run_recipe

SHAPE = GPT2Config(n_layer=3, n_head=2, n_embd=16, vocab_size=90, context=24)


def random_model(config: GPT2Config = SHAPE) -> GPT2:
    torch.manual_seed(3)
    return GPT2(config).eval()


def usual_step(model: GPT2, inputs, targets, rate: float, decay: float) -> float:
    """AdamW's step as PyTorch takes it, matrices decayed and the rest not."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    loss = model(inputs, targets)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


# One careful step


def test_a_careful_step_is_adamws_first_one_on_every_weight():
    tokens = random_tokens(2, 21, SHAPE.vocab_size)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    mine, theirs = random_model(), random_model()
    loss = careful_step(mine, inputs, targets, rate=1e-2, decay=0.1)
    assert loss == pytest.approx(usual_step(theirs, inputs, targets, 1e-2, 0.1), abs=1e-5)
    for (name, got), expected in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        unsure = (got - expected).abs() > 1e-5  # where a gradient is noise, its sign is chance
        assert unsure.float().mean() < 0.01, name
    assert mine.head.weight.data_ptr() == mine.token_embedding.weight.data_ptr()


@pytest.mark.parametrize("wrong", [0, 1000], ids=["right tokens", "tokens that are none"])
def test_a_careful_step_leaves_no_gradient_and_no_hook_even_when_it_fails(wrong):
    model, tokens = random_model(), random_tokens(1, 9, SHAPE.vocab_size)
    with pytest.raises((IndexError, RuntimeError)) if wrong else nullcontext():
        careful_step(model, tokens[:, :-1] + wrong, tokens[:, 1:])
    assert all(weight.grad is None for weight in model.parameters())
    assert not model.training and not model.recompute
    before = [weight.clone() for weight in model.parameters()]
    model(tokens[:, :-1], tokens[:, 1:]).backward()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_careful_step_allocates_less_than_one_copy_of_the_weights(tmp_path):
    config = GPT2Config(n_layer=8, n_head=2, n_embd=64, vocab_size=100, context=16)
    weights = 4 * total_parameters(config)
    tokens = random_tokens(1, 9, config.vocab_size)
    model = random_model(config)
    careful = peak_bytes(lambda: careful_step(model, tokens[:, :-1], tokens[:, 1:]), tmp_path)
    usual = peak_bytes(lambda: usual_step(model, tokens[:, :-1], tokens[:, 1:], 1e-4, 0.1), tmp_path)
    assert careful < 0.4 * weights
    assert usual > 2.9 * weights  # gradients and two moments


def test_xl_with_care_fits_where_the_usual_way_does_not():
    need = careful_memory(SIZES["xl"], Workload(1, 128))
    assert need["weights"] == 4 * 1_557_611_200
    assert sum(need.values()) < 8e9
    with pytest.raises(CourseError, match="Nothing was allocated"):
        measure_step(StepJob("xl"), keep_free=10**15)


def test_a_step_in_a_child_is_measured_and_near_its_estimate():
    report = measure_step(StepJob("nano", 16))
    assert report.parameters == total_parameters(SIZES["nano"])
    assert report.loss_after < report.loss_before
    assert 4 * report.parameters < report.peak_bytes < 1.3 * report.estimated_bytes


def test_with_weights_a_prompt_goes_on_before_the_step_and_after_it():
    report = measure_step(StepJob("nano", 16, weights="nano", prompt="The owl"))
    assert not report.from_zero and report.loss_after < report.loss_before
    assert all(said.startswith("The owl") and len(said) > 20 for said in (report.said_before, report.said_after))
    assert f"before: {report.said_before!r}" in str(report)
    with pytest.raises(CourseError, match="nano has 17,867,008 parameters, small has 124,439,808"):
        measure_step(StepJob("small", 16, weights="nano"))


@pytest.mark.parametrize("wrong", [{"size": "huge"}, {"way": "fast"}, {"context": 0}, {"context": 1025}])
def test_a_step_that_cannot_be_is_refused(wrong):
    with pytest.raises(CourseError, match=str(*wrong.values())):
        StepJob(**wrong)


# Results as data


@pytest.fixture(scope="module")
def poems(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labs") / "poems"
    paths = sorted((ROOT / "data" / "poems").glob("*.txt"))[:4]
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in paths)
    tokenize_to_bin([Document("poems", text)], folder, Tokenizer.gpt2(), BinSettings(fraction=0.2))
    return folder


def words_of(poems: Path, out: Path, *more: str) -> list[str]:
    small = "n_layer=1 n_head=2 n_embd=16 context=16 batch_size=2 accumulate=2 max_steps=12 memorization_samples=1"
    rest = "evaluate_every=5 device=cpu dtype=float32 warmup_steps=1 target_loss=0 log_every=100"
    recipe = f"recipe={ROOT / 'labs' / 'recipes' / 'poems_by_heart.yaml'}"
    return [recipe, f"data={poems}", f"out={out}", *small.split(), *rest.split(), *more]


@pytest.fixture(scope="module")
def run(poems, tmp_path_factory) -> list[str]:
    words = words_of(poems, tmp_path_factory.mktemp("labs") / "run")
    run_recipe(words)
    return words


def out_of(words: list[str]) -> Path:
    return Path(read_settings(TrainingRecipe, words).out)


def test_a_stored_run_says_what_its_logs_say(run, tmp_path):
    stored = store_run(run, tmp_path / "result.json", check_tokens=100)
    with (out_of(run) / "steps.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (stored.steps, stored.tokens) == (12, 12 * 2 * 2 * 16)
    assert stored.step_loss == pytest.approx(float(rows[-1]["loss"]), abs=1e-5)
    ends = [step for step, _ in stored.held_out]
    assert ends == sorted(set(ends)) and ends[-1] == 12 and 5 in ends
    first = sum(float(row["loss"]) for row in rows[: ends[0]]) / ends[0]
    second = sum(float(row["loss"]) for row in rows[ends[0] : ends[1]]) / (ends[1] - ends[0])
    assert stored.training[:2] == [
        (ends[0], pytest.approx(first, abs=1e-5)),
        (ends[1], pytest.approx(second, abs=1e-5)),
    ]
    assert stored.losses == [round(float(row["loss"]), 4) for row in rows]
    with (out_of(run) / "training_log.csv").open(encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    assert stored.epoch_loss == float(epochs[-1]["Avg Training Loss"])
    assert [step for step, _ in stored.samples] == [int(row["Total Steps"]) for row in epochs]
    rows_left_out = stored.file_parameters - stored.parameters
    assert rows_left_out == 16 * (50257 - last_model(read_settings(TrainingRecipe, run)).config.vocab_size) > 0
    assert stored.recipe["optimizer"] == "muon" and "resume" not in stored.recipe
    assert read_result(StoredRun, tmp_path / "result.json") == stored


def test_a_step_that_was_written_twice_counts_once(run, tmp_path):
    lines = (out_of(run) / "steps.csv").read_text(encoding="utf-8").splitlines()
    again = tmp_path / "steps.csv"
    again.write_text("\n".join([*lines[:8], *lines[5:]]) + "\n", encoding="utf-8")
    assert list(read_steps(again)) == list(range(1, 13))


def test_the_loss_on_the_text_is_that_of_the_last_weights(run, tmp_path):
    recipe = read_settings(TrainingRecipe, run)
    model, text = last_model(recipe), torch.from_numpy(learned_text(recipe).astype("int64"))
    assert model.config.vocab_size < 50257 and int(text.max()) < model.config.vocab_size
    expected = measure_loss(model, text[:100], Protocol(16, 16)).loss
    assert store_run(run, tmp_path / "r.json", check_tokens=100).text_loss == pytest.approx(expected, abs=1e-5)
    shifted = measure_loss(model, text[8:100], Protocol(16, 16)).loss  # cut half a window later
    stored = read_result(StoredRun, tmp_path / "r.json")
    assert stored is not None and stored.shifted_loss == pytest.approx(shifted, abs=1e-5)
    assert expected < 6.5  # ln of the used tokens is about 6, and of all of them 10.8


def test_what_a_model_recites_is_counted_in_runs_of_the_text():
    torch.manual_seed(0)
    model, text = GPT2(GPT2Config(1, 2, 16, 50, 16)).eval(), torch.arange(200) % 50
    assert recited(model, text, 16, phrase=3) == 0  # it has learned nothing
    with torch.no_grad():  # whatever it reads, it likes token 7 best: the text's own where that is all there is
        model.final_norm.weight.zero_()
        model.final_norm.bias.copy_(model.token_embedding.weight[7] * 100)
    assert recited(model, torch.full((200,), 7), 16, phrase=3) == 1
    assert recited(model, text, 16, phrase=3) == 0


def test_last_weights_are_kept_in_the_whole_vocabulary(run, poems, tmp_path):
    recipe = read_settings(TrainingRecipe, run)
    folder = keep_last(run, tmp_path / "last")
    full = load_gpt2(folder)
    assert full.config.vocab_size == 50257
    assert json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    mine, theirs = last_model(recipe).blocks[0].mlp.up.weight, full.blocks[0].mlp.up.weight
    assert torch.equal(mine, theirs)


def test_a_run_in_the_whole_vocabulary_is_stored_as_well(poems, tmp_path):
    words = words_of(poems, tmp_path / "run", "compact=false", "max_steps=2", "memorization_samples=0", "n_embd=8")
    run_recipe(words)
    stored = store_run(words, tmp_path / "r.json", check_tokens=40)
    assert stored.memorized == [] and stored.steps == 2
    last = load_file(tmp_path / "run" / "last.safetensors")["h.0.mlp.c_fc.weight"].T
    best = load_gpt2(tmp_path / "run")
    with torch.no_grad():
        best.blocks[0].mlp.up.weight.zero_()
    save_gpt2(best, tmp_path / "run")  # other weights were the best on held-out text
    kept = load_gpt2(keep_last(words, tmp_path / "last"))
    assert kept.config.n_embd == 8
    assert torch.equal(kept.blocks[0].mlp.up.weight, last)


def test_results_that_are_missing_damaged_or_of_another_kind_are_said_to_be(tmp_path):
    path = tmp_path / "result.json"
    assert read_result(StoredRun, path) is None
    assert in_words(None, "true-size run") == "no true-size run is stored yet"
    report = StepReport("a CPU", "nano", "usual", 1, 1, True, 1.0, 0.5, 1.0, 1, 1, 1)
    assert read_result(StepReport, write_result(report, path)) == report
    text = path.read_text(encoding="utf-8")
    for content in ("{", "[]", '{"steps": 3}', json.dumps({**json.loads(text), "mood": 1})):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(CourseError, match="mood" if "mood" in content else "result.json"):
            read_result(StepReport, path)


def test_stored_results_of_the_labs_are_of_the_true_sizes():
    step = read_result(StepReport, RESULTS / "xl_step.json")
    assert step is None or (step.size == "xl" and step.parameters == 1_557_611_200 and step.way == "careful")
    run = read_result(StoredRun, RESULTS / "shakespeare.json")
    assert run is not None and (run.file_parameters, run.text_tokens) == (124_439_808, 301_966)
    assert run.tokens <= 10_000_000 and run.epoch_loss < 0.099999 and len(run.losses) == run.steps
    assert len(run.samples) == 5 and run.shifted_loss > 1 > run.text_loss, "it knows windows, not the text: say so"
    recipe = read_settings(TrainingRecipe, [f"recipe={ROOT / 'labs' / 'recipes' / 'shakespeare.yaml'}"])
    assert run.recipe | {"dtype": "auto"} == different_settings(recipe) | {"dtype": "auto"}


# Shakespeare's recipe


def test_shakespeares_recipe_trains_gpt2_small_on_at_most_ten_million_tokens():
    recipe = read_settings(TrainingRecipe, [f"recipe={ROOT / 'labs' / 'recipes' / 'shakespeare.yaml'}"])
    assert total_parameters(SIZES[recipe.size]) == 124_439_808 and not recipe.n_layer
    assert recipe.batch_size * recipe.accumulate * recipe.context * recipe.max_steps <= 10_000_000
    assert recipe.target_epoch_loss == 0.1 and not recipe.target_loss and recipe.memorization_samples


def test_the_command_writes_the_downloaded_text_as_token_files(monkeypatch, tmp_path, capsys):
    text = b"All the world is a stage.\n" * 40  # stands in the cache, so that nothing is downloaded
    cached = tmp_path / "cache" / "texts" / "tinyshakespeare.txt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(text)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    pin = Pin(hashlib.sha256(text).hexdigest(), len(text))
    monkeypatch.setitem(TEXTS, "tinyshakespeare", (TEXTS["tinyshakespeare"][0], pin))
    assert main(["shakespeare", "--out", str(tmp_path / "out")]) == 0
    assert "the last 10% validates" in capsys.readouterr().out
    assert (tmp_path / "out" / "train.bin").stat().st_size > 9 * 2 * 20
