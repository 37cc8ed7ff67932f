"""Grading a folder: points, notes, names, and submissions that mean harm."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import psutil
import pytest
from attacks import (
    ENDLESS,
    FOLDERS,
    NAME,
    RIGHT,
    SECRET,
    SMALL,
    TOO_MANY,
    WRONG,
    all_attacks,
    grade_attacks,
    hand_in,
    notebook_of,
    one_small_exercise,
    plant_all,
    surroundings,
)
from bs4 import BeautifulSoup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.__main__ import main
from tools.classroom.by_value import Unreadable, Values
from tools.classroom.feedback import page
from tools.classroom.gradebook import Table, as_csv, grade_all, grade_folder, row_of
from tools.classroom.grading import (
    Grade,
    Submission,
    Task,
    all_checks,
    find_submissions,
    read_submission,
    take_answer,
)
from tools.classroom.kernel import landlock_version
from tools.classroom.names import LONGEST_NOTE
from tools.classroom.sandbox import Fence, available_fence, demand
from utils.errors import CourseError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these fences")
FENCES = {
    "namespaces": available_fence(),
    "Landlock": Fence(False, landlock_version(), True),
    "Landlock 1": Fence(False, min(1, landlock_version()), True),  # Linux 5.13
}
TAGS = "html head meta title style body main h1 section h2 article h3 p pre code"  # of a page
OURS = set(TAGS.split())
REACHES = re.compile("^(read|empty|truncate|change|limit|end the|TCP|UDP|Unix|a child|processes left)")


def tags_of(page: str) -> set[str]:
    return {tag.name for tag in BeautifulSoup(page, "html.parser").find_all(True)}


@pytest.fixture(scope="module", autouse=True)
def small_exercise(tmp_path_factory):
    """One exercise with one task, in place of the course's own, so that grading takes a second."""
    with one_small_exercise(tmp_path_factory.mktemp("masters")):
        yield


# Submissions that mean harm: each is graded once behind the best fence, and those that reach out behind lesser ones


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> dict[str, Grade]:
    """Grades of all attacks behind the best fence of this system."""
    with surroundings(tmp_path_factory.mktemp("outside")) as (outside, server):
        attacks = all_attacks(outside, server)
        found = grade_attacks(tmp_path_factory.mktemp("attacks"), FENCES["namespaces"], attacks)
        assert (outside / "precious.txt").read_text(encoding="utf-8") == SECRET
        assert (outside / "precious.txt").stat().st_mtime > 1e9
    return found


def everything_said(one: Grade) -> str:
    return " ".join([one.status, one.said, *(f"{task.note} {task.said}" for task in one.tasks.values())])


@LINUX
def test_no_attack_gets_a_point_that_its_answer_does_not_earn(attacked):
    earned = {"fifty", "a gigabyte", "many files", "shared memory", "an error", "processes left"}
    for name, one in attacked.items():
        right = name.startswith(tuple(earned)) and not name.endswith("in an answer")
        right |= name == "endless loop" and one.status.startswith("graded")  # a cell of its own costs only itself
        assert one.points == (4 if right else 0), (name, everything_said(one))
        assert one.possible == 4, name


@LINUX
def test_no_attack_reaches_what_is_not_its_own(attacked):
    for name, one in attacked.items():
        said = everything_said(one)
        assert SECRET not in said and "reached" not in said and "solutions" not in said, (name, said)


@LINUX
def test_what_takes_too_much_is_ended_with_the_reason(attacked):
    for name in (*ENDLESS, *TOO_MANY):
        ended = attacked[name].status.startswith("stopped") or "a cell did not come to an end" in attacked[name].status
        assert ended, (name, attacked[name].status)
    assert "GB of memory in all" in attacked["five children with much memory each"].status
    assert "processes" in attacked["many processes"].status
    assert "MemoryError" in attacked["fifty gigabytes at once"].status
    assert "exit code 139" in attacked["segmentation fault"].status


@LINUX
def test_nothing_of_a_submission_runs_on(attacked):
    assert attacked["processes left behind"].points == 4
    mine = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    assert not [words for words in mine if "time.sleep(90)" in " ".join(words) and SECRET in " ".join(words)]


