"""Typical mistakes: `compare` asks a question by what a wrong value is, not by which assertion found it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from utils.checks.comparing import question_of


def recognise(mistakes: Mapping[str, Callable]) -> Callable[[Any, Any, Any], str]:
    """Return a question for `compare`: the text of the typical mistake that gives just what the answer gave.

    Where two mistakes give the same, nothing is asked, since nobody can tell which one it was.

    >>> ask = recognise({"Is it a product?": lambda x, y: x * y, "Is it the first alone?": lambda x, y: x})
    >>> ask((2, 3), 6, 5), ask((2, 3), 7, 5), ask((2, 1), 2, 3)
    ('Is it a product?', '', '')
    """
    return partial(_question, mistakes)


def _question(mistakes: Mapping[str, Callable], case: Any, got: Any, expected: Any) -> str:
    return question_of(mistakes, case, got, expected)
