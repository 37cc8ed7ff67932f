"""Exercises: what a check says to right, wrong and blank answers; students' copies are what their masters give."""

from __future__ import annotations

import _thread
import importlib.util
import json
import linecache
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from solved import all_tests, run_cells, solved_names
from wires import all_by_value, checked_by_value, checker_of

from tools.classroom.exercise_builder import MASTERS, STUDENTS, find_masters, model_answers, stale
from tools.repo.notebooks import read_notebook
from utils.checks import Exercise, TooLong, judge, read_checks, time_limit
from utils.checks.blanks import has_dots
from utils.checks.exercise import Help
from utils.errors import CourseError

NAMES = [master.stem for master in find_masters()]
OWN_KERNEL = ("00",)  # gpt-2-simple turns eager mode off for its whole process: see test_exercise_00.py


def wrong_answers(name: str) -> dict[str, list[tuple[str, str]]]:
    """Return for each task pairs of a wrong answer's code and a part of the message that it must get."""
    path = MASTERS / "wrong_answers" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"wrong_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


@pytest.mark.parametrize("name", NAMES)
def test_students_copy_is_what_its_master_gives(name):
    assert stale(MASTERS / f"{name}.ipynb") == ""


@pytest.mark.parametrize("name", NAMES)
def test_students_copy_holds_neither_solutions_nor_hidden_checks(name):
    student = read_notebook(STUDENTS / f"{name}.ipynb")
    text = str(student)
    assert "SOLUTION" not in text and "hidden=True" not in text and "BEGIN QUESTION" not in text
    assert set(student.metadata.otter.tests) == set(all_tests(name))
    for task, source in all_tests(name).items():
        assert "hidden=True" in source, f"{task} has no hidden check"
        assert source.count("@test_case") > student.metadata.otter.tests[task].count("@test_case") > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_says_how_it_goes_and_that_arguments_stay_as_they_are(name):
    first = read_notebook(STUDENTS / f"{name}.ipynb").cells[0].source
    assert "Fill in each `...`" in first and 'exercise.hint("q1")' in first
    assert "leave what they are handed as it is" in first, "the checks refuse what changes its arguments"


@pytest.mark.parametrize("name", NAMES)
def test_each_task_comes_with_three_hints_a_model_answer_and_a_reason(name):
    exercise = Exercise(name)
    assert set(exercise.help.tasks) == set(exercise.tests)
    for task, known in exercise.help.tasks.items():
        assert len(known["hints"]) == 3 and all(known["hints"]) and known["why"], task
        assert "SOLUTION" not in known["answer"] and not has_dots(known["answer"]), task


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_copy_runs_to_its_end_and_nothing_counts_as_attempted(name):
    said = [
        output.get("text", "")
        for cell in read_notebook(STUDENTS / f"{name}.ipynb").cells
        if cell.cell_type == "code" and "exercise.check(" in cell.source
        for output in cell.outputs
    ]
    assert len(said) == len(all_tests(name))
    assert all("not attempted yet" in text for text in said), said


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(OWN_KERNEL)])
def test_the_solution_passes_and_each_typical_mistake_gets_a_message_of_its_own(name):
    import torch

    with torch.enable_grad():  # a notebook may turn gradients off for good: here only until the block ends
        names = solved_names(name)
        check_answers(name, names)
        check_by_value(name, names)


def check_answers(name: str, names: dict) -> None:
    """Hold the solution to full marks, and each typical mistake to a message of its own."""
    tests, wrong = all_tests(name), wrong_answers(name)
    assert set(wrong) == set(tests)
    for task, source in tests.items():
        assert judge(task, source, names) == f"{task}: right."
        assert len(wrong[task]) >= 3, f"{task} has fewer than three typical mistakes"
        messages = []
        for code, expected in wrong[task]:
            tried = dict(names)
            exec(compile(code, f"{task}-{len(messages)}", "exec"), tried)
            messages.append(judge(task, source, tried))
            assert f"{task}: not yet" in messages[-1] and expected in messages[-1], f"{code}\n→ {messages[-1]}"
        assert len(set(messages)) == len(messages), f"two mistakes of {task} get the same message"


