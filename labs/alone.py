"""Process isolation: a function runs in a process of its own, forked from a server that has imported what it needs.

So no measurement meets the memory or the settings of another, and none waits for imports. Where there is no fork
server (Windows), each process begins anew.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from utils.errors import CourseError
from utils.files.progress import OFTEN, SILENCE, LiveLine

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false"}
Found = TypeVar("Found")


def run_alone(
    name: str, function: Callable[..., Found], *arguments, shared: Sequence[str] = ("torch", "utils.loaders")
) -> Found:
    """Return what a function returns in a new process; whatever goes wrong there is a CourseError that has `name`.

    The first call starts the server, which imports the modules `shared`.
    """
    can_fork = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if can_fork else "spawn")
    if can_fork:
        context.set_forkserver_preload(list(shared))
    with ProcessPoolExecutor(1, context, _silence) as pool:
        try:
            return wait_for(pool.submit(function, *arguments), name)
        except CourseError:
            raise
        except BrokenProcessPool:
            said = "its process ended; most likely memory ran out"
        except Exception as error:  # any library may fail in any way
            said = f"{type(error).__name__}: {str(error)[:500]}"
    raise CourseError(f"{name} failed: {said}. Leave it out, or try it alone to see more.")


def wait_for(found: Future[Found], name: str) -> Found:
    """Wait for what another process finds, and say meanwhile for how long."""
    began = time.monotonic()
    with LiveLine(SILENCE) as live:
        while not wait([found], OFTEN).done:
            live.say(f"{name}: {time.monotonic() - began:.0f} s")
    return found.result()


def _silence() -> None:
    """Send what libraries print in this process nowhere."""
    os.environ.update(QUIET)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
