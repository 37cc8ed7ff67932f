"""The small world and the scaling law that is measured in it."""

from __future__ import annotations

import numpy as np
import pytest

from utils.config import GPT2Config, flops_per_token, total_parameters
from utils.training.scaling import IsoFlop, bottom, spend
from utils.training.small_world import tell_stories


def test_the_small_world_reads_and_writes_its_own_stories_and_keeps_an_exam():
    world = tell_stories(12, held=3)
    assert len(world.learn) + len(world.held_out) == sum(map(len, world.stories))
    assert np.array_equal(world.first(9), world.learn)
    text = world.tokenizer.decode(world.stories[0][:-1])
    assert world.tokenizer.encode(text) == world.stories[0][:-1].tolist()
    assert world.stories[0][-1] == world.tokenizer.end_of_text and world.learn.max() < world.vocab_size


def test_a_budget_is_spent_to_a_step_and_the_loss_falls_with_it():
    world = tell_stories(30, held=5)
    rows = [spend(operations, 8, world) for operations in (2e8, 2e9)]
    shape = GPT2Config(2, 2, 8, world.vocab_size, 64)
    for row in rows:
        assert row.parameters == total_parameters(shape) and row.tokens % 1024 == 0
        assert abs(row.tokens * flops_per_token(shape) - row.operations) <= 512 * flops_per_token(shape)
    assert rows[1].loss < rows[0].loss < 1.05 * np.log(world.vocab_size)


def test_the_bottom_of_a_parabola_is_found_between_its_rows():
    rows = [IsoFlop(1, n, n, 0, (np.log(n) - np.log(3000)) ** 2) for n in (500, 1000, 2000, 4000, 8000)]
    assert bottom(rows) == pytest.approx(3000)