@LINUX
def test_what_a_learners_code_says_never_comes_to_a_page(attacked):
    for name, one in attacked.items():
        text = page([one])
        assert tags_of(text) <= OURS and "\x1b" not in text and "hidden message" not in text, name
        assert "refused" not in text and "alert" not in text and "owned" not in text, (name, text)
        assert all(char.isprintable() for char in text.replace("\n", "")), name


@LINUX
@pytest.mark.parametrize("which", ["Landlock", "Landlock 1"])
@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_lesser_fences_hold_as_well(which, tmp_path_factory):
    fence = FENCES[which]
    assert not fence.missing()
    with surroundings(tmp_path_factory.mktemp("outside")) as (outside, server):
        kept = {name: pair for name, pair in all_attacks(outside, server).items() if REACHES.search(name)}
        found = grade_attacks(tmp_path_factory.mktemp("attacks"), fence, kept)
        assert (outside / "precious.txt").read_text(encoding="utf-8") == SECRET
        assert (outside / "precious.txt").stat().st_mtime > 1e9
    for name, one in found.items():
        said = everything_said(one)
        assert SECRET not in said and "reached" not in said, (name, said)
        assert one.points == (4 if name == "processes left behind" else 0), (name, said)


def test_without_a_fence_it_refuses_and_names_what_is_missing():
    with pytest.raises(CourseError, match="read your files.*use the network.*--unfenced"):
        demand(Fence(), unfenced=False)
    assert "read your files" in demand(Fence(), unfenced=True)
    old = Fence(landlock=3)  # without a filter of system calls
    with pytest.raises(CourseError, match="use the network, stop other programs"):
        demand(old, unfenced=False)
    assert "Landlock 5" in demand(Fence(False, 5, True), unfenced=False)


# Points, notes


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> dict[str, Grade]:
    """Grades of honest submissions."""
    folder = tmp_path_factory.mktemp("honest")
    cells = {
        "right": [RIGHT],
        "half": ["def double(x):\n    return 2 * float(x)"],
        "wrong": ["def double(x):\n    return x"],
        "blank": ["def double(x):\n    ..."],
        "missing": ["x = 3"],
        "not a function": ["double = 7"],
        "after an error": ["1 / 0", RIGHT],
        "magics": [
            "%matplotlib inline\nprint('hello')\n!echo shell > said.txt",
            "assert open('said.txt').read()",
            RIGHT,
        ],
        "colab": ["import sys  # google.colab\n" + RIGHT],
        "stops": ["def double(x):\n    raise KeyError('my own words')"],
        "does not parse": ["def double(x):\n    return (2 * x"],
        "dots left over": [RIGHT + "\n    ..."],
        "a cell without end": ["while True:\n    pass", RIGHT],
        "an answer without end": ["def double(x):\n    while True:\n        pass"],
    }
    made = {name: hand_in(folder / name, *sources) for name, sources in cells.items()}
    made["BOM"] = hand_in(folder / "bom", RIGHT)
    made["BOM"].path.write_bytes(b"\xef\xbb\xbf" + made["BOM"].path.read_bytes())
    made["UTF-16"] = hand_in(folder / "utf16", RIGHT)
    made["UTF-16"].path.write_text(notebook_of(RIGHT), encoding="utf-16")
    by_submission = {one.submission: one for one in grade_all(list(made.values()), SMALL, FENCES["namespaces"])}
    return {name: by_submission[one] for name, one in made.items()}


def test_right_half_right_wrong_and_blank(graded):
    assert (graded["right"].points, graded["right"].possible, graded["right"].status) == (4, 4, "graded")
    half = graded["half"]
    assert half.points == 2 and half.tasks["q1"].hidden == "1 of 1 further checks fail"
    assert graded["wrong"].points == 0 and graded["wrong"].tasks["q1"].note == "Is it twice? Yours is 2"
    assert graded["blank"].tasks["q1"].note == graded["missing"].tasks["q1"].note == "not attempted: double"
    assert graded["not a function"].points == 0
    for one in (half, graded["wrong"]):
        assert "hidden message" not in page([one]) and "further checks fail" in page([one])


def test_errors_magics_and_marks_at_the_beginning_cost_nothing(graded):
    assert graded["after an error"].points == 4
    assert graded["after an error"].status == "graded; a cell stopped with ZeroDivisionError"
    assert graded["after an error"].said == "ZeroDivisionError: division by zero"
    for name in ("magics", "colab", "BOM", "UTF-16"):
        assert (graded[name].points, graded[name].status) == (4, "graded"), name


