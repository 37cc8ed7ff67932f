"""Commands for teachers: a pack for offline laptops, a server for it, grading."""

from __future__ import annotations

from pathlib import Path

from tools.commands import expect


def class_pack(
    pack: str,  # the folder to make, for instance on a stick
    /,
    *,
    sizes: tuple[str, ...] = (),  # small, medium, large, xl; nano is always in it
    check: bool = False,  # make nothing, hold every file to its SHA-256
) -> int:
    """Put the course, its packages and weights into one folder, for laptops without a network."""
    from tools.classroom.class_pack import make_pack, pack_problems

    if not check:
        make_pack(Path(pack), sizes)
        print(f"{pack} is ready. On each laptop: python start.py, from the stick or a copy; or class serve {pack}.")
        return 0
    problems = list(pack_problems(Path(pack)))
    print("\n".join(problems) or f"{pack} is whole")
    return int(bool(problems))


def class_serve(
    pack: str,  # the folder that class pack made
    /,
    *,
    port: int = 8000,  # where laptops ask
) -> None:
    """Let laptops in this network fetch a pack from this machine."""
    import socket

    from tools.classroom.class_pack import serve_pack

    expect(1, 65535, port=port)
    server = serve_pack(Path(pack), port)
    address = f"http://{socket.gethostname()}:{server.server_address[1]}"
    print(f"On each laptop: fetch {address}/start.py, then: python start.py {address}\nCtrl-C ends it.", flush=True)
    server.serve_forever()


def class_grade(
    folder: str,  # where the submissions were unpacked
    /,
    *,
    out: str = "grades",  # folder for the results
    seconds: int = 120,  # computing time of one submission
    memory: float = 6,  # its memory in GB
    unfenced: bool = False,  # grade also where the system can't keep a submission's code from your files
) -> None:
    """Run hidden checks over every notebook in a folder; write grades.csv, gradebook.csv and a page per learner."""
    from tools.classroom.gradebook import grade_folder
    from tools.classroom.sandbox import Limits

    expect(1, seconds=seconds, memory=memory)
    rows = grade_folder(Path(folder), Path(out), Limits(seconds, int(memory * 1e9)), unfenced)
    if rows:
        print(f"{len(rows)} submissions; {out} holds grades.csv, gradebook.csv and a page for each learner.")
