"""The race of fine-tuning runs with all its contestants, at a shape so small that only its parts are tested."""

from __future__ import annotations

import json

from benchmarks import finetuning, report
from benchmarks.measure import Rounds
from utils.config import GPT2Config

TINY = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=300, context=32)


def test_finetuning_runs_at_a_tiny_shape():
    found = finetuning.measure(finetuning.Settings(TINY, 2, 16, steps=2, rounds=Rounds(1, 0, 0)))
    names = [f"{who} {dtype}" for dtype in finetuning.dtypes() for who in (finetuning.OURS, finetuning.TRAINER)]
    assert set(found.samples) == {*names, "gpt-2-simple float32"}
    assert all(turn[finetuning.SPEED] > 0 for turns in found.samples.values() for turn in turns)
    assert {ratio.quantity for ratio in found.ratios} == {finetuning.SPEED, "peak bytes"}
    assert "gpt-2-simple float32" in {ratio.to for ratio in found.ratios}
    json.dumps(report.to_json(found))
