"""Values for people: a short text of any value, and the first place where two values differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import zip_longest
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.checks.tensors import TOLERANCE, agree, as_size, describe_difference, draw_wrong

MOST_SHOWN = 16  # numbers of a tensor that are written out
LONGEST = 160  # characters of a value
CLOSE = 1e-5  # relative, for single numbers


@dataclass(frozen=True)
class Rules:
    """How alike two values must be: `whole` tells 3.0 from 3, `strictly` asks for the same types and dtypes, too."""

    strictly: bool = False
    whole: bool = False
    tolerance: float | None = None


@dataclass(frozen=True)
class Difference:
    """The first place where two values differ, what stands there, and a sentence about it, if there is one."""

    place: str
    got: Any
    expected: Any
    said: str = ""
    kind: bool = False  # one is of another kind than the other
    map_of_wrong: str = ""  # where in a matrix the values differ


MISSING = type("Missing", (), {"__repr__": lambda self: "nothing"})()


# A value as text


def show(value: Any, digits: int = 4, longest: int = LONGEST) -> str:
    """Return a short text of a value.

    >>> show([1, 2.5, "a"]), show(torch.tensor([[True], [False]])), show(torch.zeros(4, 64))
    ("[1, 2.5, 'a']", '[[True], [False]]', '(4 × 64 numbers)')
    """
    if isinstance(value, Tensor):
        return _show_tensor(value, digits)
    if isinstance(value, np.ndarray):
        return show(value.tolist(), digits, longest) if value.size <= MOST_SHOWN else f"({_size(value.shape)} numbers)"
    if isinstance(value, float | np.floating):
        return _show_float(float(value), digits)
    if isinstance(value, str | bytes | bytearray):
        return _show_text(value, longest)
    if isinstance(value, Mapping):
        items = (f"{show(key, digits)}: {show(item, digits, longest)}" for key, item in value.items())
        return _join(items, "{}", len(value), longest)
    if isinstance(value, list | tuple | Set):
        if isinstance(value, Set) and not value:
            return "set()"
        ends = {list: "[]", tuple: "()"}.get(type(value), "[]" if isinstance(value, Sequence) else "{}")
        tail = "," if ends == "()" and len(value) == 1 else ""
        return _join((show(item, digits, longest) + tail for item in value), ends, len(value), longest)
    return _show_other(value, longest)


def _show_tensor(tensor: Tensor, digits: int) -> str:
    if tensor.is_meta or tensor.numel() > MOST_SHOWN:
        usual = {torch.bool: "truth values", torch.float32: "numbers", torch.int64: "numbers"}
        kind = str(tensor.dtype).removeprefix("torch.")
        return f"({as_size(tensor)} {usual.get(tensor.dtype, f'numbers of {kind}')})"
    if not tensor.numel():
        return f"({as_size(tensor)} numbers: none)"
    return show(tensor.detach().cpu().tolist(), digits, 10 * LONGEST)


def _show_float(number: float, digits: int) -> str:
    text = f"{number:.{digits}g}"
    return text if not math.isfinite(number) or set(text) & set(".e") else f"{text}.0"


def _show_text(text: str | bytes | bytearray, longest: int) -> str:
    unit = "characters" if isinstance(text, str) else "bytes"
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}… ({len(text):,} {unit})"


def _size(shape: Sequence[int]) -> str:
    return " × ".join(f"{length:,}" for length in shape)


def _join(items: Iterator[str], ends: str, count: int, longest: int) -> str:
    shown, used = list[str](), 0
    for item in items:
        used += len(item) + 2
        if shown and used > longest:
            break
        shown.append(item)
    rest = f", … ({count:,} in all)" if len(shown) < count else ""
    inner = ", ".join(shown)
    return f"{ends[0]}{inner}{rest}{ends[1]}" if inner or ends != "{}" else "{}"


def _show_other(value: Any, longest: int) -> str:
    if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
        name = getattr(value, "__name__", "")
        return name if name.isidentifier() else "a function"
    if isinstance(value, torch.nn.Module | torch.Generator) or callable(value):
        return f"({type(value).__name__})"
    text = repr(value)
    if " object at 0x" in text:
        return f"({type(value).__name__})"
    return text if len(text) <= longest else f"{text[:longest]}…"


def kind_of(value: Any) -> str:
    """Say of which kind a value is.

    >>> kind_of(True), kind_of(3), kind_of((1, 2)), kind_of(None)
    ('a truth value', 'a number', 'a list', 'nothing')
    """
    kinds: list[tuple[Any, str]] = [
        (type(None), "nothing"), (Tensor, "a tensor"), (np.ndarray, "an array"), (bool | np.bool_, "a truth value"),
        (Number, "a number"), (str, "a text"), (bytes | bytearray, "bytes"), (Mapping, "a dictionary"), (Set, "a set"),
        (list | tuple | range, "a list"), (Iterator, "an iterator"),
    ]  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def with_kind(value: Any) -> str:
    """Return a value's text with its kind before it."""
    kind = "a tuple" if isinstance(value, tuple) else kind_of(value)
    return "nothing (None)" if value is None else f"{kind}, {show(value)}" if " " in kind else show(value)


# Where two values differ


