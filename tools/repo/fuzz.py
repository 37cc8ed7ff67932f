"""Fuzzing: files of every kind that the course opens, damaged at random; each must open or be refused in a sentence.

An exception that is no `CourseError`, a process that dies, or a file that takes longer than its bytes allow is a fault,
and is named with the number that makes the same file again.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random

from tools.repo.fuzz_targets import FEW, KINDS, Target
from utils.errors import CourseError
from utils.files.places import ROOT

SECONDS, SECONDS_A_MEGABYTE, HUNG = 1.0, 20.0, 30  # processor time that a file may take; when it is cut off
CHUNK = 250  # files that one task opens
PIECES = [
    b"\0", b"\xff\xfe", b"\xff\xfe\0\0", b"\xef\xbb\xbf", b"\xfc", b"\r", b'"', b"{", b"[", b"<", b"</", b"<!--", b"&",
    b"<![CDATA[", b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b'"x"', b"[]", b"{}", b"9" * 30, b"\\ud800", b"${x}",
    b"${oc.env:HOME}", b"../", b"\x80", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"utf-16", b"ANSI", b",", b":", b"'",
]  # fmt: skip


class Hung(BaseException):
    """Raised in a file that takes too long; no reader may catch it."""


@dataclass
class Tally:
    """What became of the files of one kind."""

    opened: int = 0
    refused: int = 0
    slowest: float = 0.0  # seconds of processor time
    faults: Counter = field(default_factory=Counter)  # by exception and place
    examples: dict[str, int] = field(default_factory=dict)  # the number of a file with this fault

    def fault(self, what: str, number: int) -> None:
        self.faults[what] += 1
        self.examples.setdefault(what, number)

    def add(self, other: Tally) -> None:
        self.opened, self.refused = self.opened + other.opened, self.refused + other.refused
        self.slowest = max(self.slowest, other.slowest)
        self.faults += other.faults
        self.examples = other.examples | self.examples

    @property
    def files(self) -> int:
        return self.opened + self.refused + self.faults.total()


def damage(content: bytes, chance: Random) -> bytes:
    """Return the bytes with one to four changes: bits, bytes, spans cut, doubled, moved or nested, pieces put in."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        size = min(len(data) - at, int(chance.paretovariate(0.7)))
        span, piece = bytes(data[at : at + size]), chance.choice(PIECES)
        way = chance.randrange(9)
        if way == 0 and size:
            data[at] ^= 1 << chance.randrange(8)
        elif way == 1 and size:
            data[at] = chance.randrange(256)
        elif way == 2:
            del data[at : at + size]
        elif way == 3:
            data[at:at] = span
        elif way == 4:
            data[at : at + size] = piece
        elif way == 5:
            data[at:at] = piece
        elif way == 6:
            data[at:at] = piece * chance.choice((2, 50, 5000))
        elif way == 7:
            place = chance.randrange(len(data) + 1)
            data[place:place] = span
        else:
            data = data[:at]
    return bytes(data)


def damage_file(kind: str, content: bytes, number: int) -> bytes:
    """Return what file `number` of a kind holds, the same on every machine."""
    return damage(content, Random(f"{kind} {number}"))


def open_many(kind: str, first: int, count: int) -> Tally:
    """Damage and open some files of one kind in this process."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = KINDS[kind](Path(folder))
        content = target.file.read_bytes()
        for number in range(first, first + count):
            changed = damage_file(kind, content, number)
            target.file.write_bytes(changed)
            _open(target, len(changed), number, tally)
    return tally


def _open(target: Target, size: int, number: int, tally: Tally) -> None:
    """Open one file of so many bytes, and count what came of it, once."""
    start, outcome = time.process_time(), "opened"
    try:
        _watch(HUNG)
        target.visit(target.file)
    except CourseError:
        outcome = "refused"
    except (Exception, Hung) as error:  # what a learner would see as a traceback
        outcome = f"{type(error).__name__} at {_place(error)}"
    finally:
        _watch(0)
    seconds = time.process_time() - start
    tally.slowest = max(tally.slowest, seconds)
    if outcome not in ("opened", "refused"):
        tally.fault(outcome, number)
    elif seconds > SECONDS + SECONDS_A_MEGABYTE * size / 1e6:
        tally.fault(f"took {seconds:.1f} s of processor time for {size} bytes", number)
    elif outcome == "opened":
        tally.opened += 1
    else:
        tally.refused += 1


def _watch(seconds: int) -> None:
    """Raise Hung after so much time of the processor; Windows has no such clock."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGVTALRM, _stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def _stop(signum: int, frame: object) -> None:
    raise Hung


