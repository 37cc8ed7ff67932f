"""Labs that are handed in: honest ones earn their points, a figure changed by hand is found, copies are told."""

from __future__ import annotations

import csv
import inspect
import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from runs import QUICK, quiet_log, tiny_data, tiny_model

import labs.solutions.find_the_bugs as solutions
from labs.bugs.sabotage import BUGS
from labs.shootout.race import Row, Shootout
from labs.shootout.report import write_report
from labs.true_size.lab_results import RESULTS, store_run
from labs.true_size.last_weights import keep_last
from tools.__main__ import main
from tools.classroom.grading import Submission
from tools.classroom.lab_bugs import NOT_YET, definitions, judge_notebook
from tools.classroom.lab_files import Work
from tools.classroom.lab_marks import LABS, Marked, find_labs, mark, mark_bugs, mark_labs
from tools.classroom.lab_runs import check_checkpoint, check_logs, check_target
from tools.classroom.sandbox import Fence, Limits, available_fence
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.loaders import save_gpt2
from utils.model import GPT2
from utils.run_log import log_chat
from utils.system_log import SystemLog
from utils.texts.bins import tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.texts.records import Document
from utils.tokenizer import Tokenizer
from utils.training import run_recipe, train

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has the fence")
STEPS = 44


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    """What a small run on poems is started with."""
    place = tmp_path_factory.mktemp("data") / "poems"
    paths = sorted((ROOT / "data" / "poems").glob("*.txt"))[:4]
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in paths)
    tokenize_to_bin([Document("poems", text)], place, Tokenizer.gpt2(), BinSettings(fraction=0.2))
    return [f"data={place}", *["device=cpu", "dtype=float32", "context=16", "batch_size=2", "log_every=100"]]


@pytest.fixture(scope="module")
def by_heart(words, tmp_path_factory) -> Path:
    """Lab 01 as its learner leaves it, but for the size of its run."""
    folder = tmp_path_factory.mktemp("ada") / "lab_01"
    shape = [
        "compact=true",
        "n_layer=1",
        "n_head=2",
        "n_embd=16",
        "optimizer=muon",
        "learning_rate=1e-2",
        "warmup_steps=1",
    ]
    run = [*words, *shape, f"max_steps={STEPS}", "evaluate_every=5", f"out={folder / 'run'}"]
    run_recipe(run)
    store_run(run, folder / "result.json", check_tokens=100)
    keep_last(run, folder / "by_heart")
    return folder


@pytest.fixture
def copy(by_heart, tmp_path) -> Path:
    """Lab 01 in a folder of its own, to be changed by hand."""
    return Path(shutil.copytree(by_heart, tmp_path / "Eve" / "lab_01"))


def marked(folder: Path, lab: str = "01") -> Marked:
    return mark(Submission(folder, "Eve", lab))


def parts_of(lines: list[str]) -> set[str]:
    return {line.partition(":")[0] for line in lines}


