"""Hands-On GPT-2: set up this folder, then start the course. Needs Python 3.11–3.13, nothing else.

  python course.py lab [--no-browser] [--port N]   open JupyterLab at your own copy of lesson 00
  python course.py test [paths, pytest options]    run every test and every notebook, or those you name
  python course.py test quick                      run in a minute what a change to the core needs most
  python course.py run NOTEBOOK                    run one notebook from top to bottom
  python course.py help                            list the other commands: bench, prefetch, train, chat, ...

Two options go with every command:
  --torch auto|cpu|cuda   the build of PyTorch to install on Linux; auto is cpu where there is no NVIDIA GPU
  --here                  use this Python as it is (a conda environment, a container) and install nothing
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
if VERSION not in ("3.11", "3.12", "3.13"):
    sys.exit(f"This is Python {VERSION}, the course needs 3.11, 3.12 or 3.13: install one and use it here.")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = VENV / "install.log"
LOCKS = ("installer.lock", "build.lock", "learn.lock", "torch.lock", "torch-cpu.lock")  # what a learner's .venv is
MORE_PINS = {"exercises": "teach", "class": "teach", "site": "teach", "test": "dev", "locks": "dev", "sbom": "dev"}
# pip's settings in uv's words, and what uv wants between several values; no constraints, which it refuses beside hashes
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", ""),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", ""),
    "proxy": ("ALL_PROXY", ""),
}
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
    need, free = (2 if PYTHON.exists() else 4), shutil.disk_usage(ROOT).free / 1e9
    if free < need:
        sys.exit(f"The disk has {free:.1f} GB free and {need} are needed: make room, then run this again.")


def run(*command: str, **settings: str) -> str:
    """Run a program, keep what it says in .venv/install.log, return '' or what went wrong."""
    pipe, env = subprocess.PIPE, {**os.environ, **settings}
    try:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=pipe, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        )
    except OSError as error:  # a school may forbid programs that it does not know
        return str(error)
    lines = []
    with LOG.open("a", encoding="utf-8") as log:
        for line in process.stdout or ():
            log.write(line)
            lines.append(line)
            step = re.match(r"\s*((Collecting|Downloading|Prepared) [\w.-]+|Installing collected packages)", line)
            if step and sys.stdout.isatty():
                print(f"\r{step[1][:78]:78}", end="", flush=True)
    return "" if process.wait() == 0 else "".join(line for line in lines if "is ignored: it is" not in line)


def pip(*words: str) -> str:
    """Install by pip; return '' or what went wrong."""
    settings = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    return run(str(PYTHON), "-m", "pip", "install", "--no-compile", *words, **settings)


@lru_cache(maxsize=1)
def uv_settings() -> dict:
    """Return pip's settings, from its files and from the environment, in uv's words; uv's own ones come first."""
    listed = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, encoding="utf-8")
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "1", "UV_NO_CONFIG": "1"}  # as pip does
    for line in reversed(listed.stdout.splitlines()):  # sorted: what the environment says comes last here, and wins
        setting, _, text = line.partition("=")
        name, between = UV_NAMES.get(setting.rpartition(".")[2], ("", ""))
        values = ast.literal_eval(text).split() if name else []
        found.update({name: between.join(values)} if values else {})
    return {name: text for name, text in found.items() if name == "SSL_CERT_FILE" or name not in os.environ}


def locked(*names: str) -> list:
    """Return the words that install what lock files name, and nothing whose SHA-256 they don't name."""
    files = [word for name in names for word in ("-r", "requirements/" + name)]
    return ["--no-deps", "--no-build-isolation", "--require-hashes", *files]


def add(*words: str) -> str:
    """Install by uv, or by pip where uv isn't to be had or fails; return '' or what went wrong."""
    uv = shutil.which("uv", path=str(PYTHON.parent))
    if uv and not run(uv, "pip", "install", "--python", str(PYTHON), *words, **uv_settings()):
        return ""
    return pip(*words)


def stop_after(output: str) -> None:
    """End with a sentence if `output` tells of a failure, or with its last lines where no sentence fits."""
    if not output:
        return
    if re.search(NO_SPACE, output):
        sys.exit("\nThe disk is full: make room here and where temporary files go, then run this again.")
    if re.search(NO_NETWORK, output):
        sys.exit("\nNo package index could be reached: check the network or the proxy, then run this again.")
    for name in re.findall(r"(?sm)DO NOT MATCH THE HASHES.*?^ +([\w.+=-]+) from", output):
        sys.exit(f"\n{name} is not the file that was tested: its SHA-256 differs. Try another index; see SECURITY.md.")
    sys.exit(f"\n{output[-1500:]}\nThe set-up stopped at the lines above; all that was said is in {LOG}.")


