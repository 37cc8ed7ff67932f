"""Living views: what Python answers to a page's questions is what the model computes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from utils.errors import CourseError
from utils.loaders import load_with_tokenizer
from utils.model import record_activations
from utils.plots.living import SCRIPTS, LivingView, head_of, look, patterns_of, streams_of

PROMPT = "Once upon a time, there lived a"


@pytest.fixture(scope="module")
def nano():
    return load_with_tokenizer("nano")


@pytest.fixture(scope="module")
def ids(nano) -> list[int]:
    return nano[1].encode(PROMPT)


def test_a_look_is_one_pass_of_the_model(nano, ids):
    model, _ = nano
    seen, records = look(model, ids), record_activations(model, torch.tensor([ids]))
    assert torch.equal(seen["logits"], records["logits"])
    patterns = patterns_of(model, seen).view(6, 4, len(ids), len(ids))
    for layer in range(6):
        assert torch.equal(patterns[layer], records[f"blocks.{layer}.attention.pattern"][0])
        assert torch.equal(seen[f"blocks.{layer}.up"], records[f"blocks.{layer}.mlp.up"])
        gelu = torch.nn.functional.gelu(seen[f"blocks.{layer}.up"], approximate="tanh")
        assert torch.allclose(seen[f"blocks.{layer}.gelu"], gelu)
        middle = seen["embedding" if layer == 0 else f"blocks.{layer - 1}.out"] + seen[f"blocks.{layer}.attention"]
        assert torch.allclose(seen[f"blocks.{layer}.middle"], middle, atol=1e-6)


def test_the_last_stage_of_the_lens_is_the_networks_own_answer(nano, ids):
    model, _ = nano
    seen = look(model, ids)
    streams = streams_of(model, seen)
    assert streams.shape == (7, len(ids), 256)
    assert torch.allclose(head_of(model, streams[-1]), seen["logits"][0], atol=1e-5)
    assert torch.equal(streams[0], seen["token_embedding"][0] + seen["position_embedding"][0])


def test_a_head_that_is_knocked_out_adds_nothing_and_comes_back(nano, ids):
    model, _ = nano
    before, without = look(model, ids), look(model, ids, ["2.1"])
    width = model.config.head_width
    assert torch.equal(without["blocks.1.out"], before["blocks.1.out"])
    assert without["blocks.2.mixed"][..., width : 2 * width].abs().sum() == 0
    assert torch.equal(without["blocks.2.mixed"][..., :width], before["blocks.2.mixed"][..., :width])
    assert not torch.allclose(without["logits"], before["logits"])
    assert torch.equal(look(model, ids)["logits"], before["logits"])


@pytest.mark.parametrize("keep", [False, True])
def test_a_question_is_answered_in_the_order_that_the_page_expects(nano, ids, keep):
    model, tokenizer = nano
    view = LivingView("network", model, tokenizer, PROMPT)
    question = {"kind": "read", "tokens": ids, "muted": [], "keep": keep, "note": keep}
    arrays = view.answer(question, [])
    assert torch.equal(arrays[0], look(model, ids)["logits"][0, -1])
    assert len(arrays) == (3 + len(view.about["names"]) if keep else 1)
    if keep:
        named = dict(zip(view.about["names"], arrays[3:], strict=True))
        assert torch.equal(named["blocks.5.out"], arrays[2][6, -1])
        assert named["blocks.0.qkv"].shape == (768,) and named["blocks.0.up"].shape == (1024,)


def test_the_lens_asks_for_logits_of_streams_that_it_was_given(nano, ids):
    model, tokenizer = nano
    view, streams = LivingView("lens", model, tokenizer, PROMPT), streams_of(model, look(model, ids))[:, -1]
    (logits,) = view.answer({"kind": "logits", "count": 7}, [streams.numpy().tobytes()])
    assert torch.allclose(logits, head_of(model, streams)) and logits.shape == (7, tokenizer.vocab_size)


def test_what_is_wrong_is_said_to_the_page(nano, monkeypatch):
    model, tokenizer = nano
    view, sent = LivingView("attention", model, tokenizer, PROMPT), []
    monkeypatch.setattr(view, "send", lambda content, buffers=None: sent.append(content))
    view.hear(view, {"number": 4, "kind": "read", "tokens": [1] * 1100, "muted": [], "keep": False, "note": False}, [])
    assert sent[0]["number"] == 4 and "this model knows positions for" in sent[0]["error"]
    with pytest.raises(CourseError, match="'lenses' is no view, expected one of sampling, attention, lens, network"):
        LivingView("lenses", model, tokenizer, PROMPT)


def test_a_view_carries_every_module_that_its_scripts_import(nano):
    import re

    view = LivingView("sampling", *nano, PROMPT)
    for source in view.sources.values():
        assert set(re.findall(r'from "\./([\w.]+)"', source)) <= set(view.sources)
    assert {path.name for path in SCRIPTS.glob("*.js")} == set(view.sources)


def test_a_view_leaves_its_place_for_pages_without_a_kernel(nano):
    shown = LivingView("lens", *nano, 'She said: "Oh <b>"')._repr_mimebundle_()[0]
    assert "run this cell" in shown["text/plain"]
    assert 'data-live="lens" data-prompt="She said: &quot;Oh &lt;b&gt;&quot;"' in shown["text/html"]


def test_views_of_one_model_answer_at_the_same_time_and_a_cell_runs_on_beside_them(nano, ids):
    model, tokenizer = nano
    alone = model(torch.tensor([ids]))
    views = [LivingView("attention", model, tokenizer, PROMPT) for _ in range(2)]
    assert all(view.gpt2.head.weight is model.head.weight for view in views), "a view should copy no weights"

    def ask(view: LivingView, tokens: list[int], muted: list[str]) -> list[torch.Size]:
        question = {"kind": "read", "tokens": tokens, "muted": muted, "keep": True, "note": False}
        return [array.shape for _ in range(20) for array in view.answer(question, [])[1:]]

    with ThreadPoolExecutor(2) as pool:
        long, short = pool.submit(ask, views[0], ids, ["2.1"]), pool.submit(ask, views[1], ids[:3], [])
        with torch.no_grad():
            while not (long.done() and short.done()):
                same = torch.allclose(model(torch.tensor([ids])), alone, atol=1e-4)
                assert same, "a view silenced a head of the model that a cell runs"
    assert {shape[1] for shape in long.result()} == {len(ids)} and {shape[1] for shape in short.result()} == {3}
