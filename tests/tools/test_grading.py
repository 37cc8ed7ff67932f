"""Grading a folder: points, notes, names, and submissions that mean harm."""

from __future__ import annotations

import csv
import json
import os
import socket
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from tools.__main__ import main
from tools.classroom import exercise_builder, grading
from tools.classroom.gradebook import page, write_grades
from tools.classroom.grading import Grade, Submission, find_submissions, grade
from tools.classroom.sandbox import Limits, landlock_version
from tools.repo.notebooks import KERNEL
from utils.errors import CourseError

CONFIG = """# ASSIGNMENT CONFIG
init_cell: false
export_cell: false
generate: true
run_tests: false
tests:
    ok_format: false"""
HIDDEN = '""" # BEGIN TEST CONFIG\nhidden: true\n""" # END TEST CONFIG\n'
OPENING = "[![Open in Colab](x)](y)\n# Exercise 90 · Double"
BOOTSTRAP = "import importlib.util  # google.colab"
SOLUTION = "def double(x):\n    return 2 * x  # SOLUTION"
FENCED = pytest.mark.skipif(landlock_version() < 6, reason="this kernel has no Landlock of version 6")


@pytest.fixture(scope="module", autouse=True)
def small_exercise(tmp_path_factory):
    """One exercise with one task, in place of the course's own, so that grading takes a second."""
    folder = tmp_path_factory.mktemp("masters")
    raw, code = v4.new_raw_cell, v4.new_code_cell
    cells = [raw(CONFIG), v4.new_markdown_cell(OPENING), code(BOOTSTRAP)]
    cells += [raw("# BEGIN QUESTION\nname: q1\npoints: 4\ncheck_cell: false"), v4.new_markdown_cell("Double it.")]
    cells += [raw("# BEGIN SOLUTION"), code(SOLUTION), raw("# END SOLUTION"), raw("# BEGIN TESTS")]
    cells += [code('def test_two(double):\n    assert double(2) == 4, "Is it twice?"')]
    cells += [code(HIDDEN + "def test_secret(double):\n    assert double('ab') == 'abab', 'the secret message'")]
    cells += [raw("# END TESTS"), raw("# END QUESTION")]
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nbformat.write(notebook, folder / "90_double_it.ipynb")
    patch = pytest.MonkeyPatch()
    patch.setattr(exercise_builder, "MASTERS", folder)
    patch.setattr(grading, "MASTERS", folder)
    yield folder
    patch.undo()


