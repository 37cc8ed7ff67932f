"""Session setup: the first cell of every notebook chooses model size, device and RNG seed; Google Colab's packages.

The size stands on one dial, COURSE_MODEL, which `start(size=…)` turns for the notebooks that are opened later.
Lesson 00 explains it.
"""

from __future__ import annotations

import difflib
import importlib.util
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

from utils.config import SIZES, GPT2Config
from utils.errors import CourseError
from utils.files.places import ROOT

if TYPE_CHECKING:
    import torch

    from utils.model import GPT2
    from utils.tokenizer import Tokenizer


def chosen_size(size: str | None = None) -> str:
    """Return the size asked for, or the one on the dial COURSE_MODEL; nano when nothing is set."""
    asked = "COURSE_MODEL" if size is None else "size"
    size = (os.environ.get("COURSE_MODEL", "") if size is None else size).strip().lower() or "nano"
    if size not in SIZES:
        near = difflib.get_close_matches(size, SIZES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise CourseError(f"{asked} is {size!r}, expected one of {', '.join(SIZES)}.{hint}")
    return size


@dataclass
class Course:
    """The choices of this session; the model and the tokenizer are loaded when they are first used."""

    size: str
    device: torch.device
    dtype: torch.dtype
    seed: int

    @property
    def config(self) -> GPT2Config:
        return SIZES[self.size]

    @cached_property
    def model(self) -> GPT2:
        from utils.loaders import load_gpt2

        return load_gpt2(self.size, dtype=self.dtype, device=self.device)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from utils.tokenizer import Tokenizer

        return Tokenizer.gpt2()

    def __str__(self) -> str:
        return f"{self.size} on {self.device}, {str(self.dtype).removeprefix('torch.')}"


def start(seed: int = 0, size: str | None = None) -> Course:
    """Seed every random number generator, choose size and device, say so in one line and return the choices."""
    import numpy as np
    import torch

    from utils.machine import pick_device

    refuse_hub_code()
    size = chosen_size(size)
    os.environ["COURSE_MODEL"] = size
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    course = Course(size, pick_device(os.environ.get("COURSE_DEVICE") or None), torch.float32, seed)
    print(course)
    return course


def refuse_hub_code() -> None:
    """Let no library fetch native code from the Hugging Face Hub: bitsandbytes would while it is imported.

    It asks the package `kernels` for it, which Colab has and the course has not. What it fetches has no pinned hash.
    """
    if "kernels" not in sys.modules:
        sys.modules["kernels"] = None  # type: ignore[assignment]  # so that importing it fails
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # it advises to install kernels


# On Google Colab, whose machines come with packages of their own

PINS = ROOT / "requirements.txt"
# What a notebook may import and Colab may lack; packages are named alike, with hyphens.
MODULES = """accelerate bitsandbytes gguf google_crc32c gpt_2_simple gradio httpx2 omegaconf peft psutil pypdf
safetensors tokenizers torchao transformers tyro xllamacpp"""
NEEDED = MODULES.split()
KEPT = ("torch", "numpy", "tensorflow")  # Colab's own builds: another one would break its kernel or its GPU


def install_missing() -> list[str]:
    """Install by pip what is missing, in the course's versions, and return it; what is there keeps its version."""
    missing = [name.replace("_", "-") for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install([pinned(package) for package in missing], held())
    if stale := changed_under_us():
        raise CourseError(
            f"{', '.join(stale)} changed on disk after being imported. Runtime → Restart session, then run this cell "
            "first, before any other."
        )
    return missing


def pinned(package: str, pins: Path = PINS) -> str:
    """Return the package with the version that the course was tested with.

    >>> pinned("omegaconf")
    'omegaconf==2.4.0'
    """
    found = re.search(rf"^{re.escape(package)}==[^\s;#]+", pins.read_text(encoding="utf-8"), re.MULTILINE)
    return found[0] if found else package


def held() -> list[str]:
    """Return pip's constraints: the packages that must stay as they are, Colab's own and all that is loaded."""
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    owners = packages_distributions()
    names = {*KEPT, *(owner for module in loaded for owner in owners.get(module, ()))}
    return sorted(f"{name}=={there}" for name in names if (there := installed(name)))


def install(packages: list[str], held: list[str]) -> None:
    """Run pip with the packages and with what it may not change."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "held.txt"
        constraints.write_text("\n".join(held) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "-q", *packages, "-c", str(constraints)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CourseError(
            f"{', '.join(packages)} could not be installed: {reason}. Run this cell again; if that does not help, "
            "Runtime → Disconnect and delete runtime gives a fresh machine."
        )


def changed_under_us() -> list[str]:
    """Return the loaded packages of which another version than the loaded one is now on disk."""
    changed = []
    for name in (*KEPT, *NEEDED):
        have, there = getattr(sys.modules.get(name), "__version__", None), installed(name.replace("_", "-"))
        if have and there and have.partition("+")[0] != there.partition("+")[0]:
            changed.append(name)
    return changed


def installed(package: str) -> str | None:
    """Return the version of a package on disk, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
