"""Checks: `check_close` in lessons, `Exercise(…).check("q1")` and `compare` in every exercise.

Checks go from the fundamental to the subtle, and each message shows input, got and expected before it asks anything.
Those of an exercise stand in the metadata of its notebook, where otter-grader puts them.
"""

from utils.checks.comparing import Stopped, compare
from utils.checks.exercise import Exercise, ask, is_blank, judge, read_checks
from utils.checks.tensors import check_close
from utils.files.time_limit import TooLong, time_limit

__all__ = [
    "Exercise", "Stopped", "TooLong", "ask", "check_close", "compare", "is_blank", "judge", "read_checks", "time_limit"
]  # fmt: skip
