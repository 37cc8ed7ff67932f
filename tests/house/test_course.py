"""The launcher, run as a learner runs it: in a fresh folder, against packages in a local folder, offline."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wheels import BACKEND, COMMANDS, PYPROJECT, make_wheel

from utils.files.places import ROOT

LAUNCHER = ROOT / "course.py"
CHOOSES_TORCH = sys.platform == "linux" and not Path("/dev/nvidia0").exists() and not Path("/dev/dxg").exists()


class Folder:
    """A fresh copy of the launcher with a tiny project around it."""

    def __init__(self, path: Path) -> None:
        self.path, self.wheels = path, path.parent / "wheels"  # pip splits PIP_FIND_LINKS at spaces
        self.wheels.mkdir()
        (path / "utils").mkdir(parents=True)
        (path / "utils" / "__init__.py").write_text("", encoding="utf-8")
        (path / "utils" / "__main__.py").write_text(COMMANDS, encoding="utf-8")
        (path / "course.py").write_bytes(LAUNCHER.read_bytes())
        (path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
        (path / "backend.py").write_text(BACKEND, encoding="utf-8")
        self.require("torch==9.9.9")

    def require(self, *lines: str) -> None:
        (self.path / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess:
        """Start the launcher with pip confined to the local wheels, unless `settings` say otherwise."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "COURSE_"))}
        local = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        command = [sys.executable, "course.py", *words]
        env = {**kept, **local, **settings}
        return subprocess.run(
            command, cwd=self.path, env=env, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL
        )

    @property
    def stamp(self) -> Path:
        return self.path / ".venv" / "installed"


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Folder:
    """A folder that was set up once; its tests run in the order in which they stand here."""
    folder = Folder(tmp_path_factory.mktemp("ready") / "a folder with spaces")
    make_wheel(folder.wheels, "torch", "9.9.9", {"torch.py": "BUILD = 'cuda'"})
    make_wheel(folder.wheels, "torch", "9.9.9+cpu", {"torch.py": "BUILD = 'cpu'"})
    folder.first = folder.run("chat", "small", "--top-k", "5")
    return folder


def test_first_start_sets_up_and_hands_the_command_over(ready):
    assert ready.first.returncode == 0, ready.first.stderr + ready.first.stdout
    assert "Setting up" in ready.first.stdout
    assert "ran ['chat', 'small', '--top-k', '5']" in ready.first.stdout
    assert str(ready.path / ".venv") in ready.first.stdout


@pytest.mark.skipif(not CHOOSES_TORCH, reason="the choice is for Linux without an NVIDIA GPU")
def test_cpu_build_is_taken_where_there_is_no_gpu(ready):
    assert "torch cpu" in ready.first.stdout


def test_second_start_installs_nothing(ready):
    log = ready.path / ".venv" / "install.log"
    before = log.stat().st_mtime_ns
    again = ready.run("chat", PIP_FIND_LINKS="")  # nothing to install from: it must not even ask
    assert again.returncode == 0, again.stderr
    assert "Setting up" not in again.stdout and log.stat().st_mtime_ns == before


def test_changed_pins_are_installed(ready):
    make_wheel(ready.wheels, "extra", "1.0", {"extra.py": ""})
    ready.require("torch==9.9.9", "extra==1.0")
    assert "Setting up" in ready.run("chat").stdout
    python = ready.path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-c", "import extra"], check=True, cwd=ready.path)


@pytest.mark.skipif(not CHOOSES_TORCH, reason="the choice is for Linux without an NVIDIA GPU")
def test_the_large_build_is_taken_when_asked_for_and_remembered(ready):
    assert "torch cuda" in ready.run("chat", "--torch", "cuda").stdout
    later = ready.run("chat")
    assert "torch cuda" in later.stdout and "Setting up" not in later.stdout
    assert "torch cpu" in ready.run("chat", "--torch=cpu").stdout