def check_by_value(name: str, names: dict) -> None:
    """Hold the solution to full marks and each typical mistake to a failure, asked by value as grading asks."""
    by_value = checked_by_value(MASTERS / f"{name}.ipynb", all_tests(name))
    for task, mistakes in wrong_answers(name).items():
        assert all(by_value(task, names).passed), f"{task} is right here and wrong by value"
        for code, expected in mistakes:
            tried = dict(names)
            exec(compile(code, f"{task}-by-value", "exec"), tried)
            note = by_value(task, tried).note
            assert expected in note or "stopped with" in note, f"{code}\n→ by value: {note}"


def test_a_mistake_is_paid_once_when_later_tasks_build_on_it(monkeypatch):
    master = find_masters(["03"])[0]
    names = run_cells(master, monkeypatch)
    solved = model_answers(read_notebook(master))
    wrong = solved["q3"].replace("head * config.head_width, (head + 1) *", "head, head +")
    assert wrong != solved["q3"]
    for code in (wrong, solved["q4"], solved["q5"]):
        exec(compile(code, "cell", "exec"), names)
    found = all_by_value(checker_of(master, all_tests(master.stem)), names)
    assert not any(found["q3"].passed) and "Given x=" in found["q3"].note
    for task in ("q4", "q5"):
        assert all(found[task].passed) and found[task].note.startswith("Right by itself"), found[task]


# The check itself

SOURCE = """
from otter.test_files import test_case
OK_FORMAT = False
name = "q1"
points = 2

@test_case(points=None, hidden=False)
def test_kind(answer):
    assert isinstance(answer, int), "Is it a whole number?"

@test_case(points=None, hidden=False)
def test_value(answer):
    assert answer == 4, "Twice two?"
"""


@pytest.mark.parametrize("name", NAMES)
def test_our_reading_of_the_checks_is_otters(name):
    exception_test = pytest.importorskip("otter.test_files.exception_test", reason="otter-grader is the teacher's")
    for source in [*all_tests(name).values(), *Exercise(name).tests.values()]:
        theirs = exception_test.ExceptionTestFile.from_string(source).test_cases
        ours = [check.__code__ for check in read_checks(source)]
        assert ours and ours == [case.body.test_func.__code__ for case in theirs]


def test_a_check_may_ask_for_all_names_and_for_one_that_is_not_there():
    source = """
from otter.test_files import test_case
name = "q1"

@test_case(points=1, hidden=False, success_message="Good.")
def test_all(env, answer):
    assert env["other"] == answer, "Are they equal?"
"""
    assert judge("q1", source, {"answer": 3, "other": 3}) == "q1: right."
    assert judge("q1", source, {"answer": 3, "other": 4}).endswith("Are they equal?")
    assert "not attempted" in judge("q1", source, {"other": 3})