def test_of_an_error_the_page_tells_its_type_and_the_table_its_text(graded):
    one = graded["stops"]
    assert "KeyError" in page([one]) and "my own words" not in page([one])
    assert "my own words" in one.tasks["q1"].said


def test_what_never_ends_or_does_not_parse_is_an_attempt_and_costs_only_itself(graded):
    assert graded["dots left over"].points == 4
    one = graded["does not parse"]
    assert one.tasks["q1"].note == (
        "the cell of double does not run: SyntaxError in line 2, `return (2 * x`: '(' was never closed."
    )
    one = graded["a cell without end"]
    assert (one.points, one.status) == (4, "graded; a cell did not come to an end")
    assert graded["an answer without end"].tasks["q1"].note == "Your code did not come to an end."


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"tasks": {"q1": {"points": 5_000_000, "passed": [True] * 50}, "q2": {"passed": [True]}}},
        {"tasks": {"q1": {"passed": "many", "note": 7, "said": {}}}, "error": ["\ud800", 3], "end": ""},
        {"tasks": 3, "end": "x" * 10_000},
        {"tasks": {"q1": {"passed": [float("nan"), 1, "yes"], "note": ["<b>"] * 500}}},
    ],
)
def test_points_are_the_teachers_whatever_an_answer_says(answer):
    checks = all_checks(NAME)
    one = Grade(Submission(Path("x"), "x", NAME), {"q1": Task(0, 4)})
    take_answer(one, checks, answer)
    assert set(one.tasks) == {"q1"} and one.possible == 4 and 0 <= one.points <= 4
    assert len(one.status) <= LONGEST_NOTE and len(one.tasks["q1"].note) <= LONGEST_NOTE
    assert one.points == (4 if answer.get("tasks", 0) and "points" in str(answer) else 0)


