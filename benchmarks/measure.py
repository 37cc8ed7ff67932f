"""Fair timing: contestants in processes of their own take turns, and ratios are taken within a turn.

A B C A B C, and not A A B B: whatever slows the machine down for a while slows all of them down.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from utils.errors import CourseError
from utils.machine import peak_memory

Sample = dict[str, float]  # what one turn of one contestant gave, by the name of the quantity


@dataclass(frozen=True)
class Summary:
    """The middle of some samples, and how far they spread."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Ratio:
    """How many times as much of a quantity one contestant has as another, taken turn by turn."""

    of: str
    to: str
    quantity: str
    summary: Summary
    target: float | None = None


@dataclass(frozen=True)
class Report:
    """What one benchmark found: samples by contestant and turn, ratios, and what was left out and why."""

    name: str
    title: str
    settings: Mapping[str, object]
    samples: Mapping[str, Sequence[Sample]]
    ratios: Sequence[Ratio] = ()
    notes: Sequence[str] = ()
    machine: Mapping[str, object] = field(default_factory=dict)


def summarize(values: Sequence[float]) -> Summary:
    """Return the median and the extremes.

    >>> summarize([3.0, 1.0, 2.0, 10.0])
    Summary(median=2.5, low=1.0, high=10.0, count=4)
    """
    if not values:
        raise CourseError("There is nothing to summarize: a benchmark needs at least one round.")
    return Summary(statistics.median(values), min(values), max(values), len(values))


def compare(samples: Mapping[str, Sequence[Sample]], of: str, to: str, quantity: str, **extra) -> Ratio:
    """Divide turn by turn, then summarize: two contestants of one turn met the same neighbors."""
    pairs = zip(samples[of], samples[to], strict=True)
    return Ratio(of, to, quantity, summarize([a[quantity] / b[quantity] for a, b in pairs]), **extra)


@dataclass(frozen=True)
class Rounds:
    """How many rounds count, how many come before them, and how long each waits for other programs to calm down."""

    count: int = 5
    warm_up: int = 1
    patience: float = 20.0  # seconds


def interleave(turns: Mapping[str, Callable[[], Sample]], rounds: Rounds) -> dict[str, list[Sample]]:
    """Let each contestant have one turn, then each another one: A B C A B C, without the warm-up's samples."""
    samples: dict[str, list[Sample]] = {name: [] for name in turns}
    for number in range(rounds.warm_up + rounds.count):
        wait_for_quiet(rounds.patience)
        for name, turn in turns.items():
            sample = turn()
            if number >= rounds.warm_up:
                samples[name].append(sample)
    return samples


def wait_for_quiet(patience: float, limit: float = 0.1) -> None:
    """Return when other programs use less than `limit` of the cores, or when patience ends."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        with OthersWatch() as others:
            time.sleep(0.5)
        if others.share < limit:
            return


class Child:
    """A contestant in a process of its own, which sleeps while others have their turns.

    `make(*arguments)` runs over there and returns the function that is one turn. `imports` are made
    first, so that they count neither as time nor as memory.
    """

    context = multiprocessing.get_context("spawn")

    def __init__(self, make: Callable[..., Callable[[], Sample]], *arguments, imports: Sequence[str] = ()) -> None:
        self.pipe, theirs = self.context.Pipe()
        self.name = make.__name__
        self.process = self.context.Process(target=_serve, args=(theirs, make, arguments, tuple(imports)), daemon=True)
        self.process.start()
        theirs.close()

    def turn(self) -> Sample:
        """Have one turn and return what it measured, with the child's peak memory above its imports."""
        try:
            self.pipe.send("turn")
            kind, value = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join(5)
            raise CourseError(
                f"The contestant {self.name} ended with exit code {self.process.exitcode} in the middle of its turn. "
                "Most likely memory ran out: close other programs, or measure on a larger machine."
            ) from error
        if kind == "error":
            raise CourseError(f"The contestant {self.name} failed: {value}")
        return value

    def close(self) -> None:
        self.pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.terminate()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def fresh_turn(make: Callable[..., Callable[[], Sample]], *arguments, imports: Sequence[str] = ()) -> Callable:
    """Return the turn of a contestant that gets a new process every time."""

    def turn() -> Sample:
        with Child(make, *arguments, imports=imports) as child:
            return child.turn()

    return turn


def race(contestants: Mapping[str, Child], rounds: Rounds) -> dict[str, list[Sample]]:
    """Let contestants take turns, each in its one process, and end the processes."""
    with ExitStack() as stack:
        return interleave({name: stack.enter_context(child).turn for name, child in contestants.items()}, rounds)


def _serve(pipe, make: Callable, arguments: tuple, imports: tuple[str, ...]) -> None:
    """Build the contestant at its first turn, then take turns until the other end of the pipe closes."""
    turn = None
    logging.disable(logging.WARNING)  # libraries' remarks on missing GPUs would tear the table apart
    try:
        for name in imports:
            importlib.import_module(name)
        before = psutil.Process().memory_info().rss
        while pipe.recv():
            turn = turn or make(*arguments)
            pipe.send(("sample", {**turn(), "peak bytes": float(peak_memory() - before)}))
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:  # reported by the parent, who knows the contestant's name
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class OthersWatch:
    """Measures which share of the cores other programs used while a with block ran."""

    share: float = 0.0

    def __enter__(self) -> OthersWatch:
        self.began, self.all, self.mine = time.perf_counter(), busy_seconds(), own_seconds()
        return self

    def __exit__(self, *_) -> None:
        seconds = (time.perf_counter() - self.began) * (os.cpu_count() or 1)
        others = (busy_seconds() - self.all) - (own_seconds() - self.mine)
        self.share = min(1.0, max(0.0, others / seconds))

    def sentence(self) -> str:
        return f"Other programs used {self.share:.0%} of the cores during the run."


def busy_seconds() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def own_seconds() -> float:
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in family) + sum(me.cpu_times()[2:4])


def machine_description() -> dict[str, object]:
    """Return what matters about this machine for speed; no names of hosts or people."""
    import torch

    from utils.machine import has_real_bf16, usable_cores

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "bfloat16 in hardware": has_real_bf16("cpu"),
        "memory GiB": round(psutil.virtual_memory().total / 2**30),
        "Python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
    }
