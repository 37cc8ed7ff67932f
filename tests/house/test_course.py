"""The launcher, run as a learner runs it: in a fresh folder, against packages in a local folder, offline."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from wheels import BACKEND, COMMANDS, PYPROJECT, make_wheel, wheel_of_uv

from utils.files.places import ROOT
from utils.files.whole_files import sha256_of

LAUNCHER = ROOT / "course.py"
CHOOSES_TORCH = sys.platform == "linux" and not Path("/dev/nvidia0").exists() and not Path("/dev/dxg").exists()


class Folder:
    """A fresh copy of the launcher with a tiny project around it."""

    def __init__(self, path: Path) -> None:
        self.path, self.wheels = path, path.parent / "wheels"  # pip splits PIP_FIND_LINKS at spaces
        self.wheels.mkdir()
        (self.wheels / "constraints.txt").write_text("torch<=99\n", encoding="utf-8")
        for name in ("tools", "requirements"):
            (path / name).mkdir(parents=True)
        (path / "tools" / "__init__.py").write_text("", encoding="utf-8")
        (path / "tools" / "__main__.py").write_text(COMMANDS, encoding="utf-8")
        (path / "course.py").write_bytes(LAUNCHER.read_bytes())
        (path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
        (path / "backend.py").write_text(BACKEND, encoding="utf-8")
        self.pins = {"installer": (f"uv=={metadata.version('uv')}",), "build": (), "torch": ("torch===9.9.9",)}
        self.pins |= {"torch-cpu": ("torch==9.9.9+cpu",), "learn": ()}

    def require(self, *lines: str, pins: str = "learn") -> None:
        self.pins[pins] = lines

    def write_locks(self) -> None:
        """Write lock files with the SHA-256 of the local wheels, as `locks` does with those of an index."""
        for name, lines in self.pins.items():
            text = "".join(f"{line} --hash=sha256:{self.sha256(line)}\n" for line in lines)
            (self.path / "requirements" / f"{name}.lock").write_text(text, encoding="utf-8")

    def sha256(self, pin: str) -> str:
        name, version = re.split("=+", pin)
        wheel = self.wheels / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        return sha256_of(wheel) if wheel.exists() else "0" * 64

    def run(self, *words: str, locks: bool = True, **settings: str) -> subprocess.CompletedProcess:
        """Start the launcher with pip confined to the local wheels, unless `settings` say otherwise."""
        if locks:
            self.write_locks()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "COURSE_", "UV_"))}
        local = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        local["PIP_CONSTRAINT"] = str(self.wheels / "constraints.txt")  # as an organisation may have; uv must not mind
        command = [sys.executable, "course.py", *words]
        env = {**kept, **local, **settings}
        return subprocess.run(
            command, cwd=self.path, env=env, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL
        )

    @property
    def stamp(self) -> Path:
        return self.path / ".venv" / "ready"

    @property
    def log(self) -> str:
        return (self.path / ".venv" / "install.log").read_text(encoding="utf-8")

    def python(self, code: str) -> str:
        """Run code in the environment that the launcher made, and return what it prints."""
        python = self.path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        return subprocess.check_output([python, "-c", code], cwd=self.path, encoding="utf-8").strip()


BUILDS = {"9.9.9": "BUILD = 'cuda'", "9.9.9+cpu": "BUILD = 'cpu'"}


def with_builds(path: Path) -> Folder:
    """A folder whose wheels are both builds of torch, and what the large one needs."""
    folder = Folder(path)
    for version, text in BUILDS.items():
        needs = ("cuda-library==1.0",) if "+" not in version else ()
        make_wheel(folder.wheels, "torch", version, {"torch.py": text}, needs)
    make_wheel(folder.wheels, "cuda-library", "1.0", {"cuda_library.py": ""})
    folder.require("torch===9.9.9", "cuda-library==1.0", pins="torch")
    return folder


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Folder:
    """A folder that was set up once, by uv where that is installed; its tests run in the order in which they stand."""
    folder = with_builds(tmp_path_factory.mktemp("ready") / "a folder with spaces")
    folder.installer = "uv" if wheel_of_uv(folder.wheels) else "pip"
    folder.first = folder.run("chat", "small", "--top-k", "5")
    return folder


def test_first_start_sets_up_and_hands_the_command_over(ready):
    assert ready.first.returncode == 0, ready.first.stderr + ready.first.stdout
    assert "Setting up" in ready.first.stdout
    assert "ran ['chat', 'small', '--top-k', '5']" in ready.first.stdout
    assert str(ready.path / ".venv") in ready.first.stdout
    if ready.installer == "uv":
        assert len(re.findall("Successfully installed", ready.log)) == 1, "pip brings uv, and uv the rest"
        assert "Installed 1 package" in ready.log


def test_pip_installs_where_there_is_no_uv(tmp_path):
    folder = with_builds(tmp_path / "course")
    assert "ran ['chat']" in folder.run("chat").stdout and "Installed 1 package" not in folder.log
    if CHOOSES_TORCH:
        assert "torch cuda" in folder.run("chat", "--torch", "cuda").stdout
        assert folder.python("import cuda_library; print(1)") == "1"  # which no pin names


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
    ready.require("extra==1.0")
    assert "Setting up" in ready.run("chat").stdout
    assert ready.python("import extra; print(extra.__name__)") == "extra"


def test_what_a_teacher_and_a_developer_need_comes_with_their_commands_once(ready):
    for package, pins in (("grader", "teach"), ("xdist", "dev")):
        make_wheel(ready.wheels, package, "1.0", {f"{package}.py": ""})
        ready.require(f"{package}==1.0", pins=pins)
    find = "from importlib.util import find_spec; print(*[n for n in ('grader', 'xdist') if find_spec(n)])"
    assert ready.run("chat").returncode == 0 and ready.python(find) == ""
    assert "requirements/teach.txt" in ready.run("class", "grade").stdout and ready.python(find) == "grader"
    again = ready.run("class", "grade", PIP_FIND_LINKS="")
    assert "ran ['class', 'grade']" in again.stdout and "requirements" not in again.stdout
    ready.run("test")  # there is no pytest here: what counts is what was installed
    assert ready.python(find) == "grader xdist"


def test_nothing_is_compiled_that_may_never_be_imported(ready):
    packages = Path(ready.python("import torch; print(torch.__file__)")).parent
    assert list(packages.glob("torch*/**/*.pyc")) == [] == list(packages.glob("__pycache__/cuda_library*"))


@pytest.mark.skipif(not CHOOSES_TORCH, reason="the choice is for Linux without an NVIDIA GPU")
def test_the_large_build_is_taken_when_asked_for_and_remembered(ready):
    assert "torch cuda" in ready.run("chat", "--torch", "cuda").stdout
    assert ready.python("import cuda_library; print(1)") == "1"  # which torch.lock names
    later = ready.run("chat")
    assert "torch cuda" in later.stdout and "Setting up" not in later.stdout
    assert "torch cpu" in ready.run("chat", "--torch=cpu").stdout


def test_failed_installation_shows_pips_words_and_leaves_no_stamp(ready):
    ready.require("no-such-package==1.0")
    failed = ready.run("chat")
    assert failed.returncode == 1 and "ran" not in failed.stdout
    assert "no-such-package" in failed.stderr and "install.log" in failed.stderr
    assert not ready.stamp.exists()
    ready.require("extra==1.0")
    assert "ran ['chat']" in ready.run("chat").stdout and ready.stamp.exists()


def test_a_package_with_another_sha256_is_named_and_not_installed(ready):
    make_wheel(ready.wheels, "helper", "1.0", {"helper.py": "HONEST = True"})
    ready.require("helper==1.0")
    ready.write_locks()
    make_wheel(ready.wheels, "helper", "1.0", {"helper.py": "HONEST = False"})  # an index that was broken into
    refused = ready.run("chat", locks=False)
    assert refused.returncode == 1 and "ran" not in refused.stdout and not ready.stamp.exists()
    assert "helper==1.0" in refused.stderr and "SHA-256" in refused.stderr and "SECURITY.md" in refused.stderr
    assert ready.python("from importlib.util import find_spec; print(find_spec('helper'))") == "None"
    ready.require("extra==1.0")
    assert "ran ['chat']" in ready.run("chat").stdout


def test_a_package_without_a_hash_is_not_installed(ready):
    make_wheel(ready.wheels, "bare", "1.0", {"bare.py": ""})
    (ready.path / "requirements" / "learn.lock").write_text("bare==1.0\n", encoding="utf-8")
    refused = ready.run("chat", locks=False)
    assert refused.returncode == 1 and "bare" in refused.stderr and "hash" in refused.stderr.lower()
    assert "ran ['chat']" in ready.run("chat").stdout


def test_an_environment_whose_python_is_gone_is_made_anew(ready):
    (ready.path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")).unlink()
    again = ready.run("chat")
    assert "Setting up" in again.stdout and "ran ['chat']" in again.stdout, again.stderr


@pytest.mark.skipif(not CHOOSES_TORCH, reason="the choice is for Linux without an NVIDIA GPU")
def test_cuda_is_never_downloaded_unasked(tmp_path):
    folder = Folder(tmp_path / "course")
    make_wheel(folder.wheels, "torch", "9.9.9", {"torch.py": BUILDS["9.9.9"]})
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


def test_tests_say_what_a_given_python_lacks(tmp_path):
    folder = Folder(tmp_path / "course")
    (folder.path / "xdist.py").write_text("raise ImportError", encoding="utf-8")
    code = "import sys, runpy; sys.modules['xdist'] = None; sys.argv = ['course.py', 'test', '--here']; "
    done = subprocess.run(
        [sys.executable, "-c", code + "runpy.run_path('course.py', run_name='__main__')"],
        cwd=folder.path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1 and "requirements/dev.txt" in done.stderr


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
    with pytest.raises(SystemExit, match="The disk has 1.0 GB free and [24] are needed"):
        course.check_machine()


def test_an_installer_that_may_not_run_is_a_failure_and_no_crash(course, monkeypatch, tmp_path):
    monkeypatch.setattr(course, "LOG", tmp_path / "install.log")
    assert "not_there" in course.run(str(tmp_path / "not_there"))


PIP_SAYS = """
:env:.cert='/school/root.pem'
:env:.find-links='/one /two'
global.cert='/old.pem'
global.extra-index-url='https://a/simple\\nhttps://b/simple'
global.index-url='https://mirror/simple'
global.timeout='60'
install.no-index='false'
install.trusted-host='mirror'
""".strip()


def test_uv_is_told_what_pip_is_told(course, monkeypatch):
    said = subprocess.CompletedProcess([], 0, stdout=PIP_SAYS)
    monkeypatch.setattr(course.subprocess, "run", lambda *words, **settings: said)
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_INDEX", "https://mine/simple")  # who speaks to uv is heard
    monkeypatch.setenv("SSL_CERT_FILE", "/conda.pem")  # which conda sets for everybody
    assert course.uv_settings() == {
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_FIND_LINKS": "/one,/two",
        "UV_NO_INDEX": "false",
        "UV_INSECURE_HOST": "mirror",
        "SSL_CERT_FILE": "/school/root.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_CONFIG": "1",
    }


def test_quick_is_a_mark_of_pytest(course, monkeypatch):
    monkeypatch.setattr(course.sys, "argv", ["course.py", "test", "quick", "--here", "-x"])
    monkeypatch.setattr(course.os, "name", "posix")
    monkeypatch.setattr(course.os, "execv", lambda python, line: sys.exit(line))  # it does not return either
    monkeypatch.setattr(course.os, "chdir", lambda folder: None)
    monkeypatch.setattr(course, "find_spec", lambda name: name)
    with pytest.raises(SystemExit) as end:
        course.main()
    in_order = ["--dist=loadscope", "--no-loadscope-reorder"]
    assert end.value.code[1:] == ["-m", "pytest", "-n2", *in_order, "--durations=40", "-m", "quick", "tests", "-x"]


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
    assert len(text.splitlines()) <= 235
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
    assert first_lesson("").startswith("/lab/tree/lessons/00_")


def test_lab_says_when_its_port_is_taken():
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "tools.jupyter", "--no-browser", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and f"Port {port} is taken" in done.stderr
