"""Commands for teachers: class pack, class serve, class grade."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    kinds = add(
        "class",
        lambda options: options.work(options),
        "for teachers: pack the course for offline laptops, serve it, grade",
    )
    kinds = kinds.add_subparsers(dest="kind", required=True, metavar="WHAT")
    text = "put the course, its packages and weights into one folder, for laptops without a network"
    command = kinds.add_parser("pack", help=text, description=text)
    command.set_defaults(work=pack)
    command.add_argument("out", help="the folder to make, for instance on a stick")
    command.add_argument("--sizes", nargs="*", default=[], help="small, medium, large, xl; nano is always in it")
    command.add_argument("--check", action="store_true", help="make nothing, hold every file to its SHA-256")

    text = "let laptops in this network fetch a pack from this machine"
    command = kinds.add_parser("serve", help=text, description=text)
    command.set_defaults(work=serve)
    command.add_argument("pack", help="the folder that class pack made")
    command.add_argument("--port", type=int, default=8000, help="%(default)s if not given")

    text = "run hidden checks over every notebook in a folder; write grades.csv, gradebook.csv and a page per learner"
    command = kinds.add_parser("grade", help=text, description=text)
    command.set_defaults(work=grade)
    command.add_argument("folder", help="where the submissions were unpacked")
    command.add_argument("--out", default="grades", help="folder for the results (%(default)s)")
    command.add_argument("--seconds", type=int, default=120, help="computing time of one submission (%(default)s)")
    command.add_argument("--memory", type=float, default=6, help="its memory in GB (%(default)s)")


def pack(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tools.classroom.class_pack import make_pack, pack_problems

    out = Path(options.out)
    if not options.check:
        make_pack(out, options.sizes)
        print(f"{out} is ready. On each laptop: python start.py, from the stick or a copy; or class serve {out}.")
        return 0
    problems = list(pack_problems(out))
    print("\n".join(problems) or f"{out} is whole")
    return int(bool(problems))


def serve(options: argparse.Namespace) -> None:
    import socket
    from pathlib import Path

    from tools.classroom.class_pack import serve_pack

    server = serve_pack(Path(options.pack), options.port)
    address = f"http://{socket.gethostname()}:{server.server_address[1]}"
    print(f"On each laptop: fetch {address}/start.py, then: python start.py {address}\nCtrl-C ends it.", flush=True)
    server.serve_forever()


def grade(options: argparse.Namespace) -> None:
    from pathlib import Path

    from tools.classroom.gradebook import grade_folder
    from tools.classroom.sandbox import Limits

    limits = Limits(options.seconds, int(options.memory * 1e9))
    grades = grade_folder(Path(options.folder), Path(options.out), limits)
    print(f"{len(grades)} submissions; {options.out} holds grades.csv, gradebook.csv and a page for each learner.")