def _place(error: BaseException) -> str:
    """Return the innermost line of ours that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "utils")] or frames
    return f"{os.path.relpath(ours[-1].filename, ROOT)}:{ours[-1].lineno}"


def fuzz(kinds: list[str], files: int, first: int = 0, workers: int = 2) -> Iterator[tuple[str, Tally]]:
    """Damage and open so many files, the same number of each kind, and yield what became of each part."""
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise CourseError(f"There is no kind {unknown[0]!r} of file. Known are {', '.join(KINDS)}.")
    share = -(-files // len(kinds))
    ends = {kind: first + min(share, FEW.get(kind, share)) for kind in kinds}
    tasks = [(kind, at, min(CHUNK, ends[kind] - at)) for kind in kinds for at in range(first, ends[kind], CHUNK)]
    while tasks:
        context = get_context("forkserver" if hasattr(os, "fork") else "spawn")
        with ProcessPoolExecutor(workers, context, _one_thread) as pool:
            waiting = [(task, pool.submit(open_many, *task)) for task in tasks]
            tasks = []
            for task, future in waiting:
                try:
                    yield task[0], future.result()
                except BrokenProcessPool:  # this task, or one beside it, ended the process
                    yield from _again(task, tasks)


def _again(task: tuple[str, int, int], tasks: list[tuple[str, int, int]]) -> Iterator[tuple[str, Tally]]:
    """Queue a task whose process died in halves; one file alone is the culprit."""
    kind, at, count = task
    if count == 1:
        culprit = Tally()
        culprit.fault("the process died", at)
        yield kind, culprit
    else:
        tasks += [(kind, at, count // 2), (kind, at + count // 2, count - count // 2)]


def _one_thread() -> None:
    """Settle a worker: tiny models gain nothing from threads."""
    import torch

    torch.set_num_threads(1)


def report(tallies: dict[str, Tally]) -> list[str]:
    """Return a table of all kinds, and below it every fault with the number of a file that has it."""
    lines = [f"{'kind':16} {'files':>8} {'opened':>8} {'refused':>8} {'faults':>7} {'slowest':>9}"]
    for kind, tally in tallies.items():
        numbers = f"{tally.files:8,} {tally.opened:8,} {tally.refused:8,} {tally.faults.total():7,}"
        lines.append(f"{kind:16} {numbers} {tally.slowest:7.2f} s")
    total = [sum(getattr(tally, name) for tally in tallies.values()) for name in ("files", "opened", "refused")]
    lines.append(f"{'all':16} " + " ".join(f"{number:8,}" for number in total))
    for kind, tally in tallies.items():
        lines += [f"{kind}: {what}, {times} times, for instance file {tally.examples[what]}"
                  for what, times in tally.faults.most_common()]  # fmt: skip
    return lines


def keep_examples(tallies: dict[str, Tally], folder: Path) -> None:
    """Write one damaged file of each fault into a folder, named by its kind and number."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, tally in tallies.items():
        with tempfile.TemporaryDirectory() as made:
            target = KINDS[kind](Path(made))
            for number in tally.examples.values():
                name = f"{kind.replace(' ', '_')}_{number}{target.file.suffix}"
                (folder / name).write_bytes(damage_file(kind, target.file.read_bytes(), number))