def test_checks_are_read_without_otter(monkeypatch):
    monkeypatch.setitem(sys.modules, "otter", None)  # whoever imports it gets an ImportError
    monkeypatch.setitem(sys.modules, "otter.test_files", None)
    assert judge("q1", SOURCE, {"answer": 4}) == "q1: right."


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("answer = '4'", "q1: not yet (0 of 2 checks passed). Is it a whole number?"),
        ("answer = 5", "q1: not yet (1 of 2 checks passed). Twice two?"),
        ("answer = 4", "q1: right."),
        ("", "q1: not attempted yet. Fill in the ... of answer."),
        ("answer = ...", "q1: not attempted yet. Fill in the ... of answer."),
        ("answer = None", "q1: not attempted yet. Fill in the ... of answer."),
        ("def answer(x):\n    y = ...\n    return y", "q1: not attempted yet. Fill in the ... of answer."),
        ("def answer(x):\n    return x[..., 0] + ...", "q1: not attempted yet. Fill in the ... of answer."),
        ("def answer(x):\n    'Text.'\n    # a line\n    ...", "q1: not attempted yet. Fill in the ... of answer."),
        ("def answer(x):\n    if x:\n        ...\n    return 3", "q1: not attempted yet. Fill in the ... of answer."),
        ("def answer(x):\n    return x\n    ...", "q1: not yet (0 of 2 checks passed). Is it a whole number?"),
        ("def answer(x):\n    return x[..., 0]", "q1: not yet (0 of 2 checks passed). Is it a whole number?"),
    ],
)
def test_checks_stop_at_the_first_that_fails_and_a_blank_is_no_mistake(tmp_path, code, said):
    path, names = tmp_path / "learner.py", {}
    path.write_text(code, encoding="utf-8")  # inspect looks a function's source up there
    exec(compile(code, str(path), "exec"), names)
    assert judge("q1", SOURCE, names) == said


def given(code: str, tmp_path: Path) -> dict:
    """Return the names of a cell, whose source Python can look up as it can in a notebook."""
    path, names = tmp_path / "cell.py", {"__name__": "__main__"}
    path.write_text(code, encoding="utf-8")
    linecache.checkcache(str(path))
    exec(compile(code, str(path), "exec"), names)
    return names


CALLS = """
from otter.test_files import test_case

@test_case(points=None, hidden=False)
def test_value(answer):
    assert answer([5, 7]) == 7, "The last one?"
"""


def test_code_that_stops_is_told_with_its_error_its_line_and_the_values_there(tmp_path):
    names = given("def answer(items):\n    last = len(items)\n    return items[last]", tmp_path)
    assert judge("q1", CALLS, names) == (
        "q1: not yet (0 of 1 checks passed). Your code stopped in line 3 of its cell, `return items[last]`, where "
        "items=[5, 7], last=2, with IndexError: list index out of range."
    )
    source = SOURCE.replace("answer == 4", "answer / 0 == 4")
    assert "it stopped with ZeroDivisionError: division by zero." in judge("q1", source, {"answer": 3})


@pytest.mark.parametrize(
    "body", ["pass", "try:\n            x = 1\n        except:\n            pass"], ids=["plain", "caught"]
)
def test_an_answer_that_never_ends_is_stopped_and_told(tmp_path, body):
    names = given(f"def answer(items):\n    while True:\n        {body}", tmp_path)
    said = judge("q1", CALLS, names, seconds=0.2)
    assert "Your code did not come to an end within 0.2 seconds. Which loop" in said
    source = CALLS.replace(
        "assert answer", "from utils.checks import compare; compare(answer, max, ([5, 7],)); assert answer"
    )
    assert "Given items=[5, 7] your code did not come to an end" in judge("q1", source, names, seconds=0.2)


def test_the_limit_of_time_works_without_alarms_and_leaves_interrupts_alone():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TooLong), time_limit(0.1, alarm=False):
        while True:
            pass
    with pytest.raises(KeyboardInterrupt), time_limit(60, alarm=False):
        _thread.interrupt_main()
        while True:
            pass
    assert signal.getsignal(signal.SIGINT) is before
    with time_limit(60):
        pass


def test_with_patience_code_that_waits_has_longer_than_code_that_computes():
    with time_limit(0.2, patience=10):
        time.sleep(0.5)
    with pytest.raises(TooLong), time_limit(0.1, patience=3):
        time.sleep(60)


def test_dots_that_are_left_in_a_right_answer_cost_nothing(tmp_path):
    for code in ("    return items[-1]\n    ...", "    last = ...\n    last = items[-1]\n    return last"):
        assert judge("q1", CALLS, given(f"def answer(items):\n{code}", tmp_path)) == "q1: right."


