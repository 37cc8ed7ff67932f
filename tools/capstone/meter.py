"""Counting operations below autograd (TorchDispatchMode): every matrix product, however it was written.

A clock would measure the machine. A count measures the code, and is the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
PAIRS = {aten.mm.default: 0, aten.bmm.default: 0, aten.addmm.default: 1, aten.baddbmm.default: 1}
VECTORS = {aten.mv.default: 0, aten.addmv.default: 1, aten.dot.default: 0}


@dataclass
class Meter(TorchDispatchMode):
    """Record the products of matrices within a `with` block, as (batch, rows, inner, columns)."""

    products: list[tuple[int, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        known = operation in PAIRS or operation in VECTORS
        if not known:
            with self:
                parts = operation.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        if operation in PAIRS:
            self._pair(*args[PAIRS[operation] :][:2])
        if operation in VECTORS:
            left = args[VECTORS[operation]]
            self.products.append((1, left.shape[0] if left.dim() == 2 else 1, left.shape[-1], 1))
        return operation(*args, **(kwargs or {}))

    def _pair(self, left: Tensor, right: Tensor) -> None:
        batch = left.shape[0] if left.dim() == 3 else 1
        self.products.append((batch, left.shape[-2], left.shape[-1], right.shape[-1]))

    @property
    def multiplications(self) -> int:
        """The multiplications of all products together."""
        return sum(math.prod(sizes) for sizes in self.products)

    def rows_through(self, inner: int, columns: int) -> int:
        """Return how many rows met a matrix of this shape, which may stand on either side of the product."""
        plain = sum(batch * rows for batch, rows, deep, wide in self.products if (deep, wide) == (inner, columns))
        turned = sum(batch * wide for batch, rows, deep, wide in self.products if (rows, deep) == (columns, inner))
        return plain + turned


def tensor_bytes(*values: Any) -> int:
    """Return the bytes of all tensors in values, lists, dictionaries and objects; what is shared counts once."""
    seen: dict[int, int] = {}
    visited: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in visited:
            continue
        visited.add(id(value))
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, np.ndarray):
            seen[id(value)] = value.nbytes
        elif isinstance(value, bytes | bytearray):
            seen[id(value)] = len(value)
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
        else:
            waiting += getattr(value, "__dict__", {}).values()
    return sum(seen.values())
