"""Slurm, for real, on one machine as two nodes: munged, slurmctld and two slurmd, for the length of a with block.

All that it writes lies in one folder. Each node has an address of its own on loopback, so that no name server is asked,
and declares two GPUs that it does not have, so that a job's request for GPUs is granted as it would be on a cluster.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from getpass import getuser
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import ROOT

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo")
NODES = ("127.0.0.1", "127.0.0.2")
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL")
CONFIGURATION = """\
ClusterName=course
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
KillWait=120
NodeName={nodes[0]} NodeHostname={host} NodeAddr={nodes[0]} Port={ports[1]} CPUs=8 Gres=gpu:2
NodeName={nodes[1]} NodeHostname={host} NodeAddr={nodes[1]} Port={ports[2]} CPUs=8 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
PR_SET_PDEATHSIG = 1  # of Linux, prctl.h
DEVICES = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"  # two files that stand for two GPUs; nobody opens them


def missing_programs() -> list[str]:
    """Return which parts of Slurm are not installed here."""
    return [name for name in PROGRAMS if not shutil.which(name, path=wide_path())]


def wide_path() -> str:
    """Return PATH with the folders of daemons, which are not on everybody's."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class OneMachineSlurm:
    """A cluster of two nodes on this machine; when the with block ends, so do its jobs and daemons."""

    def __init__(self, folder: str | Path) -> None:
        self.folder, self.stack = Path(folder).resolve(), ExitStack()
        self.env = {**os.environ, "PATH": wide_path(), "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> OneMachineSlurm:
        if missing := missing_programs():
            raise CourseError(
                f"Slurm is not complete here: {', '.join(missing)} not found. On Debian and Ubuntu, as root: "
                "apt-get install -y --no-install-recommends slurm-wlm munge. Elsewhere labs/scale/README.md says "
                "how to train on one machine without Slurm."
            )
        self._configure()
        with self.stack:  # a daemon that doesn't start takes those before it down
            self._start()
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        with self.stack:
            self.run("scancel", f"--user={getuser()}")
            self.wait_until("all jobs have ended", lambda: not self.run("squeue", "--noheader").strip(), 200)

    def run(self, *words: str, **variables: str) -> str:
        """Return what one of Slurm's commands says."""
        env = {**self.env, **variables}
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=120)
        if done.returncode:
            raise CourseError(f"Slurm refused `{' '.join(words)}`: {done.stderr.strip()[-500:]}. {self.last_words()}")
        return done.stdout

    def submit(self, script: Path, options: Sequence[str], variables: Mapping[str, str]) -> str:
        """Send a job as one would by hand, from the repository, and return its number."""
        output = f"--output={self.folder}/job-%j.log"
        return self.run("sbatch", "--parsable", output, *options, str(script), **variables).strip()

    def state(self, job: str) -> str:
        """Return RUNNING, COMPLETED, CANCELLED or another of Slurm's words for a job."""
        facts = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return next(fact.partition("=")[2] for fact in facts if fact.startswith("JobState="))

    def wait(self, job: str, seconds: float) -> str:
        """Wait until a job has ended and all of its processes with it, and return its last state."""
        self.wait_until(f"job {job} has ended", lambda: self.state(job) in ENDED, seconds, job)
        return self.state(job)

    def wait_until(self, what: str, happened: Callable[[], bool], seconds: float, job: str = "") -> None:
        """Wait for something, and say what Slurm's logs say if it does not happen in time."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise CourseError(f"{what}: not after {seconds:.0f} seconds. {self.last_words(job)}")
            time.sleep(0.2)

    def last_words(self, job: str = "") -> str:
        """Return the end of a job's output, or of the daemons' logs."""
        paths = [self.folder / f"job-{job}.log"] if job else sorted(self.folder.glob("*.log"))
        said = [f"{path.name} ends: {path.read_text('utf-8', 'replace')[-1500:]}" for path in paths if path.is_file()]
        return "\n".join(said)

    def _configure(self) -> None:
        for name in ("state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)  # munged refuses a key that others may read
        host = socket.gethostname().partition(".")[0]
        values = {"host": host, "user": getuser(), "folder": self.folder, "nodes": NODES, "ports": free_ports(3)}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**values), encoding="utf-8")
        (self.folder / "gres.conf").write_text(DEVICES, encoding="utf-8")

    def _start(self) -> None:
        files = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munged.log"}
        files |= {"pid-file": "munged.pid", "seed-file": "munged.seed"}
        self._daemon("munged", "--force", "--foreground", *(f"--{k}={self.folder}/{v}" for k, v in files.items()))
        self.wait_until("munged answers", (self.folder / "munge.socket").exists, 30)
        self._daemon("slurmctld", "-D", "-c")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node)
        self.wait_until("both nodes are idle", self._are_idle, 60)

    def _daemon(self, program: str, *words: str) -> None:
        """Start a program that stays in the foreground, and end it when the with block ends."""
        log = self.stack.enter_context(
            (self.folder / f"{program}-{len(list(self.folder.glob('*.log')))}.log").open("w", encoding="utf-8")
        )
        path = shutil.which(program, path=self.env["PATH"])
        process = subprocess.Popen(
            [str(path), *words], env=self.env, cwd=self.folder, stdout=log, stderr=log, preexec_fn=end_with_parent
        )
        self.stack.callback(end, process)

    def _are_idle(self) -> bool:
        try:
            return self.run("sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle"] * len(NODES)
        except CourseError:  # the controller does not answer yet
            return False


def end_with_parent() -> None:
    """Let the system end this process when the one that started it is gone, even if that one was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen) -> None:
    """Ask a process to end, and make it end if it does not."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens at."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
