"""malloc tuning (glibc's mallopt): memory that a step frees is kept for the next step, which needs as much again.

The C library gives large blocks back to the system at once, and every step gets them anew, page by page,
each filled with zeros first: half a million pages a step at GPT-2 small, 15–25 % of its time. The variables MALLOC_*
would do the same for a whole process, but not for a kernel that already runs, and would never give anything back.
"""

from __future__ import annotations

import ctypes
import platform
import threading

MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = -4, -3, -1  # glibc's malloc.h
BY_ITSELF = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * 2**20, TRIM_THRESHOLD: 64 * 2**20}  # where glibc ends up untouched
KEEP = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
LITTLE = 64 * 2**20  # bytes that are not worth giving back
MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"  # glibc's struct mallinfo2


class MallInfo(ctypes.Structure):
    """What glibc knows of its memory, in bytes; fordblks is what it keeps, though freed."""

    _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO.split()]


class KeepFreedMemory:
    """Within a with block, the process keeps what it frees; afterwards it gives it back. Linux with glibc only."""

    _lock, _blocks = threading.Lock(), 0  # runs may overlap; the last one gives back

    def __init__(self, wanted: bool = True) -> None:
        self._libc = ctypes.CDLL(None) if wanted and platform.libc_ver()[0] == "glibc" else None
        self._look = getattr(self._libc, "mallinfo2", None)  # glibc 2.33 and later
        if self._look:
            self._look.restype = MallInfo
        self._usual: int | None = None

    def tidy(self) -> None:
        """Call it between steps: gives all back once twice as much is kept as after the first step.

        Steps that differ in size leave holes that the next ones don't fit, and the heap would grow and grow.
        """
        kept = self._look().fordblks if self._look else 0
        if self._usual is None:
            self._usual = kept
        elif self._libc and kept > 2 * max(self._usual, LITTLE):
            self._libc.malloc_trim(0)
            self._usual = None  # the next step fetches what it needs, and that counts

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
