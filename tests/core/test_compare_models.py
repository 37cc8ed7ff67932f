"""Models that sit one exam: their figures by hand, their order, and what can't be compared."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from pathlib import Path

import pytest
import torch
from shapes import TINY, tiny_model

from tools.__main__ import main
from tools.commands.evaluation import join_rows, to_table
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.evaluate import (
    Candidate,
    Exam,
    Protocol,
    compare_models,
    encode_documents,
    examine,
    measure_loss,
)
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.sampling import Sampling, generate
from utils.serve.chat import Conversation, RoundTable, part_words
from utils.texts.memorization import Phrases
from utils.tokenizer import CharTokenizer, Tokenizer

LETTERS = CharTokenizer.from_text("".join(map(chr, range(32, 127))) + "\n")  # 96 characters and an end: TINY's 97
DOCUMENTS = ["The tide comes in.", "Tea at four o'clock, café closed."[:20], "And so to bed. " * 6]
EXAM = Exam(DOCUMENTS, Protocol(24, 24))


@pytest.fixture(scope="module")
def candidates():
    return [Candidate(name, tiny_model(seed=seed, spread=0.3), LETTERS) for seed, name in enumerate("zam")]


def test_each_model_gets_the_loss_of_its_own_and_the_order_stays(candidates):
    results = compare_models(iter(candidates), EXAM)
    assert [result.name for result in results] == ["z", "a", "m"] == list(to_table(results).index)
    tokens = encode_documents(LETTERS, EXAM)
    for candidate, result in zip(candidates, results, strict=True):
        assert result.score == measure_loss(candidate.model, tokens, EXAM.protocol)
        assert result.weight_bytes == sum(p.nbytes for p in candidate.model.parameters())
    assert len({result.score.loss for result in results}) == 3


def test_documents_are_joined_by_an_end_of_text_and_cut_at_the_asked_length():
    tokens = encode_documents(LETTERS, EXAM)
    assert tokens.count(LETTERS.end_of_text) == 2 and tokens[-1] != LETTERS.end_of_text
    parts = "".join(LETTERS.decode([t]) if t != LETTERS.end_of_text else "|" for t in tokens)
    assert parts == "|".join(DOCUMENTS)
    short = Exam(DOCUMENTS, EXAM.protocol, most_tokens=10)
    assert encode_documents(LETTERS, short) == tokens[:11] and examine_tokens(short) == 10


def examine_tokens(exam: Exam) -> int:
    return examine(Candidate("x", tiny_model(), LETTERS), exam).score.tokens


def test_a_fair_die_takes_the_bits_of_its_sides_for_each_byte():
    model = tiny_model()
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.zero_()
    result = examine(Candidate("die", model, LETTERS), Exam(["abcdefgh"], Protocol(24, 24)))
    assert result.bits_per_byte == pytest.approx(math.log2(97), rel=1e-5)  # a letter is a byte here
    assert result.score.perplexity == pytest.approx(97, rel=1e-4)


def test_bits_per_byte_do_not_depend_on_how_a_text_is_cut_into_tokens():
    """Of two fair dice, one throws letters and one throws GPT-2's tokens: loss differs, information is counted."""
    torch.manual_seed(0)
    model = GPT2(GPT2Config(1, 1, 8, 50257, 64))
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.zero_()
    text, gpt2 = "The tide comes in, the tide goes out.", Tokenizer.gpt2()
    result = examine(Candidate("die", model, gpt2), Exam([text], Protocol(64, 64)))
    tokens = gpt2.encode(text)
    nats = (len(tokens) - 1) * math.log(50257)
    length = len(gpt2.decode(tokens[1:]).encode())
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / length, rel=1e-5)


def test_what_was_not_asked_or_can_not_be_answered_is_a_dash(candidates):
    row = to_table(compare_models(candidates[:1], Exam(DOCUMENTS, Protocol(24, 24), stories=3))).iloc[0]
    assert row["coherence"] == row["in training text"] == "–"  # TINY knows neither GPT-2's tokens nor 401 places


def test_recitation_is_the_share_of_phrases_of_what_is_written(candidates):
    candidate = candidates[0]
    tokens = encode_documents(LETTERS, EXAM)
    starts = torch.linspace(0, len(tokens) - 12, 3).long().tolist()
    prompts = [tokens[start : start + 6] for start in starts]
    told = generate(candidate.model, prompts, Sampling(max_new=12, temperature=0.8, stop=()))
    written = [LETTERS.decode(row) for row in told]
    for known, share in (([], 0.0), (written, 1.0)):
        exam = Exam(DOCUMENTS, EXAM.protocol, training=Phrases(known, words=1), beginnings=3)
        assert examine(candidate, exam).recited == share


