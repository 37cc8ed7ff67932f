"""Two ends of a line in one process: a test asks functions as a check asks those of a submission."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tools.classroom.checking import Checker, Found
from tools.classroom.grade_submission import Notebook
from tools.classroom.remote_calls import Channel, NoAnswer
from utils.checks import read_checks


@contextlib.contextmanager
def connected(names: Mapping) -> Iterator[Channel]:
    """Give the asking end; a thread answers for some names at the other."""
    here, there = os.pipe(), os.pipe()
    server = Channel(os.fdopen(here[0], "rb"), os.fdopen(there[1], "wb"), True, names)
    thread = threading.Thread(target=_serve, args=(server,), daemon=True)
    thread.start()
    with os.fdopen(here[1], "wb") as write, os.fdopen(there[0], "rb") as read:
        yield Channel(read, write, False)
        write.close()
        thread.join(60)


def _serve(server: Channel) -> None:
    with contextlib.suppress(NoAnswer), server._in, server._out:
        server.serve_forever()


def checked_by_value(master: Path, tests: Mapping[str, str]) -> Callable[[str, dict], Found]:
    """Return a function that runs the checks of one task on some names as grading does, all of them as public."""
    checker = checker_of(master, tests)
    every = checker.tasks

    def check(task: str, names: dict) -> Found:
        checker.tasks = {task: every[task]}
        return all_by_value(checker, names)[task]

    return check


def checker_of(master: Path, tests: Mapping[str, str]) -> Checker:
    """Return the checker of an exercise, with all checks public."""
    tasks = {name: {"source": text, "hidden": [False] * len(read_checks(text))} for name, text in tests.items()}
    text = json.loads(master.read_text(encoding="utf-8"))
    return Checker({"exercise": master.stem, "master": text, "tasks": tasks})


def all_by_value(checker: Checker, names: dict) -> dict[str, Found]:
    """Return what the checks of all tasks of a checker find in some names."""
    notebook, found = Notebook([]), dict[str, Found]()
    notebook.defined = names
    with connected(notebook) as channel:
        channel.values.kept = checker.own_ids
        checker.check_all(channel, found)
    return found