def change(path: Path, row: int, column: str, value: object) -> None:
    """Change one cell of a table by hand."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row][column] = str(value)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_an_honest_run_earns_all_but_the_target_that_it_missed(by_heart):
    found = marked(by_heart)
    assert parts_of(found.wrong) == {"target reached"} and not found.missing
    assert "0.1" in found.wrong[0] and f" {STEPS}," in found.wrong[0]
    assert (found.points, found.possible) == (6, 8)
    check_target(Work(by_heart), "run", target=100)


@pytest.mark.parametrize("row", [0, 7, STEPS // 2, STEPS - 2, STEPS - 1])
def test_a_loss_that_was_changed_by_hand_contradicts_an_epoch_or_the_checkpoint(copy, row):
    change(copy / "run" / "steps.csv", row, "loss", 0.05)
    assert parts_of(marked(copy).wrong) & {"logs of the run", "checkpoint"}


def test_a_mean_that_was_changed_as_well_still_contradicts_the_steps_around_it(copy):
    change(copy / "run" / "training_log.csv", 0, "Avg Training Loss", 0.05)
    found = marked(copy)
    assert parts_of(found.wrong) == {"logs of the run", "target reached"}
    assert any("have a mean of" in line and "0.050000" in line for line in found.wrong)


def test_steps_that_are_missing_twice_or_no_numbers_are_named(copy):
    path = copy / "run" / "steps.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for text, said in (
        ("".join([*lines[:4], *lines[5:]]), "row 4 is step 5"),
        ("".join([*lines[:5], *lines[4:]]), "row 5 is step 4"),
        ("".join(lines[:1]), "holds no row"),
        ("step,loss\n1,2\n", "lacks the column seconds"),
    ):
        path.write_text(text, encoding="utf-8")
        assert any(said in line for line in marked(copy).wrong), said
    path.write_text("".join(lines), encoding="utf-8")
    change(path, 2, "loss", "nan")
    assert any("row 3: loss is 'nan'" in line for line in marked(copy).wrong)


def test_weights_that_are_not_those_of_the_run_are_found(copy):
    shutil.copy(copy / "run" / "model.safetensors", copy / "by_heart" / "model.safetensors")
    assert parts_of(marked(copy).wrong) == {"target reached", "the model by heart"}
    path = copy / "run" / "last.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    assert any("checkpoint" in line and "not what was saved" in line for line in marked(copy).wrong)
    shutil.copy(copy / "run" / "model.safetensors", path)
    assert any("no state of training" in line for line in marked(copy).wrong)


def test_evaluations_and_a_result_that_say_something_better_are_found(copy):
    stored = json.loads((copy / "result.json").read_text(encoding="utf-8"))
    (copy / "result.json").write_text(json.dumps({**stored, "step_loss": 0.04}), encoding="utf-8")
    assert any("step_loss is 0.04" in line for line in marked(copy).wrong)
    change(copy / "run" / "evaluations.csv", -1, "held_out", 1.5)
    assert {"checkpoint", "result.json"} <= parts_of(marked(copy).wrong)


def test_what_is_missing_is_said_kindly_and_costs_only_itself(copy):
    (copy / "result.json").unlink()
    shutil.rmtree(copy / "by_heart")
    found = marked(copy)
    assert found.missing == ["result.json: result.json is missing",
                             "the model by heart: by_heart/model.safetensors is missing"]  # fmt: skip
    assert found.points == 4


@pytest.mark.skipif(sys.platform == "win32", reason="links are for administrators on Windows")
def test_links_are_not_followed_and_rubbish_gets_a_sentence(copy, by_heart):
    (copy / "result.json").unlink()
    (copy / "result.json").symlink_to(by_heart / "result.json")
    assert any("result.json is a link" in line for line in marked(copy).wrong)
    for path in copy.rglob("*.*"):
        if path.is_file():
            path.unlink()
            path.write_bytes(b"\xff\x00rubbish")
    found = marked(copy)
    assert found.points == 0 and len(found.wrong) == len(LABS["01"]) and str(copy) not in " ".join(found.wrong)


def save_pictures(folder: Path, *names: str) -> None:
    figure = plt.figure(figsize=(1, 1))
    for name in names:
        figure.savefig(folder / name)
    plt.close(figure)


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Path:
    """Lab 03 in small: two runs and their machine in one log, pictures, three models that answer."""
    folder = tmp_path_factory.mktemp("ada") / "lab 3"
    for place in (folder, folder / "from_zero"):
        train(
            tiny_model(),
            tiny_data(),
            replace(QUICK, max_steps=30),
            quiet_log(place),
            SystemLog(folder / "system_log.csv"),
        )
    save_pictures(folder, "losses.png", "losses.pdf", "spikes.pdf")
    for model in ("as it came", "tuned", "of letters"):
        log_chat(folder / "chat_log.csv", "The bell", "rang", model)
    return folder


def test_lab_three_is_held_against_its_own_log_of_the_machine(machine, tmp_path):
    assert marked(machine, "03").points == marked(machine, "03").possible == 8
    copy = Path(shutil.copytree(machine, tmp_path / "lab 3"))
    change(copy / "system_log.csv", 1, "Available RAM (GB)", 1.0)
    assert any("average of Available RAM (GB) is not the mean" in line for line in marked(copy, "03").wrong)
    change(copy / "steps.csv", 3, "seconds", 900)
    (copy / "losses.pdf").write_bytes(b"no picture")
    assert parts_of(marked(copy, "03").wrong) == {"log of the machine", "one clock", "pictures"}


def test_a_tuned_poet_and_the_one_from_zero_are_marked(words, tmp_path):
    folder = tmp_path / "lab02"
    poet = ["compact=true", "n_layer=1", "n_head=2", "n_embd=16", "evaluate_every=20", "warmup_steps=1"]
    run_recipe([*words, *poet, f"out={folder / 'poet'}", "max_steps=40"])
    assert any("ends at step 40" in line for line in marked(folder, "02").wrong)
    run_recipe([*words, *poet, f"out={folder / 'poet'}", "max_steps=44", "resume=true"])
    save_gpt2(GPT2(GPT2Config(n_layer=1, n_head=2, n_embd=16, context=32)), tmp_path / "base")
    rate = ["learning_rate=5e-2", "warmup_steps=1", "max_steps=12", "evaluate_every=4"]
    tune = [f"weights={tmp_path / 'base'}", "lora_rank=4", *rate]
    run_recipe([*words, *tune, f"out={folder / 'tuned'}"])
    log_chat(folder / "chat_log.csv", "The kettle", "sings", "poet")
    found = marked(folder, "02")
    assert found.points == found.possible == 8, (found.missing, found.wrong)


def test_one_step_is_held_against_the_shape_that_it_names(tmp_path):
    train(tiny_model(), tiny_data(), QUICK, quiet_log(tmp_path / "run"))
    assert any("no JSON file" in line for line in marked(tmp_path, "04").missing)
    report = json.loads((RESULTS / "xl_step.json").read_text(encoding="utf-8"))
    for changed, said in (
        ({}, ""),
        ({"parameters": 124_439_808}, "parameters is 124,439,808; a careful step of xl has 1,557,611,200"),
        ({"loss_after": 12.0}, "no step downhill"),
        ({"peak_bytes": 10**6}, "can't be"),
        ({"way": "usual"}, "estimated_bytes"),
    ):
        (tmp_path / "mine.json").write_text(json.dumps({**report, **changed}), encoding="utf-8")
        found = marked(tmp_path, "04")
        assert found.points == (4 if said else 8) and (not said or said in found.wrong[0]), (found.wrong, said)


def test_a_report_follows_from_its_own_table(tmp_path):
    def row(place: int) -> Row:
        return Row(f"loader {place}", "ours", "safetensors", 40 + place, 80, 0.5 + place, 100, 20.0 + place, 2e-6)

    write_report(Shootout([row(place) for place in range(9)], {}), "nano", tmp_path)
    assert marked(tmp_path, "05").points == 8
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    (tmp_path / "report.md").write_text(text.replace(": loader 8 (fastest", ": loader 7 (fastest"), encoding="utf-8")
    assert any("recommends to write text here 'loader 7" in line for line in marked(tmp_path, "05").wrong)
    change(tmp_path / "table.csv", 3, "load_seconds", 0.001)
    assert any("other figures than table.csv" in line for line in marked(tmp_path, "05").wrong)
    change(tmp_path / "table.csv", 3, "tokens_per_second", -1)
    assert parts_of(marked(tmp_path, "05").wrong) == {"table.csv", "report.md"}


def test_a_ladder_is_held_against_its_shape_and_its_own_lowest_rung(tmp_path):
    train(tiny_model(), tiny_data(), QUICK, quiet_log(tmp_path / "run"))
    assert all("no JSON file of `ladder`" in line for line in marked(tmp_path, "07").missing)
    ladder = json.loads((RESULTS / "ladder.json").read_text(encoding="utf-8"))
    for rung, changed, wrong, said in (
        ("bfloat16", {}, set(), ""),
        ("bfloat16", {"tokens_per_second": 0}, {"rungs measured"}, "0 tokens/s"),
        ("chunked loss", {"peak_bytes": 10**6}, {"rungs measured"}, "the weights take 497,759,232"),
        ("plain loop", {"losses": [7.0, 6.0, 5.0]}, {"rungs measured", "the same losses"}, "near 10.82"),
        ("fused optimizer", {"losses": [11.026, 9.8151, 9.2]}, {"the same losses"}, "off the plain loop's"),
        ("larger batch", {"losses": [11.026, 9.7, 9.0]}, set(), ""),
    ):
        rungs = ladder["rungs"] | {rung: ladder["rungs"][rung] | changed}
        (tmp_path / "mine.json").write_text(json.dumps(ladder | {"rungs": rungs}), encoding="utf-8")
        found = marked(tmp_path, "07")
        assert parts_of(found.wrong) == wrong and found.points == 8 - 4 * len(wrong), found.wrong
        assert said in " ".join(found.wrong) and any("ladder" in trace for trace in found.traces)


# Lab 06


def notebook_of(*cells: str) -> str:
    made = [{"cell_type": "code", "source": cell} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "## The trainer"}, *made]})


def solved(*others: str) -> str:
    """A notebook with every bug's solution as its test; cells behind them come last, and win."""
    source = inspect.getsource(solutions).partition("TESTS = {")[0]
    for name in BUGS:
        source = source.replace(f"def {name}(Trainer)", f"def test_{name}(Trainer)")
    return notebook_of(source, "said = check_test('open_end', test_open_end)", *others)


