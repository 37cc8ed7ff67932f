"""Answers that the checks of the exercises were not written with: a measure of what they let through.

Each module holds WRONG and RIGHT, {task: [Answer, …]}. They were written from the lessons and the texts of the tasks
alone, before anybody looked at a check. Whoever improves a check looks at the class of a mistake, not at an answer:
a better random case finds others of its class as well. `python -m tests.reach` measures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One answer to a task: its code, and the class of its mistake, or of its method if it is right."""

    code: str
    kind: str
