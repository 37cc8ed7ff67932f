"""Similarity of submissions: answers that are the same but for names, comments and layout (abstract syntax trees).

Short answers are often the same by chance, so only longer ones are told; a person decides what it means.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from tools.classroom.grading import answers, find_submissions, handed_out, read_submission
from utils.errors import CourseError

FEWEST = 40  # nodes of a syntax tree; about four lines


class _Renamed(ast.NodeTransformer):
    """Give names that an answer made itself numbers, in the order in which they come; drop docstrings."""

    def __init__(self, own: set[str]) -> None:
        self.own, self.numbers = own, dict[str, str]()

    def _number(self, name: str) -> str:
        return self.numbers.setdefault(name, f"name{len(self.numbers)}") if name in self.own else name

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._number(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(self._number(node.arg))

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, (str, type(Ellipsis)))
        return None if is_text else self.generic_visit(node)


def form_of(code: str) -> tuple[str, int]:
    """Return the form of an answer without names and comments, and its length in nodes; none if it is no Python.

    >>> form_of("def f(a):\\n    'A text.'\\n    return a + 1") == form_of("def f(x):  # mine\\n  return x+1")
    True
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return "", 0
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own = stored | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    renamed = _Renamed(own).visit(tree)
    return ast.dump(renamed), sum(1 for _ in ast.walk(renamed))


def alike(folder: Path) -> list[str]:
    """Return a line for each task and form that several learners handed in."""
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    lengths: dict[str, int] = {}
    for one in find_submissions(folder):
        if one.problem:
            continue
        try:
            codes = answers(read_submission(one.path), handed_out(one.exercise))
        except CourseError:
            continue
        for task, code in codes.items():
            form, lengths[form] = form_of(code)
            if lengths[form] >= FEWEST:
                found[one.exercise, task, form].add(f"{one.name} {one.number}".strip())
    return [
        f"{exercise} {task}: {', '.join(sorted(names))} ({lengths[form]} nodes)"
        for (exercise, task, form), names in sorted(found.items())
        if len(names) > 1
    ]
