"""Lab 06: every bug is caught by its solution, and attempts that are empty, blind, lucky or wrong are told apart."""

from __future__ import annotations

import inspect

import pytest
import torch

from labs.bugs.check import GOOD, check_mend, check_test, disguised, judge, outcome, scoreboard, source_of
from labs.bugs.mended import unlike
from labs.bugs.sabotage import BUGS, sabotaged
from labs.bugs.trainer import Trainer
from labs.solutions.find_the_bugs import DOCUMENTS, TESTS
from utils.errors import CourseError

RightTrainer, METHODS = Trainer, [name for name, value in vars(Trainer).items() if inspect.isfunction(value)]


def test_there_is_one_solution_for_each_of_thirteen_bugs():
    assert list(TESTS) == list(BUGS)
    assert len(BUGS) == 13


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_caught_by_its_solution_and_mended_by_the_right_method(name):
    bug, changed = BUGS[name], sabotaged(name)
    assert judge(name, TESTS[name]) == GOOD and len(bug.symptom) > 30
    assert inspect.getsource(bug.function) != inspect.getsource(getattr(Trainer, bug.method))
    assert [key for key in vars(Trainer) if getattr(changed, key) is not vars(Trainer)[key] and key == bug.method]
    trainer = changed(DOCUMENTS)
    trainer.run(10)  # a sabotaged trainer still runs, as real ones did
    assert trainer.step_count == 10 and trainer.events == ["Before", "After"]
    assert check_mend(name, vars(Trainer)[bug.method], TESTS[name])


def test_the_right_trainer_learns_stops_early_and_keeps_its_best_weights():
    trainer = Trainer([[i % 5 for i in range(40)] for _ in range(8)])
    trainer.run(60)
    losses = [report.held_out_loss for report in trainer.reports]
    assert losses[-1] < losses[0] / 2
    assert trainer.held_out_loss() == pytest.approx(min(losses), rel=1e-6)
    noise = [torch.randint(50, (40,)).tolist() for _ in range(8)]
    early = Trainer(noise, learning_rate=3e-2)
    early.run(400)
    assert early.step_count < 400
    assert early.held_out_loss() == pytest.approx(early.best_loss, rel=1e-6)


def nothing(Trainer):
    """Say what you expect."""


def raises(Trainer):
    raise NotImplementedError


def not_yet(self, parts, seconds):
    raise NotImplementedError


def blind(Trainer):
    assert Trainer(DOCUMENTS).model is not None


def too_strict(Trainer):
    assert Trainer(DOCUMENTS).activation(torch.ones(1)) == 1, "a sharp eye"


def stumbles(Trainer):
    Trainer(DOCUMENTS).nonsense()


def lucky(Trainer):
    assert torch.rand(1) < torch.initial_seed() % 2


def half_blind(Trainer):
    odd = torch.initial_seed() % 2
    exact = float(Trainer(DOCUMENTS).activation(torch.ones(1))) > 0.8413
    assert not (odd and exact)


def crashes(Trainer):
    if float(Trainer(DOCUMENTS).activation(torch.tensor([1.0]))) > 0.8413:
        raise ValueError("other")


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (nothing, "not attempted"),
        (raises, "not attempted"),
        (blind, "can't see the bug"),
        (too_strict, "fails on the right trainer, too, with AssertionError: a sharp eye"),
        (stumbles, "stops, with AttributeError"),
        (lucky, "left to chance"),
        (half_blind, "catches the bug with some seeds only"),
        (crashes, "crashes on the sabotaged trainer, with ValueError: other"),
    ],
)
def test_each_kind_of_attempt_gets_its_own_diagnosis(attempt, words):
    assert words in judge("other_bend", attempt)


