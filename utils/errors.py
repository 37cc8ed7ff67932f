"""The one exception whose message is meant for the learner."""

from __future__ import annotations


class CourseError(Exception):
    """Says what was found, what was expected and what to do next; the command line prints it without a traceback."""


def show(value: object, longest: int = 60) -> str:
    """Return what was found in a file so that it can be printed: in quotes, short, without control characters.

    >>> show("a\\tb")
    "'a\\\\tb'"
    """
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
