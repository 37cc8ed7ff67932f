"""Linux sandboxing without root or containers: user namespaces, Landlock (files) and seccomp (system calls), by ctypes.

Each part is for good: what a process gives up here, neither it nor what it starts gets back.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

NO_NEW_PRIVILEGES, DUMPABLE, DIE_WITH_PARENT, SUBREAPER, SECCOMP, DROP_CAPABILITY = 38, 4, 1, 36, 22, 24
# System calls by name on the two processors that seccomp is written for.
CALLS: dict[str, dict[str, int]] = {
    "x86_64": {
        "open": 2, "connect": 42, "socket": 41, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "clone": 56,
        "kill": 62, "truncate": 76, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
        "ptrace": 101, "capset": 126, "rt_sigqueueinfo": 129, "utime": 132, "setpriority": 141,
        "sched_setparam": 142, "sched_setscheduler": 144, "pivot_root": 155, "mount": 165, "umount2": 166,
        "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
        "fremovexattr": 199, "tkill": 200, "sched_setaffinity": 203, "tgkill": 234, "utimes": 235, "mq_open": 240,
        "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257, "fchownat": 260, "futimesat": 261,
        "fchmodat": 268, "unshare": 272, "utimensat": 280, "rt_tgsigqueueinfo": 297, "perf_event_open": 298,
        "prlimit64": 302, "open_by_handle_at": 304, "sendmmsg": 307, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "sched_setattr": 314, "bpf": 321, "userfaultfd": 323, "shmget": 29, "semget": 64,
        "msgget": 68,
    },
    "aarch64": {
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
        "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "fchmod": 52, "fchmodat": 53, "fchownat": 54,
        "fchown": 55, "openat": 56, "utimensat": 88, "capset": 91, "unshare": 97, "ptrace": 117,
        "sched_setparam": 118, "sched_setscheduler": 119, "sched_setaffinity": 122, "kill": 129, "tkill": 130,
        "tgkill": 131, "rt_sigqueueinfo": 138, "setpriority": 140, "mq_open": 180, "msgget": 186, "semget": 190,
        "shmget": 194, "socket": 198, "bind": 200, "listen": 201, "connect": 203, "sendto": 206, "sendmsg": 211,
        "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "rt_tgsigqueueinfo": 240,
        "perf_event_open": 241, "prlimit64": 261, "open_by_handle_at": 265, "setns": 268, "sendmmsg": 269,
        "process_vm_readv": 270, "process_vm_writev": 271, "sched_setattr": 274, "bpf": 280, "userfaultfd": 282,
    },
}  # fmt: skip
EVERYWHERE = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "openat2": 437,
    "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "create_ruleset": 444, "add_rule": 445,
    "restrict_self": 446, "process_mrelease": 448, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
NUMBERS = {**CALLS.get(MACHINE, {}), **EVERYWHERE}


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def must(result: int, what: str) -> int:
    """Raise the system's error where a call has failed: a fence that isn't there must be no secret."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def switch(option: int, value: int) -> None:
    """Call prctl with one argument."""
    must(libc().prctl(option, value, 0, 0, 0), f"prctl {option}")


# Landlock: which files can be read and which changed, TCP, and signals to others

READ_BITS, FILE_BITS = 0x0D, 0x4007  # execute, read files and folders; what makes sense of a file: and write, truncate
WRITE_BITS = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2}  # write, make, remove; from 2 on link, from 3 on truncate
TCP, SIGNALS_AND_SOCKETS = 0b11, 0b11


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
    return max(0, libc().syscall(EVERYWHERE["create_ruleset"], None, 0, 1))


