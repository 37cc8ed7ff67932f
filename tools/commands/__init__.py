"""The commands of `python -m tools`: a module for each kind, which imports late, so that --help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

KINDS = (
    "prepare",
    "texts",
    "models",
    "quantizing",
    "training",
    "comparing",
    "serving",
    "classroom",
    "repo",
    "shootout",
    "labs",
)


Add = Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets `run`, the function that does its work."""
    parser = argparse.ArgumentParser(prog="python -m tools", description="The commands of Hands-On GPT-2.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    for kind in KINDS:
        import_module(f"tools.commands.{kind}").declare(add)
    return parser
