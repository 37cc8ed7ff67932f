"""Run a stranger's code in a process of its own that may use so much time and memory, write one folder, and no network.

On Linux the kernel's Landlock does the fencing, without root or containers. Where it is missing, time and memory are
still limited where the system can, and `missing_fences` says what is not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's system calls, the same on every processor
# What each version of Landlock can forbid: bits of changing files, of TCP, of reaching other processes.
WRITE_BITS = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2}  # write, make, remove; from 2 on link, from 3 on truncate
TCP, SIGNALS_AND_SOCKETS = 0b11, 0b11
RULE_FOR_A_FOLDER = 1
NO_NEW_PRIVILEGES = 38
DEVICES = ("/dev/null", "/dev/shm", "/dev/ptmx", "/dev/pts", "/dev/tty")  # what shells and libraries write to


@dataclass(frozen=True)
class Limits:
    """What a stranger's code may use."""

    seconds: int = 120
    memory: int = 6 * 2**30  # bytes of address space; torch alone takes two or three times 2**30
    output: int = 200 * 2**20  # bytes of the largest file, what is printed included; nano in float32 takes 72


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scope", ctypes.c_uint64)]


class _Below(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def landlock_version() -> int:
    """Return which version of Landlock the kernel has, 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1))


def missing_fences() -> list[str]:
    """Say what a stranger's code could still do on this system."""
    version = landlock_version()
    can = {"change files of yours": version < 1, "use the network": version < 4, "stop other programs": version < 6}
    can["use all memory"] = os.name == "nt"
    return [what for what, possible in can.items() if possible]


def confine(folder: Path, limits: Limits) -> None:
    """Fence in this process for good: only `folder` can be written, no TCP, no signals to others, limited resources."""
    with contextlib.suppress(ImportError):  # Windows has none of this
        import resource

        for what, value, most in (
            (resource.RLIMIT_AS, limits.memory, limits.memory),
            (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 5),  # first a signal that tells why, then the end
            (resource.RLIMIT_FSIZE, limits.output, limits.output),
            (resource.RLIMIT_CORE, 0, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # macOS refuses some
                resource.setrlimit(what, (value, most))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # too long a file is an error then, and not the end
    if version := landlock_version():
        _fence(folder, version)


def _fence(folder: Path, version: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    writing = WRITE_BITS[min(version, 3)]
    rules = _Ruleset(writing, TCP if version >= 4 else 0, SIGNALS_AND_SOCKETS if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(rules), size, 0)
    places = [folder] + [place for place in map(Path, DEVICES) if place.exists()]
    for place in places:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
        allowed = writing if place.is_dir() else writing & 0x4002  # of a file only: write, truncate
        libc.syscall(ADD_RULE, ruleset, RULE_FOR_A_FOLDER, ctypes.byref(_Below(allowed, opened)), 0)
        os.close(opened)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.syscall(RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "the fence around a stranger's code could not be set")
    os.close(ruleset)


def stop_with_children(process: subprocess.Popen) -> None:
    """End a process that was started in a session of its own, and what it has started."""
    if os.name == "nt":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
