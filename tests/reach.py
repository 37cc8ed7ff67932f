"""How far the checks of the exercises reach: what they say to answers that they were not written with.

    python -m tests.reach                      # all exercises, as a table
    python -m tests.reach 03 11 --messages F   # some of them, and every message in a file
    python -m tests.reach --judge              # writes new messages into tests/held_out/judged.json

A wrong answer may be refused by the learner's own checks, by hidden ones only, or by none. Whether a message misleads
is for a person to say: judged.json keeps the verdicts, and a message that has changed must be judged anew. Each
exercise runs in a fork of one process, each answer in a fork of that, which ends if the answer never does.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import linecache
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.held_out import Answer
from tests.solved import all_tests, solved_names
from tools.classroom.exercise_builder import find_masters
from tools.repo.notebooks import ROOT, SETTINGS
from utils.checks import Exercise, judge
from utils.checks.tensors import MAP
from utils.errors import CourseError

JUDGED = Path(__file__).parent / "held_out" / "judged.json"
REFUSED, HIDDEN, ACCEPTED, ENDLESS = "refused", "refused by hidden checks only", "accepted", "never ended"
VERDICTS = ("diagnosed", "shows the values", "python error", "misleading")
ENOUGH = 8.0  # seconds for one check, less than a learner's notebook gives; the slowest right answer takes one
SECONDS = 60  # of the processor, for one answer and all of its checks
NEVER = "It had not ended after {} seconds of computing."
NEEDS_TENSORFLOW = "00"
# What exercises import, some of it in the middle of a check
LIBRARIES = ("gguf", "matplotlib.pyplot", "pandas", "torch._dynamo")


@dataclass(frozen=True)
class Outcome:
    """What became of one answer, the message that the learner reads, and what a person says of the message."""

    exercise: str
    task: str
    index: int
    right: bool
    kind: str
    state: str
    message: str
    verdict: str = ""


# One exercise


def measure(name: str) -> list[dict]:
    """Run every answer to one exercise; all share the names of its solved notebook. None is run without TensorFlow."""
    if name.startswith(NEEDS_TENSORFLOW):
        try:
            import tensorflow  # noqa: F401  # in this fork alone
        except ImportError:  # missing, or broken on this machine
            return []
    module = importlib.import_module(f"tests.held_out.{name}")
    exercise, every = Exercise(name), all_tests(name)
    exercise.seconds = ENOUGH
    outcomes = []
    names = solved_names(name)
    for right, tasks in ((False, module.WRONG), (True, module.RIGHT)):
        for task, answers in tasks.items():
            for index, answer in enumerate(answers):
                state, message = outcome_of(tried, task, answer, names, exercise, every)
                outcomes.append(asdict(Outcome(name, task, index, right, answer.kind, state, message)))
    return outcomes


def tried(task: str, answer: Answer, names: Mapping, exercise: Exercise, every: Mapping) -> tuple[str, str]:
    """Return how far an answer comes, and what the learner reads then."""
    mine, cell, code = dict(names), f"<answer to {task}>", answer.code.lstrip("\n")
    linecache.cache[cell] = (len(code), None, code.splitlines(keepends=True), cell)  # a message may quote a line of it
    exec(compile(code, cell, "exec"), mine)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exercise.check(task, mine)
    message = said.getvalue().strip().partition(f"\n{MAP}")[0]  # a verdict is about the words
    if ": right" not in message:
        return REFUSED, message
    message = judge(task, every[task], mine)
    return (ACCEPTED if ": right" in message else HIDDEN), message


def outcome_of(run: Callable[..., tuple[str, str]], *arguments) -> tuple[str, str]:
    """Return how far an answer comes in a fork of this process, where it can change nothing and has limited time."""
    return tuple(in_a_fork(stopped_or, run, *arguments, seconds=SECONDS) or (ENDLESS, NEVER.format(SECONDS)))


def stopped_or(run: Callable[..., tuple[str, str]], *arguments) -> tuple[str, str]:
    """Return what a function gives, or that the check itself stopped."""
    try:
        return run(*arguments)
    except BaseException as error:
        return REFUSED, f"The check itself stopped with {type(error).__name__}: {error}"


def in_a_fork(run: Callable[..., Any], *arguments, seconds: int = 0) -> Any:
    """Return what a function gives in a fork of this process, by way of JSON; None where the fork ended before."""
    import resource  # of Unix, as fork is

    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            if seconds:
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))  # of the processor: others may be at work
            said = json.dumps(run(*arguments))
            with os.fdopen(write, "w", encoding="utf-8") as pipe:
                pipe.write(said)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None


# All exercises, each in a fork of one process that has imported what they share


def outcomes_of(names: Iterable[str]) -> dict[str, list[Outcome]]:
    """Return what became of all answers to each exercise; one that needs TensorFlow is left out where there is none."""
    settings = os.environ | SETTINGS | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "outcomes.json"
        command = [sys.executable, "-m", "tests.reach", *names, "--into", str(file)]
        done = subprocess.run(command, cwd=ROOT, env=settings, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise CourseError(f"An exercise could not be measured:\n{done.stderr[-3000:]}")
        found, judged = json.loads(file.read_text(encoding="utf-8")), read_judged()
    return {name: [with_verdict(Outcome(**one), judged) for one in every] for name, every in found.items()}


def measure_into(names: Iterable[str], file: Path) -> int:
    """Measure exercises one after the other, and write what became of their answers into a file."""
    for library in LIBRARIES:
        importlib.import_module(library)
    found = {}
    for name in names:
        outcomes = in_a_fork(measure, name)
        if outcomes is None:
            return 1
        print(f"{name}: {len(outcomes) or 'TensorFlow is missing, no'} answers", flush=True)
        found |= {name: outcomes} if outcomes else {}
    file.write_text(json.dumps(found), encoding="utf-8")
    return 0


# What a person says of messages


def read_judged() -> dict:
    """Return the verdicts: {exercise: {task: {index: {message, verdict, why}}}}."""
    return json.loads(JUDGED.read_text(encoding="utf-8")) if JUDGED.is_file() else {}


def with_verdict(outcome: Outcome, judged: Mapping) -> Outcome:
    """Return an outcome with its verdict, if its message is the one that was judged, but for numbers."""
    found = judged.get(outcome.exercise, {}).get(outcome.task, {}).get(str(outcome.index), {})
    same = found and normalised(found["message"]) == normalised(outcome.message)
    return replace(outcome, verdict=found["verdict"]) if same and not outcome.right else outcome


def normalised(message: str) -> str:
    """Return a message without what differs between machines: digits of numbers, addresses, folders.

    >>> normalised("Given x=[0.25, -3e-05] in /tmp/a1/b you give 7.")
    'Given x=[#, #] in # you give #.'
    """
    return re.sub(r"/[\w./-]+|-?\b(0x[0-9a-f]+|\d[\d.,]*(e[-+]?\d+)?\b)|nan", "#", message)


def proposed(message: str) -> str:
    """Return the verdict that a message's form decides; none where it asks or tells something that may be untrue.

    >>> proposed("Given 1 you give 2, expected 3."), proposed("Given 1 you give 2, expected 3. Twice too many?")
    ('shows the values', '')
    """
    last = re.split(r"(?<=[.!?]) (?=[A-Z])", message)[-1]
    if "our code stopped" in message:
        return "python error" if "?" not in last else ""
    return "shows the values" if re.search("expected|^The (key|length|shape|dtype) ", last) and "?" not in last else ""


def write_judged(outcomes: Iterable[Outcome]) -> int:
    """Write messages without a verdict into judged.json, and return how many need one by hand."""
    judged, by_hand = read_judged(), 0
    for outcome in outcomes:
        if outcome.state == REFUSED and not outcome.right and not outcome.verdict:
            verdict = proposed(outcome.message)
            entry = {"message": outcome.message, "verdict": verdict, "why": "by its form" if verdict else ""}
            judged.setdefault(outcome.exercise, {}).setdefault(outcome.task, {})[str(outcome.index)] = entry
            by_hand += not verdict
    JUDGED.write_text(json.dumps(judged, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return by_hand


# What is told


HEAD = ("exercise", "wrong", "refused", "hidden only", "accepted", "endless", *VERDICTS, "unjudged", "right", "refused")


def row_of(name: str, outcomes: Iterable[Outcome]) -> list:
    """Return the figures of an exercise, or of all of them, in the order of the table's head."""
    wrong, right = ([one for one in outcomes if one.right == kind] for kind in (False, True))
    states = [sum(one.state == state for one in wrong) for state in (REFUSED, HIDDEN, ACCEPTED, ENDLESS)]
    refused = [one for one in wrong if one.state == REFUSED]
    verdicts = [sum(one.verdict == verdict for one in refused) for verdict in (*VERDICTS, "")]
    return [name, len(wrong), *states, *verdicts, len(right), sum(one.state != ACCEPTED for one in right)]


