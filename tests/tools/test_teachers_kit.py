"""What a teacher does after grading: match a roster, export to platforms, hand pages back, look for copies."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tests.reach import read_judged
from tools.__main__ import main
from tools.classroom.alike import alike, form_of
from tools.classroom.exports import Person, collect, find_person, read_roster, write_canvas, write_moodle, write_plain
from tools.classroom.feedback import MOST_LINES, page
from tools.classroom.gradebook import Table
from tools.classroom.grading import Grade, Submission, Task, answers, handed_out
from utils.errors import CourseError
from utils.files.places import ROOT

ATTENTION, TOKENS = "03_build_attention", "01_count_and_merge_tokens"
ROSTER = """\ufeffID,Login,E-mail,Section,Name
10001,kim1,kim1@example.org,A,Kim Lee
10002,kim2,kim2@example.org,B,Kim Lee
777,jose,jose@example.org,A,José Ñandú
"""


@pytest.fixture
def graded(tmp_path) -> Path:
    """A folder as class grade leaves it: two people of one name, one known by name alone, one whom nobody knows."""
    table = Table(tmp_path / "grades", lambda line: None)
    handed_in = [
        ("Kim Lee", "10001", f"Kim Lee_10001_assignsubmission_file_/{ATTENTION}.ipynb", ATTENTION, 2, "x1"),
        ("Kim Lee", "10001", f"Kim Lee_10001_assignsubmission_file_/{ATTENTION}-1.ipynb", ATTENTION, 3, "x1"),
        ("Kim Lee", "10002", f"Kim Lee_10002_assignsubmission_file_/{ATTENTION}.ipynb", ATTENTION, 4, "x2"),
        ("nandujose", "777", f"nandujose_777_4242_{TOKENS}.ipynb", TOKENS, 1, "x3"),
        ("=cmd()", "", f"notes/{ATTENTION}.ipynb", ATTENTION, 0, "x4"),
    ]
    for mark, (learner, number, path, exercise, points, ident) in enumerate(handed_in):
        submission = Submission(tmp_path / "in" / path, learner, exercise, number)
        grade = Grade(submission, {"q1": Task(points, 4, "Is <it> twice?")}, code={"q1": "def f():\n    return '<b>'"})
        table.add(str(mark), grade, ident)
    (tmp_path / "students.csv").write_text(ROSTER, encoding="utf-8")
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_canvas_gets_its_columns_and_two_people_of_one_name_stay_two(graded):
    marks, unknown = collect(graded / "grades", read_roster(graded / "students.csv"))
    table, pages = write_canvas(marks, graded / "grades", graded / "out")
    head = table.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", TOKENS, ATTENTION]
    first, *rows = rows_of(table)
    assert "Points Possible" in first["Student"] and first[ATTENTION] == "100"
    found = {(row["Student"], row["ID"], row["SIS Login ID"], row["Section"], row[ATTENTION]) for row in rows}
    assert found == {
        ("Kim Lee", "10001", "kim1", "A", "75"),  # the better of two
        ("Kim Lee", "10002", "kim2", "B", "100"),
        ("José Ñandú", "777", "jose", "A", ""),
        ("'=cmd()", "", "", "", "0"),
    }
    assert unknown == ["'=cmd() (no number) is nobody in the roster, or several people."]
    assert zipfile.ZipFile(pages).namelist() == ["nandujose_777_4242_feedback.html"]


def test_moodle_gets_a_worksheet_and_feedback_files_by_participant(graded):
    marks, _ = collect(graded / "grades", [])
    made = {path.name: path for path in write_moodle(marks, graded / "grades", graded / "out")}
    rows = rows_of(made[f"moodle_{ATTENTION}.csv"])
    assert {(row["Identifier"], row["Grade"]) for row in rows} == {
        ("Participant 10001", "75"), ("Participant 10002", "100")
    }  # fmt: skip
    assert {"Identifier", "Grade", "Last modified (grade)"} <= rows[0].keys()
    pages = zipfile.ZipFile(made[f"moodle_{ATTENTION}_feedback.zip"])
    for name in pages.namelist():
        learner, number, kind, plugin, rest = name.split("/")[0].split("_", 4)  # as Moodle takes it apart
        assert (learner, kind, plugin, rest) == ("Kim Lee", "assignsubmission", "file", "") and number.isdigit()
        assert b"Kim Lee" in pages.read(name)
    assert len(pages.namelist()) == 2


def test_a_spreadsheet_gets_the_rosters_columns(graded):
    marks, _ = collect(graded / "grades", read_roster(graded / "students.csv"))
    rows = rows_of(write_plain(marks, graded / "out")[0])
    assert {(row["Id"], row["Email"]) for row in rows} >= {("10002", "kim2@example.org"), ("777", "jose@example.org")}


def test_labs_are_exported_beside_exercises_to_the_same_people(graded):
    """One Kim Lee alone hands in a lab, so that class labs knows them by another id than class grade."""
    head = "Learner,Id,Number,Lab,Points,Possible,Percent\n"
    text = head + "Kim Lee,x9,10001,01,6,8,75\nZoe,x8,,,0,0,\n"
    (graded / "grades" / "labs.csv").write_text(text, encoding="utf-8-sig")
    marks, _ = collect(graded / "grades", read_roster(graded / "students.csv"))
    (plain,) = write_plain(marks, graded / "out")
    found = {row["Id"]: (row["lab_01"], row[ATTENTION]) for row in rows_of(plain) if row["Id"]}
    assert found == {"10001": ("75", "75"), "10002": ("", "100"), "777": ("", "")}
    made = {path.name: path for path in write_moodle(marks, graded / "grades", graded / "out")}
    assert [row["Identifier"] for row in rows_of(made["moodle_lab_01.csv"])] == ["Participant 10001"]
    assert "moodle_lab_01_feedback.zip" not in made, "class labs writes no pages, so there is nothing to zip"
    assert "lab_01" in write_canvas(marks, graded / "grades", graded / "out")[0].read_text(encoding="utf-8")


def test_people_are_found_by_number_then_login_then_an_unshared_name():
    roster = [Person("1", "ada", name="Ada Lovelace"), Person("2", "bob", name="Kim Lee"), Person("3", name="Kim Lee")]
    assert find_person("whoever", "2", roster) == roster[1]
    assert find_person("ADA", "", roster) == roster[0] == find_person("lovelaceada", "99", roster)
    assert find_person("Kim Lee", "", roster) is None


@pytest.mark.parametrize(("text", "named"), [("Group,Room\n1,2\n", "Group, Room"), ("", "none")])
def test_a_roster_without_anybody_is_refused(tmp_path, text, named):
    (tmp_path / "students.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match=f"Found the columns {named}"):
        read_roster(tmp_path / "students.csv")


def test_no_zip_is_written_where_no_name_is_canvas_own_and_the_command_says_so(tmp_path, capsys):
    table = Table(tmp_path / "grades", lambda line: None)
    path = tmp_path / "in" / "Ada_1001_assignsubmission_file_" / f"{ATTENTION}.ipynb"
    table.add("1", Grade(Submission(path, "Ada", ATTENTION, "1001"), {"q1": Task(1, 4)}), "x1")
    (tmp_path / "grades" / "canvas_feedback.zip").write_bytes(b"of an earlier class")
    assert main(["class", "export", str(tmp_path / "grades"), "--to", "canvas"]) == 0
    assert "named as Canvas names" in capsys.readouterr().out
    assert not (tmp_path / "grades" / "canvas_feedback.zip").exists()


def test_the_command_writes_and_says_whom_it_does_not_know(graded, capsys):
    words = ["class", "export", str(graded / "grades"), "--roster", str(graded / "students.csv"), "--to", "canvas"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "is nobody in the roster" in said and "canvas_feedback.zip" in said
    assert main(["class", "export", str(graded / "grades"), "--to", "moodle", "--out", str(graded / "m")]) == 0
    assert main(["class", "export", str(graded)]) == 1 and "neither grades.csv nor labs.csv" in capsys.readouterr().err


def test_a_page_shows_own_code_beside_each_check_and_loads_nothing(graded):
    text = next((graded / "grades").glob("*x1.html")).read_text(encoding="utf-8")
    soup = BeautifulSoup(text, "html.parser")
    assert [part.get_text() for part in soup.select("pre code")] == ["def f():\n    return '<b>'"] * 2
    assert "Is <it> twice?" in soup.get_text() and not soup.find_all(["b", "it", "script", "img", "link"])
    assert [part.get_text() for part in soup.find_all("h2")] == [
        f"{ATTENTION}: 2 of 4, graded", f"{ATTENTION}: 3 of 4, graded"
    ]  # fmt: skip


def test_a_page_of_an_earlier_run_is_added_to():
    one = Grade(Submission(Path("a.ipynb"), "Ada", ATTENTION), {"q1": Task(1, 4)}, code={"q1": "x\n" * 500})
    both = page([one], before=page([one]))
    assert both.count("<h1>") == 1 == both.count("</html>") and both.count("<section>") == 2
    assert f"… and {500 - MOST_LINES} more lines" in both


def test_the_question_at_the_end_of_a_long_message_is_on_the_page():
    longest = max(
        len(one["message"]) for tasks in read_judged().values() for task in tasks.values() for one in task.values()
    )
    note = f"Given {'x' * longest}. Is it twice?"
    assert "Is it twice?" in page([Grade(Submission(Path("a.ipynb"), "Ada", ATTENTION), {"q1": Task(0, 4, note)})])


def notebook(*answers_: str) -> str:
    cells = [{"cell_type": "markdown", "source": ["# q"]}]
    for number, code in enumerate(answers_, start=1):
        cells += [
            {"cell_type": "code", "source": [code]},
            {"cell_type": "code", "source": f'exercise.check("q{number}")'},
        ]
    return json.dumps({"cells": cells})


LONG = """def shares(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    hidden = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(hidden, float("-inf")).softmax(-1)
"""


def test_the_code_of_a_task_is_what_stands_before_its_check():
    assert answers(notebook("a = 1", "b = 2")) == {"q1": "a = 1", "q2": "b = 2"}


def test_renamed_copies_are_found_and_short_or_different_answers_are_not(tmp_path, capsys):
    renamed = LONG.replace("scores", "s").replace("hidden", "mask").replace("def", "# my own\ndef")
    other = LONG.replace("softmax(-1)", "softmax(0)")
    for name, code in {"ada": LONG, "bob": renamed, "cleo": other}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{ATTENTION}.ipynb").write_text(notebook(code, "x = 1"), encoding="utf-8")
    for name in ("dan", "eve"):  # the exercise itself, with its own cells and its blanks, is nobody's copy
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / "exercises" / f"{ATTENTION}.ipynb", tmp_path / name)
    blank = (ROOT / "exercises" / f"{ATTENTION}.ipynb").read_text(encoding="utf-8")
    assert set(answers(blank, handed_out(ATTENTION)).values()) == {""}
    (line,) = alike(tmp_path)
    assert line.startswith(f"{ATTENTION} q1: ada, bob (")
    assert form_of("def f(:") == ("", 0)
    assert main(["class", "alike", str(tmp_path)]) == 0 and "ada, bob" in capsys.readouterr().out
