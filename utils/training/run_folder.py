"""Run folder and its lock: one run at a time in it, no debris of killed ones, and a word when it has vanished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from utils.errors import CourseError
from utils.training.distributed import World


@contextmanager
def claimed(folder: str | Path, world: World) -> Iterator[None]:
    """Keep a folder to this run for the length of a with block; a run killed in it leaves nothing locked.

    Blocks inside one another in the same process are one claim.
    """
    if not folder or not world.is_first:
        yield
        return
    path = Path(folder).resolve()
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0, is_singleton=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        why = f"{lock.lock_file} could not be written: {error.strerror or error}. Choose"
        if isinstance(error, Timeout):
            why = f"Another run is writing into {folder}. Wait for it, end it, or choose"
        raise CourseError(f"{why} another folder with out=…") from error
    try:
        yield
    finally:
        lock.release()


def move_aside(folder: Path) -> None:
    """Rename a folder to the first of folder.1, folder.2, … that is free."""
    number = 1
    while (name := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    try:
        folder.rename(name)
    except OSError as error:
        raise CourseError(
            f"{folder} holds an older run and could not be moved to {name}: {error.strerror or error}. "
            "Move it yourself, or choose another folder with out=…"
        ) from error


def sweep(folder: Path) -> None:
    """Remove what killed runs left half written; call it only where no other run writes."""
    for part in folder.glob("*.part"):
        part.unlink(missing_ok=True)


def check_still_there(folder: Path, step: int) -> None:
    """Stop when the folder of a run has gone, instead of making another one where nobody looks for it."""
    if not (folder / "config.json").is_file():
        raise CourseError(
            f"{folder} has vanished since the run began: was it moved, or a drive disconnected? Nothing was saved at "
            f"step {step}. In a notebook the weights are still there: keep them with save_gpt2(model, another_folder)."
        )
