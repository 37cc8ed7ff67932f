"""Serialization between processes that don't trust each other: plain values and arrays, never pickle from the stranger.

A check and the answer that it asks live in two processes. Numbers, strings, lists, dictionaries, sets, tensors and
arrays travel as JSON and raw bytes. Lists, dictionaries, sets and tensors have a number that both sides know, so that
what one side changes in place changes on the other, too (as in distributed shared memory with release consistency).
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import gc
import hashlib
import importlib
import json
import pickle
import re
import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

MOST_DEEP = 40  # tuples in tuples
MOST_DIGITS = 4000  # of a whole number, in hexadecimal
LATE = {"view": 1, "dataclass": 2}  # made last, of others
MAPPINGS: dict[str, type] = {"dict": dict, "Counter": Counter, "OrderedDict": OrderedDict, "defaultdict": defaultdict}
FACTORIES = {kind.__name__: kind for kind in (int, float, list, dict, set, str)}
COPIED: dict[str, Callable[[list], Any]] = {"tuple": tuple, "frozenset": frozenset, "iterator": iter}
MOST_ITEMS = 100_000  # of an iterator, which is sent as a whole
SMALL = 2**53


class Unreadable(Exception):
    """What came is not what this module writes."""


class Foreign:
    """A value that can't travel, on the side where it can't be: no check takes it for anything else."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class Namespace:
    """A SimpleNamespace on the other side; that one's attributes can't be set all at once."""


class Raised(Exception):
    """An error that a stranger's code raised; `said` is its text, `kind` the name that it gave itself."""

    kind = "Exception"
    said = ""


