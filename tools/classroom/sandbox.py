"""Sandbox for a stranger's code: a process that sees no file but the course's, reaches nobody, and may use so much.

`Fence` says what a system has; `build_fence` puts it up from within; `Watch` counts from outside and ends all of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tools.classroom import kernel
from utils.errors import CourseError
from utils.files.places import ROOT


@dataclass(frozen=True)
class Limits:
    """What a stranger's code may use, all its processes together."""

    seconds: int = 120
    memory: int = 6 * 2**30  # bytes of address space; torch alone takes two or three times 2**30
    output: int = 200 * 2**20  # bytes of the largest file, what is printed included; nano in float32 takes 72
    folder: int = 500 * 2**20  # bytes of all files together
    processes: int = 100
    patience: int = 120  # seconds that may pass beyond those of computing


@dataclass(frozen=True)
class Fence:
    """What keeps a stranger's code in: namespaces, the version of Landlock (0 for none), a filter of system calls."""

    namespaces: bool = False
    landlock: int = 0
    calls: bool = False

    def missing(self) -> list[str]:
        """Say what a stranger's code could still do."""
        can = {
            "read your files": not (self.namespaces or self.landlock),
            "change files of yours": not (self.namespaces or (self.landlock and self.calls)),
            "use the network": not (self.namespaces or self.calls),
            "stop other programs": not (self.namespaces or self.calls or self.landlock >= 6),
            "use all memory": os.name == "nt",
        }
        return [what for what, possible in can.items() if possible]

    def __str__(self) -> str:
        parts = ["namespaces"] * self.namespaces + [f"Landlock {self.landlock}"] * bool(self.landlock)
        return " and ".join(parts + ["a filter of system calls"] * self.calls) or "nothing"


def available_fence() -> Fence:
    """Return the fence that this system has, after trying it in a process of its own."""
    fence = Fence(sys.platform.startswith("linux"), kernel.landlock_version(), kernel.can_filter_calls())
    while fence != Fence():
        with tempfile.TemporaryDirectory() as folder:
            order = json.dumps({"folder": folder, "fence": asdict(fence)})
            command = [sys.executable, "-m", "tools.classroom.sandbox", order]
            tried = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
        if tried.returncode == 0:
            return fence
        fence = Fence(False, fence.landlock, fence.calls) if fence.namespaces else Fence()
    return fence


def demand(fence: Fence, unfenced: bool) -> str:
    """Return a line that says what keeps submissions in; refuse to go on without, unless that was asked for."""
    if not (missing := fence.missing()):
        return f"Submissions are fenced in by {fence}."
    able = ", ".join(missing)
    if not unfenced:
        raise CourseError(
            f"This system can't keep a submission's code from trying to {able} (it has {fence}). Grade on Linux 5.13 "
            "or newer, in a virtual machine for instance; or with --unfenced on a machine that holds nothing else."
        )
    return f"Not fenced in: a submission's code can try to {able}. Use a machine that holds nothing else."


def readable_places() -> list[Path]:
    """Return what a submission may read: Python, its packages, system libraries, the course without solutions."""
    packages = [Path(place) for place in (*site.getsitepackages(), site.getusersitepackages())]
    pythons = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    system = [Path(place) for place in SYSTEM]
    course = [ROOT / "utils", ROOT / "data", *labs_without_solutions(), *sorted((ROOT / "exercises").glob("*.ipynb"))]
    found: list[Path] = []
    for place in sorted({*system, *pythons, *packages, *course}, key=lambda place: len(place.parts)):
        inside = any(place.is_relative_to(other) for other in found)
        if place.exists() and not inside and not ROOT.is_relative_to(place):
            found.append(place)
    return found


def labs_without_solutions() -> list[Path]:
    """Return what a submission may see of the labs."""
    return sorted(path for path in (ROOT / "labs").iterdir() if path.name not in ("solutions", "__pycache__"))