def restrict_files(readable: Iterable[Path], writable: Iterable[Path], version: int) -> None:
    """Let this process and its children read and change these places only, open no TCP, and signal nobody else."""
    system, writing = libc(), WRITE_BITS[min(version, 3)]
    rules = _Ruleset(writing | READ_BITS, TCP if version >= 4 else 0, SIGNALS_AND_SOCKETS if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = must(system.syscall(NUMBERS["create_ruleset"], ctypes.byref(rules), size, 0), "Landlock")
    places = [(place, READ_BITS) for place in readable] + [(place, writing | READ_BITS) for place in writable]
    for place, allowed in places:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
        below = _Below(allowed if place.is_dir() else allowed & FILE_BITS, opened)
        must(system.syscall(NUMBERS["add_rule"], ruleset, 1, ctypes.byref(below), 0), f"Landlock for {place}")
        os.close(opened)
    switch(NO_NEW_PRIVILEGES, 1)
    must(system.syscall(NUMBERS["restrict_self"], ruleset, 0), "Landlock")
    os.close(ruleset)


# seccomp: no sockets, no signals to others, no changed modes and times, no way into other processes

LOAD, EQUAL, AND, RETURN = 0x20, 0x15, 0x54, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
NOT_PERMITTED, NOT_THERE = 1, 38
PROCESSOR = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = """
    socket connect bind listen sendmsg sendmmsg io_uring_setup ptrace process_vm_readv process_vm_writev bpf
    userfaultfd perf_event_open keyctl add_key request_key mount umount2 pivot_root mount_setattr unshare setns
    open_by_handle_at pidfd_open pidfd_getfd pidfd_send_signal process_madvise process_mrelease shmget semget msgget
    mq_open truncate tkill
"""
PRETENDED = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat setxattr lsetxattr
    fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat setpriority
"""  # done as far as the caller can see: copying a file asks for them, and a copy without them is fine
OWN_ONLY = """
    kill tgkill rt_sigqueueinfo rt_tgsigqueueinfo prlimit64 sched_setaffinity sched_setscheduler sched_setattr
    sched_setparam
"""
NEW_NAMESPACES = 0x7E020080  # of clone's flags


def can_filter_calls() -> bool:
    """Tell whether system calls can be filtered here."""
    return sys.platform.startswith("linux") and MACHINE in CALLS and sys.byteorder == "little"


def filter_calls(own: int) -> None:
    """Refuse the system calls above from now on; `own` is the one process that may be signalled, 0 for any."""
    program = _filter(own)
    switch(NO_NEW_PRIVILEGES, 1)
    code = ctypes.create_string_buffer(b"".join(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    must(libc().prctl(SECCOMP, 2, ctypes.byref(head), 0, 0), "seccomp")


def _filter(own: int) -> list[bytes]:
    """Return the filter as instructions of the kernel's packet filter (BPF)."""
    error = ERROR | NOT_PERMITTED
    program = [_step(LOAD, 4), _step(EQUAL, PROCESSOR[MACHINE], 1, 0), _step(RETURN, KILL), _step(LOAD, 0)]
    if MACHINE == "x86_64":
        program += [_step(0x35, 0x40000000, 0, 1), _step(RETURN, error)]  # the same calls under other numbers
    answers = [(name, error) for name in REFUSED.split()] + [(name, ERROR) for name in PRETENDED.split()]
    for name, answer in [*answers, ("clone3", ERROR | NOT_THERE), ("openat2", ERROR | NOT_THERE)]:
        if name in NUMBERS:
            program += [_step(EQUAL, NUMBERS[name], 0, 1), _step(RETURN, answer)]
    program += _only(NUMBERS["clone"], [_argument(0), _step(AND, NEW_NAMESPACES), _step(EQUAL, 0, 1, 0)])
    empties = [(name, number) for name, number in (("open", 1), ("openat", 2)) if name in NUMBERS]
    for name, number in empties:  # opened to read, and emptied all the same: Landlock before version 3 lets it pass
        block = [_argument(number), _step(AND, 0o1003), _step(EQUAL, 0o1000, 0, 1)]
        program += _only(NUMBERS[name], block)
    program += _only(NUMBERS["sendto"], [_argument(4), _step(EQUAL, 0, 1, 0)])  # to an address; a pair needs none
    for name in OWN_ONLY.split() if own else ():
        block = [_argument(0), _step(EQUAL, 0, 2, 0), _step(EQUAL, own, 1, 0)]
        program += _only(NUMBERS[name], block)
    return [*program, _step(RETURN, ALLOW)]


def _only(number: int, question: list[bytes]) -> list[bytes]:
    """Refuse a call unless the last step of the question jumps over the refusal."""
    block = [*question, _step(RETURN, ERROR | NOT_PERMITTED), _step(RETURN, ALLOW)]
    return [_step(EQUAL, number, 0, len(block)), *block]


def _argument(number: int) -> bytes:
    return _step(LOAD, 16 + 8 * number)


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


# Namespaces: a file system, processes, network and shared memory of its own

NEW_SPACES = 0x10000000 | 0x20000 | 0x20000000 | 0x40000000 | 0x8000000  # user, mount, pid, net, ipc
READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
DEVICES = ("null", "zero", "full", "random", "urandom")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount as mount(2) does."""
    words = [word.encode() or None for word in (source, target, kind)]
    must(libc().mount(*words, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def protect(target: str, flags: int, recursive: bool = True) -> None:
    """Make what is mounted at a place read-only, and so on."""
    wanted = struct.pack("QQQQ", flags, 0, 0, 0)
    call = (NUMBERS["mount_setattr"], -100, target.encode(), 0x8000 if recursive else 0, wanted, len(wanted))
    must(libc().syscall(*call), f"mount_setattr {target}")


def enter_namespaces(root: Path, readable: Iterable[Path], room: int) -> None:
    """Go on in a child that sees only these places, /tmp with so much `room`, and no process, network or user else.

    The calling process waits and ends as the child does, with 128 + the signal where one ended it.
    """
    user, group = os.getuid(), os.getgid()
    must(libc().unshare(NEW_SPACES), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {user} 1"), ("gid_map", f"1000 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    if child := os.fork():
        end_like(child)
    switch(DIE_WITH_PARENT, 9)
    furnish(root, readable, room)
    os.chdir(root)
    must(libc().syscall(NUMBERS["pivot_root"], b".", b"."), "pivot_root")
    must(libc().umount2(b".", 2), "umount2")
    os.chdir("/tmp")
    drop_capabilities()
    if child := os.fork():  # the first process of a namespace ignores signals: it only waits
        end_like(child)
    switch(DIE_WITH_PARENT, 9)


def furnish(root: Path, readable: Iterable[Path], room: int) -> None:
    """Make a file system in memory that shows some places of this one, read-only, and what programs expect."""
    mount("none", "/", "", RECURSIVE | PRIVATE)
    mount("tmpfs", str(root), "tmpfs", NO_SETUID | NO_DEVICES, "mode=755,size=16m")
    for name, options in (("tmp", f"mode=700,size={room}"), ("dev/shm", f"mode=777,size={room}")):
        (root / name).mkdir(parents=True)
        mount("tmpfs", str(root / name), "tmpfs", NO_SETUID | NO_DEVICES, options)
    for place in readable:
        show_inside(place, root, READ_ONLY | NO_SETUID | NO_DEVICES)
    for device in DEVICES:
        show_inside(Path("/dev") / device, root, READ_ONLY | NO_SETUID)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{target}")
    (root / "proc").mkdir()
    mount("proc", str(root / "proc"), "proc", NO_SETUID | NO_DEVICES | NO_PROGRAMS)
    protect(str(root / "proc"), READ_ONLY)  # as root outside, its owner could change the kernel's settings in it
    protect(str(root), READ_ONLY | NO_SETUID, recursive=False)


def show_inside(place: Path, root: Path, flags: int) -> None:
    """Bind a file or folder to the same path below a new root."""
    inside = root / place.relative_to("/")
    if place.is_symlink():  # /lib → usr/lib
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.symlink_to(place.readlink())
        return
    if place.is_dir():
        inside.mkdir(parents=True, exist_ok=True)
    else:
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.touch()
    mount(str(place), str(inside), "", BIND | RECURSIVE)
    protect(str(inside), flags)


def drop_capabilities() -> None:
    """Give up every right of an administrator, the ones over these namespaces included."""
    switch(NO_NEW_PRIVILEGES, 1)
    for number in range(64):
        if libc().prctl(DROP_CAPABILITY, number, 0, 0, 0) < 0:
            break  # the kernel knows no more
    head, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)
    must(libc().syscall(NUMBERS["capset"], head, nothing), "capset")


def end_like(child: int) -> None:
    """Wait for a child, end as it did: with its exit code, or 128 + the signal that ended it."""
    os._exit(wait_for(child))


def wait_for(child: int) -> int:
    """Wait for a child, and for every orphan that ends before it; return its exit code."""
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
