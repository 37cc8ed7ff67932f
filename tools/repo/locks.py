"""Lock files: the SHA-256 of every file that a pin may install, made by uv, held by uv and pip (--require-hashes).

Pins stay short enough to read; their hashes lie in requirements/*.lock. torch is apart, since course.py chooses its
build: torch.lock has what the package index gives, CUDA's libraries included, torch-cpu.lock the builds without CUDA,
which PyTorch keeps on an index of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import ROOT

FOLDER = ROOT / "requirements"
PINS = {"learn": ROOT / "requirements.txt", "teach": FOLDER / "teach.txt", "dev": FOLDER / "dev.txt"}
HEADER = "# Made by `python course.py locks`.\n"
COMPILE = "pip compile --quiet --universal --python-version 3.11.0 --generate-hashes --no-annotate --no-header"
CPU_INDEX = "TORCH_CPU_INDEX"  # the environment variable with the address of PyTorch's builds for CPUs


def name_of(line: str) -> str:
    """Return the package that a line of pins or hashes is about."""
    return re.split(r"[=\s;]", line)[0]


def pinned(text: str) -> list[str]:
    """Return the pins in the text of a file of pins or of a lock file: name, version, marker."""
    lines = [line.partition("#")[0].rstrip("\\ ") for line in text.splitlines()]
    return [line for line in lines if line[:1].isalnum()]


def blocks_of(text: str) -> list[str]:
    """Return the blocks of a lock file, each of them a pin with its hashes."""
    return re.findall(r"(?m)^\w.*\n(?:\s+.*\n)*", text)


def expected() -> dict[str, list[str]]:
    """Return what each lock file holds, by the pins; torch.lock has CUDA's libraries beside that."""
    lines = {name: pinned(file.read_text(encoding="utf-8")) for name, file in PINS.items()}
    (torch,) = (line for line in lines["learn"] if name_of(line) == "torch")
    found = {name: [line for line in own if line != torch] for name, own in lines.items()}
    found["installer"] = [line for line in lines["dev"] if name_of(line) == "uv"]
    found["build"] = [line for line in lines["learn"] if name_of(line) == "setuptools"]
    found["torch"] = [torch.replace("==", "===")]  # so that 2.13.0+cpu, which is 2.13.0 too, gives way to it
    return found | {"torch-cpu": [f"{torch}+cpu"]}


def compiled(lines: list[str], *words: str) -> list[str]:
    """Let uv find the hashes of pins; return a block of text for each of them."""
    from uv import find_uv_bin

    command = [find_uv_bin(), *COMPILE.split(), "--no-config", "-", *words]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, encoding="utf-8", cwd=ROOT)
    if done.returncode:
        raise CourseError(f"uv found no hashes for {lines[0]} and what is with it: {done.stderr.strip()[-1500:]}")
    return blocks_of(done.stdout)


def torch_blocks(lines: list[str]) -> list[str]:
    """Return torch and the libraries of its CUDA build, which no pin names."""
    others = {name_of(line) for line in expected()["learn"]}
    found = [block for block in compiled(lines, "-c", str(PINS["learn"])) if name_of(block) not in others]
    return [re.sub("^torch==+", "torch===", block) for block in found]


def cpu_blocks(lines: list[str]) -> list[str]:
    """Return torch's build for CPUs, from the index that has it."""
    if not (index := os.environ.get(CPU_INDEX)):
        raise CourseError(f"{lines[0]} needs PyTorch's index of CPU builds: set {CPU_INDEX} to its address.")
    return compiled(lines, "--no-deps", "--index", index, "--index-strategy", "unsafe-best-match")


def write_locks() -> list[str]:
    """Write the lock files that are stale; return their names."""
    special = {"torch": torch_blocks, "torch-cpu": cpu_blocks}
    changed = [name for name, lines in expected().items() if list(problems(name, lines))]
    for name in changed:
        lines = expected()[name]
        blocks = special[name](lines) if name in special else compiled(lines, "--no-deps")
        (FOLDER / f"{name}.lock").write_text(HEADER + "".join(blocks), encoding="utf-8")
    return changed


def all_problems() -> list[str]:
    """Return what is wrong with the lock files, without a network."""
    return [problem for name, lines in expected().items() for problem in problems(name, lines)]


def problems(name: str, lines: list[str]) -> Iterator[str]:
    """Yield the pins that a lock file lacks, that it has beyond the pins, or has without a SHA-256."""
    lock = FOLDER / f"{name}.lock"
    blocks = blocks_of(lock.read_text(encoding="utf-8") if lock.is_file() else "")
    held = [pin for block in blocks for pin in pinned(block)]
    yield from (f"{lock.name} lacks {line}" for line in lines if line not in held)
    cuda = [line for line in held if name == "torch" and "linux" in line]
    yield from (f"{lock.name} holds {line}, which is pinned nowhere" for line in held if line not in [*lines, *cuda])
    bare = [block for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\s", block)]
    yield from (f"{lock.name} has no SHA-256 of {name_of(block)}" for block in bare)


def write_sbom(out: Path) -> int:
    """Write the bill of materials (SBOM, CycloneDX 1.6) of what a learner installs; return the number of parts."""
    text = "".join((FOLDER / f"{name}.lock").read_text(encoding="utf-8") for name in ("installer", "learn", "torch"))
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--pyproject", "pyproject.toml"]
    command += ["--spec-version", "1.6", "--output-reproducible", "--output-file", str(out.resolve()), "-"]
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", cwd=ROOT)
    if done.returncode:
        raise CourseError(f"cyclonedx-bom wrote no list of parts: {done.stderr.strip()[-1500:]}")
    return len(json.loads(out.read_text(encoding="utf-8"))["components"])
