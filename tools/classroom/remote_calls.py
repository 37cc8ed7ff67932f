"""Remote procedure calls over two pipes: one process asks functions that live in another, and the other way round.

Each message is a length, JSON, and raw bytes; `by_value.py` says what may be in it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

from tools.classroom.by_value import Unreadable, Values, builtin_error, collector_paused

LONGEST_TEXT, LONGEST_RAW = 16 * 2**20, 256 * 2**20  # bytes of one message
MOST_NESTED = 60  # calls within calls


class NoAnswer(BaseException):
    """The other side has ended, or says what is no answer. No `except Exception` of a check may swallow it."""


class RemoteFunction:
    """A function of the other side, called by value."""

    def __init__(self, channel: Channel, key: str | int) -> None:
        self._channel, self._remote_key = channel, key

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._channel.call(self._remote_key, args, kwargs)


class Channel:
    """One end of the line. `names` holds what the other side may ask for by name."""

    def __init__(self, read: IO[bytes], write: IO[bytes], trusting: bool, names: Mapping | None = None) -> None:
        self._in, self._out, self._names = read, write, names if names is not None else {}
        self.values = Values(trusting)
        self.values.remote = self
        self._nested = 0

    def function(self, key: str | int) -> RemoteFunction:
        """Return a function of the other side."""
        return RemoteFunction(self, key)

    def local(self, key: str) -> Any:
        """Return what stands under a name on this side."""
        return self._names[key]

    def call(self, key: str | int, args: tuple = (), kwargs: Mapping | None = None) -> Any:
        """Call a function of the other side and return its result; raise what it raises."""
        outermost = self._nested == 0
        if outermost:
            self.values.forget()
            if not self.values.trusting:
                self.values.functions.clear()
        self._nested += 1
        try:
            if self._nested > MOST_NESTED:
                raise NoAnswer("calls itself without end")
            self._send("first call" if outermost else "call", (key, args, dict(kwargs or {})))
            return self._result()
        finally:
            self._nested -= 1

    def _result(self) -> Any:
        while True:
            kind, value = self._receive()
            if kind == "call":
                self._serve(value)
            elif kind == "raise" and isinstance(value, BaseException):
                raise value
            elif kind == "return":
                return value
            else:
                raise NoAnswer("says what is no answer")

    def serve_forever(self) -> None:
        """Answer calls until the other side closes the line."""
        while True:
            kind, value = self._receive()
            if kind in ("call", "first call"):
                self._serve(value)

    def _serve(self, asked: Any) -> None:
        self._nested += 1
        try:
            key, args, kwargs = asked
            function = self._names[key] if isinstance(key, str) else self.values.functions[key]
            kind, value = "return", function(*args, **kwargs)
        except NoAnswer:
            raise
        except BaseException as error:  # whatever a learner's code raises, exit included, is an answer
            kind, value = "raise", error
        finally:
            self._nested -= 1
        self._send(kind, value)

    def _send(self, kind: str, value: Any) -> None:
        with collector_paused():
            message, blobs = self.values.dump(value)
            text = json.dumps({"kind": kind, "sizes": [len(blob) for blob in blobs], **message}).encode("ascii")
        try:
            self._out.write(struct.pack(">Q", len(text)) + text)
            for blob in blobs:
                self._out.write(blob)
            self._out.flush()
        except (OSError, ValueError) as error:
            raise NoAnswer("has ended") from error

    def _receive(self) -> tuple[str, Any]:
        (length,) = struct.unpack(">Q", self._exactly(8, 8))
        text = self._exactly(length, LONGEST_TEXT)
        try:
            with collector_paused():
                return self._understood(json.loads(text))
        except (Unreadable, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoAnswer(f"says what is no answer ({builtin_error(type(error))})") from error

    def _understood(self, message: dict) -> tuple[str, Any]:
        sizes = [int(size) for size in message["sizes"]]
        if min(sizes, default=0) < 0:
            raise Unreadable("a negative size")
        self._exactly(0, LONGEST_RAW - sum(sizes))
        blobs = [self._exactly(size, LONGEST_RAW) for size in sizes]
        if message["kind"] == "first call":
            self.values.forget()
        return message["kind"], self.values.load(message, blobs)

    def _exactly(self, length: int, most: int) -> bytes:
        if length > most:
            raise NoAnswer("says more than is read")
        parts = []
        while length:
            part = self._in.read(length)
            if not part:
                raise NoAnswer("has ended")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
