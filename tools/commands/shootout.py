"""The command that compares all loaders: shootout; its work is in labs.shootout.report."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("shootout", shootout, "open one model with every loader, and compare")
    command.add_argument("model", help="a size, a folder or a file")
    command.add_argument("--out", required=True, help="folder for the report, the table (CSV) and the pictures")
    command.add_argument("--only", help='some loaders, parted by semicolons: "ours, GGUF F16;llama.cpp, F16"')


def shootout(options: argparse.Namespace) -> None:
    from labs.shootout.report import shootout

    shootout(options)