ATTACKS = (
    "import labs.bugs.check\nlabs.bugs.check.judge = lambda *words: 'caught'",
    "def test_other_bend(Trainer):\n    import labs.solutions.find_the_bugs as known\n    known.other_bend(Trainer)",
    "def test_loud_blocks(Trainer):\n    import os\n    os._exit(0)",
    "seen = []\ndef test_lost_parts(Trainer):\n    seen.append(Trainer)\n    assert len(seen) < 4",
    "def test_loud_parts(Trainer):\n    raise NotImplementedError",
    "def test_jagged_curve(Trainer):\n    return (1",
    "def test_good_news(Trainer):\n    '''Nothing is asked.'''",
)


@LINUX
def test_tests_of_lab_six_earn_a_point_for_each_bug_that_they_catch():
    judge = partial(judge_notebook, limits=Limits(600, patience=600), fence=available_fence())
    verdicts = judge(solved())
    assert verdicts.keys() == BUGS.keys() - {"slow_clock"}
    assert set(verdicts.values()) == {"caught"}, verdicts


@LINUX
def test_a_test_can_neither_fool_the_judge_nor_read_the_solutions():
    found = judge_notebook(notebook_of(*ATTACKS), Limits(600, patience=600), available_fence())
    assert "caught" not in found.values()
    assert "ModuleNotFoundError" in found["other_bend"] and "process ended" in found["loud_blocks"]
    assert "passes on the sabotaged trainer" in found["lost_parts"]
    assert found["loud_parts"] == found["good_news"] == found["open_end"] == NOT_YET
    assert "SyntaxError in line 2" in found["jagged_curve"]