def test_a_copy_with_given_lines_is_blank_until_one_of_its_own_changes(tmp_path):
    blank = "def answer(items):\n    found = 0\n    # one line\n    ...\n    return found"
    blanks = {"answer": blank}
    assert "not attempted" in judge("q1", CALLS, given(blank, tmp_path), blanks)
    tried = blank.replace("...", "found = items[0]\n    ...")
    assert "The last one?" in judge("q1", CALLS, given(tried, tmp_path), blanks)


def test_a_cell_that_does_not_parse_is_told_with_its_line():
    cells = ["", "def answer(items):\n    return items[-1]", "%time\ndef answer(items):\n    return (items[-1]"]
    names = {"answer": lambda items: 7, "In": cells}
    said = judge("q1", CALLS, names)
    assert "The cell that defines answer did not run: SyntaxError in line 3, `return (items[-1]`: '(' was never" in said
    assert judge("q1", CALLS, {**names, "In": [*cells, cells[1]]}) == "q1: right."


def test_a_mistake_is_told_where_it_was_made(tmp_path):
    code = "def first(items):\n    return items[1]\ndef answer(items):\n    return first(items[::-1])"
    earlier = CALLS.replace('answer([5, 7]) == 7, "The last one?"', 'first([5, 7]) == 5, "The first one?"')
    said = judge("q2", CALLS, given(code, tmp_path), earlier={"q1": earlier.replace("(answer)", "(first)")})
    assert (
        "Your answer calls first of q1, which comes first: q1: not yet (0 of 1 checks passed). The first one?" in said
    )


def test_hints_come_one_by_one_and_the_model_answer_after_a_pass(tmp_path, capsys):
    task = {"hints": ["Which end?", "Count from the end.", "items[-1]"], "answer": "def answer(items): …", "why": "So."}
    metadata = {"otter": {"tests": {"q1": CALLS}, "help": Help({"q1": task}, {}).pack()}}
    (tmp_path / "90_last.ipynb").write_text(json.dumps({"metadata": metadata}), encoding="utf-8")
    exercise = Exercise("90_last", tmp_path)
    for _ in range(4):
        exercise.hint("q1")
    exercise.solution("q1")
    exercise.check("q1", {"answer": min})
    exercise.solution("q1")
    exercise.check("q1", {"answer": max})
    exercise.solution("q1")
    said = capsys.readouterr().out
    hints = ["q1, hint 1 of 3: Which", "q1, hint 2 of 3: Count", "q1, hint 3 of 3: items", "q1, hint 3 of 3: items"]
    assert [line[:22] for line in said.splitlines()[:4]] == [line[:22] for line in hints]
    assert said.count("q1 is not passed yet.") == 2
    assert said.endswith(
        'q1: right. exercise.solution("q1") shows the model answer and why.\ndef answer(items): …\n\nSo.\n'
    )
    assert "Which end" not in (tmp_path / "90_last.ipynb").read_text(encoding="utf-8")


def test_unknown_tasks_and_exercises_end_in_a_sentence():
    exercise = Exercise(NAMES[0])
    with pytest.raises(CourseError, match="'q99' is no task here"):
        exercise.check("q99")
    with pytest.raises(CourseError, match=re.escape("99_nothing.ipynb is not in")):
        Exercise("99_nothing")
    with pytest.raises(CourseError, match="No exercise begins with 99"):
        find_masters(["99"])


def test_a_stale_copy_is_noticed(tmp_path, monkeypatch):
    master = find_masters(["03"])[0]
    monkeypatch.setattr("tools.classroom.exercise_builder.STUDENTS", tmp_path)
    assert "is missing" in stale(master)
    text = (STUDENTS / master.name).read_text(encoding="utf-8")
    (tmp_path / master.name).write_text(text.replace("about one line", "about two lines"), encoding="utf-8")
    assert "is not what its master gives" in stale(master)
    assert [path.name for path in tmp_path.iterdir()] == [master.name]
