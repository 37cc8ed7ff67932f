"""The most memory that a process has held, as the system counts it."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held at any time."""
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