def table(outcomes: list[Outcome]) -> str:
    """Return a table in Markdown: a row for each exercise, and one for all."""
    exercises = sorted({one.exercise for one in outcomes})
    rows = [row_of(name[:2], [one for one in outcomes if one.exercise == name]) for name in exercises]
    lines = [HEAD, ["---"] * len(HEAD), *rows, row_of("all", outcomes)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def written(outcomes: Iterable[Outcome]) -> str:
    """Return every message with the answer that it was said to."""
    return "\n".join(
        f"{one.exercise[:2]} {one.task} {'right' if one.right else 'wrong'} {one.index}: {one.kind}\n"
        f"    {one.state}{f', {one.verdict}' if one.verdict else ''}: {one.message}"
        for one in outcomes
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of exercises' names, such as 03; all where none is given")
    parser.add_argument("--messages", type=Path, metavar="FILE", help="write every message into a file")
    parser.add_argument("--judge", action="store_true", help="write messages without a verdict into judged.json")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # what was measured, in this process
    asked = parser.parse_args()
    if asked.into:
        return measure_into(asked.names, asked.into)
    found = outcomes_of(master.stem for master in find_masters(asked.names))
    outcomes = [one for every in found.values() for one in every]
    print("\n" + table(outcomes))
    if asked.messages:
        asked.messages.write_text(written(outcomes), encoding="utf-8")
    if asked.judge:
        print(f"\n{write_judged(outcomes)} messages need a verdict by hand in {JUDGED.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
