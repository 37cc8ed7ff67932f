"""The shoot-out: its table, its rules, its report, and one loader run for real."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from shapes import TINY, tiny_model

from labs.shootout.loader_zoo import write_file
from labs.shootout.pictures import HARDWARE, hardware_chart, size_against_error
from labs.shootout.race import (
    Row,
    Shootout,
    kl_divergence,
    line_of,
    recommend,
    run_shootout,
    to_markdown,
    top1_agreement,
)
from labs.shootout.report import FILES, report_text, write_report
from tools.__main__ import main
from utils.config import GPT2Config, total_parameters
from utils.errors import CourseError

EXACT = Row("ours, safetensors", "ours", "safetensors", 40, 80, 0.5, 100, 20.0, 2e-6, 0.0, 1.0)
QUICK = Row("llama.cpp, Q8_0", "llama.cpp", "GGUF Q8_0", 22, 20, 0.1, 60, 90.0, 0.014, 0.00031, 1.0)
SMALL = Row("llama.cpp, Q4_0", "llama.cpp", "GGUF Q4_0", 13, 11, 0.1, 50, 99.0, 0.1, 0.02, 0.875)
RUINED = Row("x, 2 bits", "x", "2 bits", 5, 5, 0.01, 10, 500.0, 0.9, 2.5, 0.25)
ROWS = [EXACT, QUICK, SMALL, RUINED]


def chosen(rows, memory: int) -> dict[str, str]:
    return {purpose: words.partition(" (")[0] for purpose, words in recommend(rows, memory).items()}


def test_each_purpose_gets_the_best_row_that_its_rule_and_the_memory_allow():
    assert chosen(ROWS, 1000) == {
        "to study and to train": "ours, safetensors",
        "to write text here": "llama.cpp, Q8_0",
        "to keep memory free": "llama.cpp, Q4_0",
        "to send to others": "llama.cpp, Q8_0",
    }
    assert chosen([replace(QUICK, error=0.0), EXACT], 1000)["to study and to train"] == EXACT.loader  # it can train
    assert chosen(ROWS, 80)["to write text here"] == "llama.cpp, Q8_0"  # takes 60 of 64
    tight = recommend(ROWS, 74)
    assert tight["to write text here"].startswith("nothing that was measured fits into 74 bytes")
    assert tight["to keep memory free"].startswith("llama.cpp, Q4_0 (least memory of the fair ones: 50 bytes")


def test_the_report_says_what_was_left_out_and_why(tmp_path):
    result = Shootout(ROWS, {"exllamav2, EXL2": "exllamav2, EXL2 needs an NVIDIA GPU with CUDA."})
    report = write_report(result, "nano", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    table = pd.read_csv(tmp_path / "table.csv")
    assert [Row(**row) for row in table.to_dict("records")] == ROWS
    assert line_of(EXACT).split()[-3:] == ["none", "0.0000", "100%"]
    assert to_markdown(ROWS).splitlines()[3] == (
        "| llama.cpp, Q8_0 | GGUF Q8_0 | 22 bytes | 20 bytes | 0.10 s | 60 bytes | 90 | 1.4% | 0.0003 | 100% |"
    )
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# nano, opened by 4 loaders") and to_markdown(ROWS) in text
    assert "- exllamav2, EXL2 needs an NVIDIA GPU with CUDA." in text
    assert "## Left out" not in report_text(Shootout(ROWS, {}), "nano", 1000)
    with pytest.raises(CourseError, match="No loader could open nano: exllamav2, EXL2 needs"):
        write_report(replace(result, rows=[]), "nano", tmp_path)


def test_the_yardsticks_are_those_of_probabilities_worked_out_on_paper():
    true, given = (torch.tensor([odds, odds]).log() for odds in ([0.9, 0.1], [0.5, 0.5]))
    assert kl_divergence(given, true) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), rel=1e-6)
    assert kl_divergence(true + 7, true) == pytest.approx(0, abs=1e-12)
    assert top1_agreement(true, true) == 1
    assert top1_agreement(torch.stack([true[0], -true[1]]), true) == 0.5


def test_every_kind_of_file_has_an_answer_for_every_hardware_and_a_source():
    table = pd.read_csv(HARDWARE, index_col=0)
    assert table["source"].str.startswith("https://").all()
    answers = table.drop(columns="source")
    assert answers.notna().all().all() and (answers == "best").any().all()
    assert [text.get_text() for text in hardware_chart().axes[0].texts] == answers.to_numpy().ravel().tolist()


def test_the_picture_has_a_point_for_each_row_and_names_those_with_an_error():
    axes = size_against_error(ROWS).axes[0]
    points = [tuple(point) for line in axes.lines for point in line.get_xydata()]
    assert {(20.0, 0.014), (11.0, 0.1), (5.0, 0.9)} <= set(points)
    assert {text.get_text() for text in axes.texts} == {"Q8_0", "Q4_0", "2 bits", "below: exact"}


def test_files_that_are_there_are_taken_and_stay_and_all_others_are_cleared_away(tmp_path):
    model = tiny_model(GPT2Config(1, 1, 32), spread=0.2).half().float()
    there = {"safetensors": write_file(model, "safetensors", tmp_path / "mine")}
    names = ["ours, safetensors", "ours, .bin", "exllamav2, EXL2"]
    said: list[str] = []
    result = run_shootout(model, tmp_path / "out", names, said.append, there)
    assert [row.loader for row in result.rows] == names[:2] and list(result.skipped) == names[2:]
    assert all(row.error < 1e-5 for row in result.rows) and len(said) == 2
    assert {row.weight_bytes for row in result.rows} == {4 * total_parameters(model.config)}
    assert there["safetensors"].is_dir() and not (tmp_path / "out" / "files").exists()


def test_the_command_refuses_unknown_loaders_before_it_writes_anything(tmp_path, capsys):
    write_file(tiny_model(TINY), "safetensors", tmp_path)
    words = ["shootout", str(tmp_path / "safetensors"), "--out", str(tmp_path / "out"), "--only", "telepathy"]
    assert main(words) == 1 and "There is no loader 'telepathy'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
