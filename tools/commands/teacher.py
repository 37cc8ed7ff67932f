"""Commands for teachers: a pack for offline laptops, a server for it, grading."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tools.commands import expect


def class_pack(
    pack: str,  # the folder to make, for instance on a stick
    /,
    *,
    sizes: tuple[str, ...] = (),  # small, medium, large, xl; nano is always in it
    check: bool = False,  # make nothing, hold every file to its SHA-256
) -> int:
    """Put the course, its packages and weights into one folder, for laptops without a network."""
    from tools.classroom.class_pack import banner, make_pack, pack_problems

    if not check:
        make_pack(Path(pack), sizes)
        print(f"{pack} is ready. On each laptop: python start.py, from the stick or a copy; or class serve {pack}.")
        print(banner(Path(pack)))
        return 0
    problems = list(pack_problems(Path(pack)))
    print("\n".join(problems) or f"{pack} is whole{banner(Path(pack))}")
    return int(bool(problems))


def class_serve(
    pack: str,  # the folder that class pack made
    /,
    *,
    port: int = 8000,  # where laptops ask
) -> None:
    """Let laptops in this network fetch a pack from this machine."""
    import socket

    from tools.classroom.class_pack import banner, read_pack, serve_pack

    expect(1, 65535, port=port)
    server = serve_pack(Path(pack), port)
    address = f"http://{socket.gethostname()}:{server.server_address[1]}"
    number = read_pack(Path(pack))[0]
    print(f"{banner(Path(pack))}\nOn each laptop: python start.py {address} --pack {number}")
    print("Hand out start.py by your learning platform or a stick: only a start.py that is yours checks the number.")
    print("Ctrl-C ends it.", flush=True)
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


def class_labs(
    folder: str,  # where the labs that were handed in were unpacked
    /,
    *,
    out: str = "grades",  # folder for labs.csv
    seconds: int = 300,  # computing time of the tests of one learner's lab 06
    unfenced: bool = False,  # judge tests of lab 06 also where the system can't keep their code from your files
) -> None:
    """Look through the files that labs left behind, and write labs.csv: found, missing, wrong, same as another's."""
    from tools.classroom.lab_marks import mark_labs
    from tools.classroom.sandbox import Limits

    expect(1, seconds=seconds)
    rows = mark_labs(Path(folder), Path(out), Limits(seconds), unfenced)
    print(f"{Path(out) / 'labs.csv'} holds {len(rows)} rows, one for each lab." if rows else f"{folder} holds no lab.")


def class_export(
    grades: str,  # the folder that class grade wrote
    /,
    *,
    to: Literal["canvas", "moodle", "csv"] = "csv",  # whose columns
    roster: str = "",  # students.csv with columns id, login, email, section, name
    out: str = "",  # folder for the files; the folder of grades if none is named
) -> int:
    """Write grades and feedback in the form that Canvas or Moodle imports, matched to a roster."""
    from tools.classroom import exports

    marks, unknown = exports.collect(Path(grades), exports.read_roster(Path(roster)) if roster else [])
    print("\n".join(unknown), end="\n" * bool(unknown))
    place = Path(out or grades)
    if to == "csv":
        made = exports.write_plain(marks, place)
    else:
        made = (exports.write_canvas if to == "canvas" else exports.write_moodle)(marks, Path(grades), place)
    print("\n".join(map(str, made)))
    if to != "csv" and not any(path.suffix == ".zip" for path in made):
        print(f"No zip with feedback: no file or folder is named as {to.capitalize()} names what is handed in there.")
    return int(bool(unknown))


def class_key(
    names: tuple[str, ...] = (),  # lessons and labs, such as 02 and labs/02; without, all
    /,
    *,
    out: str = "key.md",  # the Markdown file to write
) -> None:
    """Write a key for the teacher: what each Predict asks and what is seen then, and open tasks with their rubric."""
    from tools.classroom.key import key

    text = "\n".join(key(names)) + "\n"
    Path(out).write_text(text, encoding="utf-8", newline="\n")
    print(f"{out} holds the key.")


def class_slides(
    names: tuple[str, ...],  # beginnings of the lessons' names, such as 02
    /,
    *,
    out: str = "slides",  # folder for the pages; reveal.js is put beside them
) -> None:
    """Make slides of lessons: a section each, code with its stored output; they load nothing from another host."""
    from tools.classroom.slides import make_slides

    print("\n".join(map(str, make_slides(names, Path(out)))))
    print(
        "Open a page in a browser: arrows go on, S shows the answers to what is asked, O all slides, ?print-pdf prints."
    )


def class_alike(
    folder: str,  # where the submissions were unpacked
    /,
) -> None:
    """Say which learners handed in the same code but for names and comments, in answers of four lines and more."""
    from tools.classroom.alike import alike

    lines = alike(Path(folder))
    print("\n".join(lines) or "No two longer answers are the same.")


def forget(
    folder: str = ".",  # looked through with all folders in it
    /,
    *,
    days: float = 0,  # only what was last written longer ago
    delete: bool = False,  # delete what is listed, for good
) -> None:
    """List chats, marks and logs that hold personal data, and delete them with --delete."""
    from tools.classroom.forget import find_personal

    expect(0, days=days)
    found = find_personal(Path(folder), days)
    for path, kind in found.items():
        print(f"{path}: {kind}")
        if delete:
            path.unlink()
    files = "1 file" if len(found) == 1 else f"{len(found)} files"
    print(f"{files} deleted." if delete else f"{files} found; nothing is deleted without --delete.")
