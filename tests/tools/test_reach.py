"""Reach of the checks, on answers that they were not written with: what must hold for each exercise.

`python -m tests.reach` prints the whole table. A failure here names answers; look at the class of the mistake, and
find a random case that shows it.
"""

from __future__ import annotations

import sys

import pytest

from tests import reach
from tools.classroom.exercise_builder import find_masters

NAMES = [master.stem for master in find_masters()]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="each answer runs in a fork, which Windows lacks")


def test_a_verdict_holds_for_its_message_alone(monkeypatch):
    outcome = reach.Outcome("03_build_attention", "q1", 0, False, "off by one", reach.REFUSED, "Given 4 you give 5.")
    judged = {"03_build_attention": {"q1": {"0": {"message": "Given 4 you give 6.", "verdict": "misleading"}}}}
    assert reach.with_verdict(outcome, judged).verdict == "misleading"  # digits may differ between machines
    judged["03_build_attention"]["q1"]["0"]["message"] += " Is it twice?"
    assert reach.with_verdict(outcome, judged).verdict == ""


def test_every_task_has_wrong_answers_of_several_kinds_and_a_right_one():
    import importlib

    from utils.checks import Exercise

    for name in NAMES:
        module = importlib.import_module(f"tests.held_out.{name}")
        assert set(module.WRONG) == set(module.RIGHT) == set(Exercise(name).tests)
        for task, answers in module.WRONG.items():
            assert len({answer.kind for answer in answers}) >= 3 and module.RIGHT[task], f"{name} {task}"


def test_an_answer_that_never_ends_is_ended_and_one_that_changes_things_changes_nothing_here(monkeypatch):
    monkeypatch.setattr(reach, "SECONDS", 1)
    shared = [1]

    def damage():
        shared.append(2)
        return "refused", str(shared)

    def endless():
        while True:
            pass

    assert reach.in_a_fork(damage) == ("refused", "[1, 2]") and shared == [1]
    assert reach.in_a_fork(endless)[0] == reach.ENDLESS
