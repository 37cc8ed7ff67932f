"""Tensor comparison: the kind first, then values that are no numbers, then where two tensors differ most.

`check_close` is what lessons and exercises call.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from utils.errors import InWords

TOLERANCE = 1e-4  # float32 in another order of sums differs by less than this
MOST_ROWS, MOST_COLUMNS = 8, 32  # signs of a map
MAP = "Where they differ"  # how a map begins
SIGNS = {"none": "·", "some": "▒", "all": "█"}  # of the values that a sign of a map stands for


class CheckError(InWords, AssertionError):
    """A check's sentence, and under it in a notebook a map of where values differ, if there is one."""

    def __init__(self, said: str, map_of_wrong: str = "") -> None:
        super().__init__(said)
        self.map_of_wrong = map_of_wrong

    def _render_traceback_(self) -> list[str]:
        return [*super()._render_traceback_(), *self.map_of_wrong.splitlines()]


def check_close(got: Tensor, expected: Tensor, hint: str = "") -> None:
    """Assert that two tensors hold the same numbers up to rounding, and say so; the error says how they differ.

    >>> check_close(torch.ones(2, 3), torch.ones(2, 3))
    The same in all 6 numbers.
    """
    check_kind(got, expected)
    mine, theirs = (tensor.detach().cpu().double() for tensor in (got, expected))
    check_finite(mine, theirs)
    right = agree(mine, theirs, exactly=not expected.is_floating_point())
    if not right.all():
        raise CheckError(f"{describe_difference(mine, theirs, ~right)} {hint}".strip(), draw_wrong(~right))
    print("The same number." if expected.dim() == 0 else f"The same in all {expected.numel():,} numbers.")


def agree(mine: Tensor, theirs: Tensor, exactly: bool = False, tolerance: float = TOLERANCE) -> Tensor:
    """Return True where two numbers agree, up to a ten-thousandth of their own and of the tensor's usual size."""
    finite = theirs.isfinite()
    same = (mine == theirs) | (mine.isnan() & theirs.isnan())
    if exactly or same.all() or not finite.any():
        return same
    usual = theirs[finite].square().mean().sqrt()
    return torch.where(finite, (mine - theirs).abs() <= tolerance * (theirs.abs() + usual), same)


def check_kind(got: Tensor, expected: Tensor) -> None:
    """Compare what needs no look at the values: the type, the shape, the dtype."""
    if not isinstance(got, Tensor):
        kind = type(got).__name__
        question = "Does your function return its result?" if got is None else "Make it a tensor."
        raise CheckError(f"You give {kind}, expected a tensor of {as_size(expected)} numbers. {question}")
    if got.shape != expected.shape:
        question = "Which step changes the number of axes?"
        if sorted(got.shape) == sorted(expected.shape):
            question = "Are two axes swapped?"
        elif got.dim() == expected.dim():
            question = "Which step changes the axis that differs?"
        raise CheckError(f"The shape is {as_size(got)}, expected {as_size(expected)}. {question}")
    if got.dtype != expected.dtype:
        found, wanted = (str(tensor.dtype).removeprefix("torch.") for tensor in (got, expected))
        raise CheckError(f"The shape is right. The dtype is {found}, expected {wanted}. Where does it change?")


def check_finite(mine: Tensor, theirs: Tensor) -> None:
    """Refuse values that are no numbers where numbers are expected."""
    lost = ~mine.isfinite() & theirs.isfinite()
    if lost.any():
        raise CheckError(
            f"Shape and dtype are right, but {int(lost.sum()):,} of {mine.numel():,} values are infinite or nan, first "
            f"at {lost.nonzero()[0].tolist()}. Is there a division by zero, or a softmax over nothing but -inf?"
        )


def describe_difference(mine: Tensor, theirs: Tensor, wrong: Tensor) -> str:
    """Say how many values differ, where it is worst, and whether it is only a factor."""
    distance = torch.where(wrong, (mine - theirs).abs().nan_to_num(nan=torch.inf), -1)
    worst = tuple(map(int, np.unravel_index(int(distance.argmax()), distance.shape)))  # torch's imports sympy, 0.9 s
    example = f"at {list(worst)} you have {mine[worst]:.6g}, expected {theirs[worst]:.6g}."
    factor = float((mine * theirs).sum() / theirs.square().sum().clamp(min=1e-30))
    if factor and abs(factor - 1) > 1e-3 and agree(mine, factor * theirs).all():
        return f"Shape and dtype are right, but every value is {factor:.4g} times what is expected: {example}"
    share = f"{int(wrong.sum()):,} of {wrong.numel():,} values differ"
    return f"Shape and dtype are right, but {share}, most of all {example}"


def draw_wrong(wrong: Tensor) -> str:
    """Draw where in the last two axes values are wrong, with signs; nothing where there is no shape to see.

    >>> print(draw_wrong(torch.ones(3, 4).triu(2).bool()))
    Where they differ, each sign a value (· none, ▒ some, █ all):
    ··██
    ···█
    ····
    """
    if wrong.dim() < 2 or min(wrong.shape[-2:]) < 2 or wrong.all() or not wrong.any():
        return ""
    share = wrong.double().reshape(-1, *wrong.shape[-2:]).mean(0)  # (rows, columns)
    size = (min(len(share), MOST_ROWS), min(share.shape[1], MOST_COLUMNS))
    fields = adaptive_avg_pool2d(share[None], size)[0].tolist()
    rows = ("".join(sign_of(part) for part in row) for row in fields)
    stands_for = f"up to {-(-len(share) // size[0])} × {-(-share.shape[1] // size[1])} values"
    what = "a value" if share.numel() == size[0] * size[1] else stands_for
    axes = "" if wrong.dim() == 2 else " of the last two axes, over all others"
    legend = ", ".join(f"{sign} {name}" for name, sign in SIGNS.items())
    return "\n".join([f"{MAP}, each sign {what}{axes} ({legend}):", *rows])


def sign_of(share: float) -> str:
    """Return the sign of a map for the share of wrong values in its field."""
    return SIGNS["none" if not share else "all" if share > 1 - 1e-9 else "some"]


def as_size(tensor: Tensor) -> str:
    """Write a shape for people.

    >>> as_size(torch.zeros(2, 3)), as_size(torch.tensor(1.0))
    ('2 × 3', '()')
    """
    return " × ".join(f"{length:,}" for length in tensor.shape) or "()"
