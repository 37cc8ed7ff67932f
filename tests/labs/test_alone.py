"""A function in a process of its own: whoever waits for it sees for how long."""

from __future__ import annotations

import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from labs import alone


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def slowly(number: int) -> int:
    time.sleep(0.2)
    return number


def test_whoever_waits_at_a_terminal_sees_for_how_long_and_then_nothing(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(alone, "SILENCE", 0)
    monkeypatch.setattr(alone, "OFTEN", 0.01)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ThreadPoolExecutor(1) as pool:
        assert alone.wait_for(pool.submit(slowly, 7), "The step of xl") == 7
    assert "The step of xl: 0 s" in sys.stderr.getvalue() and sys.stderr.getvalue().endswith(" \r")
