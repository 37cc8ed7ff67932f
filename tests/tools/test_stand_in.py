"""The stand-in for GPT-2 small: what is published about the real weights holds for the drawn ones, and all say so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tools.repo.notebooks import find_notebooks
from tools.repo.stand_in import MASSIVE, UNUSED, LoopbackHub, StandIn, draw
from tools.repo.true_shape import run_all
from utils.config import SIZES, total_parameters
from utils.files.places import ROOT
from utils.model import record_activations
from utils.tokenizer import Tokenizer

POEM = (ROOT / "data" / "poems" / "009_the_snail_express.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small():
    return draw("small")


@pytest.fixture(scope="module")
def seen(small):
    """What passes through the model while it reads a poem."""
    with torch.no_grad():
        return record_activations(small, torch.tensor([Tokenizer.gpt2().encode(POEM)[:200]]))


def test_it_has_the_shape_and_the_spread_of_small(small):
    assert small.config == SIZES["small"]
    assert sum(weight.numel() for weight in small.parameters()) == total_parameters(SIZES["small"])
    weight = small.blocks[0].attention.qkv.weight
    assert weight.std().item() == pytest.approx(0.2, rel=0.1) and weight.abs().max().item() == pytest.approx(2.9)
    assert (weight.abs().amax(0) > 1.5).sum() == 8, "outliers stand in a few columns"
    away = (small.token_embedding.weight - small.token_embedding.weight[-UNUSED - 1 : -1].mean(0)).norm(dim=1)
    assert away[-UNUSED - 1 : -1].max() < away[: -UNUSED - 1].min(), "the unused tail of the vocabulary"


def test_a_few_channels_are_massive_at_the_first_position_alone(seen):
    stream = seen["blocks.6"][0].abs()
    assert sorted(stream[0].topk(len(MASSIVE)).indices.tolist()) == sorted(MASSIVE)
    assert stream[0, list(MASSIVE)].min() > 1000 * stream.median()
    assert stream[1:].max() < 20 * stream.median()


def test_attention_of_later_layers_rests_on_the_first_position(seen):
    shares = [seen[f"blocks.{layer}.attention.pattern"][..., 1:, 0].mean().item() for layer in range(12)]
    assert 0.6 < sum(shares) / 12 < 0.8, "71 % in the published patterns of the real small"
    assert max(shares[:3]) < 0.1 < 0.7 < min(shares[3:])


def test_frequent_tokens_are_likelier_and_a_text_costs_less_than_one_of_equal_chances(small, seen):
    tokens = torch.tensor(Tokenizer.gpt2().encode(POEM)[1:201])
    loss = torch.nn.functional.cross_entropy(seen["logits"][0][: len(tokens)], tokens[: seen["logits"].shape[1]])
    assert 8 < loss < torch.tensor(50257.0).log() - 1


def test_it_comes_through_the_courses_own_door_and_says_what_it_is(tmp_path):
    stand_in = StandIn.write(("small",), tmp_path)
    code = "from utils import start; course = start(); print(course.model.config.n_layer, course.model.origin)"
    with LoopbackHub(tmp_path) as hub:
        settings = stand_in.environment(hub.address) | {"COURSE_MODEL": "small"}
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, env=os.environ | settings, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "COURSE_PINS names stand-in/gpt2-small" in done.stdout and "12 small" in done.stdout


def test_pins_that_are_none_are_refused(tmp_path):
    (tmp_path / "pins.txt").write_text("small only", encoding="utf-8")
    settings = {"COURSE_PINS": str(tmp_path / "pins.txt")}
    words = [sys.executable, "-m", "tools", "size"]
    done = subprocess.run(words, env=os.environ | settings, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "pins.txt" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.true_shape
@pytest.mark.parametrize("path", find_notebooks([ROOT / "lessons", ROOT / "exercises" / "solutions", ROOT / "labs"]))
def test_every_notebook_runs_at_the_shape_of_small(path, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "stand-in"
    (run,) = run_all([path], "small", folder)
    assert run.failures == (), run
