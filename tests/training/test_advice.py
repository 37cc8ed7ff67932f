"""Advice that works: each key=value in an error's message is a setting of a training recipe, or what it says it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from utils.files.places import ROOT
from utils.sampling import Sampling
from utils.training.recipes import TrainingRecipe

SETTINGS = {field.name for kind in (TrainingRecipe, Sampling) for field in fields(kind)} | {"recipe", "key", "errors"}
FILES = [path for room in ("utils", "lessons", "tools", "labs") for path in sorted((ROOT / room).rglob("*.py"))]
CALL = re.compile(r"(\w+)\(([^()]*)\)")  # of a function of ours, in a message: add_lora(model, rank=8)
PAIR = re.compile(r"(?<![\w.=-])([a-z]\w*)=(?=[^=\s])")


def messages(path: Path) -> list[str]:
    """Return the texts that a file gives to CourseError, with {…} for what is filled in."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CourseError":
            found += [text_of(argument) for argument in node.args]
    return found


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "{…}"


def parameters(files: Sequence[Path]) -> dict[str, set[str]]:
    """Return the parameters of each function and the fields of each class in some files, by its name."""
    found: dict[str, set[str]] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, set()).update(own_parameters(node))
            if isinstance(node, ast.ClassDef):
                makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
                names = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
                own = found.setdefault(node.name, set())
                own.update(name.id for name in names if isinstance(name, ast.Name))
                own.update(*map(own_parameters, makers))
    return found


def own_parameters(node: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


def wrong_advice(text: str, known: dict[str, set[str]], here: frozenset[str] = frozenset()) -> list[str]:
    """Return the keys that a message names and that nothing takes; `here` are the parameters in its own file."""
    calls = {call: words for call, words in CALL.findall(text) if call in known}
    wrong = [key for call, words in calls.items() for key in PAIR.findall(words) if key not in known[call] | SETTINGS]
    plain = CALL.sub(lambda call: "" if call[1] in calls else call[0], text)
    return wrong + [key for key in PAIR.findall(plain) if key not in SETTINGS | here]


def test_every_setting_that_a_message_names_exists():
    known, wrong = parameters(FILES), {}
    for path in FILES:
        here = frozenset().union(*parameters([path]).values())
        wrong |= {text: keys for text in messages(path) if (keys := wrong_advice(text, known, here))}
    assert not wrong


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Start from it with model=/x.", ["model"]),
        ("Start from it with weights={…}.", []),
        ("Put adapters on first with add_lora(model, ranks=8).", ["ranks"]),
        ("Put adapters on first with add_lora(model, rank=8).", []),
    ],
)
def test_advice_that_fails_would_be_found(text, keys):
    assert wrong_advice(text, parameters(FILES)) == keys