def torch_build(wanted: str) -> str:
    """Return the lock file of the build of torch that suits this machine, so that nobody downloads CUDA in vain."""
    gpu = Path("/dev/nvidia0").exists() or (Path("/dev/dxg").exists() and shutil.which("nvidia-smi"))
    if sys.platform != "linux" or wanted == "cuda" or (wanted == "auto" and gpu):
        return "torch.lock"
    failure = add("--dry-run", *locked("torch-cpu.lock"))
    if re.search("No matching distribution|ResolutionImpossible", failure) and not re.search(NO_NETWORK, failure):
        sys.exit(CUDA_ONLY)
    stop_after(failure)
    return "torch-cpu.lock"


def fingerprint(*locks: str) -> str:
    """Hash what an installation depends on: the pins, the project, its folder, the environment's Python."""
    files = [*(ROOT / "requirements" / name for name in locks), ROOT / "pyproject.toml", VENV / "pyvenv.cfg"]
    return hashlib.sha256(b"".join([str(ROOT).encode(), *(file.read_bytes() for file in files)])).hexdigest()


def make_environment(usable: bool) -> None:
    """Make .venv, or mend what an interrupted start has left there."""
    keep = usable and not (VENV / "installed").exists()  # which an earlier version of this file wrote
    command = [sys.executable, "-m", "venv", *([] if keep else ["--clear"]), str(VENV)]
    made = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    stop_after(made.stdout + made.stderr if made.returncode else "")


def drop_headers() -> None:
    """Remove 0.3 GB of TensorFlow's that serve only those who extend it in C++."""
    for packages in (*VENV.glob("lib/python*/site-packages"), *VENV.glob("Lib/site-packages")):
        shutil.rmtree(str(packages / "tensorflow" / "include"), ignore_errors=True)


def install(wanted: str | None) -> None:
    """Make .venv and install a learner's pins into it, unless that was done and nothing has changed since."""
    usable = PYTHON.exists() and not subprocess.run([str(PYTHON), "-V"], capture_output=True).returncode
    stamp = VENV / "ready"
    done = stamp.read_text("utf-8") if usable and stamp.exists() else ""
    wanted = wanted or done.partition(" ")[2] or "auto"
    if done and done == f"{fingerprint(*LOCKS)} {wanted}":
        return
    check_machine()
    print(f"Setting up {VENV}: a minute or some the first time, seconds after that.", flush=True)
    stamp.unlink(missing_ok=True)  # an installation that is cut off leaves none
    if not done:
        make_environment(usable)
    LOG.write_text("", encoding="utf-8")
    failure = pip(*locked("installer.lock"))  # uv takes a fraction of pip's time
    if re.search(NO_SPACE + "|" + NO_NETWORK, failure):
        stop_after(failure)
    torch = torch_build(wanted)
    stop_after(add(*locked("build.lock")))  # what builds the packages that have no wheel
    stop_after(add(*locked("learn.lock", torch)))
    stop_after(add("--no-deps", "--no-build-isolation", "-e", "."))
    drop_headers()
    stamp.write_text(f"{fingerprint(*LOCKS)} {wanted}", encoding="utf-8")
    print(f"\r{'Everything is installed.':78}", flush=True)


def install_more(kind: str) -> None:
    """Install what teachers or developers need beside a learner's pins, unless that was done."""
    lock, stamp = f"{kind}.lock", VENV / f"ready-{kind}"
    if stamp.exists() and stamp.read_text("utf-8") == fingerprint(lock):
        return
    print(f"Adding what requirements/{kind}.txt names.", flush=True)
    stop_after(add(*locked(lock)))
    stamp.write_text(fingerprint(lock), encoding="utf-8")


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
        if command in MORE_PINS:
            install_more(MORE_PINS[command])
    elif command == "test" and not find_spec("xdist"):
        sys.exit("The tests need more: run `python -m pip install --no-deps -r requirements/dev.txt`, then this again.")
    if command == "test" and rest[:1] == ["quick"]:
        rest[:1] = ["-m", "quick", "tests"]
    python = sys.executable if options.here else str(PYTHON)
    modules = {"lab": ["tools.jupyter"], "run": ["tools.repo.notebooks", "--no-store"], "help": ["tools", "-h"]}
    modules["test"] = ["pytest", "-n2", "--dist=loadscope", "--no-loadscope-reorder", "--durations=40"]
    line = [python, "-m", *modules.get(command, ["tools", command]), *rest]
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
