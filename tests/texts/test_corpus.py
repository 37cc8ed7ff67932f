"""From files to what is learned: duplicates, chunks, instructions, ten thousand damaged rows, flat memory."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from shapes import child, tiny_model

from tools.__main__ import main
from utils.batches import AnswerBatches, Batches, open_batches
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.files.places import DATA
from utils.model import IGNORE
from utils.texts.bins import load_bin, load_learned, names_of_texts, tokenize_to_bin
from utils.texts.corpus import BinSettings, Corpus
from utils.texts.instructions import as_instruction, prompt_of
from utils.texts.reading import read_records, stream_records
from utils.texts.records import Document, ReadReport, Record
from utils.texts.splitting import chunks
from utils.tokenizer import Tokenizer

GPT2 = Tokenizer.gpt2()
END = GPT2.end_of_text


def pieces(path, end=END) -> list[str]:
    ids = load_bin(path).tolist()
    cuts = [-1, *(i for i, token in enumerate(ids) if token == end), len(ids)]
    found = [GPT2.decode(ids[a + 1 : b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    return found if ids[-1] != end else found[:-1]


# Duplicates and chunks


def test_five_formats_of_one_set_become_the_set_once(tmp_path):
    bins = tokenize_to_bin(DATA / "letters", tmp_path, GPT2, BinSettings(dedupe="exact"))
    texts = {document.fields["title"] for document in read_records(DATA / "letters" / "letters.csv")}
    assert {piece.split("\n")[0] for piece in pieces(bins.train) + pieces(bins.validate)} == texts
    assert (bins.report.documents, bins.report.dropped) == (12, 48)
    assert "the same text as letters.csv, line 2" in bins.report.skipped.values()
    assert names_of_texts(tmp_path) == "letters.csv" and bins.report.files == {"letters.csv": 12}


def test_near_copies_are_left_out_and_named(tmp_path):
    bins = tokenize_to_bin(DATA / "handbook", tmp_path, GPT2, BinSettings(dedupe="near", clean=True))
    [(name, reason)] = bins.report.skipped.items()
    assert name == "handbook.txt" and reason.endswith("like handbook.pdf")


def test_many_files_are_named_by_the_first_of_them_and_none_by_their_folder(tmp_path):
    (tmp_path / "texts").mkdir()
    for number in range(23):
        (tmp_path / "texts" / f"{number:02}.txt").write_text(f"text number {number}", encoding="utf-8")
    tokenize_to_bin(tmp_path / "texts", tmp_path / "files", GPT2)
    assert names_of_texts(tmp_path / "files") == ", ".join(f"{n:02}.txt" for n in range(20)) + " and 3 more"
    tokenize_to_bin([Document("a", "one text"), Document("b", "another")], tmp_path / "listed", GPT2)
    assert names_of_texts(tmp_path / "listed") == "listed"


def test_chunks_lose_nothing_and_neighbors_are_joined_again(tmp_path):
    text = "\n\n".join(f"Paragraph {i} " + "word " * (i % 17) for i in range(300))
    parts = list(chunks(Document("a", text), 200))
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) <= 200 for part in parts) and len(parts) < 3 * len(text) / 200
    assert [part.part for part in parts] == list(range(len(parts)))
    bins = tokenize_to_bin([Document("a", text)], tmp_path, GPT2, BinSettings(split="chunks", chunk=200))
    train, validate = pieces(bins.train), pieces(bins.validate)
    assert 0.05 < sum(map(len, validate)) / len(text) < 0.15
    assert sorted("".join(train + validate)) == sorted(text)
    assert all(piece in text for piece in train + validate)  # end-of-text stands only where something is missing
    assert len(train) < len(parts) / 3 and "split by chunks of 200 characters" in bins.note


def test_equal_chunks_stay_on_one_side(tmp_path):
    text = ("same words here\n\n" * 4 + "other {i} words\n\n") * 20
    bins = tokenize_to_bin([Document("a", text)], tmp_path, GPT2, BinSettings(split="chunks", chunk=17, fraction=0.4))
    sides = [set("".join(pieces(path)).split("\n\n")) - {""} for path in (bins.train, bins.validate)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("wrong", [{"dedupe": "twice"}, {"split": "lines"}, {"instructions": True, "split": "chunks"}])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(CourseError, match="expected one of|lose its answer"):
        BinSettings(**wrong)


def test_a_corpus_of_26_lines_trains_or_explains(tmp_path, capsys):
    (tmp_path / "abc.txt").write_text("".join(f"{c} is a letter.\n" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "utf-8")
    assert main(["prepare", str(tmp_path / "abc.txt"), "--out", str(tmp_path / "bins")]) == 0
    words = ["n_layer=1", "n_head=2", "n_embd=16", "batch_size=2", "warmup_steps=1", "device=cpu", "max_steps=2"]
    run = ["train", f"data={tmp_path / 'bins'}", f"out={tmp_path / 'run'}", *words]
    assert main([*run, "context=8"]) == 0
    assert main([*run, "context=512"]) == 1
    assert "Use a context of at most" in capsys.readouterr().err


# Instructions


def test_known_formats_become_prompt_and_answer():
    report = ReadReport()
    rows = [
        {"question": "Who?", "answer": "Me.", "source": "x"},
        {"instruction": "Add.", "input": "1 1", "output": "2"},
        {"instruction": "Sing.", "input": "", "output": "La"},
        {"prompt": "Hi", "completion": "Ho"},
    ]
    found = [as_instruction(Record("f", str(i), row), (), report) for i, row in enumerate(rows)]
    assert [(document.prompt, document.text) for document in found] == [
        ("Question: Who?\nAnswer:", " Me."),
        ("Instruction: Add.\nInput: 1 1\nOutput:", " 2"),
        ("Instruction: Sing.\nOutput:", " La"),
        ("Prompt: Hi\nCompletion:", " Ho"),
    ]
    assert prompt_of({"question": "Who?"}, ["question"]) == found[0].prompt  # what is asked in use is what was learned
    assert as_instruction(Record("f", "line 9", {"frage": "Wer?", "antwort": "Ich."}), ("frage", "antwort"), report)
    for lacking in ({"text": "a"}, {"question": "Who?", "answer": " "}, {"question": "", "answer": "Me."}):
        assert as_instruction(Record("f", "line 1", lacking), (), report) is None
    assert report.dropped == 3


@pytest.fixture(scope="module")
def quiz(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiz")
    return tokenize_to_bin(DATA / "quiz" / "quiz.csv", folder, GPT2, BinSettings(instructions=True))


def test_only_answers_and_their_end_are_learned(quiz):
    records = [record.fields for record in read_records(DATA / "quiz" / "quiz.csv")]
    tokens, learned = load_bin(quiz.train), load_learned(quiz.train)
    assert len(tokens) == len(learned) == quiz.train_tokens
    kept = GPT2.decode(tokens[learned == 1]).split("<|endoftext|>")
    assert kept.pop() == "" and {text[1:] for text in kept} < {record["answer"] for record in records}
    asked = [f"Question: {record['question']}\nAnswer: {record['answer']}" for record in records]
    assert set(pieces(quiz.train)) | set(pieces(quiz.validate)) == set(asked)
    ids = [token for text in pieces(quiz.train) for token in (*GPT2.encode(text), END)]
    assert tokens.tolist() == ids  # parted or not, the text has the same tokens


def test_a_batch_of_answers_is_what_arithmetic_by_hand_gives():
    tokens, learned = [1, 2, 3, 9, 4, 5, 9, 6, 7, 8, 9], [0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1]
    batches = AnswerBatches(tokens, 3, 8, learned=learned)
    inputs, targets = batches.next_batch()
    rows = sorted(zip(inputs.tolist(), targets.tolist(), strict=True))
    assert rows == [
        ([1, 2, 3], [IGNORE, 3, 9]),
        ([4, 5, 9], [5, 9, IGNORE]),
        ([6, 7, 8], [7, 8, 9]),
    ]
    assert (batches.epoch, batches.cut) == (1, 0)
    short = AnswerBatches(tokens, 3, 2, learned=learned)  # examples of four tokens lose their first one
    assert short.cut == 2
    rows = sorted(zip(*(part.tolist() for part in short.next_batch()), strict=True))
    assert rows == [([2, 3], [3, 9]), ([4, 5], [5, 9]), ([7, 8], [8, 9])]


def test_every_example_is_drawn_once_an_epoch_and_ranks_share_them(quiz):
    whole = open_batches(quiz.train, 4, 256, seed=1)
    assert isinstance(whole, AnswerBatches) and whole.windows == len(pieces(quiz.train))
    ranks = [open_batches(quiz.train, 2, 256, seed=1, rank=rank, world_size=2) for rank in range(2)]
    seen = []
    for _ in range(whole.windows // 4):
        inputs, _ = whole.next_batch()
        parts = [row for rank in ranks for row in rank.next_batch()[0]]
        for row, part in zip(inputs, parts, strict=True):
            size = min(len(row), len(part))
            assert torch.equal(row[:size], part[:size])  # padding apart, which depends on the longest row
            seen.append(tuple(part.tolist()))
    assert len(set(seen)) == len(seen)


def test_the_loss_of_a_question_is_none_and_padding_changes_nothing(quiz):
    inputs, targets = open_batches(quiz.train, 3, 256).next_batch()
    model = tiny_model(GPT2Config(2, 2, 32, context=256))
    with torch.no_grad():
        logits = model(inputs).float()
        loss = float(model(inputs, targets))
    by_hand = [
        torch.log_softmax(logits[row, i], -1)[target].item()
        for row, line in enumerate(targets.tolist())
        for i, target in enumerate(line)
        if target != IGNORE
    ]
    assert loss == pytest.approx(-sum(by_hand) / len(by_hand), rel=1e-4)
    assert all(END in [t for t in line if t != IGNORE] for line in targets.tolist())  # the end is learned


def test_damaged_or_missing_marks_are_refused(quiz, tmp_path):
    with pytest.raises(CourseError, match="3 tokens and 2 marks"):
        AnswerBatches([1, 2, 3], 1, 4, learned=[0, 1])
    with pytest.raises(CourseError, match="no question with an answer"):
        AnswerBatches([1, 2, 3], 1, 4, learned=[1, 1, 1])
    bins = tokenize_to_bin(DATA / "quiz" / "quiz.csv", tmp_path, GPT2, BinSettings(instructions=True))
    (tmp_path / "train.learned.bin").unlink()
    again = tokenize_to_bin(DATA / "quiz" / "quiz.csv", tmp_path, GPT2, BinSettings(instructions=True))
    assert not again.cached and load_learned(bins.train) is not None
    plain = tokenize_to_bin(DATA / "quiz" / "quiz.csv", tmp_path, GPT2)
    assert load_learned(plain.train) is None and type(open_batches(plain.train, 1, 8)) is Batches


def test_a_single_question_is_refused_since_it_cannot_be_parted(tmp_path):
    with pytest.raises(CourseError, match="one question with its answer"):
        tokenize_to_bin([Document("a", " Me.", "Who?")] * 2, tmp_path, GPT2, BinSettings(instructions=True))


def test_prepare_takes_every_option(tmp_path, capsys):
    words = ["prepare", str(DATA / "quiz"), "--out", str(tmp_path), "--instructions", "--dedupe", "exact"]
    assert main([*words, "--steps", "all", "--columns", "question,answer"]) == 0
    said = capsys.readouterr().out
    assert "60 documents" in said and "and 220 more were left out" in said
    assert "cleaned: nothing was found" in said
    with (tmp_path / "dropped.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 240
    assert main([*words, "--columns", "question,reply"]) == 1
    assert "nothing in reply" in capsys.readouterr().err


# Ten thousand damaged rows

DAMAGED, WHOLE = 10_000, 2_000


def damaged_csv() -> str:
    kinds = ["{i}", "{i},a,b", '{i},"open', '{i},"a"b', "{i},caf\udce9"]
    rows = [kinds[i % 5].format(i=i) if i % 6 else f'{i},"whole, {i}"' for i in range(DAMAGED + WHOLE)]
    return "id,text\n" + "\n".join(rows) + "\n"


def damaged_jsonl() -> str:
    kinds = ["{{", "[{i}]", '{{"id": {i}, "id": 1}}', '{{"text": "caf\udce9"}}', "{i}"]
    rows = [kinds[i % 5].format(i=i) if i % 6 else json.dumps({"id": i, "text": f"whole, {i}"}) for i in range(12_000)]
    return "\n".join(rows)


@pytest.mark.parametrize("make", [damaged_csv, damaged_jsonl])
def test_of_ten_thousand_damaged_rows_all_are_reported_and_no_other_is_lost(tmp_path, make):
    path = tmp_path / f"rows.{make.__name__.removeprefix('damaged_')}"
    path.write_bytes(make().encode("utf-8", errors="surrogateescape"))
    report = ReadReport()
    whole = sum(record.fields["text"] == f"whole, {record.fields['id']}" for record in stream_records(path, report))
    report.save(tmp_path / "dropped.csv")
    with (tmp_path / "dropped.csv").open(encoding="utf-8", newline="") as file:
        places = [row["Left out"] for row in csv.DictReader(file)]
    assert (whole, report.dropped, len(set(places))) == (WHOLE, DAMAGED, DAMAGED)
    assert len(str(report).splitlines()) < 50


PEAK = """
import resource, sys
from pathlib import Path
from utils.texts.bins import tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.tokenizer import Tokenizer
tokenize_to_bin(sys.argv[1], sys.argv[2], Tokenizer.gpt2(), BinSettings(clean=True, dedupe=sys.argv[3]))
lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not __import__("pathlib").Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    rng = np.random.default_rng(0)
    peaks = []
    for count in (1, 12):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            rows = [{"id": f"{number}-{i}", "text": " ".join(map(str, rng.integers(0, 9999, 60)))} for i in range(700)]
            (folder / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        peaks.append(int(child(PEAK, str(folder), str(tmp_path / f"out{count}"), "exact")))
    corpus = sum(path.stat().st_size for path in folder.iterdir()) / 1024
    assert corpus > 2_500  # KiB
    assert peaks[1] - peaks[0] < 0.35 * corpus and peaks[1] < 1.05 * peaks[0], (peaks, corpus)


def test_a_corpus_counts_what_it_cleaned_and_says_the_same_each_time():
    corpus = Corpus(DATA / "handbook" / "handbook.pdf", BinSettings(clean=True, steps=("page headers", "line endings")))
    first = [list(corpus.documents()), dict(corpus.cleaned), str(corpus.report), corpus.content]
    assert corpus.cleaned == {"page headers": 26, "line endings": 12}
    assert [list(corpus.documents()), dict(corpus.cleaned), str(corpus.report), corpus.content] == first
