"""A fork server for kernels: those of a strict run begin with the large libraries imported, the course's own not.

`forking()` lets Jupyter's kernel managers start kernels this way. Each environment has a server of its own, since
libraries read threads and instruction sets while they are imported. Where processes aren't forked, or shouldn't be
(Windows, macOS), kernels begin as usual.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

NAME = "forked-provisioner"
# The last one, which brings torch, is what the first step of an optimizer imports.
LIBRARIES = ("ipykernel.debugger", "ipykernel.kernelapp", "ipywidgets", "matplotlib.pyplot", "pandas", "torch._dynamo")
CHANGING = ("JPY_PARENT_PID", "PYTEST_CURRENT_TEST")  # from kernel to kernel; no library reads them
INLINE = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # as every kernel sets it before matplotlib


def serve() -> None:
    """Import the libraries; then fork a kernel for each line of standard input, and answer with its process id."""
    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels that end leave no zombies
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            become_kernel(**json.loads(line))
        print(pid, flush=True)


def become_kernel(connection: str, folder: str, environment: dict[str, str]) -> None:
    """Be what `python -m ipykernel_launcher` would be in this folder, and end with it."""
    import ipykernel_launcher
    import numpy
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()  # as Jupyter does, so that it can end the kernel with all of its children
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    numpy.random.seed()  # other numbers in every kernel, as without a server: a cell that forgets to seed must fail
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.environ.update(environment)  # which the server has, too, but for what changes
    os.chdir(folder)
    sys.argv[:] = [ipykernel_launcher.__file__, "-f", connection]
    IPKernelApp.launch_instance([*sys.argv[1:], f"--IPKernelApp.parent_handle={os.getppid()}"])
    sys.exit()


class Server:
    """A process that has imported the libraries in one environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.said = tempfile.TemporaryFile()  # noqa: SIM115
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.said}
        self.process = subprocess.Popen([sys.executable, __file__], env=INLINE | environment, text=True, **pipes)

    def fork(self, connection: str, folder: str, environment: dict[str, str]) -> int:
        """Return the process id of a new kernel."""
        assert self.process.stdin and self.process.stdout
        request = {"connection": connection, "folder": folder, "environment": environment}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        if answer := self.process.stdout.readline():
            return int(answer)
        self.said.seek(0)
        raise RuntimeError(f"The server of kernels ended: {self.said.read().decode(errors='replace')[-2000:]}")


class Forked:
    """A kernel's process, asked as subprocess.Popen is; it is a child of its server."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return None while the kernel lives."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    wait = poll  # Jupyter asks when poll has said that the process is gone

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class ForkedProvisioner(LocalProvisioner):
    """Where Jupyter gets the processes of its kernels."""

    servers: ClassVar[dict[frozenset, Server]] = {}

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> KernelConnectionInfo:
        """Fork a kernel from the server of its environment, which is started where there is none yet."""
        environment = settings["env"]
        key = frozenset((name, value) for name, value in environment.items() if name not in CHANGING)
        if key not in self.servers:
            self.servers[key] = Server(dict(key))
        self.cwd = Path(settings.get("cwd") or Path.cwd())
        self.pid = self.pgid = self.servers[key].fork(cmd[cmd.index("-f") + 1], str(self.cwd), environment)
        self.process = cast(subprocess.Popen, Forked(self.pid))
        return self.connection_info


@contextmanager
def forking() -> Iterator[None]:
    """Let kernels begin in forked processes meanwhile, where that is sound."""
    factory = KernelProvisionerFactory.instance()
    factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:{ForkedProvisioner.__name__}", factory.GROUP_NAME)
    before = factory.default_provisioner_name
    factory.default_provisioner_name = NAME if sys.platform == "linux" else before
    try:
        yield
    finally:
        factory.default_provisioner_name = before


if __name__ == "__main__":
    del sys.path[0]  # this folder, as for any script
    serve()
