"""A ladder at a true shape, kept as JSON in labs/results with its machine and its command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from labs.ladder.climb import Task, build_ladder, climb
from labs.true_size.lab_results import machine_in_words, write_result
from utils.config import SIZES, format_bytes
from utils.errors import CourseError
from utils.files.places import DATA
from utils.machine import pick_device
from utils.texts.reading import read_documents
from utils.tokenizer import Tokenizer


@dataclass(frozen=True)
class Climb:
    """Which ladder is climbed, as on the command line."""

    size: str = "small"
    context: int = 256
    sequences: int = 4
    steps: int = 4
    rounds: int = 1
    clock: str = "wall"

    @property
    def command(self) -> str:
        options = f"--context {self.context} --sequences {self.sequences} --steps {self.steps} --rounds {self.rounds}"
        return f"python course.py ladder {self.size} {options} --clock {self.clock}"


@dataclass(frozen=True)
class Ladder:
    """What came of it, a row for each rung."""

    command: str
    machine: str
    size: str
    context: int
    clock: str  # wall, or processor: seconds of the process itself, on one thread
    rungs: dict  # by name: tokens_per_second, peak_bytes, losses, sequences, parts, dtype
    left_out: str  # rungs that this machine does not have, and why

    def __str__(self) -> str:
        lines = [f"{self.size} from zero, context {self.context}, on {self.machine}, {self.clock} seconds"]
        for name, row in self.rungs.items():
            speed, memory = row["tokens_per_second"], format_bytes(row["peak_bytes"])
            lines.append(f"{name:16} {speed:>8,.0f} tokens/s {memory:>9}   last loss {row['losses'][-1]:.4f}")
        return "\n".join([*lines, *filter(None, [self.left_out])])


def climb_and_store(wish: Climb, out: str | Path = "") -> Ladder:
    """Climb, and write the result where it is wanted."""
    if wish.size not in SIZES:
        raise CourseError(f"size is {wish.size!r}, expected one of {', '.join(SIZES)}.")
    device = pick_device()
    if wish.clock == "processor" and (device.type != "cpu" or torch.get_num_threads() > 1):
        raise CourseError(
            f"clock is processor, which counts right for one thread of a CPU; here are {torch.get_num_threads()} on "
            f"{device.type}. Set OMP_NUM_THREADS=1, or take clock=wall."
        )
    rungs, left_out = build_ladder(device, wish.sequences, parts=min(4, wish.sequences))
    task = Task(SIZES[wish.size], handbook_tokens(), wish.context, wish.steps, clock=wish.clock)
    climbed = climb(task, rungs, wish.rounds)
    rows = {
        one.rung.name: {
            "tokens_per_second": round(one.tokens_per_second, 1),
            "peak_bytes": one.peak_bytes,
            "losses": one.losses,
            "sequences": one.rung.sequences,
            "parts": one.rung.parts,
            "dtype": one.rung.dtype,
        }
        for one in climbed
    }
    machine = machine_in_words(device)
    result = Ladder(wish.command, machine, wish.size, wish.context, wish.clock, rows, "; ".join(left_out))
    if out:
        write_result(result, out)
    return result


def handbook_tokens() -> list[int]:
    """Return the tokens of the course's handbook of a small town, which comes as a PDF."""
    (handbook,) = read_documents(DATA / "handbook" / "handbook.pdf")
    return Tokenizer.gpt2().encode(handbook.text)