def test_the_guilty_function_is_shown_only_once_it_is_caught(capsys):
    assert not check_test("other_bend", blind)
    assert "def other_bend" not in capsys.readouterr().out
    assert check_test("other_bend", TESTS["other_bend"])
    out = capsys.readouterr().out
    assert "Trainer.activation" in out
    assert "def other_bend(self, x):" in out
    assert "@bug" not in out


def has_other_bases(Trainer):
    assert Trainer.__bases__ == (object,)


def counts_members(Trainer):
    assert len(vars(Trainer)) == len(vars(disguised(RightTrainer)))


def compares_code(Trainer):
    assert all(getattr(Trainer, name).__code__ == getattr(RightTrainer, name).__code__ for name in METHODS)


def reads_source(Trainer):
    assert all(inspect.getsource(getattr(Trainer, name)) in inspect.getsource(RightTrainer) for name in METHODS)


def looks_behind(Trainer):
    assert all(getattr(Trainer, name).__closure__[0].cell_contents is vars(RightTrainer)[name] for name in METHODS)


def is_the_right_one(Trainer):
    assert Trainer is RightTrainer or not issubclass(Trainer, RightTrainer)


@pytest.mark.parametrize(
    "cheat", [has_other_bases, counts_members, compares_code, reads_source, looks_behind, is_the_right_one]
)
def test_looking_at_the_class_instead_of_what_it_does_catches_nothing(cheat):
    assert [name for name in BUGS if judge(name, cheat) == GOOD] == []


@pytest.mark.parametrize("name", BUGS)
def test_every_method_that_can_be_wrong_is_watched_at_work(name):
    method = BUGS[name].method
    assert [unlike(method, RightTrainer, seed) for seed in (0, 1, 2)] == ["", "", ""]
    assert ", expected " in unlike(method, sabotaged(name), 1)


def test_a_mend_is_judged_by_ones_own_test_and_beside_the_right_trainer(capsys):
    test = TESTS["slow_clock"]
    assert check_mend("slow_clock", Trainer.tokens_per_second, test)
    assert not check_mend("slow_clock", BUGS["slow_clock"].function, test)
    assert "your own test still fails" in capsys.readouterr().out

    def only_three(self, parts, seconds):
        return 3 * BUGS["slow_clock"].function(self, parts, seconds)  # right for batches of 3 alone

    def weak(Trainer):
        trainer = Trainer(DOCUMENTS, batch_size=3)
        assert trainer.tokens_per_second([trainer.batches.next_batch()], 1.0) == 24

    assert not check_mend("slow_clock", only_three, weak)
    assert "the right trainer does otherwise in another case. Tokens per second: " in capsys.readouterr().out

    def only_here(self, parts, seconds):
        return 24 if len(parts) == 1 else parts.nonsense

    assert not check_mend("slow_clock", only_here, weak)
    assert "in another case tokens_per_second stops with AttributeError" in capsys.readouterr().out
    assert not check_mend("slow_clock", nothing, test)
    assert not check_mend("slow_clock", not_yet, test)
    assert capsys.readouterr().out.count("not mended yet.") == 2
    assert not check_mend("slow_clock", Trainer.tokens_per_second, blind)
    assert "first a test that catches it" in capsys.readouterr().out


def test_the_scoreboard_counts_what_is_caught(capsys):
    assert scoreboard({"slow_clock": TESTS["slow_clock"], "open_end": nothing}) == 1
    out = capsys.readouterr().out
    assert "1 of 13 are caught" in out
    assert out.count("not attempted yet") == 12


def test_an_unknown_bug_is_refused():
    with pytest.raises(CourseError, match="no bug 'gremlin', expected one of other_bend"):
        judge("gremlin", nothing)


def test_the_code_shown_has_no_symptom_in_it():
    assert source_of(BUGS["loud_blocks"]).startswith("@torch.no_grad()")


def test_outcomes_do_not_disturb_the_seed_of_the_notebook():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    outcome(TESTS["lost_parts"], Trainer, 3)
    assert torch.equal(torch.rand(1), expected)
