"""Plugin loading: a learner's adapter, imported anew from its folder, and which of its functions are connected."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import ModuleType

from tools.capstone import NotConnected
from tools.capstone.parts import FUNCTIONS
from utils.errors import CourseError
from utils.files.places import ROOT

HOME = ROOT / "exercises" / "capstone"
ADAPTER = "adapter.py"


@contextmanager
def opened(folder: Path) -> Iterator[ModuleType]:
    """Import the adapter of a folder together with the files beside it, and forget them all afterwards."""
    if not (folder / ADAPTER).is_file():
        raise CourseError(f"{folder} holds no {ADAPTER}. Name the folder of a capstone; the course's own is {HOME}.")
    names = {path.stem for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield imported(folder)
    finally:
        sys.path.remove(str(folder))
        for name in names & sys.modules.keys():
            del sys.modules[name]
        sys.modules.update(before)


def imported(folder: Path) -> ModuleType:
    """Import the adapter, or say in which line of which file that stops."""
    try:
        return importlib.import_module(Path(ADAPTER).stem)
    except SyntaxError as error:
        name = Path(error.filename or ADAPTER).name
        raise CourseError(f"Python can't read {name}, line {error.lineno}: {error.msg}. Mend that line.") from error
    except Exception as error:  # whatever a learner's files do when they are imported
        place = where(error, folder)
        raise CourseError(f"Importing {ADAPTER} stopped{place} with {type(error).__name__}: {error}.") from error


def where(error: BaseException, folder: Path) -> str:
    """Say in which line of the learner's own files an error arose; nothing where it was in none of them."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).parent == folder]
    if not frames:
        return ""
    last = frames[-1]
    return f" in line {last.lineno} of {Path(last.filename).name}, `{last.line}`,"


def unconnected(adapter: ModuleType, names: tuple[str, ...] = FUNCTIONS) -> list[str]:
    """Return which of some functions of an adapter are still as the learner got them, or are missing."""
    return [name for name in names if is_stub(getattr(adapter, name, None))]


def is_stub(function: object) -> bool:
    """Tell whether a function does nothing but raise NotConnected; what is no function at all counts as one.

    >>> is_stub(None), is_stub(len)
    (True, False)
    """
    if not inspect.isfunction(function):
        return not callable(function)
    try:
        tree = ast.parse(dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):  # made by a program: let the checks decide
        return False
    steps = [line for line in getattr(tree, "body", []) if not is_text(line)]
    return all(isinstance(line, ast.Raise) and NotConnected.__name__ in ast.dump(line) for line in steps)


def is_text(line: ast.stmt) -> bool:
    """Tell whether a statement is a text alone, such as a docstring."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
