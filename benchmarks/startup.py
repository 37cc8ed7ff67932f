"""How long a command keeps a person waiting before it does anything, beside the imports that it avoids."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import OthersWatch, Report, Rounds, interleave, machine_description, timed

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 0.3  # seconds, for import utils and for --help
COMMANDS = {
    "python alone": ["-c", "pass"],
    "import utils": ["-c", "import utils"],
    "python -m utils --help": ["-m", "utils", "--help"],
    "import numpy": ["-c", "import numpy"],
    "import torch": ["-c", "import torch"],
}


@dataclass(frozen=True)
class Settings:
    """How often each command is started."""

    rounds: Rounds = Rounds(11)


def measure(settings: Settings = Settings()) -> Report:
    """Start each command as a person would, in turns."""
    turns = {name: lambda words=words: {"wall seconds": start(words)} for name, words in COMMANDS.items()}
    with OthersWatch() as others:
        samples = interleave(turns, settings.rounds)
    notes = [f"The aim for import utils and for --help is {LIMIT} s.", others.sentence()]
    title = "Start-up: seconds until the command is done"
    return Report("startup", title, asdict(settings), samples, (), notes, machine_description())


def start(words: list[str]) -> float:
    """Return how many seconds python takes with these arguments."""
    return timed(lambda: subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True))
