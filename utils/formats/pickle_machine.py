"""A pickle is a program for a small machine with a stack; this machine knows only what builds weights.

Everything else is refused with the byte at which it stands, and nothing is ever imported or called.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from utils.errors import show

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


# What the machine may be asked for. Of the last ones it only remembers that they were there.
BUILDERS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict")


HARMLESS = (
    "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_meta_tensor_no_storage",
    "torch.storage UntypedStorage",
    "torch.serialization _get_layout",
    "torch Size",
    "torch device",
    "_codecs encode",
    "builtins set",
    "collections Counter",
)


class Unsafe(ValueError):
    """What a pickle asks for that is no weight, and at which byte."""


class Damaged(ValueError):
    """What is wrong with a file, and at which byte."""


class Name(str):
    """A thing of a module, by name; it is never looked up."""


class Other(str):
    """Something harmless that is no plain tensor, by the name of what would build it."""


class Record(NamedTuple):
    """Where the bytes of an entry lie in a file."""

    start: int
    size: int


class Storage(NamedTuple):
    """The bytes of one record: which, of which dtype, and how many values."""

    dtype: torch.dtype
    place: Record
    count: int


@dataclass(frozen=True)
class View:
    """A tensor: a storage and how to walk through it, in values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class PickleMachine:
    """A machine for the few instructions that build a dictionary of tensors."""

    def __init__(self, program: bytes, start: int = 0, records: dict[str, Record] | None = None) -> None:
        self.program, self.start, self.records = program, start, records or {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # stacks that were put aside
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return what the program leaves on its stack."""
        at, stream = self.start, io.BytesIO(self.program)
        try:
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "STOP":
                    return self.stack.pop()
                self.step(code.name, argument)
                at = self.start + stream.tell()
        except Unsafe as error:
            raise Unsafe(f"Byte {at:,} {error}") from error
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, struct.error) as error:
            raise Damaged(f"the instruction at byte {at:,} fails ({str(error)[:200]})") from error
        raise Damaged(f"the pickle at byte {self.start:,} does not stop")

    def step(self, code: str, argument: Any) -> None:
        """Carry out one instruction."""
        if code in CONSTANTS:
            self.stack.append(argument)
        elif code in FIXED:
            self.stack.append(FIXED[code])
        elif code in ("EMPTY_DICT", "EMPTY_LIST"):
            self.stack.append({} if code == "EMPTY_DICT" else [])
        elif code in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif code == "MARK":
            self.marks.append(self.stack)
            self.stack = []
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self._pop(int(code[-1]))))
        elif code == "GLOBAL":
            self.stack.append(self._allowed(argument))
        elif code == "STACK_GLOBAL":
            self.stack.append(self._allowed(" ".join(self._pop(2))))
        elif code not in ("PROTO", "FRAME"):
            if code not in STEPS:
                raise Unsafe(f"is the instruction {code}, which no file of weights needs")
            STEPS[code](self)

    def _allowed(self, name: str) -> Name:
        module, _, kind = name.partition(" ")
        if name not in BUILDERS + HARMLESS and not (module == "torch" and kind in STORAGES):
            raise Unsafe(f"asks for {show(name.replace(' ', '.', 1))}")
        return Name(name)

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        found = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return found

    def _pop_mark(self) -> list[Any]:
        found, self.stack = self.stack, self.marks.pop()
        return found

    def _tuple(self) -> None:
        items = self._pop_mark()
        self.stack.append(tuple(items))

    def _append(self) -> None:
        (item,) = self._pop(1)
        self._top(list).append(item)

    def _appends(self) -> None:
        items = self._pop_mark()
        self._top(list).extend(items)

    def _setitem(self) -> None:
        self._put(self._pop(2))

    def _setitems(self) -> None:
        self._put(self._pop_mark())

    def _put(self, items: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(items[0::2], items[1::2], strict=True):
            if not isinstance(key, str | int):  # what is nested without end can't even be hashed
                raise TypeError(f"a {type(key).__name__} is used as a name")
            target[key] = value

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"a {type(self.stack[-1]).__name__} was found, expected a {kind.__name__}")
        return self.stack[-1]

    def _build(self) -> None:
        self._pop(1)  # attributes of a dictionary, such as the versions of modules

    def _binpersid(self) -> None:
        (item,) = self._pop(1)
        kind, storage, key, _, count = item
        if not isinstance(storage, Name) or (kind, type(count)) != ("storage", int) or not isinstance(key, str | int):
            raise TypeError("a persistent id was found that is no storage")
        name = storage.partition(" ")[2]
        if name not in STORAGES:
            self.stack.append(Other(str(storage).replace(" ", ".")))
            return
        place = self.records[str(key)]
        if count < 0 or count * STORAGES[name].itemsize > place.size:
            raise ValueError(f"storage {key} counts {count:,} values, its record has {place.size:,} bytes")
        self.stack.append(Storage(STORAGES[name], place, count))

    def _reduce(self) -> None:
        maker, arguments = self._pop(2)
        if not isinstance(maker, Name) or not isinstance(arguments, tuple):
            raise Unsafe("calls something that is no builder of tensors")
        if maker == "collections OrderedDict" and not arguments:
            self.stack.append({})
        elif maker == "torch._utils _rebuild_parameter" and isinstance(arguments[0], View | Other):
            self.stack.append(arguments[0])
        elif maker == "torch._utils _rebuild_tensor_v2" and isinstance(arguments[0], Storage):
            self.stack.append(_make_view(*arguments[:4], *arguments[6:7]))
        else:
            self.stack.append(Other(maker.replace(" ", ".")))


CONSTANTS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
)


FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


STEPS = {
    "TUPLE": PickleMachine._tuple,
    "APPEND": PickleMachine._append,
    "APPENDS": PickleMachine._appends,
    "SETITEM": PickleMachine._setitem,
    "SETITEMS": PickleMachine._setitems,
    "BUILD": PickleMachine._build,
    "BINPERSID": PickleMachine._binpersid,
    "REDUCE": PickleMachine._reduce,
}


def _make_view(storage: Storage, offset: int, shape: tuple, stride: tuple, remark: dict | None = None) -> View:
    """Check that a tensor stays inside its storage and has no more values than it."""
    if remark:
        raise ValueError("a conjugated or negated tensor was found, expected plain numbers")
    if not (isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride) <= 8):
        raise ValueError("a shape and a stride of different lengths were found, or of more than 8")
    if not all(type(number) is int and 0 <= number < 2**62 for number in (offset, *shape, *stride)):
        raise ValueError("sizes must be whole numbers of at least 0")
    if math.prod(max(size, 1) for size in shape) >> 60:
        raise ValueError(f"the shape {shape} was found, which no file can hold")
    values = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) if values else 0
    if values > storage.count or last >= max(storage.count, 1):
        raise ValueError(f"a tensor of shape {shape} at {offset} leaves its storage of {storage.count:,} values")
    return View(storage, offset, shape, stride)


def pickle_requests(data: bytes) -> Iterator[str]:
    """Yield what the pickles at the start of `data` would import, as module.name, without running them."""
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            texts, memo = [], []  # memo: what was put there in the order of MEMOIZE, the last text or nothing
            for code, argument, _ in pickletools.genops(stream):
                if code.name in ("GLOBAL", "INST"):
                    yield argument.replace(" ", ".", 1)
                elif code.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:])
                elif isinstance(argument, str):
                    texts = [*texts[-1:], argument]
                elif code.name == "MEMOIZE":
                    memo.append(texts[-1] if texts else "")
                elif code.name in ("BINGET", "LONG_BINGET") and argument < len(memo):
                    texts = [*texts[-1:], memo[argument]]
    except (ValueError, struct.error):
        return  # cut off, or no pickle any more
