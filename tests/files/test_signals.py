"""Signals: what a first and a second one do to a run."""

from __future__ import annotations

import signal
import threading

import pytest

from utils.files.signals import StopRequest

pytestmark = [
    pytest.mark.quick,
    pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main one"),
]


@pytest.fixture(autouse=True)
def handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    assert all(signal.getsignal(number) == signal.default_int_handler for number in numbers)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_cluster_may_send_sigterm_many_times():
    with StopRequest() as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert stop.requested


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_a_request_acts_as_ever(first):
    with StopRequest() as stop:
        signal.raise_signal(first)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
