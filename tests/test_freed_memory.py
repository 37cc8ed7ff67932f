"""Memory between steps: kept while a block runs, given back afterwards."""

from __future__ import annotations

import ctypes
import platform

import psutil
import pytest

from utils.machine.freed_memory import KeepFreedMemory

LARGE = 200 * 2**20

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc")


@pytest.fixture
def held_after_freeing():
    """Return a function that takes and frees a large block and says how many bytes more the process then holds."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )

    def held() -> int:
        before = psutil.Process().memory_info().rss
        block = libc.malloc(LARGE)
        ctypes.memset(block, 1, LARGE)
        libc.free(block)
        return psutil.Process().memory_info().rss - before

    return held


def test_what_is_freed_stays_within_the_block_and_goes_after_it(held_after_freeing):
    before = psutil.Process().memory_info().rss
    with KeepFreedMemory():
        assert held_after_freeing() > 0.9 * LARGE
        assert abs(held_after_freeing()) < 0.1 * LARGE  # the second time the same memory serves
    assert psutil.Process().memory_info().rss - before < 0.1 * LARGE
    assert held_after_freeing() < 0.1 * LARGE


def test_of_two_runs_at_once_the_last_one_gives_back(held_after_freeing):
    before = psutil.Process().memory_info().rss
    with KeepFreedMemory():
        with KeepFreedMemory():
            held_after_freeing()
        assert psutil.Process().memory_info().rss - before > 0.9 * LARGE
    assert psutil.Process().memory_info().rss - before < 0.1 * LARGE
