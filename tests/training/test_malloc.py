"""Memory between steps: kept while a block runs, given back afterwards; each in a process of its own."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc")

HELD = """
import ctypes, json, psutil
from utils.training.malloc import KeepFreedMemory

LARGE = 200 * 2**20
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
before = psutil.Process().memory_info().rss


def take_and_free():
    block = libc.malloc(LARGE)
    ctypes.memset(block, 1, LARGE)
    libc.free(block)


def held():  # in large blocks, above the beginning
    return round((psutil.Process().memory_info().rss - before) / LARGE, 1)


"""


def steps_of(code: str) -> list[float]:
    """Run code that prints what the process holds at some moments, in large blocks."""
    done = subprocess.run([sys.executable, "-c", HELD + code], capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_freed_stays_within_the_block_and_goes_after_it():
    code = """
with KeepFreedMemory():
    take_and_free()
    first = held()
    take_and_free()
    second = held()
after = held()
take_and_free()
print(json.dumps([first, second, after, held()]))
"""
    assert steps_of(code) == [1, 1, 0, 0]  # the second time the same memory serves


def test_of_two_runs_at_once_the_last_one_gives_back():
    code = """
with KeepFreedMemory():
    with KeepFreedMemory():
        take_and_free()
    between = held()
print(json.dumps([between, held()]))
"""
    assert steps_of(code) == [1, 0]


def test_memory_as_usual_is_kept_and_twice_as_much_is_given_back():
    code = """
with KeepFreedMemory() as memory:
    take_and_free()
    memory.tidy()  # this much is usual
    take_and_free()
    memory.tidy()
    usual = held()
    blocks = [libc.malloc(LARGE) for _ in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, LARGE)
    for block in blocks:
        libc.free(block)
    much = held()
    memory.tidy()
    print(json.dumps([usual, much, held()]))
"""
    assert steps_of(code) == [1, 3, 0]


def test_unwanted_nothing_is_kept():
    code = """
with KeepFreedMemory(False) as memory:
    take_and_free()
    memory.tidy()
    print(json.dumps([held()]))
"""
    assert steps_of(code) == [0]