def test_only_what_defines_something_is_taken_from_a_notebook():
    cells = json.loads(solved("course = start(seed=6)", "print(1)", "!ls", "def broken(:"))["cells"]
    source = definitions(cells)
    assert "def test_open_end" in source and "import contextlib" in source
    assert not any(word in source for word in ("seed=6", "check_test(", "print(", "broken", "!ls"))


def test_a_judge_that_does_not_end_is_a_reason_and_no_verdict(tmp_path):
    path = tmp_path / "06_find_the_bugs.ipynb"
    path.write_text(solved(), encoding="utf-8")

    def never(text: str) -> dict[str, str]:
        raise CourseError("The judge did not end.")

    found = mark_bugs(Submission(path, "Eve", "06"), never)
    assert found.points == 0 and "did not end" in found.wrong[0]
    assert len(mark_bugs(Submission(path, "Eve", "06"), lambda text: {"open_end": "caught"}).traces) > 3


# A class


def test_labs_are_found_by_the_names_of_folders(tmp_path):
    for name in (
        "Ada/lab_01/run",
        "Ada/mine/Lab 5",
        "Ada/Lab07",
        "Kim Lee_10001_assignsubmission_file_/lab03",
        "bob_lab_02",
        "Zoe/x",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "Ada" / "06_find_the_bugs-2.ipynb").write_text("{}", encoding="utf-8")
    (tmp_path / "eve_123_77_06_find_the_bugs.ipynb").write_text("{}", encoding="utf-8")
    found = {(one.learner, one.number, one.exercise) for one in find_labs(tmp_path)}
    assert found == {
        ("Ada", "", "01"), ("Ada", "", "05"), ("Ada", "", "06"), ("Ada", "", "07"), ("Kim Lee", "10001", "03"),
        ("bob", "", "02"), ("eve", "123", "06"), ("Zoe", "", ""),
    }  # fmt: skip


def test_the_command_gives_everybody_a_row_and_names_copies(by_heart, machine, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("Ada/lab_01", "Bob/lab_01"):
        shutil.copytree(by_heart, tmp_path / "in" / name)
    shutil.copytree(machine, tmp_path / "in" / "Ada" / "lab_03")
    (tmp_path / "in" / "Zoe").mkdir()
    assert main(["class", "labs", "in", "--out", "out"]) == 0
    assert "4 rows" in capsys.readouterr().out
    with (tmp_path / "out" / "labs.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {(row["Learner"], row["Lab"]): row for row in csv.DictReader(file)}
    assert rows["Ada", "01"]["Same as"] == "Bob" and rows["Bob", "01"]["Same as"] == "Ada"
    assert rows["Ada", "03"]["Same as"] == "" and rows["Ada", "03"]["Percent"] == "100"
    assert "target reached" in rows["Bob", "01"]["Wrong"] and "logs of the run" in rows["Bob", "01"]["Found"]
    assert "no lab was found" in rows["Zoe", ""]["Missing"]


def test_where_nothing_keeps_code_in_tests_are_not_judged(tmp_path, monkeypatch):
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "06_find_the_bugs.ipynb").write_text(solved(), encoding="utf-8")
    monkeypatch.setattr("tools.classroom.lab_marks.available_fence", Fence)
    with pytest.raises(CourseError, match="--unfenced"):
        mark_labs(tmp_path, tmp_path / "out", show=lambda text: None)
    with pytest.raises(CourseError, match="no folder"):
        mark_labs(tmp_path / "nowhere", tmp_path / "out")


def test_logs_that_agree_are_let_through(by_heart):
    check_logs(Work(by_heart), "run")
    check_checkpoint(Work(by_heart), "run")