def test_failed_installation_shows_pips_words_and_leaves_no_stamp(ready):
    ready.require("torch==9.9.9", "no-such-package==1.0")
    failed = ready.run("chat")
    assert failed.returncode == 1 and "ran" not in failed.stdout
    assert "no-such-package" in failed.stderr and "install.log" in failed.stderr
    assert not ready.stamp.exists()
    ready.require("torch==9.9.9")
    assert "ran ['chat']" in ready.run("chat").stdout and ready.stamp.exists()


def test_an_environment_whose_python_is_gone_is_made_anew(ready):
    python = ready.path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.unlink()
    again = ready.run("chat")
    assert "Setting up" in again.stdout and "ran ['chat']" in again.stdout, again.stderr


@pytest.mark.skipif(not CHOOSES_TORCH, reason="the choice is for Linux without an NVIDIA GPU")
def test_cuda_is_never_downloaded_unasked(tmp_path):
    folder = Folder(tmp_path / "course")
    make_wheel(folder.wheels, "torch", "9.9.9", {"torch.py": "BUILD = 'cuda'"})
    refused = folder.run("chat")
    assert refused.returncode == 1 and not folder.stamp.exists()
    assert "no NVIDIA GPU" in refused.stderr and "--torch cuda" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_missing_network_is_one_sentence(tmp_path):
    folder = Folder(tmp_path / "course")
    nowhere = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    failed = folder.run("chat", **nowhere)
    assert failed.returncode == 1 and not folder.stamp.exists()
    assert failed.stderr.strip() == (
        "No package index could be reached: check the network or the proxy, then run this again."
    )


def test_here_uses_the_running_python_and_installs_nothing(tmp_path):
    folder = Folder(tmp_path / "course")
    done = folder.run("chat", "--here")
    assert done.returncode == 0 and f"prefix {sys.prefix}" in done.stdout
    assert not (folder.path / ".venv").exists()


def test_help_installs_nothing(tmp_path):
    folder = Folder(tmp_path / "course")
    for words in ([], ["--help"], ["-h"]):
        done = folder.run(*words)
        assert done.returncode == 0 and "course.py lab" in done.stdout
    assert not (folder.path / ".venv").exists()


@pytest.fixture
def course():
    """The launcher as a module."""
    spec = importlib.util.spec_from_file_location("course", LAUNCHER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("OSError: [WinError 112] There is not enough space on the disk", "disk is full"),
        (
            "after connection broken by 'NewConnectionError(...)'\nNo matching distribution found",
            "be reached",
        ),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.", "be reached"),
    ],
)
def test_what_pip_says_becomes_one_sentence(course, said, sentence):
    with pytest.raises(SystemExit) as stop:
        course.stop_after(said)
    assert sentence in stop.value.code and len(stop.value.code.strip().splitlines()) == 1


def test_full_disk_is_noticed_beforehand(course, monkeypatch):
    usage = course.shutil.disk_usage(ROOT)
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    with pytest.raises(SystemExit, match="The disk has 1.0 GB free and [26] are needed"):
        course.check_machine()


@pytest.mark.parametrize("version", [(3, 6), (3, 9), (3, 10), (3, 14)])
def test_wrong_python_is_one_sentence(version):
    code = f"import runpy, sys; sys.version_info = {version + (0,)}; runpy.run_path({str(LAUNCHER)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.startswith(f"This is Python {version[0]}.{version[1]}, the course needs 3.11, 3.12 or 3.13")
    assert len(done.stderr.strip().splitlines()) == 1


def test_old_pythons_can_read_the_launcher_far_enough_to_say_so():
    ast.parse(LAUNCHER.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_launcher_is_short_and_needs_the_standard_library_only():
    text = LAUNCHER.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_lab_opens_lesson_00_on_this_machine_only():
    from tools.jupyter import first_lesson, jupyter_command

    command = jupyter_command(8888, "/lab/tree/lessons/00_a_b.ipynb", browser=False)
    assert "--no-browser" in command and f"--ServerApp.root_dir={ROOT}" in command
    assert "--LabApp.extension_manager=readonly" in command
    assert not any("ip=" in word or "token=" in word for word in command)  # the token stays out of `ps`
    assert first_lesson().startswith("/lab")


def test_lab_says_when_its_port_is_taken():
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "tools.jupyter", "--no-browser", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and f"Port {port} is taken" in done.stderr