def builtin_error(error_class: type) -> str:
    """Return the name of the nearest exception that Python itself has, since that name is nobody's text."""
    kinds = [kind.__name__ for kind in error_class.__mro__ if getattr(builtins, kind.__name__, None) is kind]
    return kinds[0] if kinds and issubclass(error_class, Exception) else "Exception"


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause garbage collection: a message of many small lists would set it off again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Values:
    """What this process shares with another one; `trusting` opens pickles, which only the fenced side may do."""

    def __init__(self, trusting: bool) -> None:
        self.trusting = trusting
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}  # id of an object → its number
        self.sent: dict[int, tuple] = {}  # what the other side knows of each: its content as a fingerprint
        self.step = -1 if trusting else 1  # the two sides count away from each other
        self.last = 0
        self.kept: frozenset[int] = frozenset()  # ids of objects that the other side may read and not change
        self.settled: set[int] = set()  # numbers of those that the other side has: they never travel again
        self.functions: dict[int, Any] = {}
        self.remote: Any = None  # makes a function of the other side callable here
        self._new: list[int] = []
        self._blobs: list[bytes] = []
        self._deep = 0

    def forget(self) -> None:
        """Share nothing any more: the call is over."""
        for table in (self.objects, self.numbers, self.sent, self.settled):
            table.clear()

    # Writing

    def dump(self, value: Any) -> tuple[dict, list[bytes]]:
        """Return a value, and all shared objects that are new or have changed, as JSON and bytes."""
        self._blobs, self._new = [], []
        written = self._write(value)
        objects = [entry for number in list(self.objects) if (entry := self._changed(number))]
        while self._new:
            if entry := self._changed(self._new.pop()):
                objects.append(entry)
        settled = [number for number, _, _ in objects if number in self.settled]
        return {"value": written, "objects": objects, "settled": settled}, self._blobs

    def _changed(self, number: int) -> list | None:
        """Return number, first blob and content of an object unless the other side knows them already."""
        if number in self.settled:
            return None
        before, value = len(self._blobs), self.objects[number]
        content = self._content(value)
        if id(value) in self.kept:
            self.settled.add(number)
            return [number, before, content]
        added = self._blobs[before:]
        mark = (json.dumps(content), *(hashlib.blake2b(blob).digest() for blob in added))
        if self.sent.get(number) == mark:
            del self._blobs[before:]
            return None
        self.sent[number] = mark
        return [number, before, content]

    def _share(self, value: Any) -> list:
        number = self.numbers.get(id(value))
        if number is None:
            self.last += self.step
            number = self.last
            self.objects[number], self.numbers[id(value)] = value, number
            self._new.append(number)
        return ["ref", number]

    def _blob(self, raw: bytes) -> None:
        self._blobs.append(raw)

    def _write(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if abs(value) < SMALL else ["int", hex(value)]
        if kind in (tuple, frozenset):
            return self._write_items(kind.__name__, value)
        if kind is bytes:
            return ["bytes", value.hex()] if len(value) < 256 else self._share(value)
        if value is ...:
            return ["dots"]
        if not self.trusting and isinstance(value, Iterator):
            return self._write_items("iterator", islice(value, MOST_ITEMS))
        if hasattr(value, "_remote_key"):
            return ["yours", value._remote_key]
        if callable(value) and not isinstance(value, type) and not _is_module(value):
            return self._write_function(value)
        return self._write_torch(value) or self._share(value)

    def _write_items(self, kind: str, items: Any) -> list:
        self._deep += 1
        try:
            if self._deep > MOST_DEEP:
                return ["foreign", "deeply nested value"]
            return [kind, [self._write(item) for item in items]]
        finally:
            self._deep -= 1

    def _write_function(self, function: Any) -> list:
        number = next((n for n, known in self.functions.items() if known is function), len(self.functions) + 1)
        self.functions[number] = function
        return ["function", number]

    def _write_torch(self, value: Any) -> list | None:
        torch = sys.modules.get("torch")
        if torch is None:
            return None
        if isinstance(value, torch.dtype):
            return ["dtype", str(value).removeprefix("torch.")]
        if isinstance(value, torch.Size):
            return ["Size", list(value)]
        return ["device", str(value)] if isinstance(value, torch.device) else None

    def _content(self, value: Any) -> list:
        kind = type(value)
        if kind in (list, set):
            return [kind.__name__, [self._write(item) for item in value]]
        if kind.__name__ in MAPPINGS and MAPPINGS[kind.__name__] is kind:
            factory = getattr(getattr(value, "default_factory", None), "__name__", "")
            items = [[self._write(key), self._write(item)] for key, item in value.items()]
            return ["mapping", kind.__name__, factory, items]
        if kind in (bytes, bytearray):
            self._blob(bytes(value))
            return [f"long {kind.__name__}"]
        if isinstance(value, BaseException):
            return self._error_content(value)
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
            return ["pattern", value.pattern, value.flags]
        return self._array_content(value) or self._object_content(value)

    def _error_content(self, error: BaseException) -> list:
        cause = error.__cause__
        try:
            said = str(error)
        except Exception:  # an error's own text may be code of the stranger's, and raise whatever it likes
            said = ""
        name = builtin_error(type(error))
        return ["error", name, type(error).__name__, said[:2000], builtin_error(type(cause)) if cause else ""]

    def _array_content(self, value: Any) -> list | None:
        torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor_content(value, torch)
        if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biufcSU":
            self._blob(value.tobytes())
            return ["array", value.dtype.str, list(value.shape), isinstance(value, numpy.generic)]
        return None

    def _tensor_content(self, tensor: Any, torch: Any) -> list | None:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            return None
        if self.trusting and (base := self._same_memory(tensor, torch)):
            return ["view", base]
        plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        self._blob(plain.view(torch.uint8).numpy().tobytes())
        grad = self._write(tensor.grad) if tensor.is_leaf else None
        learns, weight = tensor.requires_grad and tensor.is_leaf, isinstance(tensor, torch.nn.Parameter)
        return ["tensor", str(tensor.dtype).removeprefix("torch."), list(tensor.shape), learns, weight, grad]

    def _same_memory(self, tensor: Any, torch: Any) -> int | None:
        """Return the number of the tensor whose memory this one shares, as those of a state_dict do."""
        if tensor.requires_grad or not tensor.numel():
            return None
        mine = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        for number, other in self.objects.items():
            if other is tensor:
                return None  # the first one of all holds the memory
            dense = isinstance(other, torch.Tensor) and other.layout == torch.strided and other.device == tensor.device
            if dense and (other.data_ptr(), other.shape, other.stride(), other.dtype) == mine:
                return number
        return None

    def _object_content(self, value: Any) -> list:
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        if not self.trusting:
            if _is_open(value):
                return ["object", name, self._share(vars(value))]
            self._blob(pickle.dumps(value))  # the other side is fenced, and trusts this one
            return ["pickle", name]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = [[part.name, self._write(getattr(value, part.name))] for part in dataclasses.fields(value)]
            return ["dataclass", name, parts]
        return ["foreign", type(value).__name__[:40]]

    # Reading

    def load(self, message: dict, blobs: list[bytes]) -> Any:
        """Return what `dump` was given, and bring shared objects up to date; raise `Unreadable` for anything else."""
        try:
            objects = message["objects"]
            self._blobs = blobs
            fresh = [entry for entry in objects if entry[0] not in self.objects]
            fresh.sort(key=lambda entry: LATE.get(entry[2][0], 0))
            for number, first, content in fresh:
                self._add(number, self._make(content, first))
            known = [number for number, _, content in fresh if content[0] in ("array", "pickle", "dataclass", "view")]
            for number, first, content in objects:
                if number not in known:
                    self._fill(self.objects[number], content, first)
            value = self._read(message["value"])
            self._blobs, self._new = [], []
            if self.trusting:
                self.settled.update(message["settled"])
            for number, _, _ in objects:
                self._changed(number)  # this is what both sides know from now on
            return value
        except Unreadable:
            raise
        except Exception as error:  # a stranger wrote it: it may break any rule, and must break nothing else
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def _add(self, number: Any, value: Any) -> None:
        if type(number) is not int or number * self.step >= 0:
            raise Unreadable("a number of the other side is none")
        self.objects[number], self.numbers[id(value)] = value, number

    def _read(self, value: Any, deep: int = 0) -> Any:
        if value is None or type(value) in (bool, str, float, int):
            return value
        if type(value) is not list or not value or deep > MOST_DEEP + 2:
            raise Unreadable("an unknown value")
        kind, *rest = value
        if kind == "ref":
            return self.objects[rest[0]]
        if kind in COPIED:
            return COPIED[kind]([self._read(item, deep + 1) for item in rest[0]])
        if kind == "int" and len(rest[0]) < MOST_DIGITS:
            return int(rest[0], 16)
        if kind == "bytes":
            return bytes.fromhex(rest[0])
        if kind == "yours":
            return self.functions[rest[0]] if type(rest[0]) is int else self.remote.local(rest[0])
        return self._read_rare(kind, rest)

    def _read_rare(self, kind: str, rest: list) -> Any:
        if kind == "dots":
            return ...
        if kind == "function" and type(rest[0]) is int:
            return self.remote.function(rest[0])
        if kind == "foreign":
            return Foreign(str(rest[0])[:40])
        torch = importlib.import_module("torch")
        if kind == "Size":
            return torch.Size([int(length) for length in rest[0]])
        if kind == "device":
            return torch.device(str(rest[0]))
        if kind == "dtype" and isinstance(getattr(torch, str(rest[0]), None), torch.dtype):
            return getattr(torch, rest[0])
        raise Unreadable(f"an unknown kind {str(kind)[:40]!r}")

    def _make(self, content: list, first: int) -> Any:
        """Return a new object, empty where `_fill` will fill it."""
        kind, *rest = content
        if kind in ("list", "set"):
            return [] if kind == "list" else set()
        if kind == "mapping":
            return defaultdict(FACTORIES.get(rest[1])) if rest[0] == "defaultdict" else MAPPINGS[rest[0]]()
        if kind in ("long bytes", "long bytearray"):
            return self._blobs[first] if kind == "long bytes" else bytearray(self._blobs[first])
        if kind == "error":
            return self._make_error(*rest)
        if kind == "pattern" and self.trusting:
            return re.compile(rest[0], rest[1])
        if kind in ("tensor", "array"):
            return self._make_array(kind, rest, self._blobs[first])
        if kind == "view":
            base = self.objects[rest[0]]
            return base.detach().clone() if id(base) in self.kept else base.detach()
        if kind == "dataclass":
            return self._make_dataclass(*rest)
        if kind == "object" and self.trusting:
            made = Namespace if rest[0] == "types:SimpleNamespace" else _find_class(rest[0], load=True)
            return made.__new__(made)
        if kind == "pickle" and self.trusting:
            return pickle.loads(self._blobs[first])
        return Foreign(str(rest[0])[:40])

    def _make_error(self, name: str, kind: str, said: str, cause: str) -> Exception:
        near = getattr(builtins, str(name))
        if not issubclass(near, Exception):
            raise Unreadable("an error of an unknown kind")
        if not self.trusting:
            near = type(near.__name__, (Raised, near), {"kind": str(kind), "said": str(said)})
        try:
            error = near(said)
        except TypeError:  # such as UnicodeDecodeError, which asks for more than a text
            error = Raised(said) if not self.trusting else ValueError(said)
        if cause and self.trusting:
            error.__cause__ = getattr(builtins, cause)()
        return error

    def _make_array(self, kind: str, rest: list, raw: bytes) -> Any:
        numpy = importlib.import_module("numpy")
        if kind == "array":
            dtype = numpy.dtype(rest[0])
            if dtype.kind not in "biufcSU":
                raise Unreadable("an array of objects")
            array = numpy.frombuffer(bytearray(raw), dtype).reshape(rest[1])
            return array[()] if rest[2] else array
        torch = importlib.import_module("torch")
        dtype = getattr(torch, rest[0])
        if dtype == torch.bool and raw and max(raw) > 1:
            raise Unreadable("a truth value that is neither true nor false")
        flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        tensor = flat.reshape([int(length) for length in rest[1]])
        return torch.nn.Parameter(tensor, requires_grad=False) if rest[3] else tensor

    def _make_dataclass(self, name: str, parts: list) -> Any:
        made = _find_class(name, load=False)
        if not (isinstance(made, type) and dataclasses.is_dataclass(made)):
            return Foreign(name.rpartition(":")[2][:40])
        return made(**{key: self._read(value) for key, value in parts})

    def _fill(self, value: Any, content: list, first: int) -> None:
        """Give a shared object the content that it has on the other side."""
        kind, *rest = content
        if id(value) in self.kept:
            return
        if kind == "list" and type(value) is list:
            value[:] = [self._read(item) for item in rest[0]]
        elif kind in ("set", "mapping") and type(value).__name__ in ("set", *MAPPINGS):
            items = [self._read(item) for item in rest[0]] if kind == "set" else self._pairs(rest[2])
            value.clear()
            for item in items:
                value.__setitem__(*item) if kind == "mapping" else value.add(item)
        elif kind == "long bytearray":
            value[:] = self._blobs[first]
        elif kind == "tensor":
            self._fill_tensor(value, rest, self._blobs[first])
        elif kind == "array":
            value[...] = self._make_array(kind, rest, self._blobs[first])
        elif kind == "object" and self.trusting:
            value.__dict__ = self._read(rest[1])

    def _pairs(self, items: list) -> list[tuple]:
        return [(self._read(key), self._read(item)) for key, item in items]

    def _fill_tensor(self, tensor: Any, rest: list, raw: bytes) -> None:
        torch = importlib.import_module("torch")
        new = self._make_array("tensor", [*rest[:3], False], raw)
        with torch.no_grad():
            same = tensor.shape == new.shape and tensor.dtype == new.dtype
            tensor.data.copy_(new) if same else setattr(tensor, "data", new)
        if tensor.is_leaf:
            if tensor.is_floating_point():
                tensor.requires_grad_(bool(rest[2]))
            tensor.grad = self._read(rest[4])


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _is_open(value: Any) -> bool:
    """Tell whether an object travels by its attributes, so that changes come back: modules, optimizers, namespaces."""
    torch = sys.modules.get("torch")
    return isinstance(value, SimpleNamespace) or (
        torch is not None and isinstance(value, torch.nn.Module | torch.optim.Optimizer)
    )


def _find_class(name: str, load: bool) -> Any:
    module, _, inner = str(name).partition(":")
    if not load and not module.startswith(("utils.", "labs.")):
        return None
    found: Any = importlib.import_module(module) if load else sys.modules.get(module)
    for part in inner.split("."):
        found = getattr(found, part, None)
    return found
