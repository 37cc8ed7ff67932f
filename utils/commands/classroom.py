"""Commands for teachers: class grade."""

from __future__ import annotations

import argparse

from utils.commands import Add


def declare(add: Add) -> None:
    kinds = add("class", lambda options: options.work(options), "for teachers: grade a folder of submissions")
    kinds = kinds.add_subparsers(dest="kind", required=True, metavar="WHAT")
    text = "run hidden checks over every notebook in a folder; write grades.csv, gradebook.csv and a page per learner"
    command = kinds.add_parser("grade", help=text, description=text)
    command.set_defaults(work=grade)
    command.add_argument("folder", help="where the submissions were unpacked")
    command.add_argument("--out", default="grades", help="folder for the results (%(default)s)")
    command.add_argument("--seconds", type=int, default=120, help="computing time of one submission (%(default)s)")
    command.add_argument("--memory", type=float, default=6, help="its memory in GB (%(default)s)")


def grade(options: argparse.Namespace) -> None:
    from pathlib import Path

    from utils.gradebook import grade_folder
    from utils.sandbox import Limits

    limits = Limits(options.seconds, int(options.memory * 1e9))
    grades = grade_folder(Path(options.folder), Path(options.out), limits)
    print(f"{len(grades)} submissions; {options.out} holds grades.csv, gradebook.csv and a page for each learner.")
