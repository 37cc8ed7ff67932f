"""Signal handling: the first Ctrl-C ends a run after the step at hand, a second one at once."""

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