def test_a_protocol_that_a_model_can_not_follow_is_refused(candidates):
    with pytest.raises(CourseError, match="z has 24 positions and the protocol asks for 1024"):
        compare_models(candidates, Exam(DOCUMENTS))
    with pytest.raises(CourseError, match="1 tokens"):
        compare_models(candidates, Exam(["x"], Protocol(24, 24)))


def test_wikitext_is_joined_as_published():
    raw = " \n = Robert = \n \n Robert is . \n"
    rows = ["", " = Robert = \n", "", " Robert is . \n"]  # as the rows of the published data set
    assert join_rows(raw) == "\n\n".join(rows)


@pytest.mark.skipif("WIKITEXT2_TEST" not in os.environ, reason="set WIKITEXT2_TEST to wiki.test.raw; prefetch small")
def test_small_has_the_published_perplexity_on_wikitext_2():
    """The usual loop leaves the first token of each window out, 281 of 287,644; ours guesses it from the one before."""
    raw = Path(os.environ["WIKITEXT2_TEST"]).read_text(encoding="utf-8")
    exam = Exam([join_rows(raw)], Protocol(1024, 1024), most_tokens=10**9)
    score = examine(Candidate("small", load_gpt2("small"), Tokenizer.gpt2()), exam).score
    assert score.tokens == 287_643
    assert score.perplexity == pytest.approx(29.94, abs=0.05)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ba"):
        torch.manual_seed(seed)
        save_gpt2(GPT2(GPT2Config(1, 2, 16, context=32)), tmp_path / name)
    (tmp_path / "text.txt").write_text("The tide comes in, and the tide goes out again. " * 5, encoding="utf-8")
    return tmp_path


def test_the_command_prints_the_protocol_and_a_row_for_each_model(folders, capsys):
    words = ["compare", "b", "a", "--text", "text.txt", "--context", "32", "--training", "text.txt", "--out", "t.csv"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "joined plain, context 32, stride 32" in said
    with (folders / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["b", "a"]
    tokens = Tokenizer.gpt2().encode((folders / "text.txt").read_text(encoding="utf-8"))
    for row in rows:
        expected = measure_loss(load_gpt2(row["model"]), tokens, Protocol(32, 32)).loss
        assert float(row["loss"]) == pytest.approx(expected, abs=6e-4)
    assert main(["compare", "b", "--text", "text.txt"]) == 1
    assert "has 32 positions" in capsys.readouterr().err


# Several models at one table


def test_models_answer_side_by_side_labelled_and_in_their_order(folders, monkeypatch, capsys):
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.StringIO("Hello\nquit\n"))
        assert main(["chat", "b", "max_new=4", "a", "temperature=0", "--log", "talk.csv"]) == 0
    said = capsys.readouterr().out
    assert said.index("[1] b: ") < said.index("[2] a: ")
    with (folders / "talk.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Model"] for row in rows] == ["b", "a", "b", "a"]
    for row in rows:
        tokens = Tokenizer.gpt2().encode("Hello")
        settings = Sampling(max_new=4, temperature=0, top_k=40, repetition_penalty=1.1)
        (answer,) = generate(load_gpt2(row["Model"]), [tokens], settings)
        assert row["GPT Response"] == Tokenizer.gpt2().decode(answer) and row["User Query"] == "Hello"


def test_a_round_table_gives_its_answers_back_in_order(tmp_path):
    seats = [
        Conversation(tiny_model(TINY, seed), LETTERS, Sampling(max_new=5), str(tmp_path / "c.csv"), name=str(seed))
        for seed in (2, 0, 1)
    ]
    answers = RoundTable(seats).answer("abc")
    for seat, answer in zip(seats, answers, strict=True):
        (row,) = generate(seat.model, [LETTERS.encode("abc")], Sampling(max_new=5))
        assert answer == LETTERS.decode(row) and seat.turns == 1


def test_words_are_parted_into_models_and_settings(folders):
    (folders / "odd=name").mkdir()
    assert part_words(["odd=name", "top_k=3", "a"]) == (["odd=name", "a"], ["top_k=3"])
    assert part_words([]) == (["nano"], [])
