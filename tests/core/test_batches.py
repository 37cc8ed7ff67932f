"""Token files and batches: arithmetic by hand, coverage, resume, ranks and faults."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.batches import Batches, largest_context, token_windows
from utils.bpe import build_vocab
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.loaders import load_tokenizer
from utils.texts.bins import Bins, load_bin, tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.texts.records import Document
from utils.tokenizer import CharTokenizer, Tokenizer

SHAKESPEARE = Path(os.environ.get("COURSE_SHAKESPEARE", ROOT.parent / "shared/data/tinyshakespeare.txt"))
GPT2 = Tokenizer.gpt2()
quick = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture
def stories(tmp_path):
    folder = tmp_path / "stories"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i:02d}.txt").write_text(f"Story {i}: naïve 東京 <|endoftext|>\n" * 5, encoding="utf-8")
    return folder


def parts(path: Path) -> list[str]:
    """Cut a token file at end-of-text and decode what lies between."""
    ids = load_bin(path).tolist()
    cuts = [-1, *(i for i, token in enumerate(ids) if token == GPT2.end_of_text), len(ids)]
    return [GPT2.decode(ids[a + 1 : b]) for a, b in zip(cuts, cuts[1:], strict=False)]


def state(bins: Bins) -> list[tuple[int, int]]:
    """Identify each file as written: a file that is made again gets another inode or time."""
    files = (bins.train, bins.validate, bins.train.parent / "meta.json")
    return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]


def test_token_files_hold_every_document_once_in_order_with_end_of_text_between(stories, tmp_path):
    bins = tokenize_to_bin(stories, tmp_path / "out", GPT2)
    train, validate = parts(bins.train), parts(bins.validate)
    texts = [path.read_text(encoding="utf-8") for path in sorted(stories.iterdir())]
    assert sorted(train + validate, key=texts.index) == texts
    assert train == [text for text in texts if text in train] and len(validate) == 2
    assert (bins.train_tokens, bins.validate_tokens) == (len(load_bin(bins.train)), len(load_bin(bins.validate)))
    share = sum(map(len, validate)) / sum(map(len, texts))
    assert bins.note == f"split by document: 2 of 20 validate, {share:.1%} of the characters"
    raw = bins.train.read_bytes()  # two bytes a token, the smaller first
    assert [raw[i] + 256 * raw[i + 1] for i in (0, 2)] == GPT2.encode(train[0])[:2]


def test_tiny_shakespeare_is_split_into_its_known_numbers_of_tokens(tmp_path):
    if not SHAKESPEARE.exists():
        pytest.skip("Tiny Shakespeare is not here")
    bins = tokenize_to_bin(SHAKESPEARE, tmp_path, GPT2)
    assert (bins.train_tokens, bins.validate_tokens) == (301_966, 36_059)
    assert bins.note.startswith("split inside the document")


def test_a_second_call_writes_nothing(stories, tmp_path):
    first = tokenize_to_bin(stories, tmp_path / "out", GPT2)
    before = state(first)
    second = tokenize_to_bin(stories, tmp_path / "out", GPT2)
    assert (first.cached, second.cached) == (False, True)
    assert state(second) == before
    assert second.train_tokens == first.train_tokens and second.report == first.report


def flip_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[10] ^= 1
    path.write_bytes(raw)


FAULTS = {
    "another text": lambda stories, out: (stories / "03.txt").write_text("Another story.", encoding="utf-8"),
    "one more text": lambda stories, out: (stories / "99.txt").write_text("One more story.", encoding="utf-8"),
    "a flipped bit": lambda stories, out: flip_a_bit(out / "train.bin"),
    "a shorter file": lambda stories, out: os.truncate(out / "validate.bin", 2),
    "a missing file": lambda stories, out: (out / "validate.bin").unlink(),
    "a damaged meta.json": lambda stories, out: (out / "meta.json").write_text("{", encoding="utf-8"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_changed_text_or_damaged_files_are_made_again(stories, tmp_path, fault):
    out = tmp_path / "out"
    tokenize_to_bin(stories, out, GPT2)
    fault(stories, out)
    again = tokenize_to_bin(stories, out, GPT2)
    fresh = tokenize_to_bin(stories, tmp_path / "fresh", GPT2)
    assert not again.cached
    assert again.train.read_bytes() == fresh.train.read_bytes()
    assert again.validate.read_bytes() == fresh.validate.read_bytes()
    assert tokenize_to_bin(stories, out, GPT2).cached


def test_another_tokenizer_or_setting_makes_new_files(stories, tmp_path):
    text = "".join(path.read_text(encoding="utf-8") for path in stories.iterdir())
    characters = CharTokenizer.from_text(text)
    for tokenizer, choice in [
        (GPT2, BinSettings()),
        (GPT2, BinSettings(fraction=0.2)),
        (GPT2, BinSettings(fraction=0.2, seed=1)),
        (GPT2, BinSettings(fraction=0.2, seed=1, clean=True)),
        (characters, BinSettings()),
        (CharTokenizer.from_text(text + "ü"), BinSettings()),
    ]:
        assert not tokenize_to_bin(stories, tmp_path / "out", tokenizer, choice).cached
        assert tokenize_to_bin(stories, tmp_path / "out", tokenizer, choice).cached


def test_the_folder_remembers_its_tokenizer(stories, tmp_path):
    tokenizer = CharTokenizer.from_text("".join(path.read_text(encoding="utf-8") for path in stories.iterdir()))
    bins = tokenize_to_bin(stories, tmp_path / "out", tokenizer)
    again = load_tokenizer(tmp_path / "out")
    assert again.decode(load_bin(bins.train)).startswith("Story")
    tokenize_to_bin(stories, tmp_path / "out", GPT2)
    assert load_tokenizer(tmp_path / "out") is GPT2


def test_identical_documents_never_train_and_validate(tmp_path):
    texts = [Document(f"{i}.txt", f"Text number {i % 10}.") for i in range(40)]
    bins = tokenize_to_bin(texts, tmp_path, GPT2, BinSettings(fraction=0.3))
    train, validate = parts(bins.train), parts(bins.validate)
    assert len(train) + len(validate) == 40 and not set(train) & set(validate)


def test_copies_of_one_text_are_split_as_one(tmp_path):
    texts = [Document(f"{i}.txt", "one two three four five six seven eight nine ten") for i in range(3)]
    bins = tokenize_to_bin(texts, tmp_path, GPT2, BinSettings(fraction=0.5))
    assert parts(bins.train) == [texts[0].text[:24]] and parts(bins.validate) == [texts[0].text[24:]]
    assert "3 documents are the same text" in bins.note


def test_cleaning_is_counted_and_what_it_empties_is_reported(tmp_path):
    texts = [Document("a", "one\r\n"), Document("b", "two  \n"), Document("c", "\x00")]
    bins = tokenize_to_bin(texts, tmp_path, GPT2, BinSettings(clean=True))
    assert sorted(parts(bins.train) + parts(bins.validate)) == ["one\n", "two\n"]
    assert (bins.cleaned["line endings"], bins.cleaned["trailing spaces"]) == (1, 1)
    assert bins.report.skipped == {"c": "empty"} and bins.report.documents == 2


def test_documents_may_come_from_a_generator(tmp_path):
    texts = (Document(f"{i}", f"Text {i}.") for i in range(3))
    bins = tokenize_to_bin(texts, tmp_path, GPT2)
    assert bins.report.documents == len(parts(bins.train)) + len(parts(bins.validate)) == 3


@pytest.mark.parametrize("source", [[], [Document("a", " ")]])
def test_an_empty_corpus_is_refused(tmp_path, source):
    with pytest.raises(CourseError, match="no text was found"):
        tokenize_to_bin(source, tmp_path, GPT2)
    assert {path.name for path in tmp_path.iterdir()} <= {"dropped.csv"}  # which says what was left out


def test_a_vocabulary_that_two_bytes_cannot_number_is_refused(tmp_path):
    merges = [(chr(0x21 + a), chr(0x21 + b)) for a in range(90) for b in range(90)]
    merges += [(a + b, chr(0x21 + c)) for a, b in merges[:8000] for c in range(8)]
    tokenizer = Tokenizer(build_vocab(merges), merges)
    assert tokenizer.vocab_size > 65_536
    with pytest.raises(CourseError, match="expected at most 65,536"):
        tokenize_to_bin([Document("a", "text")], tmp_path, tokenizer)


def test_the_output_may_not_lie_in_the_folder_that_is_read(stories):
    with pytest.raises(CourseError, match="Choose a folder outside"):
        tokenize_to_bin(stories, stories / "out", GPT2)


def test_a_failure_keeps_the_old_files_and_leaves_no_others(stories, tmp_path):
    characters = CharTokenizer.from_text((stories / "00.txt").read_text(encoding="utf-8") + "123456789")
    bins = tokenize_to_bin(stories, tmp_path / "out", characters)
    before = state(bins)
    (stories / "07.txt").write_text("Story: ¿", encoding="utf-8")
    with pytest.raises(CourseError, match=r"07\.txt: character '¿' .* at position 7"):
        tokenize_to_bin(stories, tmp_path / "out", characters)
    assert state(bins) == before and len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_full_disk_is_explained_and_keeps_the_old_files(stories, tmp_path):
    bins = tokenize_to_bin(stories, tmp_path / "out", GPT2)
    before = state(bins)
    (stories / "more.txt").write_text("More and more. " * 20_000, encoding="utf-8")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # writing more fails as on a full disk
    try:
        with pytest.raises(CourseError, match=r"validate\.bin.* make room"):
            tokenize_to_bin(stories, tmp_path / "out", GPT2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state(bins) == before and len(list((tmp_path / "out").iterdir())) == 3


def test_memory_stays_flat_however_many_documents_there_are(tmp_path):
    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir(exist_ok=True)
        for i in range(count):
            (folder / f"{i}.txt").write_text(f"{i} " * 10_000, encoding="utf-8")
        tracemalloc.start()
        tokenize_to_bin(folder, tmp_path / f"out{count}", GPT2)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is loaded once
    assert min(peak(16), peak(16)) < 1.5 * peak(4)  # the least of two: other threads are traced, too


def test_a_damaged_token_file_is_refused(tmp_path):
    with pytest.raises(CourseError, match="not found.*tokenize_to_bin"):
        load_bin(tmp_path / "train.bin")
    for raw in (b"", b"abc"):
        (tmp_path / "train.bin").write_bytes(raw)
        with pytest.raises(CourseError, match=f"has {len(raw)} bytes, expected two for each token"):
            load_bin(tmp_path / "train.bin")


def test_a_token_file_is_mapped_and_read_only(stories, tmp_path):
    tokens = load_bin(tokenize_to_bin(stories, tmp_path / "out", GPT2).train)
    assert isinstance(tokens, np.memmap) and tokens.dtype == np.uint16
    with pytest.raises(ValueError):
        tokens[0] = 1


def test_windows_are_cut_as_by_hand():
    inputs, targets = token_windows(np.arange(10, dtype=np.uint16), 4)
    assert inputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert targets.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert inputs.dtype == targets.dtype == torch.int64
    assert token_windows(torch.arange(10), 4, 3)[0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert token_windows(range(5), 4)[0].tolist() == [[0, 1, 2, 3]]
    with pytest.raises(CourseError, match="stride is 0"):
        token_windows(range(5), 4, 0)


@pytest.mark.parametrize(
    ("tokens", "advice"), [(range(4), "at most 3, or add text"), ([5], "Add text"), ([], "Add text")]
)
def test_too_few_tokens_are_explained(tokens, advice):
    message = rf"{len(tokens)} tokens were found, but a context of 4 needs 5 or more.*{advice}"
    with pytest.raises(CourseError, match=message):
        token_windows(tokens, 4)
    with pytest.raises(CourseError, match=message):
        Batches(tokens, 2, 4)
    assert largest_context(tokens) == max(len(tokens) - 1, 0)


def test_senseless_batches_are_refused():
    for wrong, message in [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"context": 0}, "context is 0"),
        ({"rank": 2, "world_size": 2}, "rank is 2, expected 0 to 1"),
        ({"seed": -1}, "seed is -1"),
        ({"tokens": np.zeros((3, 9), dtype=int)}, r"shape \(3, 9\)"),
        ({"tokens": np.zeros(9)}, "type float64"),
    ]:
        with pytest.raises(CourseError, match=message):
            Batches(**{"tokens": range(9), "batch_size": 2, "context": 4} | wrong)


@quick
@given(st.integers(3, 400), st.integers(1, 20), st.integers(0, 3))
def test_an_epoch_draws_no_target_twice_and_leaves_out_less_than_two_windows(n, context, seed):
    context = min(context, n - 1)
    batches = Batches(range(n), 1, context, seed)
    for epoch in range(3):
        assert batches.epoch == epoch
        seen = []
        for _ in range(batches.windows):
            inputs, targets = batches.next_batch()
            assert torch.equal(targets, inputs + 1)  # token i is i here
            seen += targets.flatten().tolist()
        assert len(set(seen)) == len(seen)
        assert n - 1 - len(seen) < 2 * context


def test_over_epochs_every_token_is_seen_and_windows_begin_at_many_places():
    batches = Batches(range(1001), 10, 10)
    rows = torch.cat([batches.next_batch()[0] for _ in range(20 * batches.windows // 10)])
    assert set(rows.flatten().tolist()) == set(range(1000))
    assert len(set((rows[:, 0] % 10).tolist())) >= 7  # of the 10 places that a window can begin at


def test_batches_never_end_even_when_larger_than_the_text():
    batches = Batches(range(5), 8, 4)
    for _ in range(10):
        inputs, targets = batches.next_batch()
        assert inputs.shape == targets.shape == (8, 4) and inputs.is_contiguous()
        assert inputs.tolist() == [[0, 1, 2, 3]] * 8
    assert batches.epoch == 80


def test_a_poem_of_26_lines_makes_batches(tmp_path):
    poem = "\n".join(f"{letter} is for a word that begins with {letter}," for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    bins = tokenize_to_bin([Document("abc.txt", poem)], tmp_path, GPT2)
    validate = load_bin(bins.validate)
    with pytest.raises(CourseError, match=f"{len(validate)} tokens were found"):
        Batches(validate, 4, 64)
    for tokens in (load_bin(bins.train), validate):
        inputs, targets = Batches(tokens, 4, min(64, largest_context(tokens))).next_batch()
        assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_the_seed_decides_and_other_generators_do_not():
    def draw(seed: int) -> torch.Tensor:
        batches = Batches(range(1000), 4, 8, seed)
        torch.rand(3), np.random.rand(3)
        return torch.stack([batches.next_batch()[0] for _ in range(40)])

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


def test_fixed_windows_are_the_same_in_each_epoch_in_another_order():
    batches = Batches(range(1000), 1, 8, fixed_windows=True)
    assert batches.windows == 124  # all of them: none is held in reserve
    epochs = [[int(batches.next_batch()[0][0, 0]) for _ in range(batches.windows)] for _ in range(3)]
    assert [sorted(starts) for starts in epochs] == 3 * [list(range(0, 124 * 8, 8))]
    assert len({tuple(starts) for starts in epochs}) == 3


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 7, 50])
def test_a_resumed_run_draws_what_the_uninterrupted_one_draws(steps, fixed):
    whole, stopped, resumed = (Batches(range(300), 4, 8, seed=3, fixed_windows=fixed) for _ in range(3))
    for _ in range(steps):
        whole.next_batch()
        stopped.next_batch()
    saved = json.loads(json.dumps(stopped.state_dict()))
    resumed.next_batch()
    resumed.load_state_dict(saved)
    for _ in range(20):
        for ours, theirs in zip(resumed.next_batch(), whole.next_batch(), strict=True):
            assert torch.equal(ours, theirs)
    assert resumed.epoch == whole.epoch


def test_a_state_of_other_batches_is_refused():
    saved = Batches(range(300), 4, 8, seed=3).state_dict()
    for other in (Batches(range(301), 4, 8, 3), Batches(range(300), 4, 9, 3), Batches(range(300), 4, 8, 4)):
        with pytest.raises(CourseError, match="the saved batches have"):
            other.load_state_dict(saved)


def test_a_state_from_before_fixed_windows_goes_on_with_windows_that_move():
    saved = Batches(range(300), 4, 8, seed=3).state_dict()
    del saved["fixed_windows"]
    Batches(range(300), 4, 8, seed=3).load_state_dict(saved)
    with pytest.raises(CourseError, match="fixed_windows 0, these have 1"):
        Batches(range(300), 4, 8, seed=3, fixed_windows=True).load_state_dict(saved)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_out_one_order_without_overlap(world_size):
    alone = Batches(range(2000), 12, 8, seed=1)
    ranks = [Batches(range(2000), 12 // world_size, 8, 1, rank, world_size) for rank in range(world_size)]
    seen: Counter[int] = Counter()
    for _ in range(alone.windows // 12):
        together = torch.cat([rank.next_batch()[1] for rank in ranks])
        assert torch.equal(together, alone.next_batch()[1])
        seen.update(together.flatten().tolist())
    assert set(seen.values()) == {1}
    assert {rank.epoch for rank in ranks} == {alone.epoch}


def test_accumulated_small_batches_are_one_large_batch():
    small, large = Batches(range(500), 2, 8), Batches(range(500), 8, 8)
    for _ in range(20):
        assert torch.equal(torch.cat([small.next_batch()[0] for _ in range(4)]), large.next_batch()[0])
