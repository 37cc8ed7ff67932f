"""The run's logs: rows that are whole and on disk, each epoch's own sentence and resource."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from runs import QUICK, TINY, tiny_data, tiny_model

from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.files.places import ROOT
from utils.run_log import CHAT_COLUMNS, Evaluation, RunLog, append_row, log_chat
from utils.sampling import Sampling, complete
from utils.tokenizer import CharTokenizer
from utils.training.data import epoch_sentence
from utils.training.loop import train

LETTERS = CharTokenizer.from_text("".join(map(chr, range(32, 81))))  # 49 characters and an end: TINY's 50
QUIET = {"show": lambda line: None}
RUN = replace(QUICK, max_steps=30)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_epoch_has_the_sentence_of_its_own_model_and_what_the_machine_did(tmp_path):
    model, said = tiny_model(), []
    sentence = epoch_sentence(model, LETTERS, "HELLO", Sampling(max_new=6, temperature=0))

    def sample() -> str:
        said.append(sentence())
        assert model.training, "the model goes on learning after it has spoken"
        return said[-1]

    log = RunLog(tmp_path, **QUIET, sample=sample, resource="a.txt", machine=lambda: f"look {len(said)}")
    train(model, tiny_data(), RUN, log)
    found = rows(tmp_path / "training_log.csv")
    assert [row["Generated Sentence"] for row in found] == said and len(set(said)) > 1
    assert [row["Machine"] for row in found] == [f"look {n + 1}" for n in range(len(found))]
    assert {row["Resource"] for row in found} == {"a.txt"}
    assert all(text.startswith("HELLO") for text in said)
    assert sentence() == "HELLO" + complete(model, LETTERS, "HELLO", Sampling(max_new=6, temperature=0))[0]


def test_a_sentence_changes_nothing_of_what_is_learned_and_unasked_nothing_is_said(tmp_path):
    losses = []
    for name in ("with", "without"):
        model = tiny_model()
        sample = epoch_sentence(model, LETTERS, "HELLO", Sampling(max_new=4, seed=5)) if name == "with" else None
        log = RunLog(tmp_path / name, **QUIET, sample=sample)
        train(model, tiny_data(), RUN, log)
        losses.append([record.loss for record in log.history])
    assert losses[0] == losses[1]
    unasked = rows(tmp_path / "without" / "training_log.csv")
    assert {(row["Generated Sentence"], row["Resource"], row["Machine"]) for row in unasked} == {("", "", "")}


def losses_of_epochs(folder: Path) -> list[tuple[int, float]]:
    return [(int(row["Total Steps"]), float(row["Avg Validation Loss"])) for row in rows(folder / "training_log.csv")]


def test_the_row_of_an_epoch_that_is_long_enough_has_a_loss_of_its_own(tmp_path):
    model, log = tiny_model(), RunLog(tmp_path, **QUIET)
    train(model, tiny_data(), replace(RUN, evaluate_every=5), log)
    table, logged = losses_of_epochs(tmp_path), dict(log.losses())
    assert [step for step, _ in table] == [6, 12, 18, 23, 29]
    assert all(logged[step] == pytest.approx(loss, abs=1e-6) for step, loss in table)
    assert len(log.moments) == len(log.history) == 30
    assert log.moments == sorted(log.moments)
    last = measure_loss(model, tiny_data().validate[:20_000], Protocol(16, 16)).loss
    assert log.losses()[-1] == (30, last)
    expected = sorted({*range(5, 31, 5), 6, 12, 18, 23, 29})
    assert [int(row["step"]) for row in rows(tmp_path / "evaluations.csv")] == expected


def test_the_row_of_a_short_epoch_repeats_the_last_loss_and_costs_no_evaluation(tmp_path):
    log = RunLog(tmp_path, **QUIET)
    train(tiny_model(), tiny_data(), replace(RUN, evaluate_every=20), log)
    logged = dict(log.losses())
    assert [*logged] == [6, 20, 30], "the first epoch's end, then those that are due"
    expected = [(6, 6), (12, 6), (18, 6), (23, 20), (29, 20)]
    assert losses_of_epochs(tmp_path) == [(end, pytest.approx(logged[step], abs=1e-6)) for end, step in expected]


def test_a_sentence_comes_with_the_first_row_and_then_once_so_many_steps_have_gone_by(tmp_path):
    log = RunLog(tmp_path, **QUIET, sample=lambda: "words", sample_every=10)
    train(tiny_model(), tiny_data(), RUN, log)
    told = [int(row["Total Steps"]) for row in rows(tmp_path / "training_log.csv") if row["Generated Sentence"]]
    assert told == [6, 18, 29]


def test_what_was_logged_beyond_a_checkpoint_is_cut_off_in_files_and_in_memory(tmp_path):
    log = RunLog(tmp_path, **QUIET, sample=lambda: 'two\nlines, "quoted"', sample_every=10)
    train(tiny_model(), tiny_data(), RUN, log)
    tables = {name: (tmp_path / name).read_bytes() for name in ("steps.csv", "evaluations.csv", "training_log.csv")}
    torn = b'31,0.5,"cut'
    for path in tmp_path.glob("*.csv"):
        path.write_bytes(path.read_bytes() + torn)
    log.resume(30)
    assert {name: (tmp_path / name).read_bytes() for name in tables} == tables, "all that was whole stays as it was"
    log.resume(19)
    assert [int(row["step"]) for row in rows(tmp_path / "steps.csv")] == list(range(1, 20))
    assert [int(row["step"]) for row in rows(tmp_path / "evaluations.csv")] == [4, 6, 8, 12, 16, 18]
    found = rows(tmp_path / "training_log.csv")
    assert [row["Total Steps"] for row in found] == ["6", "12", "18"]
    assert [row["Generated Sentence"] for row in found] == ['two\nlines, "quoted"', "", 'two\nlines, "quoted"']
    assert log.sampled_step == 18 and len(log.history) == len(log.moments) == 19
    assert log.evaluations[-1].step == 18


def test_a_table_of_another_kind_is_left_alone(tmp_path):
    (tmp_path / "steps.csv").write_text("when,what\n1,2\n", encoding="utf-8")
    (tmp_path / "evaluations.csv").touch()
    RunLog(tmp_path, **QUIET).resume(0)
    assert (tmp_path / "steps.csv").read_text(encoding="utf-8") == "when,what\n1,2\n"


def test_a_table_of_an_older_version_gets_the_new_columns(tmp_path):
    path = tmp_path / "log.csv"
    append_row(path, ["a", "b"], [1, "two\nlines"])
    append_row(path, ["a", "new", "b"], [2, 3, "x"])
    assert rows(path) == [{"a": "1", "new": "", "b": "two\nlines"}, {"a": "2", "new": "3", "b": "x"}]
    with pytest.raises(CourseError, match="begins with 'a,new,b'"):
        append_row(path, ["a", "b"], [1, 2])


def test_an_evaluation_is_said(tmp_path):
    lines = []
    RunLog(tmp_path, show=lines.append).evaluation(Evaluation(7, 1.25, best=True))
    assert lines == ["step 7 | held-out loss 1.2500 (best)"]


WRITE = """
import sys
from pathlib import Path
from utils.run_log import append_row
for i in range(200):
    append_row(Path(sys.argv[1]), ("who", "number", "text"), (sys.argv[2], i, "a, b" * 20))
