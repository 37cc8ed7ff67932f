"""Loaders measured in processes of their own, so that no loader meets the memory or the settings of another.

`python -m labs.shootout.loader_child` answers one JSON line for each that it reads. Where the system can fork, it
imports the libraries once and forks for every loader, which saves seconds each time; elsewhere each loader has a new
process.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from labs.shootout.loader_zoo import LOADERS
from utils.errors import CourseError
from utils.files.places import ROOT

SHARED = (
    "torch",
    "utils.loaders",
    "utils.sampling",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.generation",
)


@dataclass(frozen=True)
class Job:
    """What one loader is to do: open a file, say its logits after each prompt, write so many tokens."""

    loader: str
    path: str
    prompts: list[list[int]]
    logits: str  # the .npy file for them, (prompts, vocab)
    new_tokens: int = 32


@dataclass(frozen=True)
class Measured:
    """What it took: the bytes of weights by count, and of memory as the system sees it."""

    weight_bytes: int
    load_seconds: float
    memory_bytes: int
    tokens_per_second: float


def measure(job: Job) -> Measured:
    """Do a job in this process; imports cost neither time nor memory."""
    loader = LOADERS[job.loader]
    for name in loader.needs:
        importlib.import_module(name)
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    opened = loader.load(Path(job.path))
    load_seconds = time.perf_counter() - began
    seconds = []
    for _ in range(2):  # the first one pays for what libraries do once
        began = time.perf_counter()
        opened.generate(job.prompts[0], job.new_tokens)
        seconds.append(time.perf_counter() - began)
    memory = psutil.Process().memory_info().rss - before
    np.save(job.logits, np.stack([opened.logits(prompt).numpy() for prompt in job.prompts]))
    return Measured(opened.nbytes, load_seconds, max(0, memory), job.new_tokens / min(seconds))


class Children:
    """Processes that measure; a with block ends them."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.remarks = tempfile.TemporaryFile()  # noqa: SIM115 (of what libraries say on stderr; closed with us)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_) -> None:
        self._end()
        self.remarks.close()

    def run(self, job: Job) -> Measured:
        """Let a child do a job; what went wrong there is raised here as a CourseError."""
        if self.process is None:
            self._start()
        try:
            self.process.stdin.write(json.dumps(asdict(job)) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline() or '{"error": "its process ended"}')
        except (OSError, ValueError) as error:
            answer = {"error": f"its process ended ({error})"}
        if not can_fork() or "error" in answer:
            self._end()
        if "error" in answer:
            raise CourseError(f"{job.loader} failed: {answer['error']}. Leave it out, or try it alone to see more.")
        return Measured(**answer)

    def _start(self) -> None:
        command = [sys.executable, "-m", "labs.shootout.loader_child"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.remarks, "encoding": "utf-8"}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false", "PYTHONUTF8": "1"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | quiet, **pipes)

    def _end(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self.process.stdout.close()
        self.process = None


def can_fork() -> bool:
    """Say whether a child may fork after its imports: on Linux, unless CUDA is there, which no fork survives."""
    return sys.platform == "linux" and not torch.cuda.is_available()


def answer(line: str) -> dict:
    """Do the job of one line, and return what was measured or what went wrong."""
    try:
        return asdict(measure(Job(**json.loads(line))))
    except Exception as error:  # any library may fail in any way: the parent reports it by the loader's name
        return {"error": f"{type(error).__name__}: {str(error)[:500]}"}


def answer_in_fork(line: str) -> dict:
    """Do the job of one line in a fork of this process."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            pipe.write(json.dumps(answer(line)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    ended = f"its process ended with {os.waitstatus_to_exitcode(status)}; most likely memory ran out"
    return json.loads(text) if text else {"error": ended}


def main() -> None:
    """Answer line by line until there are no more."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    fork = can_fork()
    for name in SHARED if fork else ():
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    for line in sys.stdin:
        said.write(json.dumps(answer_in_fork(line) if fork else answer(line)) + "\n")
        said.flush()


if __name__ == "__main__":
    main()
