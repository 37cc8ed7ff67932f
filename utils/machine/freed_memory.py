"""Memory that a step frees is kept for the next step, which needs as much again.

The C library gives large blocks back to the system at once, and every step gets them anew, page by page,
each filled with zeros first: half a million pages a step at GPT-2 small, a fifth of its time.
"""

from __future__ import annotations

import ctypes
import platform
import threading

MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = -4, -3, -1  # glibc's malloc.h
BY_ITSELF = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * 2**20, TRIM_THRESHOLD: 64 * 2**20}  # where glibc ends up untouched
KEEP = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}


class KeepFreedMemory:
    """Within a with block, the process keeps what it frees; afterwards it gives it back. Linux with glibc only."""

    _lock, _blocks = threading.Lock(), 0  # runs may overlap; the last one gives back

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None

    def __enter__(self) -> KeepFreedMemory:
        self._count(+1)
        return self

    def __exit__(self, *reason) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        if self._libc is None:
            return
        with self._lock:
            KeepFreedMemory._blocks += change
            for option, value in (KEEP if self._blocks else BY_ITSELF).items():
                self._libc.mallopt(option, value)
            if not self._blocks:
                self._libc.malloc_trim(0)
