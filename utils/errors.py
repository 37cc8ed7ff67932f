"""The one exception whose message is meant for the learner."""

from __future__ import annotations


class CourseError(Exception):
    """Says what was found, what was expected and what to do next; the command line prints it without a traceback."""
