"""How long a command keeps a person waiting before it does anything, beside the imports that it avoids."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.measure import OthersWatch, Report, Rounds, Sample, interleave, machine_description, timed
from utils.files.places import ROOT

LIMIT = 0.3  # seconds, for import utils, for --help and for loading nano
COMMANDS = {
    "python alone": ["-c", "pass"],
    "import utils": ["-c", "import utils"],
    "python -m tools --help": ["-m", "tools", "--help"],
    "import numpy": ["-c", "import numpy"],
    "import torch": ["-c", "import torch"],
}
LOAD_NANO = """
import time, torch, utils.loaders
began = time.perf_counter()
utils.loaders.load_gpt2("nano")
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Settings:
    """How often each command is started."""

    rounds: Rounds = Rounds(11)


def measure(settings: Settings = Settings()) -> Report:
    """Start each command as a person would, in turns."""
    turns: dict[str, Callable[[], Sample]] = {name: partial(start, words) for name, words in COMMANDS.items()}
    turns["load nano, once torch is imported"] = nano_seconds
    with OthersWatch() as others:
        samples = interleave(turns, settings.rounds)
    notes = [f"The aim for import utils, for --help and for nano is {LIMIT} s.", others.sentence()]
    title = "Start-up: seconds until the command is done"
    return Report("startup", title, asdict(settings), samples, (), notes, machine_description())


def start(words: list[str]) -> Sample:
    """Return how many seconds python takes with these arguments."""
    command = [sys.executable, *words]
    return {"wall seconds": timed(lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True))}


def nano_seconds() -> Sample:
    """Return how many seconds a new process takes to load nano after its imports."""
    words = [sys.executable, "-c", LOAD_NANO]
    return {"wall seconds": float(subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout)}
