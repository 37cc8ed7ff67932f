"""gpt2-nano as it is committed: its file, and its model card's figures measured anew on a small sample."""

from __future__ import annotations

import json
from dataclasses import asdict
from statistics import fmean

import pytest

from tools.commands.evaluation import document_loss, judge
from utils.config import SIZES
from utils.evaluate import FRESH, tell_stories
from utils.files.places import DATA
from utils.loaders import load_gpt2
from utils.stories.generator import corpus, exact_entropy
from utils.stories.parser import coherence

FOLDER = DATA / "nano"


@pytest.fixture(scope="module")
def nano():
    return load_gpt2("nano")


@pytest.fixture(scope="module")
def verdict() -> dict:
    return json.loads((FOLDER / "verdict.json").read_text(encoding="utf-8"))


def test_the_file_is_small_enough_for_git_and_of_nanos_shape(nano):
    assert (FOLDER / "model.safetensors").stat().st_size <= 40e6
    assert nano.config == SIZES["nano"]


def test_its_loss_on_fresh_stories_is_what_the_card_says(nano, verdict):
    loss, best = document_loss(nano, list(corpus(24, FRESH)))
    assert best < loss < verdict["loss"] + 0.03, "24 documents scatter by about 0.01"
    assert verdict["entropy"] == pytest.approx(exact_entropy().nats_per_token)


def test_its_stories_are_as_coherent_as_the_card_says(nano, verdict):
    assert coherence(tell_stories(nano, 8, seed=100)) > verdict["coherence"] - 0.1


def test_a_judgement_says_and_keeps_what_it_found(nano, tmp_path):
    found, told = judge(nano, documents=6, stories=3, training=(4_000, 1))
    assert len(told) == found.stories == 3 and 0 <= found.perfect <= 1
    assert found.loss > found.best_loss and (found.coherence == 1) == (found.perfect == 1)
    shares = [found.overlap, found.overlap_at_1, found.generator_overlap, *found.generator_overlaps]
    assert all(0.3 < share < 0.9 for share in shares) and len(set(found.generator_overlaps)) == 9
    assert f"{found.coherence:.1%} on 3 stories" in str(found) and f"{max(found.generator_overlaps):.2%}" in str(found)
    found.save(tmp_path / "verdict.json", told)
    kept = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert kept == {**asdict(found), "told": told}


def test_the_card_tells_the_figures_that_were_measured(verdict):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    shares = [verdict[name] for name in ("coherence", "perfect")]
    scatter = verdict["generator_overlaps"]
    overlaps = [verdict[name] for name in ("overlap", "overlap_at_1", "generator_overlap")]
    overlaps += [min(scatter), max(scatter), fmean(scatter)]
    figures = [f"{verdict[name]:.4f}" for name in ("loss", "best_loss", "entropy")]
    for figure in [*figures, *(f"{share:.1%}" for share in shares), *(f"{share:.2%}" for share in overlaps)]:
        assert figure in card, f"{figure} was measured, and the card doesn't say so"
    quoted = verdict["told"][0].strip().replace("\n", "\n> ")
    assert quoted in card, "the first story as it came, not a picked one"


def test_tokens_that_no_story_uses_stay_unlikely(nano):
    from utils.sampling import next_token_probabilities
    from utils.tokenizer import Tokenizer

    tokenizer = Tokenizer.gpt2()
    used = {token for text in corpus(300, FRESH) for token in tokenizer.encode(text)}
    given = next_token_probabilities(nano, tokenizer.encode("Once upon a time, there lived a"))
    assert float(given.sum() - given[sorted(used)].sum()) < 0.02
