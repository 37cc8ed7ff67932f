"""A training job on a real Slurm: cancelled half-way, then twice the processes, and the losses of one process alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from labs.scale.one_machine_slurm import ENDED, NODES, OneMachineSlurm
from labs.true_size.lab_results import Points, machine_in_words, read_steps, write_result
from utils.errors import CourseError
from utils.files.places import DATA, ROOT
from utils.formats.safetensors import read_note
from utils.texts.bins import tokenize_to_bin
from utils.texts.corpus import BinSettings
from utils.tokenizer import Tokenizer
from utils.training.checkpoints import LAST

SCRIPT = ROOT / "labs" / "scale" / "train.slurm"
RECIPE = "labs/recipes/nano.yaml"
SHAPE = "n_layer=2 n_head=2 n_embd=32 context=64 dtype=float32 device=cpu optimizer=adamw"
RATE = "warmup_steps=10 learning_rate=1e-3 min_learning_rate=1e-3"  # does not depend on when the run ends
QUIET = "evaluate_every=1000000 save_every=1000000 sample= watch=0 seed=16"
SEQUENCES = 4  # in a step, whatever the number of processes
ENDLESS = 5_000  # steps that the first job never reaches; should it be left alone, it ends after some minutes
BOUND = 1e-5  # how far losses may differ, as a share: lesson 16's own


@dataclass(frozen=True)
class SlurmRun:
    """Two jobs that were one run, beside the same run in one process that nobody interrupted."""

    command: str
    machine: str
    slurm: str
    nodes: int
    parallel: str
    processes: Points  # of all nodes together: (first step, processes) for each job
    ended: str  # the last state of each job, in Slurm's words
    cancelled_after: int  # steps
    steps: int
    losses: Points  # of the two jobs
    alone: Points  # of one process
    differ_at_most: float  # as a share of the loss
    minutes: float

    def __str__(self) -> str:
        (_, before), (_, after) = self.processes
        return (
            f"{self.slurm}, {self.nodes} nodes: {before} processes, cancelled after step {self.cancelled_after} of "
            f"{self.steps}, gone on with {after}; losses differ from those of one process by at most "
            f"{self.differ_at_most:.1e} of their value ({self.minutes:.1f} minutes on {self.machine})"
        )


def run_here(out: str | Path = "", steps: int = 12) -> SlurmRun:
    """Run the whole proof in a folder that is removed afterwards, and write what was found as JSON.

    The first job is cancelled once it has taken so many steps, and the second one takes so many more.
    """
    began = time.monotonic()
    with TemporaryDirectory(prefix="slurm-") as name, OneMachineSlurm(Path(name) / "slurm") as slurm:
        data, folder = prepare_texts(Path(name)), Path(name) / "run"
        before = submit(slurm, folder, data, gpus=1, steps=ENDLESS)
        cancelled = cancel_after(slurm, before, folder, steps)
        after = submit(slurm, folder, data, gpus=2, steps=cancelled + steps)
        ended = [slurm.state(before), slurm.wait(after, 600)]
        if ended[1] != "COMPLETED":
            raise CourseError(f"Job {after}, which was to go on, is {ended[1]}. {slurm.last_words(after)}")
        losses, alone = losses_of(folder), train_alone(Path(name) / "alone", data, cancelled + steps)
        version = slurm.run("sinfo", "--version").strip()
    result = SlurmRun(
        command=f"python course.py slurm-here --steps {steps}",
        machine=machine_in_words(torch.device("cpu")),
        slurm=version,
        nodes=len(NODES),
        parallel="fsdp",
        processes=[(1, len(NODES)), (cancelled + 1, 2 * len(NODES))],
        ended=", ".join(ended),
        cancelled_after=cancelled,
        steps=len(losses),
        losses=losses,
        alone=alone,
        differ_at_most=largest_difference(losses, alone),
        minutes=round((time.monotonic() - began) / 60, 2),
    )
    check(result)
    if out:
        write_result(result, out)
    return result


def prepare_texts(folder: Path) -> Path:
    """Write the course's poems as token files."""
    return tokenize_to_bin(DATA / "poems", folder / "bins", Tokenizer.gpt2(), BinSettings()).train.parent


