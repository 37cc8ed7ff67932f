"""Every recipe loads and takes a step; a run on few tokens ends with all of them; little text explains itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock, Timeout
from runs import tiny_data

from utils.config import BYTES, SIZES, Workload, estimate_memory, format_bytes
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.files.beginnings import read_beginnings
from utils.files.places import ROOT
from utils.files.settings import read_settings
from utils.loaders import load_gpt2, save_gpt2
from utils.lora import trained_parameters
from utils.model import GPT2
from utils.stories.generator import corpus
from utils.texts.bins import load_bin, names_of_texts, tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.texts.records import Document
from utils.tokenizer import CharTokenizer, Tokenizer
from utils.training.compact_vocabulary import CompactVocabulary
from utils.training.optimizers import freeze_all_but_last
from utils.training.recipes import TrainingRecipe, run_recipe

RECIPES = sorted((ROOT / "labs" / "recipes").glob("*.yaml"))
SMALL = ["context=32", "batch_size=1", "accumulate=1", "warmup_steps=1", "dtype=float32", "device=cpu"]


def write_bins(folder: Path, texts: list[str], fraction: float = 0.3) -> Path:
    documents = [Document(f"text {i}", text) for i, text in enumerate(texts)]
    tokenize_to_bin(documents, folder, Tokenizer.gpt2(), BinSettings(fraction=fraction))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Prepared texts and a model of GPT-2's vocabulary, each as small as can be."""
    base = tmp_path_factory.mktemp("recipes")
    poems = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "data" / "poems").glob("*.txt"))[:6]]
    torch.manual_seed(0)
    model = GPT2(replace(SIZES["nano"], n_layer=2, n_head=2, n_embd=16, context=64))
    return {
        "poems": write_bins(base / "poems", poems),
        "stories": write_bins(base / "stories", list(corpus(12, 3))),
        "weights": save_gpt2(model, base / "weights"),
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_takes_a_step_at_a_tiny_shape(path, folders, tmp_path):
    recipe = read_settings(TrainingRecipe, [f"recipe={path}"])
    words = [f"recipe={path}", *SMALL, "max_steps=1", f"out={tmp_path / 'run'}"]
    words += [f"data={folders.get(Path(recipe.data).name, folders['poems'])}"]
    words += [f"measure_also={folders[Path(recipe.measure_also).name]}"] if recipe.measure_also else []
    words += [f"train_layers={min(1, recipe.train_layers)}"]
    words += [f"weights={folders['weights']}"] if recipe.weights else ["n_layer=2", "n_head=2", "n_embd=16"]
    assert recipe.weights in ("", *SIZES)
    assert recipe.size in SIZES
    result = run_recipe(words)
    assert result.steps == 1
    assert load_gpt2(tmp_path / "run").config.vocab_size == 50257


COMPUTED = [path for path in RECIPES if path.stem not in ("nano", "medium_lora")]  # measured; adapters count otherwise


@pytest.mark.parametrize("path", COMPUTED, ids=lambda path: path.stem)
def test_the_memory_in_a_recipes_first_lines_is_what_its_settings_come_to(path):
    text = path.read_text(encoding="utf-8")
    assert all(word in text for word in ("Machine:", "Memory:", "Minutes:", "Loss:")), "say what it takes"
    figure, dtype = re.search(r"Memory: (.+?) computed for (\w+) products", text).groups()
    recipe = read_settings(TrainingRecipe, [f"recipe={path}"])
    total = sum(recipe_memory(recipe, dtype).values())
    assert figure == format_bytes(total)
    fits = float(re.search(r"with (\d+) GB", text)[1]) * 1e9 if "with" in text.split("Memory")[0] else 16e9
    assert total < 0.9 * fits


def number_in(lesson: str, pattern: str) -> float:
    """Return the number that a lesson's code has at a place."""
    (path,) = (ROOT / "lessons").glob(f"{lesson}_*.ipynb")
    return float(re.search(pattern, path.read_text(encoding="utf-8"))[1])


def test_recipes_tune_at_the_learning_rates_of_the_lessons():
    factor = number_in("12", r"rate = ([\d.]+) / course\.config\.n_embd\*\*")
    power = number_in("12", r"course\.config\.n_embd\*\*([\d.]+)")
    for size in ("nano", "small", "medium"):
        recipe = read_settings(TrainingRecipe, [f"recipe={ROOT / 'labs' / 'recipes' / size}_poems.yaml"])
        assert recipe.learning_rate == pytest.approx(factor / SIZES[size].n_embd ** power, rel=0.05), size
        assert recipe.min_learning_rate == pytest.approx(recipe.learning_rate / 10), size
    adapters = read_settings(TrainingRecipe, [f"recipe={ROOT / 'labs' / 'recipes' / 'medium_lora.yaml'}"])
    factor = number_in("13", r"rate = ([\d.]+) / course\.config\.n_embd\*\*")
    assert adapters.learning_rate == pytest.approx(factor / SIZES["medium"].n_embd ** power, rel=0.05)


def recipe_memory(recipe: TrainingRecipe, dtype: str) -> dict[str, int]:
    """Estimate what a recipe needs: frozen layers keep nothing, recomputed blocks keep only what went into them."""
    shape = {name: getattr(recipe, name) for name in ("n_layer", "n_head", "n_embd") if getattr(recipe, name)}
    config = replace(SIZES[recipe.weights or recipe.size], **shape)
    work = Workload(recipe.batch_size, recipe.context, dtype, training=True)
    memory, layers = estimate_memory(config, work), recipe.train_layers or config.n_layer
    active = 1 if recipe.gradient_checkpointing else layers
    memory["activations"] = estimate_memory(replace(config, n_layer=active), work)["activations"]
    if recipe.gradient_checkpointing:
        memory["activations"] += layers * recipe.batch_size * recipe.context * config.n_embd * 4  # the residual stream
        copies = 12 * config.n_embd**2 * BYTES[dtype] if BYTES[dtype] < 4 else 0  # of the weights, in 16 bits
        memory["activations"] += int((layers - 1) * copies)
    if recipe.train_layers:
        with torch.device("meta"):
            model = GPT2(config)
        freeze_all_but_last(model, recipe.train_layers)
        memory["gradients"] = 4 * trained_parameters(model)
        memory["optimizer"] = 8 * trained_parameters(model)
    return memory


# Few tokens of many


def test_a_model_shrunk_to_used_tokens_and_put_back_is_the_model():
    torch.manual_seed(0)
    model = GPT2(replace(SIZES["nano"], n_layer=1, n_head=1, n_embd=8, vocab_size=30, context=16)).eval()
    used = np.array([2, 5, 11, 29])
    vocabulary = CompactVocabulary(used, 30, model.token_embedding.weight.detach())
    small = vocabulary.shrink(model)
    tokens = torch.tensor([[0, 3, 1, 2]])
    full_tokens = torch.from_numpy(used)[tokens]
    assert torch.allclose(small(tokens), model(full_tokens)[..., torch.from_numpy(used)], atol=1e-6)
    back = vocabulary.expand(small, tiny_data(), seed=0)
    assert vocabulary.expand(back, tiny_data(), seed=0) is back, "a model of all tokens has nothing to get"
    assert torch.equal(back(full_tokens), model(full_tokens))


def test_a_compact_run_from_weights_keeps_the_rows_that_the_text_never_uses(folders, tmp_path):
    words = [f"weights={folders['weights']}", f"data={folders['poems']}", f"measure_also={folders['stories']}", *SMALL]
    words += ["compact=true", "max_steps=4", "learning_rate=0.01", "evaluate_every=2", "memorization_samples=2"]
    result = run_recipe([*words, f"out={tmp_path / 'run'}"])
    before, after = load_gpt2(folders["weights"]), load_gpt2(tmp_path / "run")
    texts = [load_bin(folders[name] / f"{side}.bin") for name, side in PARTS]
    used = torch.zeros(50257, dtype=bool)
    used[torch.from_numpy(np.unique(np.concatenate([*texts, [50256]])).astype(np.int64))] = True
    rows = [model.token_embedding.weight.detach() for model in (before, after)]
    assert torch.equal(rows[0][~used], rows[1][~used])
    assert not torch.equal(rows[0][used], rows[1][used])
    held_out = load_bin(folders["poems"] / "validate.bin")
    full = measure_loss(after, held_out, Protocol(32, 32)).loss
    assert full > result.best_validate_loss, "among more tokens it is harder to be right"
    assert [*(tmp_path / "run").glob("evaluations.csv")]


PARTS = (("poems", "train"), ("poems", "validate"), ("stories", "validate"))


@pytest.mark.parametrize("start", ["weights", "zero"])
def test_a_compact_run_goes_on_after_it_was_finished(folders, tmp_path, start):
    words = [f"data={folders['poems']}", *SMALL, "compact=true", "evaluate_every=2", f"out={tmp_path / 'run'}"]
    words += [f"weights={folders['weights']}"] if start == "weights" else ["n_layer=1", "n_head=1", "n_embd=8"]
    run_recipe([*words, "max_steps=2", "patience=5"])
    result = run_recipe([*words, "max_steps=4", "patience=5", "resume=true"])
    assert result.steps == 4
    assert load_gpt2(tmp_path / "run").config.vocab_size == 50257


def test_a_run_keeps_its_folder_until_the_weights_have_their_full_vocabulary(folders, tmp_path, monkeypatch):
    expand, refused = CompactVocabulary.expand, []

    def expand_and_look(*arguments) -> GPT2:
        with pytest.raises(Timeout):
            FileLock(tmp_path / ".run.lock", timeout=0).acquire()
        refused.append(True)
        return expand(*arguments)

    monkeypatch.setattr(CompactVocabulary, "expand", expand_and_look)
    words = [*SMALL, "max_steps=1", "compact=true", "n_layer=2", "n_head=2", "n_embd=16"]
    run_recipe([*words, f"data={folders['stories']}", f"out={tmp_path / 'run'}"])
    assert refused
    with FileLock(tmp_path / ".run.lock", timeout=0):
        pass  # free again


@pytest.mark.parametrize("compact", ["true", "false"])
def test_a_run_learns_from_whole_documents(folders, tmp_path, compact):
    words = ["context=256", "batch_size=2", "max_steps=30", "learning_rate=0.01", "warmup_steps=1", "dtype=float32"]
    words += ["n_layer=2", "n_head=2", "n_embd=16", "device=cpu", f"compact={compact}", "whole_documents=true"]
    result = run_recipe([*words, f"data={folders['stories']}", f"out={tmp_path / 'run'}"])
    steps = pd.read_csv(tmp_path / "run" / "steps.csv")
    assert result.train_loss < steps.loss[0] - 1
    assert set(steps.samples) == {2}  # stories are about as long as the context


def test_the_training_text_is_measured_by_the_same_weights_as_the_held_out_one(folders, tmp_path):
    words = ["context=32", "batch_size=8", "max_steps=4", "warmup_steps=1", "dtype=float32", "device=cpu", "n_layer=1"]
    words += ["n_head=1", "n_embd=8", "evaluate_every=2", "evaluate_tokens=320", "measure_train=true", "sample="]
    words += ["beginnings=All night|The kettle thinks"]
    run_recipe([*words, f"data={folders['poems']}", f"out={tmp_path / 'run'}"])
    measured = pd.read_csv(tmp_path / "run" / "evaluations.csv")
    text = load_bin(folders["poems"] / "train.bin")[:320]
    expected = measure_loss(load_gpt2(tmp_path / "run" / "last.safetensors"), text, Protocol(32, 32)).loss
    assert measured["train"].iloc[-1] == pytest.approx(expected, abs=1e-5) != measured["held_out"].iloc[-1]
    assert read_beginnings(tmp_path / "run") == ["All night", "The kettle thinks"]
    table = pd.read_csv(tmp_path / "run" / "training_log.csv", keep_default_na=False)
    assert set(table["Resource"]) == {names_of_texts(folders["poems"])}
    assert all("available" in cell for cell in table["Machine"])


def words_of_epochs(folders, out: Path, *more: str) -> list[str]:
    words = [f"data={folders['poems']}", "n_layer=1", "n_head=1", "n_embd=8", f"out={out}"]
    run_recipe([*words, "context=32", "batch_size=8", "warmup_steps=1", "dtype=float32", "device=cpu", *more])
    return pd.read_csv(out / "training_log.csv", keep_default_na=False)["Generated Sentence"].tolist()


@pytest.mark.parametrize("compact", ["true", "false"])
def test_each_epoch_of_a_recipe_has_its_sentence(folders, tmp_path, compact):
    told = words_of_epochs(folders, tmp_path / "run", "max_steps=12", "sample_tokens=3", f"compact={compact}")
    assert len(told) > 1 and all(text.startswith("The") for text in told if text)
    assert told[0] and sum(map(bool, told)) <= 1 + 12 // 3, "at most a token for each step"


def test_a_sentence_begins_as_asked_and_an_empty_sample_writes_none(folders, tmp_path):
    asked = words_of_epochs(folders, tmp_path / "asked", "max_steps=6", "sample=A bell")
    assert asked[0].startswith("A bell") and not any(asked[1:]), "24 tokens of a sentence, and only 6 steps"
    assert not any(words_of_epochs(folders, tmp_path / "none", "max_steps=6", "sample="))
    steps = [pd.read_csv(tmp_path / name / "steps.csv").loss.tolist() for name in ("asked", "none")]
    assert steps[0] == steps[1], "writing changes nothing of what is learned"


def test_a_sample_of_letters_that_the_tokenizer_does_not_know_is_said_and_the_run_goes_on(tmp_path, capsys):
    texts = [Document(f"text {i}", "abc " * 40) for i in range(4)]
    tokenize_to_bin(texts, tmp_path, CharTokenizer.from_text("abc "), BinSettings(fraction=0.3))
    told = words_of_epochs({"poems": tmp_path}, tmp_path / "run", "max_steps=3")
    assert told and not any(told)
    assert "sample" in capsys.readouterr().err


def test_fixed_windows_are_for_windows(folders, tmp_path):
    with pytest.raises(CourseError, match="fixed_windows .* whole documents"):
        words_of_epochs(folders, tmp_path / "run", "fixed_windows=true", "whole_documents=true")
    told = words_of_epochs(folders, tmp_path / "run", "fixed_windows=true", "max_steps=3")
    assert told


# Little text, and texts that don't fit together


def test_a_corpus_of_26_lines_trains_and_a_context_too_long_for_it_is_explained(tmp_path):
    lines = [
        f"{letter} is for {letter}pple, and that is line {i}.\n"
        for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")
    ]
    (tmp_path / "lines.txt").write_text("".join(lines), encoding="utf-8")
    bins = tokenize_to_bin(tmp_path / "lines.txt", tmp_path / "bins", Tokenizer.gpt2(), BinSettings())
    words = [f"data={tmp_path / 'bins'}", "n_layer=1", "n_head=1", "n_embd=16", "device=cpu", "dtype=float32"]
    words += [f"out={tmp_path / 'run'}", "max_steps=3", "evaluate_every=1"]
    with pytest.raises(CourseError, match="tokens were found, but a context of 900 needs 901") as refused:
        run_recipe([*words, "context=900"])
    longest = int(re.search(r"context of at most (\d+)", str(refused.value))[1])
    result = run_recipe([*words, f"context={longest}", "batch_size=2"])
    print(f"\n26 lines: {bins.train_tokens} tokens, context {longest}, loss {result.train_loss:.2f} after 3 steps")
    assert result.steps == 3
    assert result.best_validate_loss is not None


def test_a_folder_to_measure_that_is_missing_or_of_other_tokens_gets_a_sentence(folders, tmp_path):
    words = [f"data={folders['poems']}", *SMALL, f"out={tmp_path / 'run'}"]
    with pytest.raises(CourseError, match="nowhere.*is not there, though measure_also asks for it"):
        run_recipe([*words, f"measure_also={tmp_path / 'nowhere'}"])
