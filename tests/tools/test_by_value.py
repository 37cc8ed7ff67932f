"""Calls between two processes by value: what one side changes, the other sees; what it must not change, it can't."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections import Counter, OrderedDict, defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from wires import connected

from tools.classroom.by_value import Foreign, Raised
from tools.classroom.remote_calls import Channel, NoAnswer
from utils.config import GPT2Config
from utils.model import GPT2
from utils.quantize import Grid


@pytest.fixture
def ask():
    """Return a function that asks functions over two pipes, as a check asks those of a submission."""
    with contextlib.ExitStack() as lines:
        yield lambda **names: lines.enter_context(connected(names))


VALUES = [
    None, True, -3, 2**70, 0.1, math.inf, "größe \ud800", b"x", bytes(1000), ..., (1, (2, [3])), {"a": {1, 2}},
    frozenset({1}), [[[]]], torch.float16, torch.zeros(2, 3).shape, torch.device("cpu"), {(1, 2): [4]},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_plain_values_come_back_as_they_went(ask, value):
    got = ask(same=lambda x: x).call("same", (value,))
    assert got == value and type(got) is type(value)
    made = ask(make=lambda: value).call("make")
    assert made == value and type(made) is type(value)


@pytest.mark.parametrize("made", [Counter("aab"), OrderedDict(b=1, a=2), defaultdict(list, x=[1])], ids=repr)
def test_kinds_of_dictionaries_stay_what_they_are(ask, made):
    got = ask(make=lambda: made).call("make")
    assert got == made and type(got) is type(made) and list(got) == list(made)
    assert type(got) is not Counter or got["nothing"] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_of_any_shape_come_back(ask, dtype):
    for made in (
        torch.arange(6).reshape(2, 3).T.to(dtype),
        torch.ones((), dtype=dtype),
        torch.zeros(0, 2, dtype=dtype),
    ):
        got = ask(make=lambda made=made: made).call("make")
        assert torch.equal(got, made) and got.dtype == dtype
    array = np.arange(4, dtype="<f2").reshape(2, 2)
    got = ask(make=lambda: (array, array[0, 1])).call("make")
    assert np.array_equal(got[0], array) and got[0].dtype == array.dtype and type(got[1]) is np.float16


def test_what_is_changed_in_place_is_changed_on_the_other_side(ask):
    def change(row, table, x, weight):
        row.append([1])
        table["new"] = row
        x.mul_(2)
        weight.grad.add_(1)
        weight.requires_grad = False

    row, table, x, weight = [0], {}, torch.ones(2), torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    ask(change=change).call("change", (row, table, x, weight))
    assert row == [0, [1]] and table["new"] is row and x.tolist() == [2, 2]
    assert weight.grad.tolist() == [2, 2] and not weight.requires_grad


def test_a_model_is_trained_on_the_other_side_and_looked_at_meanwhile(ask):
    def train(model, optimizer, look):
        for group in optimizer.param_groups:
            group["lr"] = 0.5
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.arange(8)[None], torch.arange(8)[None]).backward()
            optimizer.step()
            look(model)
        return list(model.parameters())

    mine, theirs = (_tiny() for _ in range(2))
    ours, right = (torch.optim.AdamW(model.parameters(), lr=1.0) for model in (mine, theirs))
    ours.zero_grad = lambda zero=ours.zero_grad, **_: zero(set_to_none=False)
    seen = []
    got = ask(train=train).call("train", (mine, ours, lambda model: seen.append(model is mine and _first(model))))
    assert all(a is b for a, b in zip(got, mine.parameters(), strict=True))
    assert train(theirs, right, lambda model: None) and ours.param_groups[0]["lr"] == 0.5
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    assert len(seen) == 2 and seen[0] != seen[1] == _first(mine)


def _tiny() -> GPT2:
    torch.manual_seed(0)
    return GPT2(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20, context=16))


def _first(model: GPT2) -> float:
    return next(iter(model.parameters())).detach().flatten()[0].item()


def test_functions_iterators_patterns_and_small_objects_reach_the_other_side(ask):
    def use(call, row, pattern, names, grid, grids):
        return call(3) + 1, sum(row), pattern.sub("", "abc"), names.call(4), grid.bits, grids.index(grid)

    grid, names = Grid(4, 64), SimpleNamespace(call=lambda x: -x)
    asked = (lambda x: 2 * x, iter([1, 2]), re.compile("b"), names, grid, [Grid(8, 64), grid])
    assert ask(use=use).call("use", asked) == (7, 3, "ac", -4, 4, 1)
    channel = ask(choose=lambda grids: grids[1], make=lambda: Grid(3, 16))
    assert channel.call("choose", (asked[5],)) is grid and channel.call("make") == Grid(3, 16)


def test_a_function_that_is_returned_can_be_called(ask):
    channel = ask(adder=lambda n: lambda x: x + n)
    add = channel.call("adder", (3,))
    assert add(4) == 7


def test_errors_keep_their_kind_and_leave_their_text_behind(ask):
    class Own(LookupError):
        pass

    def stop(kind):
        raise kind("their words")

    channel = ask(
        divide=lambda: 1 / 0, own=lambda: stop(Own), again=lambda call: call(), leave=lambda: stop(SystemExit)
    )
    with pytest.raises(ZeroDivisionError) as caught:
        channel.call("divide")
    assert isinstance(caught.value, Raised) and caught.value.said == "division by zero"
    with pytest.raises(LookupError) as caught:
        channel.call("own")
    assert type(caught.value).__name__ == "LookupError" and caught.value.kind == "Own"
    with pytest.raises(Raised):
        channel.call("leave")
    mine = RuntimeError("a check's own")
    with pytest.raises(RuntimeError) as caught:
        channel.call("again", (lambda: (_ for _ in ()).throw(mine),))
    assert caught.value is mine


def test_what_cannot_travel_is_nothing_that_a_check_takes_for_an_answer(ask):
    class Any(int):
        __eq__ = __ge__ = lambda *a: True
        __hash__ = int.__hash__

    for made in (Any(), open, (x for x in "ab"), object(), _tiny(), type):
        got = ask(make=lambda made=made: made).call("make")
        assert isinstance(got, Foreign) or callable(got) or type(got) is int, made
        assert got != 5 or not isinstance(made, Any)


def test_two_tensors_of_one_memory_stay_so(ask):
    model = torch.nn.Linear(2, 2)
    weights = ask(keep=lambda model: model.state_dict()).call("keep", (model,))
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(weights["weight"], model.weight) and not weights["weight"].requires_grad


def test_no_view_of_a_teachers_own_tensor_is_made(ask):
    table = torch.zeros(3)
    channel = ask(keep=lambda table: table.detach())
    channel.values.kept = frozenset({id(table)})
    kept = channel.call("keep", (table,))
    kept.add_(1)
    assert torch.equal(kept, torch.ones(3)) and torch.equal(table, torch.zeros(3))


def test_the_teachers_own_objects_stay_as_they_are(ask):
    def spoil(table, model):
        table.clear()
        for weight in model.parameters():
            weight.data.zero_()

    table, model = {"a": [1]}, torch.nn.Linear(2, 2)
    before = model.weight.detach().clone()
    channel = ask(spoil=spoil)
    channel.values.kept = frozenset(map(id, (table, model, *model.parameters())))
    channel.call("spoil", (table, model))
    assert table == {"a": [1]} and torch.equal(model.weight, before)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 8,
        b"\0\0\0\0\0\0\0\x02{}",
        b"\0\0\0\0\0\0\0\x04null",
        b"\0\0\0\0\0\1\0\0" + b"[" * 65536,
    ],
    ids=["nothing", "no text", "too long", "no kind", "null", "deep"],
)
def test_what_is_no_answer_ends_the_asking(said):
    channel = Channel(io.BytesIO(said), io.BytesIO(), False)
    with pytest.raises(NoAnswer):
        channel.call("x")


def test_what_the_other_side_must_not_change_travels_once(ask):
    table, row, sent = {(1, 2): [3]}, [0], []

    def use(table, row, look):
        table.clear()
        row.append(len(table))
        look(table, row)
        return table

    channel = ask(use=use)
    channel.values.kept = frozenset({id(table)})
    dump = channel.values.dump
    channel.values.dump = lambda value: sent.append(dump(value)) or sent[-1]
    assert channel.call("use", (table, row, lambda *both: sent.append(both == (table, row)))) is table
    (first, _), seen, (second, _) = sent
    assert table == {(1, 2): [3]} and row == [0, 0] and seen
    kinds = [[content[0] for _, _, content in message["objects"]] for message in (first, second)]
    assert kinds[0].count("mapping") == 2 and "mapping" not in kinds[1]  # keyword arguments are the other one
