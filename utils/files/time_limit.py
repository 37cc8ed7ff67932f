"""A time limit for code that may never end: an alarm of the system's, or on Windows an interrupt by a thread."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

AGAIN = 0.05  # seconds until the next try, where the code has caught the first


_running: set[bool] = set()  # the limits that hold now


class TooLong(BaseException):
    """Code did not come to an end in time. No `except Exception` of it catches this; `given` says with which input."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"did not come to an end within {seconds:g} seconds")
        self.seconds, self.given = seconds, ""


@contextlib.contextmanager
def time_limit(
    seconds: float, computing: bool = False, patience: float = 1, alarm: bool = hasattr(signal, "setitimer")
) -> Iterator[None]:
    """Raise `TooLong` in the code below if it takes longer, by the clock or in time of `computing` (not on Windows).

    With patience, code that was kept waiting, on a busy machine for instance, gets so many times as long by the clock.
    It works in the main thread, and not within another limit of its kind.
    """
    no_clock = computing and not alarm
    if not seconds or no_clock or computing in _running or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()
    number = (signal.SIGPROF if computing else signal.SIGALRM) if alarm else signal.SIGINT

    begun, used = time.monotonic(), time.thread_time()

    def end(which: int, frame: FrameType | None) -> None:
        if not alarm and not over.is_set():
            raise KeyboardInterrupt  # somebody else's interrupt
        waiting = time.thread_time() - used < seconds / 2 and time.monotonic() - begun < patience * seconds
        if computing or patience == 1 or not waiting:
            raise TooLong(seconds)

    before = signal.signal(number, end)
    _running.add(computing)
    stop = _start_alarm(seconds, computing) if alarm else _start_timer(seconds, over)
    try:
        yield
    finally:
        stop()
        _running.discard(computing)
        signal.signal(number, before)


def _start_alarm(seconds: float, computing: bool) -> Callable[[], object]:
    timer = signal.ITIMER_PROF if computing else signal.ITIMER_REAL
    signal.setitimer(timer, seconds, AGAIN)
    return lambda: signal.setitimer(timer, 0)


def _start_timer(seconds: float, over: threading.Event) -> Callable[[], object]:
    done, lock = threading.Event(), threading.Lock()

    def interrupt() -> None:
        wait = seconds
        while not done.wait(wait):
            with lock:
                if not done.is_set():
                    over.set()
                    _thread.interrupt_main()
            wait = AGAIN

    def stop() -> None:
        with lock:
            done.set()

    threading.Thread(target=interrupt, daemon=True).start()
    return stop
