"""Signal handling: Ctrl-C and SIGTERM end a run after the step at hand, or a program by way of its with blocks."""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from typing import Self


class _Handler(ABC):
    """Within a with block, takes some signals over; afterwards they act as before."""

    numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._before: dict = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # signals belong to the main thread
            for number in self.numbers:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *reason) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    @abstractmethod
    def _hear(self, number: int, frame) -> None:
        """Do what the signal asks for."""


class StopRequest(_Handler):
    """Within a with block, turns the first Ctrl-C or SIGTERM into `requested`; a second Ctrl-C acts as ever.

    A second SIGTERM after the first changes nothing: Slurm sends one to each process of a job, torchrun another.
    """

    requested = False

    def _hear(self, number: int, frame) -> None:
        self.requested = True
        for other in [each for each in self._before if number != signal.SIGTERM or each != number]:
            signal.signal(other, self._before.pop(other))


class Terminated(SystemExit):
    """The process was asked to end; what stands in with blocks and finally is still done on the way out."""


class GracefulExit(_Handler):
    """Within a with block, SIGTERM ends the program by way of its with blocks, instead of at once.

    It acts only where nobody else has taken SIGTERM over: a StopRequest inside goes first.
    """

    def __enter__(self) -> Self:
        free = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        self.numbers = (signal.SIGTERM,) if free else ()
        return super().__enter__()

    def __exit__(self, *reason) -> None:
        if signal.getsignal(signal.SIGTERM) not in (self._hear, signal.SIG_IGN):
            self._before.clear()  # somebody else has taken it since
        super().__exit__()

    def _hear(self, number: int, frame) -> None:
        signal.signal(number, signal.SIG_IGN)  # asked once is enough; the way out is under way
        raise Terminated(128 + number)