def settings_for(processes: int, data: Path, steps: int) -> str:
    """Return the settings of a run: the product of batch size and processes stays, and so do the losses."""
    return f"data={data} {SHAPE} {RATE} {QUIET} max_steps={steps} batch_size={SEQUENCES // processes}"


def submit(slurm: OneMachineSlurm, folder: Path, data: Path, gpus: int, steps: int) -> str:
    """Send train.slurm for both nodes, with so many GPUs on each; one process for each GPU."""
    settings = settings_for(gpus * len(NODES), data, steps)
    options = [f"--nodes={len(NODES)}", f"--gpus-per-node={gpus}"]
    return slurm.submit(SCRIPT, options, {**python_here(), "RECIPE": RECIPE, "OUT": str(folder), "SETTINGS": settings})


def python_here() -> Mapping[str, str]:
    """Return the variables with which another process runs this course with this Python, one thread each."""
    return {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def cancel_after(slurm: OneMachineSlurm, job: str, folder: Path, steps: int) -> int:
    """Cancel a job by scancel once it has taken so many steps, and return after which one it stopped."""
    table = folder / "steps.csv"

    def has_taken_them() -> bool:
        if (state := slurm.state(job)) in ENDED:
            raise CourseError(f"Job {job} is {state}, expected RUNNING. {slurm.last_words(job)}")
        return table.is_file() and len(table.read_bytes().splitlines()) > steps

    slurm.wait_until(f"job {job} has taken {steps} steps", has_taken_them, 600, job)
    slurm.run("scancel", job)
    slurm.wait(job, 300)
    return saved_step(slurm, job, folder)


def saved_step(slurm: OneMachineSlurm, job: str, folder: Path) -> int:
    """Return the step of the checkpoint, which must be the last one that was taken."""
    taken = max(read_steps(folder / "steps.csv"))
    if not (folder / LAST).is_file():
        raise CourseError(f"Job {job} left no checkpoint after {taken} steps. {slurm.last_words(job)}")
    saved = json.loads(read_note(folder / LAST)["training"])["progress"]["step"]
    if saved != taken:
        raise CourseError(f"Job {job} took {taken} steps, and its checkpoint is of step {saved}.")
    return taken


def train_alone(folder: Path, data: Path, steps: int) -> Points:
    """Return the losses of the same run in one process without Slurm."""
    words = [f"recipe={RECIPE}", f"out={folder}", *settings_for(1, data, steps).split()]
    env = {**os.environ, **python_here()}
    line = [sys.executable, "-m", "tools", "train", *words]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise CourseError(f"The run in one process failed: {done.stderr[-1500:]}")
    return losses_of(folder)


def losses_of(folder: Path) -> Points:
    """Return the loss of every step that a run has logged."""
    return [(step, float(row["loss"])) for step, row in read_steps(folder / "steps.csv").items()]


def largest_difference(losses: Points, others: Points) -> float:
    """Return by how much two curves differ at most, as a share of the second.

    >>> largest_difference([(1, 4.0), (2, 2.5)], [(1, 4.0), (2, 2.0)])
    0.25
    """
    return max(abs(a - b) / abs(b) for (_, a), (_, b) in zip(losses, others, strict=True))


def check(result: SlurmRun) -> None:
    """Refuse a run that was not cut in the middle, lacks a step, or has other losses than one process has."""
    steps = [step for step, _ in result.losses]
    if steps != list(range(1, result.steps + 1)) or not 0 < result.cancelled_after < result.steps:
        raise CourseError(f"Cancelled after step {result.cancelled_after}; the log has steps {steps}, each once.")
    if result.differ_at_most > BOUND:
        raise CourseError(f"Losses differ by {result.differ_at_most:.1e} of their value, expected at most {BOUND:g}.")