def difference(got: Any, expected: Any, rules: Rules = Rules(), place: str = "") -> Difference | None:
    """Return the first place where two values differ, or nothing where they are the same."""
    if got is expected:
        return None
    strictly = rules.strictly or (rules.whole and isinstance(expected, int | float))
    if kind_of(got) != kind_of(expected) or (strictly and type(got) is not type(expected)):
        return Difference(place, got, expected, kind=True)
    if isinstance(expected, np.ndarray):
        found = _compare_tensors(_as_tensor(got), _as_tensor(expected), rules, place)
        return found and Difference(place, got, expected, found.said, found.kind, found.map_of_wrong)
    compares: list[tuple[Any, Callable[..., Difference | None]]] = [
        (Tensor, _compare_tensors), (bool | np.bool_, _compare_plain), (Number, _compare_numbers),
        (str | bytes | bytearray, _compare_texts), (Mapping, _compare_mappings), (Set, _compare_sets),
        (list | tuple | range, _compare_lists), (torch.nn.Module, _compare_modules),
    ]  # fmt: skip
    for kind, compare_two in compares:
        if isinstance(expected, kind):
            return compare_two(got, expected, rules, place)
    if hasattr(expected, "__dict__") and type(expected).__eq__ is object.__eq__ and not callable(expected):
        return _compare_mappings(vars(got), vars(expected), rules, place)
    return _compare_plain(got, expected, rules, place)


def _as_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array)) if array.dtype.kind in "biufc" else torch.tensor([hash(array.tobytes())])


def _family(tensor: Tensor) -> str:
    kinds = {torch.bool: "bool"}
    return kinds.get(tensor.dtype, "float" if tensor.is_floating_point() or tensor.is_complex() else "int")


def _compare_tensors(got: Tensor, expected: Tensor, rules: Rules, place: str) -> Difference | None:
    if got.shape != expected.shape:
        said = f"The shape is {as_size(got)}, expected {as_size(expected)}."
        return Difference(place, got, expected, said)
    if _family(got) != _family(expected) or (rules.strictly and got.dtype != expected.dtype):
        found, wanted = (str(tensor.dtype).removeprefix("torch.") for tensor in (got, expected))
        return Difference(place, got, expected, f"The dtype is {found}, expected {wanted}.")
    mine, theirs = (tensor.detach().cpu().double() for tensor in (got, expected))
    right = agree(mine, theirs, _family(expected) != "float", rules.tolerance or TOLERANCE)
    if right.all():
        return None
    said = describe_difference(mine, theirs, ~right) if mine.numel() > MOST_SHOWN else ""
    return Difference(place, got, expected, said, map_of_wrong=draw_wrong(~right))


def _compare_plain(got: Any, expected: Any, rules: Rules, place: str) -> Difference | None:
    return None if bool(got == expected) else Difference(place, got, expected)


def _compare_numbers(got: Any, expected: Any, rules: Rules, place: str) -> Difference | None:
    if got == expected or (got != got and expected != expected):  # nan is not equal to itself
        return None
    if isinstance(expected, int) or isinstance(got, complex) or isinstance(expected, complex):
        return Difference(place, got, expected)
    least = 1e-6 if not expected else 0.0
    alike = math.isclose(got, expected, rel_tol=rules.tolerance or CLOSE, abs_tol=least)
    return None if alike else Difference(place, got, expected)


def _compare_texts(got: Any, expected: Any, rules: Rules, place: str) -> Difference | None:
    if got == expected:
        return None
    at = next(i for i, (a, b) in enumerate(zip_longest(got, expected)) if a != b)
    if max(len(got), len(expected)) <= LONGEST:
        return Difference(place, got, expected)
    start = max(0, at - 10)
    said = f"They part at {at:,}: you have {got[start : at + 20]!r} there, expected {expected[start : at + 20]!r}."
    return Difference(place, got, expected, said)


def _compare_mappings(got: Mapping, expected: Mapping, rules: Rules, place: str) -> Difference | None:
    for key in [*expected, *(key for key in got if key not in expected)]:
        mine, theirs = got.get(key, MISSING), expected.get(key, MISSING)
        if mine is MISSING or theirs is MISSING:
            said = f"The key {show(key)} is {'missing' if mine is MISSING else 'one too many'}."
            return Difference(place, got, expected, said)
        if found := difference(mine, theirs, rules, f"{place}[{show(key)}]"):
            return found
    return None


def _compare_sets(got: Any, expected: Any, rules: Rules, place: str) -> Difference | None:
    if got == expected:
        return None
    missing, more = expected - got, got - expected
    parts = [f"{show(missing)} is missing"] * bool(missing) + [f"{show(more)} is too many"] * bool(more)
    return Difference(place, got, expected, f"{' and '.join(parts)}.")


def _compare_lists(got: Any, expected: Any, rules: Rules, place: str) -> Difference | None:
    for at, (mine, theirs) in enumerate(zip(got, expected, strict=False)):
        if found := difference(mine, theirs, rules, f"{place}[{at}]"):
            return found
    if len(got) == len(expected):
        return None
    return Difference(place, got, expected, f"The length is {len(got):,}, expected {len(expected):,}.")


def _compare_modules(got: torch.nn.Module, expected: torch.nn.Module, rules: Rules, place: str) -> Difference | None:
    return _compare_mappings(got.state_dict(), expected.state_dict(), rules, place)
