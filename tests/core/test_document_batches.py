"""Batches of whole documents: what rows hold, how often, and that late positions are trained all the same."""

import numpy as np
import pytest
import torch

from utils.batches import WINDOWS_EVERY, DocumentBatches
from utils.errors import CourseError
from utils.model import IGNORE

END = 99


@pytest.fixture(scope="module")
def documents():
    """300 documents of 5 to 30 tokens, no token in two of them."""
    random = np.random.default_rng(0)
    lengths = random.integers(5, 31, 300)
    numbers = np.arange(100, 100 + lengths.sum())
    return np.split(numbers, lengths.cumsum()[:-1])


@pytest.fixture(scope="module")
def text(documents):
    """The documents with end-of-text between them, as tokenize_to_bin writes them."""
    parts = [part for document in documents for part in (document, [END])]
    return np.concatenate(parts[:-1])


def rows_of(inputs, targets):
    """Return the rows of a batch without their padding, each with its last target behind it."""
    kept = (targets != IGNORE).sum(1)
    return [[*row[:n].tolist(), int(end[n - 1])] for row, end, n in zip(inputs, targets, kept, strict=True)]


def make(text, **choices):
    return DocumentBatches(text, **{"batch_size": 4, "context": 64, "end_of_text": END} | choices)


def test_a_row_is_one_document_from_end_to_end(text, documents):
    whole = {(END, *document.tolist(), END) for document in documents}
    batches = make(text)
    for _ in range(WINDOWS_EVERY - 1):
        assert {tuple(row) for row in rows_of(*batches.next_batch())} <= whole


def test_targets_follow_their_inputs_and_padding_does_not_count(text):
    inputs, targets = make(text).next_batch()
    assert inputs.shape == targets.shape
    inside = targets[:, :-1] != IGNORE
    following = targets[:, 1:] != IGNORE
    assert torch.equal(inputs[:, 1:][following], targets[:, :-1][following])
    assert not (following & ~inside).any()  # padding stands at the right


def test_an_epoch_draws_every_document_once(text, documents):
    batches = make(text)
    order = [batches._start(number) for number in range(batches.windows)]
    assert sorted(order) == list(range(len(documents)))
    again = [batches._start(number) for number in range(batches.windows, 2 * batches.windows)]
    assert sorted(again) == sorted(order) and again != order


def test_every_eighth_batch_is_of_windows_from_anywhere(text, documents):
    batches = make(text)
    firsts = {int(document[0]) for document in documents}
    places = {tuple(text[i : i + 65].tolist()) for i in range(len(text) - 64)}
    begins = []
    for step in range(1, 5 * WINDOWS_EVERY + 1):
        inputs, targets = batches.next_batch()
        if step % WINDOWS_EVERY == 0:
            assert inputs.shape == (4, 64) and set(map(tuple, rows_of(inputs, targets))) <= places
            begins += inputs[:, 0].tolist()
        else:
            assert inputs.shape[1] <= 31 and len(inputs) == batches.batch_size
            assert (inputs[:, 0] == END).all() and set(inputs[:, 1].tolist()) <= firsts
    assert len(set(begins)) > 15  # most of them no beginnings


def test_a_batch_holds_about_as_many_tokens_as_windows_would(text):
    batches = make(text, batch_size=8)
    counts = [int((batches.next_batch()[1] != IGNORE).sum()) for _ in range(40)]
    assert np.mean(counts) == pytest.approx(8 * 64, rel=0.1)


def test_documents_of_like_length_come_together():
    random = np.random.default_rng(1)
    parts = [part for n in random.integers(200, 340, 4096) for part in (np.ones(n, int), [END])]
    batches = make(np.concatenate(parts), batch_size=4, context=1024)
    padding = [float((batches.next_batch()[1] == IGNORE).float().mean()) for _ in range(100)]
    assert np.mean(padding) < 0.04  # in any order it is about 0.16


def test_long_documents_go_on_in_rows_of_their_own():
    long = np.arange(100, 250)
    batches = make(np.concatenate([long, [END], [7, 8]]), batch_size=1, context=64)
    rows = [rows_of(*batches._rows([i]))[0] for i in range(batches.windows)]
    assert [len(row) - 1 for row in rows] == [64, 64, 23, 3]
    targets = [token for row in rows for token in row[1:]]
    assert targets == [*long.tolist(), END, 7, 8, END]


def test_ends_in_a_row_make_no_empty_documents():
    batches = make(np.array([END, END, 5, 6, END, END, 7, END]))
    assert [rows_of(*batches._rows([i]))[0] for i in range(batches.windows)] == [[END, 5, 6, END], [END, 7, END]]


def test_the_end_keeps_its_place_in_a_compact_vocabulary():
    batches = make(np.array([5, 6, END, 7]))
    batches.tokens = np.array([0, 1, 3, 2])
    assert [rows_of(*batches._rows([i]))[0] for i in range(2)] == [[3, 0, 1, 3], [3, 2, 3]]


@pytest.mark.parametrize("steps", [1, WINDOWS_EVERY, 30])
def test_a_resumed_run_draws_what_the_uninterrupted_one_draws(text, steps):
    first = make(text, seed=3)
    for _ in range(steps):
        first.next_batch()
    second = make(text, seed=3)
    second.load_state_dict(first.state_dict())
    for _ in range(WINDOWS_EVERY + 1):
        assert all(map(torch.equal, first.next_batch(), second.next_batch()))


def test_two_processes_share_out_one_order(text):
    ranks = [make(text, rank=rank, world_size=2) for rank in range(2)]
    drawn = [row for _ in range(WINDOWS_EVERY - 1) for rank in ranks for row in rows_of(*rank.next_batch())]
    assert len({row[1] for row in drawn}) == len(drawn) <= ranks[0].windows


@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_any_number_of_processes_sees_together_what_one_sees(text, world_size):
    """The product of batch size and processes stays; 6 × 64 tokens are 21 documents, which 2 and 6 don't divide."""
    alone = make(text, batch_size=6, seed=5)
    ranks = [
        make(text, batch_size=6 // world_size, seed=5, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    for _ in range(2 * WINDOWS_EVERY):
        together = [row for rank in ranks for row in rows_of(*rank.next_batch())]
        assert together == rows_of(*alone.next_batch())
    assert {rank.drawn for rank in ranks} == {alone.drawn} and {rank.epoch for rank in ranks} == {alone.epoch}


def test_a_text_without_ends_is_explained():
    with pytest.raises(CourseError, match="several documents, or train with whole_documents=false"):
        make(np.arange(100, 200))