"""


def test_three_programs_may_write_one_file(tmp_path):
    path = tmp_path / "new" / "log.csv"
    words = [sys.executable, "-c", WRITE, str(path)]
    programs = [subprocess.Popen([*words, name], cwd=ROOT) for name in "abc"]
    assert [program.wait(120) for program in programs] == [0, 0, 0]
    found = rows(path)
    assert path.read_text(encoding="utf-8").count("who,number,text") == 1
    for name in "abc":
        own = [row for row in found if row["who"] == name]
        assert [int(row["number"]) for row in own] == list(range(200))
    assert {row["text"] for row in found} == {"a, b" * 20} and len(found) == 600


def test_a_row_is_on_disk_at_once_and_survives_quotes_and_line_ends(tmp_path):
    log_chat(tmp_path / "chat.csv", 'He said "go",\nand went', "", "nano")
    (row,) = rows(tmp_path / "chat.csv")
    assert tuple(row) == CHAT_COLUMNS and row["User Query"] == 'He said "go",\nand went' and row["Model"] == "nano"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_what_was_typed_is_no_formula_in_a_spreadsheet(tmp_path, text):
    log_chat(tmp_path / "chat.csv", text, text, text)
    (row,) = rows(tmp_path / "chat.csv")
    assert [row[name] for name in CHAT_COLUMNS[1:]] == [f"'{text}"] * 3


def test_a_number_below_zero_stays_a_number(tmp_path):
    append_row(tmp_path / "x.csv", ("a", "b"), (-1, -0.5))
    assert rows(tmp_path / "x.csv") == [{"a": "-1", "b": "-0.5"}]


def test_an_empty_file_gets_its_header(tmp_path):
    (tmp_path / "x.csv").touch()
    append_row(tmp_path / "x.csv", ("a", "b"), (1, 2))
    assert rows(tmp_path / "x.csv") == [{"a": "1", "b": "2"}]


def test_rows_of_another_kind_are_refused_and_the_file_is_left_alone(tmp_path):
    append_row(tmp_path / "x.csv", ("a", "b"), (1, 2))
    with pytest.raises(CourseError, match=r"begins with 'a,b', expected 'a,c,d'\. Move it away"):
        append_row(tmp_path / "x.csv", ("a", "c", "d"), (1, 2, 3))
    assert rows(tmp_path / "x.csv") == [{"a": "1", "b": "2"}]


def test_watchers_hear_of_each_step_and_epoch_in_turn(tmp_path):
    class Watcher:
        def __init__(self) -> None:
            self.heard = []

        def step(self, log) -> None:
            self.heard.append(log.history[-1].step)

        def epoch(self, log, cells) -> None:
            self.heard.append(f"epoch {cells['Epoch']}")

    watcher = Watcher()
    data = tiny_data()
    train(tiny_model(), data, replace(QUICK, max_steps=8), RunLog(tmp_path, **QUIET, watchers=[watcher]))
    per_epoch = data.batches.windows // QUICK.batch_size
    assert [one for one in watcher.heard if isinstance(one, int)] == list(range(1, 9))
    assert "epoch 1" in watcher.heard and watcher.heard.index("epoch 1") >= per_epoch
    assert TINY.vocab_size == LETTERS.vocab_size
