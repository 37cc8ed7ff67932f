"""Reach of the checks, on answers that they were not written with: what must hold for each exercise.

`python -m tests.reach` prints the whole table. A failure here names answers; look at the class of the mistake, and
find a random case that shows it.
"""

from __future__ import annotations

import importlib
import sys

import pytest

from tests import reach
from tools.classroom.exercise_builder import find_masters
from utils.checks import Exercise

NAMES = [master.stem for master in find_masters()]
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="each answer runs in a fork, which Windows lacks")


@pytest.fixture(scope="module")
def measured() -> dict[str, list[reach.Outcome]]:
    """What became of all answers to all exercises."""
    return reach.outcomes_of(NAMES)


@needs_fork
@pytest.mark.parametrize("name", NAMES)
def test_learners_own_checks_refuse_wrong_answers_and_accept_right_ones(name, measured):
    if name not in measured:
        pytest.skip("TensorFlow can't be imported here")
    outcomes = measured[name]
    wrong = [one for one in outcomes if not one.right]
    refused = [one for one in wrong if one.state == reach.REFUSED]
    told = reach.written(one for one in outcomes if (one.state == reach.ACCEPTED) != one.right)
    assert all(one.state == reach.ACCEPTED for one in outcomes if one.right), told
    assert not any(one.state == reach.ACCEPTED for one in wrong) and len(refused) >= 0.98 * len(wrong), told
    new = [one for one in refused if not one.verdict]
    how = f"`python -m tests.reach {name[:2]} --judge` writes these down; say of each what it is worth:"
    assert len(new) <= len(refused) / 2, f"{how}\n{reach.written(new)}"


def test_nine_messages_in_ten_are_judged_and_one_in_twenty_misleads_at_most():
    tasks = [task for exercise in reach.read_judged().values() for task in exercise.values()]
    verdicts = [judged["verdict"] for task in tasks for judged in task.values()]
    modules = [importlib.import_module(f"tests.held_out.{name}") for name in NAMES]
    wrong = sum(len(answers) for module in modules for answers in module.WRONG.values())
    assert set(verdicts) <= set(reach.VERDICTS) and len(verdicts) >= 0.9 * wrong
    assert verdicts.count("misleading") <= 0.05 * len(verdicts)


def test_a_verdict_holds_for_its_message_alone():
    outcome = reach.Outcome("03_build_attention", "q1", 0, False, "off by one", reach.REFUSED, "Given 4 you give 5.")
    judged = {"03_build_attention": {"q1": {"0": {"message": "Given 4 you give 6.", "verdict": "misleading"}}}}
    assert reach.with_verdict(outcome, judged).verdict == "misleading"  # digits may differ between machines
    judged["03_build_attention"]["q1"]["0"]["message"] += " Is it twice?"
    assert reach.with_verdict(outcome, judged).verdict == ""


def test_every_task_has_wrong_answers_of_several_kinds_and_a_right_one():
    for name in NAMES:
        module = importlib.import_module(f"tests.held_out.{name}")
        assert set(module.WRONG) == set(module.RIGHT) == set(Exercise(name).tests)
        for task, answers in module.WRONG.items():
            assert len({answer.kind for answer in answers}) >= 3 and module.RIGHT[task], f"{name} {task}"


@needs_fork
def test_an_answer_that_never_ends_is_ended_and_what_one_changes_is_unchanged_here(monkeypatch):
    monkeypatch.setattr(reach, "SECONDS", 1)
    shared = [1]

    def damage():
        shared.append(2)
        return "refused", str(shared)

    def endless():
        while True:
            pass

    assert reach.outcome_of(damage) == ("refused", "[1, 2]") and shared == [1]
    assert reach.outcome_of(endless)[0] == reach.ENDLESS
    assert reach.outcome_of(lambda: 1 / 0)[1].startswith("The check itself stopped with ZeroDivisionError")
