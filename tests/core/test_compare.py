"""An answer beside a reference: the first difference is shown with its input, and nothing is claimed that isn't so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from wires import connected

from tools.classroom.checking import run_one
from utils.checks import Stopped, compare
from utils.checks.comparing import copied


def said(answer, reference, *cases, **rules) -> str:
    with pytest.raises(AssertionError) as caught:
        compare(answer, reference, *cases, **rules)
    return str(caught.value)


def future(time):
    return torch.ones(time, time).triu(1).bool()


def double(x):
    return 2 * x


@pytest.mark.parametrize(
    ("answer", "reference", "case", "words"),
    [
        (lambda time: ~future(time), future, 2,
         "Given time=2 you give [[True, False], [True, True]], expected [[False, True], [False, False]]."),
        (lambda x: x, double, (1.5,), "Given x=1.5 you give 1.5, expected 3.0."),
        (lambda x: 2 * x + 0.1, double, (1000.0,), "you give 2000.1, expected 2000.0."),
        (lambda x: str(2 * x), double, (2,), "you give a text, '4', expected a number, 4."),
        (lambda x: None, double, (2,), "you give nothing (None), expected 4. Does your function return its result?"),
        (lambda x: torch.tensor(4), double, (2,), "you give a tensor, 4, expected a number, 4."),
        (lambda x: x > 0, double, (2,), "you give a truth value, True, expected a number, 4."),
        (lambda x: [1, 2, 4], lambda x: [1, 2], (0,), "expected [1, 2]. The length is 3, expected 2."),
        (lambda x: {"a": 1}, lambda x: {"a": 1, "b": 2}, (0,), "The key 'b' is missing."),
        (lambda x: {"a": [1, "2"]}, lambda x: {"a": [1, 2]}, (0,),
         "At ['a'][1] you have a text, '2', expected a number, 2."),
        (lambda x: {1, 2}, lambda x: {2, 3}, (0,), "{3} is missing and {1} is too many."),
        (lambda x: b"ab", lambda x: b"ac", (0,), "you give b'ab', expected b'ac'."),
        (lambda x: x.float(), lambda x: x, torch.tensor([1, 2]), "The dtype is float32, expected int64."),
        (lambda x: x[:1], lambda x: x, torch.tensor([1, 2]), "The shape is 1, expected 2."),
        (lambda x: x[None], lambda x: x, torch.tensor(2.0), "The shape is 1, expected ()."),
        (lambda x: x * 3, double, torch.ones(4, 64),
         "Given x=(4 × 64 numbers) you give (4 × 64 numbers). Shape and dtype are right, but every value is 1.5 times"),
        (lambda x: x, lambda x: x.float(), torch.zeros(4, 64, dtype=torch.uint8),
         "numbers of uint8) you give (4 × 64 numbers of uint8), expected (4 × 64 numbers). The dtype is uint8"),
        (lambda x: np.array([1, 3]), lambda x: np.array([1, 2]), (0,), "you give [1, 3], expected [1, 2]."),
        (lambda x: "a" * 200 + "b", lambda x: "a" * 200 + "c", (0,), "They part at 200: you have 'aaaaaaaaaab'"),
        (lambda x: list(range(99)) + [0], lambda x: list(range(100)), (0,), "At [99] you have 0, expected 99."),
    ],
)  # fmt: skip
def test_input_got_and_expected_are_shown(answer, reference, case, words):
    assert words in said(answer, reference, case)


def test_whether_it_returns_its_result_is_asked_of_a_function_without_one_alone():
    assert said(lambda x: {}.get(x), double, (2,)) == "Given x=2 you give nothing (None), expected 4."


@pytest.mark.parametrize(
    ("answer", "reference", "case"),
    [
        (lambda x: 2.0 * x, double, (2,)),
        (lambda x: (1, 2), lambda x: [1, 2], (0,)),
        (lambda x: np.float64(0.3), lambda x: 0.1 + 0.2, (0,)),
        (lambda x: float("nan"), lambda x: float("nan"), (0,)),
        (lambda x: x.double() * 2, double, torch.ones(3)),
        (lambda x: torch.tensor([-torch.inf, 1.00001]), lambda x: torch.tensor([-torch.inf, 1.0]), (0,)),
        (lambda *, x: 2 * x, double, {"x": 3}),
    ],
)
def test_every_form_of_the_same_value_passes(answer, reference, case):
    compare(answer, reference, case)


def test_strictly_asks_for_the_same_types():
    assert "The dtype is int64, expected uint8." in said(
        lambda x: x.long(), lambda x: x, torch.ones(2).byte(), strictly=True
    )
    assert "you give (1, 2) (tuple), expected [1, 2] (list)." in said(
        lambda x: (1, 2), lambda x: [1, 2], 0, strictly=True
    )


def test_a_question_comes_last_and_only_for_the_mistake_that_it_recognises():
    def question(case, got, expected):
        return "Once too few?" if got == case[0] else ""

    assert said(lambda x: x, double, (3,), question=question) == "Given x=3 you give 3, expected 6. Once too few?"
    assert said(lambda x: 7, double, (3,), question=question) == "Given x=3 you give 7, expected 6."
    assert said(lambda x: [7], double, (3,), question=lambda *seen: seen[1] / 0).endswith("expected a number, 6.")
    assert said(lambda x: 7, double, (3,), question="Twice?").endswith("expected 6. Twice?")
    assert "Twice?" not in said(lambda x: None, double, (3,), question="Twice?")


def test_a_mistake_is_recognised_by_what_it_gives_and_only_if_no_other_gives_it():
    known = {"Once too few?": lambda x: x, "Squared?": lambda x: x * x, "Does it stop?": lambda x: x / 0}
    assert said(lambda x: x, double, (3,), question=known).endswith("expected 6. Once too few?")
    assert said(lambda x: x**2, double, (3,), question=known).endswith("expected 6. Squared?")
    assert said(lambda x: x, double, (1,), question=known).endswith("expected 2.")
    assert said(lambda x: 7, double, (3,), question=known).endswith("expected 6.")
    known = {"Divided?": lambda x: x * 2 / 1, "Rounded?": lambda x: x * 2}
    assert said(lambda x: 6.0, double, (3,), question=known, strictly=True).endswith("6 (int). Divided?")
    known = {"Twos?": lambda x: torch.full((2,), 2.0)}
    asked = said(lambda x: double(x).double(), double, (torch.ones(2),), question=known, strictly=True)
    assert asked.endswith("The dtype is float64, expected float32.")


def test_an_error_comes_with_its_line_and_the_input(tmp_path):
    path = tmp_path / "cell.py"
    path.write_text("def second(items):\n    low = min(items)\n    return items[low]\n", encoding="utf-8")
    names: dict = {"__name__": "__main__"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    assert said(names["second"], sum, ([5, 7],)) == (
        "Given items=[5, 7] your code stopped in line 3 of its cell, `return items[low]`, where low=5, with "
        "IndexError: list index out of range."
    )
    assert "with TypeError: " in said(lambda: 3, double, (2,))


def test_an_error_that_is_expected_passes_and_only_that_one():
    def refuse(x):
        raise KeyError(x)

    compare(refuse, refuse, (3,))
    assert said(double, refuse, (3,)) == "Given x=3 you give 6, expected KeyError."
    assert "stopped" in said(lambda x: x[0], refuse, (3,))


def in_order(items):
    items.sort()
    return items


def test_changed_arguments_are_told_unless_they_may_change():
    assert said(in_order, sorted, ([3, 1],)) == (
        "Given items=[3, 1] your code leaves items as [1, 3], expected [3, 1]. An argument should stay as it was. "
        "Does your code work on a copy?"
    )
    compare(in_order, sorted, ([3, 1],), in_place="allowed")
    compare(in_order, in_order, ([3, 1],), in_place="compared")
    assert "code leaves iterable as [3, 1], expected [1, 3]." in said(sorted, in_order, ([3, 1],), in_place="compared")
    layer = torch.nn.Linear(2, 2)

    def fold(layer):
        layer.weight.data *= 2
        return 1

    assert "your code leaves layer as (Linear). At ['weight'] you have" in said(fold, lambda layer: 1, (layer,))


def test_arguments_are_copied_with_what_they_share():
    layer = torch.nn.Linear(2, 2)
    optimizer, grown = torch.optim.SGD(layer.parameters(), lr=1), layer.weight * 2
    mine = copied((layer, optimizer, grown, double))
    assert mine[1].param_groups[0]["params"][0] is mine[0].weight is not layer.weight
    assert torch.equal(mine[2], grown) and mine[3] is double


def test_it_asks_by_value_as_grading_does():
    def stops(x):
        raise KeyError("my own words")

    names = {"double": double, "in_order": in_order, "stops": stops, "fives": lambda x: torch.full_like(x, 5.0)}
    with connected(names) as channel:
        ask = channel.function
        compare(ask("double"), double, (3,), (torch.ones(2, 3),), ([1],))
        assert "Given x=[1.0, 1.0] you give [5.0, 5.0]" in said(ask("fives"), double, (torch.ones(2),))
        assert "leaves items as [1, 3]" in said(ask("in_order"), lambda items: sorted(items), ([3, 1],))
        with pytest.raises(Stopped):
            compare(ask("stops"), double, (3,))
        note, told = run_one(lambda names: compare(ask("stops"), double, (3,)), {})
    assert note == "Given x=3 your code stopped with KeyError." and told == "KeyError: 'my own words'"
