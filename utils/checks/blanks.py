"""Blanks: which answers are still as the student's copy has them, and which cells of a notebook don't parse."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any

BLANK = "..."


def is_untouched(answer: Any, blank: str = "") -> bool:
    """Tell whether an answer is missing, or a function as the student's copy has it; `blank` is that one's source.

    >>> is_untouched(...), is_untouched(None), is_untouched(3)
    (True, True, False)
    """
    return answer is None or answer is ... or is_blank_source(source_of(answer), blank)


def is_blank_source(source: str, blank: str = "") -> bool:
    """Tell whether some source is that of a blank, or of a function that holds nothing but dots.

    >>> is_blank_source("def double(x):\\n    ..."), is_blank_source("def double(x):\\n    return 2 * x\\n    ...")
    (True, False)
    """
    tree = parsed(source)
    if tree is None or not tree.body:
        return False
    if isinstance(tree.body[0], ast.FunctionDef) and _only_dots(tree.body[0].body):
        return True
    known = parsed(blank)
    return known is not None and _without_docstrings(known) == _without_docstrings(tree)


def has_dots(answer: Any) -> bool:
    """Tell whether the three dots of the student's copy still stand where a value or a block belongs.

    >>> has_dots("def double(x):\\n    return ..."), has_dots("def first(x):\\n    return x[..., 0]\\n    ...")
    (True, False)
    """
    tree = parsed(answer if isinstance(answer, str) else source_of(answer))
    if tree is None:
        return False
    fine: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):  # the dots of x[..., 0] are part of an answer
            fine.update(ast.walk(node.slice))
        for block in _blocks(node):
            if not _only_dots(block):
                fine.update(line.value for line in block if isinstance(line, ast.Expr))
    return any(isinstance(node, ast.Constant) and node.value is ... and node not in fine for node in ast.walk(tree))


def source_of(answer: Any) -> str:
    """Return the source of a function or class; nothing where there is none to look at."""
    if not (inspect.isfunction(answer) or inspect.isclass(answer)):
        return ""
    try:
        return inspect.getsource(answer)
    except (OSError, TypeError):
        return ""


def parsed(source: str) -> ast.Module | None:
    """Return the tree of some source, or nothing where there is none."""
    try:
        return ast.parse(dedent(source)) if source else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block:
            yield block


def _only_dots(block: list[ast.stmt]) -> bool:
    """Tell whether nothing but dots, and a docstring, stands in a block, and at least once."""
    values = [line.value.value for line in block if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)]
    return len(values) == len(block) and ... in values


def _without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        for block in _blocks(node):
            kept = [line for line in block if not _is_text(line)]
            block[:] = kept or block
    return ast.dump(tree)


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def syntax_error(names: Mapping[str, Any], name: str) -> str:
    """Say why the last cell that defines a name did not run, if it doesn't parse; Jupyter keeps all cells in `In`."""
    cells = names.get("In")
    for cell in reversed(cells) if isinstance(cells, list) else ():
        if isinstance(cell, str) and name in defined_names(cell):
            error = parse_error(cell)
            return f"The cell that defines {name} did not run: {error}" if error else ""
    return ""


def defined_names(cell: str) -> list[str]:
    """Return the names of the functions and classes that the text of a cell defines, whether it parses or not."""
    return re.findall(r"^(?:def|class)\s+(\w+)", cell, flags=re.MULTILINE)


def parse_error(cell: str) -> str:
    """Say why the text of a cell can't run, with its line; nothing where it can."""
    try:
        ast.parse(without_magics(cell))
    except SyntaxError as error:  # an indentation error is one, too
        line = f", `{error.text.strip()[:80]}`" if error.text and error.text.strip() else ""
        return f"{type(error).__name__} in line {error.lineno}{line}: {error.msg}."
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}."
    return ""


def without_magics(cell: str) -> str:
    """Return a cell in which lines for the shell and for IPython are nothing but `pass`."""
    return re.sub(r"^(\s*)[!%].*$", r"\1pass", cell, flags=re.MULTILINE)
