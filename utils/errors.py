"""Exceptions whose message is meant for the learner; a notebook shows it without a traceback."""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InWords:
    """An exception that IPython shows as its sentence; `%debug` still leads to the line where it was raised."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that stand in the place of the traceback: IPython and Jupyter's kernel ask for them."""
        return str(self).splitlines()


class CourseError(InWords, Exception):
    """Says what was found, what was expected and what to do next; the command line prints it without a traceback."""


def show(value: object, longest: int = 60) -> str:
    """Return what was found in a file so that it can be printed: in quotes, short, without control characters.

    >>> show("a\\tb")
    "'a\\\\tb'"
    """
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


# What readers raise when a file says something they did not expect. MemoryError and torch's RuntimeErrors are not
# among them: they may tell of this machine and not of the file.
DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, RecursionError, TypeError, ValueError, struct.error)


@contextmanager
def guarded(path: str | Path) -> Iterator[None]:
    """Turn whatever reading a file raises into a sentence with the file, what was met, and the line that met it."""
    try:
        yield
    except CourseError as error:
        named = [str(path), *[str(folder) for folder in Path(path).parents[:1] if folder.name]]
        if any(place in str(error) for place in named):
            raise
        raise CourseError(f"{path}: {error}") from error
    except OSError as error:
        raise CourseError(f"{path} can't be read: {error.strerror or error}. Check its permissions.") from error
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.start + 1].hex()
        raise CourseError(
            f"{path} is not {error.encoding.upper()} at byte {error.start:,}, which is 0x{found}. Save it as UTF-8."
        ) from error
    except DAMAGE as error:
        place = traceback.extract_tb(error.__traceback__, limit=-1)[0]
        raise CourseError(
            f"{path} is damaged, or no file of this kind: {type(error).__name__} ({show(str(error))}) in "
            f"{Path(place.filename).name}, line {place.lineno}. Fetch or make it again; if other programs read it, "
            "report it as a bug of this course."
        ) from error