SYSTEM = (
    "/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/alternatives", "/etc/localtime", "/etc/fonts", "/etc/mime.types", "/etc/ssl/openssl.cnf",
    "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip
# What libraries ask of the system itself; /proc/self is the stranger's own process
OF_THE_SYSTEM = ("cpuinfo", "meminfo", "stat", "version", "filesystems", "loadavg", "uptime", "sys/kernel", "sys/vm")


def build_fence(folder: Path, fence: Fence, limits: Limits, handed: Path) -> Path:
    """Fence in this process, or go on in a fenced child, and return the one folder that it can write to.

    What others put into `handed` it can read, too.
    """
    places = [*readable_places(), handed]
    if sys.platform.startswith("linux"):
        kernel.switch(kernel.DIE_WITH_PARENT, signal.SIGKILL)
        kernel.switch(kernel.SUBREAPER, 1)
    if fence.namespaces:
        root = folder / "root"
        root.mkdir()
        kernel.enter_namespaces(root, places, limits.folder)
        folder = Path("/tmp")
    elif sys.platform.startswith("linux"):
        _packages_from(folder / "course")
        if child := os.fork():  # orphans of the stranger's become children of this one, and are counted and ended
            code = kernel.wait_for(child)
            _end_all_children()
            os._exit(code)
        kernel.switch(kernel.DIE_WITH_PARENT, signal.SIGKILL)
    os.chdir(folder)
    limit_resources(limits)
    if fence.landlock:
        seen = [Path("/")] if fence.namespaces else [*places, *_system_files()]
        kernel.restrict_files(seen, [folder, *_devices(fence)], fence.landlock)
    if fence.calls:
        kernel.filter_calls(0 if fence.namespaces else os.getpid())
    return folder


def _packages_from(folder: Path) -> None:
    """Let Python find the course's packages in a folder of links: their own can't be listed behind the fence."""
    (folder / "labs").mkdir(parents=True)
    for place in (ROOT / "utils", *labs_without_solutions()):
        (folder / place.relative_to(ROOT)).symlink_to(place)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)


def _end_all_children() -> None:
    with contextlib.suppress(ChildProcessError):  # there is none any more
        while True:
            for one in descendants(os.getpid()):
                with contextlib.suppress(psutil.Error):
                    one.kill()
            os.wait()


def _system_files() -> list[Path]:
    named = [Path("/proc") / name for name in OF_THE_SYSTEM]
    return [place for place in (Path(f"/proc/{os.getpid()}"), *named) if place.exists()]


def _devices(fence: Fence) -> list[Path]:
    names = (*kernel.DEVICES, "shm") if fence.namespaces else kernel.DEVICES
    return [Path("/dev") / name for name in names]


def limit_resources(limits: Limits) -> None:
    """Limit what one process may use, where the system can."""
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


class Watch:
    """Counts memory, processes and files of a process and its descendants together, and ends them when it is time."""

    def __init__(self, process: subprocess.Popen, folder: Path, limits: Limits) -> None:
        self.process, self.folder, self.limits, self.reason = process, folder, limits, ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        longest = self.limits.seconds + self.limits.patience
        end = time.monotonic() + longest
        while not self._over.wait(0.1):
            late = f"stopped after {longest} seconds" if time.monotonic() > end else ""
            if reason := late or self._too_much():
                self.reason = reason
                stop_tree(self.process)
                return

    def _too_much(self) -> str:
        family = list(descendants(self.process.pid))
        if len(family) > self.limits.processes:
            return f"stopped with more than {self.limits.processes} processes"
        if memory_of(family) > self.limits.memory:
            return f"stopped with more than {self.limits.memory / 1e9:.1f} GB of memory in all its processes"
        if size_of(self.folder) > self.limits.folder:
            return f"stopped with more than {self.limits.folder / 1e6:.0f} MB in its files"
        return ""

    def close(self) -> None:
        """End what is watched, all of it, and the watching."""
        self._over.set()
        self._thread.join()
        stop_tree(self.process)


def descendants(pid: int) -> Iterator[psutil.Process]:
    """Yield all processes that came from this one."""
    with contextlib.suppress(psutil.Error):
        yield from psutil.Process(pid).children(recursive=True)


def memory_of(family: list[psutil.Process]) -> int:
    """Return the bytes that some processes hold together; what they share counts once."""
    own, shared = 0, 0
    for one in family:
        with contextlib.suppress(psutil.Error):
            memory = one.memory_info()
            common = getattr(memory, "shared", 0)
            own, shared = own + memory.rss - common, max(shared, common)
    return own + shared


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(where, name).lstat().st_blocks * 512 if os.name != "nt" else 0
    return total


def stop_tree(process: subprocess.Popen) -> None:
    """End a process and everything that it has started, in whatever session."""
    for _ in range(100):
        family = list(descendants(process.pid)) if process.poll() is None else []
        if not family:
            break
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


def close_own_memory() -> None:
    """Close this process's memory and environment to other programs of the same user, where the system can."""
    if sys.platform.startswith("linux"):
        kernel.switch(kernel.DUMPABLE, 0)


if __name__ == "__main__":  # a trial: does the fence hold here?
    asked = json.loads(sys.argv[1])
    tried = Path(asked["folder"])
    (tried / "handed").mkdir()
    inside = build_fence(tried, Fence(**asked["fence"]), Limits(), tried / "handed")
    (inside / "written.txt").write_text("here", encoding="ascii")
    sys.exit(0)
