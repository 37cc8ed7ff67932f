"""Ctrl-C that ends a run after the step at hand, so that nothing is lost; a second one ends it at once."""

from __future__ import annotations

import signal
import threading


class StopRequest:
    """Within a with block, turns the first Ctrl-C or SIGTERM into `requested`; the second acts as ever."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict = {}

    def _ask(self, number: int, frame) -> None:
        self.requested = True
        self._restore()

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # signals belong to the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *reason) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


class Terminated(SystemExit):
    """The process was asked to end; what stands in with blocks and finally is still done on the way out."""


class TidyEnd:
    """Within a with block, SIGTERM ends the program by way of its with blocks, instead of at once.

    It acts only where nobody else has taken SIGTERM over: a StopRequest inside goes first.
    """

    def __init__(self) -> None:
        self._took = False

    def __enter__(self) -> TidyEnd:
        alone = threading.current_thread() is threading.main_thread()
        if alone and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)
            self._took = True
        return self

    def __exit__(self, *reason) -> None:
        if self._took and signal.getsignal(signal.SIGTERM) in (self._end, signal.SIG_IGN):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._took = False

    def _end(self, number: int, frame) -> None:
        signal.signal(number, signal.SIG_IGN)  # asked once is enough; the way out is under way
        raise Terminated(128 + number)
