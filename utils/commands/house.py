"""Commands for who looks after the course: notebooks, bench."""

from __future__ import annotations

import argparse

from utils.commands import Add


def declare(add: Add) -> None:
    command = add("notebooks", notebooks, "run notebooks and store what they print, or check that this is done")
    command.add_argument("paths", nargs="*", help="notebooks; all of them when none is named")
    command.add_argument("--check", action="store_true", help="change nothing, report what is stale or unclean")

    command = add("bench", bench, "measure ours beside peers, in one run")
    command.add_argument("names", nargs="*", help="training, adapters, generation, loading, startup; none means all")


def notebooks(options: argparse.Namespace) -> int:
    from utils.notebooks import main

    return main(options.paths, check=options.check)


def bench(options: argparse.Namespace) -> int:
    from benchmarks import run

    return run(options.names)