# Any bytes as a notebook, any JSON as an answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SHAPES = st.fixed_dictionaries({}, optional=dict.fromkeys(("error", "end", "tasks"), JSON))
ANY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY
@given(raw=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_a_notebook_are_read_or_refused_in_words(raw, tmp_path):
    (tmp_path / "x.ipynb").write_bytes(raw)
    try:
        assert isinstance(json.loads(read_submission(tmp_path / "x.ipynb"))["cells"], list | dict | str)
    except CourseError as error:
        assert str(error).isprintable()


@ANY
@given(answer=JSON | SHAPES | SHAPES.map(lambda value: {"tasks": {"q1": value}}))
def test_any_json_as_an_answer_becomes_a_row(answer, tmp_path):
    one = Grade(Submission(tmp_path / "x.ipynb", "x", NAME), {"q1": Task(0, 4)})
    take_answer(one, all_checks(NAME), answer if isinstance(answer, dict) else {})
    row = row_of(one, "x000000")
    assert 0 <= row["Points"] <= 4 and as_csv(row, [row]).decode("utf-8-sig")
    assert page([one]).encode("utf-8")


@ANY
@given(message=JSON | st.fixed_dictionaries({"value": JSON, "objects": JSON}), blobs=st.lists(st.binary(max_size=9)))
def test_any_message_of_a_submission_is_read_or_refused(message, blobs):
    try:
        Values(trusting=False).load(message, blobs)
    except Unreadable as error:
        assert str(error)


# Whole folders with one bad entry


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[dict[str, dict], Path, str]:
    """One folder that holds every bad entry, graded with a good submission at its beginning and at its end."""
    place, out, said = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out"), []
    plant_all(place)
    grade_folder(place, out, SMALL, unfenced=True, show=said.append)
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {f"{row['Learner']} {row['File']}": row for row in csv.DictReader(file)}
    return rows, out, "\n".join(said)


def test_whatever_lies_in_a_folder_everybody_gets_a_row(folders):
    rows, out, said = folders
    assert {rows[f"{name} {NAME}.ipynb"]["Percent"] for name in ("Ada", "Zoe")} == {"100"}
    # root can read a closed folder, and finds nothing in it: one row all the same
    assert len(rows) == len(FOLDERS) + 2, sorted(rows)
    for name, row in rows.items():
        assert row["Status"] and "could not be graded" not in row["Status"], (name, row)
    assert f"of {len(rows)}: " in said


def test_names_are_harmless_in_tables_and_on_pages(folders):
    rows, out, _ = folders
    for row in rows.values():
        assert all(cell[:1] not in tuple("=+-@\t\r") or cell == "" for cell in row.values()), row
        assert all(char.isprintable() for cell in row.values() for char in cell), row
    for path in out.glob("*.html"):
        assert tags_of(path.read_text(encoding="utf-8")) <= OURS
    if sys.platform == "linux":
        assert any(row["Learner"].startswith("Müller") for row in rows.values())


def test_learners_with_alike_names_keep_a_page_and_a_row_each(tmp_path):
    names = ["A B", "A_B", "A=B"]
    for name in names:
        hand_in(tmp_path / "in" / name, name="notes.ipynb")
    for number in (1111, 2222):  # two people of one name
        hand_in(tmp_path / "in" / f"Eve_{number}_assignsubmission_file_", "{", name=f"{NAME}.ipynb")
        (tmp_path / "in" / f"Eve_{number}_assignsubmission_file_" / f"{NAME}.ipynb").write_text("{", encoding="utf-8")
    rows = grade_folder(tmp_path / "in", tmp_path / "out", SMALL, unfenced=True, show=lambda line: None)
    assert len({row["Id"] for row in rows}) == 5 == len(list((tmp_path / "out").glob("*.html")))
    book = (tmp_path / "out" / "gradebook.csv").read_text(encoding="utf-8-sig").splitlines()
    assert book[0] == f"Learner,Id,{NAME}" and sum(line.startswith("Eve,") for line in book) == 2


def test_a_closed_table_costs_no_row(tmp_path):
    (tmp_path / "grades.csv").mkdir()  # what a file that Excel holds open is to us: it can't be replaced
    said: list[str] = []
    table = Table(tmp_path, said.append)
    for number in range(3):
        table.add(
            f"{number}",
            Grade(Submission(tmp_path / "a.ipynb", f"learner{number}", NAME), {"q1": Task(1, 4)}),
            f"x{number}",
        )
    text = (tmp_path / "grades-1.csv").read_text(encoding="utf-8-sig")
    assert all(f"learner{number}" in text for number in range(3))
    assert sum("grades-1.csv instead" in line for line in said) == 1
    again = Table(tmp_path, said.append)
    again.read_old()
    assert set(again.rows) == {"0", "1", "2"}


def test_the_command_goes_on_where_it_was_stopped(tmp_path, capsys):
    hand_in(tmp_path / "in" / "ada", RIGHT)
    hand_in(tmp_path / "in" / "bob", "import os\nos._exit(3)")
    hand_in(tmp_path / "in" / "cleo", RIGHT, name="notes.ipynb")
    (tmp_path / "in" / "dora").mkdir()
    command = ["class", "grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--seconds", "20", "--unfenced"]
    assert main(command) == 0
    assert "4 submissions" in capsys.readouterr().out
    first = (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig")
    rows = {row["Learner"]: row for row in csv.DictReader(first.splitlines())}
    assert rows["ada"]["Percent"] == "100" and rows["ada"]["q1"] == "4"
    assert rows["bob"]["Points"] == "0" and "exit code 3" in rows["bob"]["Status"]
    assert "no exercise of this course has its name" in rows["cleo"]["Status"]
    assert "no notebook" in rows["dora"]["Status"]
    hand_in(tmp_path / "in" / "eve", WRONG)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "4 submissions are in grades.csv already" in said and "1 of 1: eve" in said
    assert (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig").startswith(first)


def test_an_empty_folder_is_said_and_nothing_is_claimed(tmp_path, capsys):
    assert main(["class", "grade", str(tmp_path), "--out", str(tmp_path / "out"), "--unfenced"]) == 0
    said = capsys.readouterr().out
    assert f"no notebook in {tmp_path}" in said and "holds" not in said and not (tmp_path / "out").exists()


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
    assert found == {(name, NAME) for name in names} | {("eve", "")}
    with pytest.raises(CourseError, match="is no folder"):
        list(find_submissions(tmp_path / "gone"))


def test_the_best_of_several_counts_and_formulas_stay_text(tmp_path):
    table = Table(tmp_path, lambda line: None)
    for points in (3, 1):
        table.add(str(points), Grade(Submission(Path("a.ipynb"), "=cmd()", NAME), {"q1": Task(points, 4)}), "x1")
    lines = (tmp_path / "gradebook.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines == [f"Learner,Id,{NAME}", "'=cmd(),x1,75"]
