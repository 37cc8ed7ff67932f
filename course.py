"""Hands-On GPT-2: set up this folder, then start the course. Needs Python 3.11–3.13, nothing else.

  python course.py lab [--no-browser] [--port N]   open JupyterLab at lesson 00
  python course.py test [paths, pytest options]    run every test and every notebook, or those you name
  python course.py run NOTEBOOK                    run one notebook from top to bottom
  python course.py help                            list the other commands: bench, prefetch, train, chat, ...

Two options go with every command:
  --torch auto|cpu|cuda   the build of PyTorch to install on Linux; auto is cpu where there is no NVIDIA GPU
  --here                  use this Python as it is (a conda environment, a container) and install nothing
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
if VERSION not in ("3.11", "3.12", "3.13"):
    sys.exit(f"This is Python {VERSION}, the course needs 3.11, 3.12 or 3.13: install one and use it here.")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG, STAMP = VENV / "install.log", VENV / "installed"
NO_NETWORK = "connection broken by|Failed to (establish|resolve)|timed out|(Proxy|SSL|Connection)Error"
NO_SPACE = "No space left on device|not enough space on the disk|Disk quota exceeded"
CUDA_ONLY = (
    "There is no NVIDIA GPU, and pip finds only the CUDA build of PyTorch (several GB). Let it see the CPU "
    "index that PyTorch's page names, by PIP_EXTRA_INDEX_URL, or add `--torch cuda` to take the large one."
)


def check_machine() -> None:
    """Refuse at once what could only fail after minutes."""
    if sys.maxsize < 2**32 or (sys.platform == "darwin" and os.uname().machine == "x86_64"):
        sys.exit("PyTorch is no longer built for 32-bit Pythons and Intel Macs: use Colab instead.")
    if not find_spec("ensurepip") or not find_spec("venv"):  # Debian and Ubuntu leave them out
        sys.exit(f"This Python lacks venv: run `sudo apt install python{VERSION}-venv`, then this again.")
    need, free = (2 if PYTHON.exists() else 6), shutil.disk_usage(ROOT).free / 1e9
    if free < need:
        sys.exit(f"The disk has {free:.1f} GB free and {need} are needed: make room, then run this again.")


def pip(*arguments: str) -> str:
    """Run pip in the environment, keep what it says in .venv/install.log, return '' or what went wrong."""
    settings = {**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    process = subprocess.Popen([str(PYTHON), "-m", "pip", *arguments], cwd=ROOT, env=settings, **pipes)
    lines = []
    with LOG.open("a", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            step = re.match(r"\s*((Collecting|Downloading) [\w.-]+|Installing collected packages)", line)
            if step and sys.stdout.isatty():
                print(f"\r{step[1][:78]:78}", end="", flush=True)
    return "" if process.wait() == 0 else "".join(line for line in lines if "is ignored: it is" not in line)


def stop_after(output: str) -> None:
    """End with a sentence if `output` tells of a failure, or with its last lines where no sentence fits."""
    if not output:
        return
    if re.search(NO_SPACE, output):
        sys.exit("\nThe disk is full: make room here and where temporary files go, then run this again.")
    if re.search(NO_NETWORK, output):
        sys.exit("\nNo package index could be reached: check the network or the proxy, then run this again.")
    sys.exit(f"\n{output[-1500:]}\nThe set-up stopped at the lines above; all that pip said is in {LOG}.")


def torch_build(wanted: str) -> list[str]:
    """Return what to ask of pip beside requirements.txt, so that nobody downloads CUDA in vain."""
    if sys.platform != "linux":
        return []
    version = re.search(r"^torch==([\d.]+)", (ROOT / "requirements.txt").read_text("utf-8"), re.M)[1]
    gpu = Path("/dev/nvidia0").exists() or (Path("/dev/dxg").exists() and shutil.which("nvidia-smi"))
    if wanted == "cuda" or wanted == "auto" and gpu:
        return [f"torch=={version},!={version}+cpu"]
    failure = pip("install", "--dry-run", "--no-deps", f"torch=={version}+cpu")
    if "No matching distribution" in failure and not re.search(NO_NETWORK, failure):
        sys.exit(CUDA_ONLY)
    stop_after(failure)
    return [f"torch=={version}+cpu"]


def fingerprint() -> str:
    """Hash what an installation depends on: the pins, the project, its folder, the environment's Python."""
    files = [ROOT / "requirements.txt", ROOT / "pyproject.toml", VENV / "pyvenv.cfg"]
    return hashlib.sha256(b"".join([str(ROOT).encode(), *(file.read_bytes() for file in files)])).hexdigest()


def install(wanted: str | None) -> None:
    """Make .venv and install the pins into it, unless that was done and nothing has changed since."""
    usable = PYTHON.exists() and not subprocess.run([str(PYTHON), "-V"], capture_output=True).returncode
    done = STAMP.read_text("utf-8") if usable and STAMP.exists() else ""
    wanted = wanted or done.partition(" ")[2] or "auto"
    if done and done == f"{fingerprint()} {wanted}":
        return
    check_machine()
    print(f"Setting up {VENV}: some minutes the first time, seconds after that.", flush=True)
    STAMP.unlink(missing_ok=True)  # an installation that is cut off leaves none
    if not done:
        command = [sys.executable, "-m", "venv", *([] if usable else ["--clear"]), str(VENV)]
        made = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        stop_after(made.returncode and made.stdout + made.stderr)
    LOG.write_text("", encoding="utf-8")
    stop_after(pip("install", "-r", "requirements.txt", *torch_build(wanted)))
    stop_after(pip("install", "--no-deps", "--no-build-isolation", "-e", "."))
    STAMP.write_text(f"{fingerprint()} {wanted}", encoding="utf-8")
    print(f"\r{'Everything is installed.':78}", flush=True)


def main() -> None:
    """Take the two options that are for this file, install, and hand the rest over."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--torch", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--here", action="store_true")
    options, rest = parser.parse_known_args()
    command = rest.pop(0) if rest else "--help"
    if command in ("-h", "--help"):
        sys.exit(print(__doc__))
    if not options.here:
        install(options.torch)
    python = sys.executable if options.here else str(PYTHON)
    modules = {"lab": ["tools.jupyter"], "run": ["tools.repo.notebooks", "--no-store"], "help": ["utils", "-h"]}
    modules["test"] = ["pytest", "-n2", "--dist=loadscope"]
    line = [python, "-m", *modules.get(command, ["utils", command]), *rest]
    os.environ.setdefault("PYTHONUTF8", "1")
    os.chdir(ROOT if command in ("test", "lab") else ".")
    if os.name != "nt":
        os.execv(python, line)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows can't exec: wait, and leave Ctrl-C to the command
    sys.exit(subprocess.call(line))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped; run the same command again to go on.")
    except OSError as error:
        sys.exit(f"The set-up stopped: {error}. Mend that, then run the same command again.")