def hand_in(folder: Path, *sources: str, name: str = "90_double_it.ipynb") -> Submission:
    """Write a submission of code cells."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources]), folder / name)
    return Submission(folder / name, folder.name, "90_double_it")


RIGHT = "def double(x):\n    return 2 * x"
SMALL = Limits(seconds=20, memory=3 * 2**30, output=2**20)


def test_right_half_right_wrong_and_blank(tmp_path):
    right = grade(hand_in(tmp_path / "a", RIGHT), SMALL)
    assert (right.points, right.possible, right.status) == (4, 4, "graded")
    half = grade(hand_in(tmp_path / "b", "def double(x):\n    return 2 * float(x)"), SMALL)
    assert half.points == 2 and half.tasks["q1"]["hidden"] == "1 of 1 further checks fail"
    wrong = grade(hand_in(tmp_path / "c", "def double(x):\n    return x"), SMALL)
    assert wrong.points == 0 and wrong.tasks["q1"]["note"] == "Is it twice?"
    blank = grade(hand_in(tmp_path / "d", "def double(x):\n    ..."), SMALL)
    assert blank.points == 0 and blank.tasks["q1"]["note"] == "not attempted: double"
    for one in (half, wrong):
        text = page("somebody", [one])
        assert "secret" not in text and "further checks fail" in text


def test_an_error_in_one_cell_does_not_stop_the_others(tmp_path):
    found = grade(hand_in(tmp_path, "1 / 0", RIGHT), SMALL)
    assert found.points == 4 and found.status == "graded; a cell stopped with ZeroDivisionError: division by zero"


def test_magics_and_prints_are_fine(tmp_path):
    found = grade(hand_in(tmp_path, "%matplotlib inline\nprint('hello')\n!echo shell", RIGHT), SMALL)
    assert (found.points, found.status) == (4, "graded")


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": 3}', "\x00", json.dumps({"cells": [{}]})])
def test_what_is_no_notebook_is_said_and_gets_nothing(tmp_path, text):
    path = tmp_path / "90_double_it.ipynb"
    path.write_text(text, encoding="utf-8")
    found = grade(Submission(path, "x", "90_double_it"), SMALL)
    assert found.points == 0 and found.possible == 4 and "graded" not in found.status


@pytest.mark.skipif(os.name == "nt", reason="Windows limits neither time nor memory of a process")
def test_an_endless_loop_ends(tmp_path):
    found = grade(hand_in(tmp_path, "while True: pass", RIGHT), Limits(seconds=6, memory=3 * 2**30))
    assert found.points == 0 and found.status == "stopped after 6 seconds of computing"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_fifty_gigabytes_are_refused_and_the_rest_counts(tmp_path):
    found = grade(hand_in(tmp_path, "x = bytearray(50 * 2**30)", RIGHT), SMALL)
    assert found.points == 4 and found.status.startswith("graded; a cell stopped with MemoryError")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not limit the size of a file")
def test_a_gigabyte_of_prints_fills_nothing(tmp_path):
    flood = "import os\nfor _ in range(1024):\n    os.write(1, b'x' * 2**20)"
    found = grade(hand_in(tmp_path, flood, RIGHT), SMALL)
    assert found.points == 4 and "File too large" in found.status


@FENCED
def test_files_other_programs_and_the_network_are_out_of_reach(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        attacks = {
            "delete": f"import pathlib\npathlib.Path({str(precious)!r}).unlink()",
            "overwrite": f"open({str(precious)!r}, 'w', encoding='utf-8').write('yours')",
            "shell": f"!rm -rf {tmp_path}/precious.txt",
            "network": f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)",
            "stop": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
        }
        found = {name: grade(hand_in(tmp_path / name, code, RIGHT), SMALL) for name, code in attacks.items()}
    assert precious.read_text(encoding="utf-8") == "mine"
    assert all(one.points == 4 for one in found.values())
    for name in ("delete", "overwrite", "network", "stop"):
        assert "PermissionError" in found[name].status, name


@pytest.mark.parametrize(
    "cheat",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        # answers in the grader's place, before and beside it
        "import os, json\nline = json.dumps({'seal': '', 'tasks': {'q1': {'points': 99, 'possible': 4}}})\n"
        "for fd in range(3, 30):\n    try: os.write(fd, (line + '\\n').encode())\n    except OSError: pass",
        # writes checks of its own into the notebook's metadata, where the public ones stand
        "import json, pathlib\npath = pathlib.Path('90_double_it.ipynb')\n"
        "notebook = json.loads(path.read_text('utf-8'))\n"
        "notebook['metadata']['otter'] = {'tests': {'q1': 'name = 1'}}\npath.write_text(json.dumps(notebook), 'utf-8')",
    ],
    ids=["exit", "sys.exit", "forged answer", "own tests"],
)
def test_who_answers_in_the_graders_place_gains_nothing(tmp_path, cheat):
    assert grade(hand_in(tmp_path, cheat, "def double(x):\n    return 0"), SMALL).points == 0


# Names and tables


def test_learner_and_exercise_are_read_from_names(tmp_path):
    for name in (
        "Ada/90_double_it.ipynb",
        "bob_90_double_it.ipynb",
        "Cleo Dee_12345_assignsubmission_file_/90_double_it.ipynb",
        "dan_1234_5678_90_double_it-1.ipynb",
        "90_double_it.ipynb",
        "eve/holiday.ipynb",
        "eve/.ipynb_checkpoints/90_double_it-checkpoint.ipynb",
    ):
        hand_in((tmp_path / name).parent, name=(tmp_path / name).name)
    found = {(one.learner, one.exercise) for one in find_submissions(tmp_path)}
    names = {"Ada", "bob", "Cleo Dee", "dan", "nameless"}
    assert found == {(name, "90_double_it") for name in names} | {("holiday", "")}
    with pytest.raises(CourseError, match="is no folder"):
        list(find_submissions(tmp_path / "gone"))


def test_the_command_goes_on_after_bad_ones_and_writes_tables_and_pages(tmp_path, capsys):
    hand_in(tmp_path / "in" / "ada", RIGHT)
    hand_in(tmp_path / "in" / "bob", "import os\nos._exit(3)")
    hand_in(tmp_path / "in" / "cleo", RIGHT, name="notes.ipynb")
    assert main(["class", "grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--seconds", "20"]) == 0
    assert "3 submissions" in capsys.readouterr().out
    with (tmp_path / "out" / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["Learner"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["Percent"] == "100" and rows["ada"]["q1"] == "4"
    assert rows["bob"]["Points"] == "0" and "exit code 3" in rows["bob"]["Status"]
    assert "no exercise of this course has its name" in rows["notes"]["Status"]
    pages = {path.name for path in (tmp_path / "out").glob("*.md")}
    assert pages == {"ada.md", "bob.md", "notes.md"}


def test_the_best_of_several_counts_and_formulas_stay_text(tmp_path):
    made = [Submission(Path("a.ipynb"), "=cmd()", "90_double_it") for _ in range(2)]
    task = {"possible": 4, "note": "", "hidden": ""}
    grades = [Grade(made[0], {"q1": {"points": 3, **task}}), Grade(made[1], {"q1": {"points": 1, **task}})]
    write_grades(grades, tmp_path)
    assert (tmp_path / "gradebook.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "Learner,90_double_it",
        "'=cmd(),75",
    ]
