"""Memory over training steps: what a block keeps is what PyTorch puts aside, and the sums are those of the estimate."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from lessons.figures.memory import memory_over_steps, step_timeline
from utils.config import GPT2Config, Workload, total_parameters
from utils.model import Block

TINY = GPT2Config(3, 4, 128, 600, 64)
WORK = Workload(batch=4, context=64, training=True)


def test_a_block_adds_what_autograd_puts_aside_for_it():
    block, kept = Block(TINY, 0), {}
    weights = {weight.data_ptr() for weight in block.parameters()}

    def put_aside(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(put_aside, lambda tensor: tensor):
        block(torch.randn(4, 64, 128, requires_grad=True)).sum()
    history = step_timeline(TINY, WORK)
    added = history[2]["activations"] - history[1]["activations"]
    assert added == pytest.approx(sum(size for place, size in kept.items() if place not in weights), rel=0.02)


def test_a_step_ends_with_sixteen_bytes_a_parameter_and_the_second_begins_with_twelve():
    history, steps = step_timeline(TINY, WORK), 2
    every, count = len(history) // steps, total_parameters(TINY)
    totals = [sum(held.values()) for held in history]
    assert (totals[0], totals[every - 1], totals[every]) == (4 * count, 16 * count, 12 * count)
    in_loss = 1 + TINY.n_layer
    assert totals[in_loss] == max(totals[: every - 1]) and totals[every + in_loss] == totals[in_loss] + 8 * count
    assert history[in_loss]["gradients"] == 4 * TINY.vocab_size * TINY.n_embd  # the head's alone


def test_the_picture_stacks_every_part():
    figure = memory_over_steps(step_timeline(TINY, WORK))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["weights", "optimizer", "gradients", "activations", "logits"]
