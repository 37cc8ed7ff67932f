"""Hostile submissions and broken folders, each by name: tests/tools/test_grading.py grades them, this prints the table.

    python -m tests.attacks            # every attack, what the grade was, what the teacher reads
    python -m tests.attacks --landlock # the same where namespaces are missing
    python -m tests.attacks --folders  # a class in whose folder every bad entry lies, between two good ones

What an attack reached it writes into its own answer: `leak` is what its functions return, or what they raise.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pytest
from nbformat import v4

from tools.classroom import exercise_builder, grading
from tools.classroom.gradebook import grade_all, grade_folder
from tools.classroom.grading import Grade, Submission
from tools.classroom.sandbox import Fence, Limits, available_fence
from tools.repo.notebooks import KERNEL, ROOT

CONFIG = """# ASSIGNMENT CONFIG
init_cell: false
export_cell: false
generate: true
run_tests: false
tests:
    ok_format: false"""
HIDDEN = '""" # BEGIN TEST CONFIG\nhidden: true\n""" # END TEST CONFIG\n'
OPENING = "[![Open in Colab](x)](y)\n# Exercise 90 · Double"
BOOTSTRAP = "import importlib.util  # google.colab"
SOLUTION = "def double(x):\n    return 2 * x  # SOLUTION"
NAME = "90_double_it"
RIGHT = "def double(x):\n    return 2 * x"
WRONG = "def double(x):\n    return 0"
SECRET = "PRIVATE-KEY-4711"
SMALL = Limits(seconds=20, memory=2 * 2**30, output=2**20, folder=20 * 2**20, processes=30)
SHORT = replace(SMALL, seconds=3, patience=3)


def write_master(folder: Path) -> None:
    """Write the master of one exercise with one task of four points, half of them for a hidden check."""
    raw, code = v4.new_raw_cell, v4.new_code_cell
    cells = [raw(CONFIG), v4.new_markdown_cell(OPENING), code(BOOTSTRAP)]
    cells += [raw("# BEGIN QUESTION\nname: q1\npoints: 4\ncheck_cell: false"), v4.new_markdown_cell("Double it.")]
    cells += [raw("# BEGIN SOLUTION"), code(SOLUTION), raw("# END SOLUTION"), raw("# BEGIN TESTS")]
    cells += [code('def test_two(double):\n    assert double(2) == 4, f"Is it twice? Yours is {double(2)}"')]
    cells += [code(HIDDEN + "def test_secret(double):\n    assert double('ab') == 'abab', 'the hidden message'")]
    cells += [raw("# END TESTS"), raw("# END QUESTION")]
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nbformat.write(notebook, folder / f"{NAME}.ipynb")


@contextlib.contextmanager
def one_small_exercise(folder: Path) -> Iterator[None]:
    """Let the course have one small exercise in place of its own, so that grading takes a second."""
    write_master(folder)
    patch = pytest.MonkeyPatch()
    patch.setattr(exercise_builder, "MASTERS", folder)
    patch.setattr(grading, "MASTERS", folder)
    grading.all_checks.cache_clear()
    try:
        yield
    finally:
        patch.undo()
        grading.all_checks.cache_clear()


def notebook_of(*sources: str) -> str:
    """Return a notebook of code cells as text."""
    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": s} for s in sources
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


def hand_in(folder: Path, *sources: str, name: str = f"{NAME}.ipynb") -> Submission:
    """Write a submission of code cells."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(notebook_of(*sources), encoding="utf-8", errors="surrogatepass")
    return Submission(folder / name, folder.name, NAME)


LEAK = "def double(x):\n    raise ValueError(str(leak))"  # a message was the way out to the learner's page


def tries(code: str) -> str:
    """Return a cell that does something forbidden and keeps what came of it."""
    body = "\n    ".join(code.splitlines())
    return f"leak = 'nothing'\ntry:\n    {body}\nexcept BaseException as error:\n    leak = f'refused: {{error!r}}'"


FORGED = "{'points': 5000000, 'possible': 4, 'note': '', 'hidden': ''}"


def forged(answer: str) -> str:
    """Return a cell that writes an answer in the checks' place to every open file."""
    return (
        "import os, json, struct\n"
        f"line = json.dumps({answer}).encode('ascii', 'replace')\n"
        "for fd in range(3, 30):\n"
        "    for message in (line + b'\\n', struct.pack('>Q', len(line)) + line):\n"
        "        try: os.write(fd, message)\n        except OSError: pass"
    )


# Full marks without work. The first five did it when checks and answers shared a process.
CHEATS = {
    "patch otter's reader of checks": (
        "from otter.test_files.exception_test import ExceptionTestFile as E\n"
        "E.from_string = classmethod(lambda cls, *a, **k: type('T', (), {'test_cases': []})())"
    ),
    "patch run_check in the grader's frames": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    frame.f_globals.update(run_check=lambda *a: '', run_one=lambda *a: ('', ''))\n    frame = frame.f_back"
    ),
    "patch grade_task to give 5,000,000": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        f"    frame.f_globals.update(grade_task=lambda *a: {FORGED}, take_task=lambda *a: {FORGED})\n"
        "    frame = frame.f_back"
    ),
    "a thread that reads the seal and answers": (
        "import threading, sys, os, json, time\n"
        "def look():\n    for _ in range(40):\n        time.sleep(0.05)\n"
        "        for frame in sys._current_frames().values():\n            while frame:\n"
        "                channel = frame.f_locals.get('self')\n"
        "                if hasattr(channel, '_send'):\n"
        "                    channel._send('return', {'q1': 4, 'passed': [True, True]})\n"
        "                frame = frame.f_back\n"
        "threading.Thread(target=look, daemon=True).start()"
    ),
    "run the master": (
        f"import pathlib, json\nfor path in pathlib.Path({str(ROOT)!r}).rglob('*{NAME}*'):\n"
        "    if 'solutions' in str(path):\n        exec(path.read_text())"
    ),
    "os._exit": "import os\nos._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "another program in its place": "import os\nos.execv('/bin/true', ['true'])",
    "closed descriptors": "import os\nos.closerange(0, 100)",
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
    "an answer that compares equal to anything": (
        "class Any(int):\n    __eq__ = __ge__ = __le__ = lambda *a: True\n    __hash__ = int.__hash__\n"
        "    __bool__ = lambda self: True\ndef double(x):\n    return Any()"
    ),
    "forged answer of 5,000,000 points": forged("{'tasks': {'q1': " + FORGED + "}}"),
    "forged answer of many points": forged("{'tasks': {'q1': {'points': 'many', 'passed': [True, True]}}}"),
    "forged answer of NaN points": forged("{'tasks': {'q1': {'note': 7, 'points': float('nan')}}}"),
    "forged answer with a lone surrogate": forged("{'kind': 'return', 'value': '\\ud800', 'sizes': [], 'objects': []}"),
    "own checks in the notebook's metadata": (
        f"import json, pathlib\npath = pathlib.Path('{NAME}.ipynb')\nnotebook = json.loads(path.read_text('utf-8'))\n"
        "notebook['metadata']['otter'] = {'tests': {'q1': 'name = 1'}}\npath.write_text(json.dumps(notebook), 'utf-8')"
    ),
}
ENDLESS = {
    "endless loop": "while True: pass",
    "endless loop that ignores signals": (
        "import signal\nfor number in range(1, 32):\n"
        "    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass"
    ),
}


def reaching(outside: Path, server: socket.socket) -> dict[str, str]:
    """Return attacks on what is not theirs: files, other processes, the network."""
    return {name: tries(code) for name, code in (_files(outside) | _others(outside, server)).items()}


def _files(outside: Path) -> dict[str, str]:
    file, solutions = f"{str(outside / 'precious.txt')!r}", ROOT / "exercises" / "solutions"
    return {
        "read a private file": f"leak = open({file}).read()",
        "read the master": f"import os\nleak = os.listdir({str(solutions)!r})",
        "read the history of the repository": f"leak = open({str(ROOT / '.git')!r} + '/HEAD').read()",
        "read /etc/shadow": "leak = open('/etc/shadow').read()",
        "write over a file": f"open({file}, 'w').write('yours')\nleak = 'reached'",
        "empty a file by opening it to read": f"import os\nos.open({file}, os.O_RDONLY | os.O_TRUNC)\nleak = 'reached'",
        "truncate a file": f"import os\nos.truncate({file}, 0)\nleak = 'reached'",
        "delete a file": f"import os\nos.unlink({file})\nleak = 'reached'",
        "delete by the shell": f"import os\nassert os.system('rm -f ' + {file}) and 0\nleak = 'reached'",
        "change a mode": f"import os\nos.chmod({file}, 0o777)",
        "change a time": f"import os\nos.utime({file}, (1, 1))",
        "set an attribute": f"import os\nos.setxattr({file}, 'user.mine', b'x')",
        "write into utils": f"open({str(ROOT / 'utils' / 'planted.py')!r}, 'w').write('x')\nleak = 'reached'",
        "change the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'a').write('')\nleak = 'reached'",
    }


def _others(outside: Path, server: socket.socket) -> dict[str, str]:
    port, unix, own = server.getsockname()[1], str(outside / "socket"), os.getpid()
    return {
        "read the grader's environment": (
            "import os, glob\nfound = [open(path, 'rb').read() for path in glob.glob('/proc/[0-9]*/environ')\n"
            "    if os.access(path, os.R_OK)]\nleak = b''.join(found).decode(errors='replace')"
        ),
        "read the grader's memory": f"leak = open('/proc/{own}/mem', 'rb').read(1) and 'reached'",
        "TCP": f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\nleak = 'reached'",
        "UDP": (
            "import socket\nline = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "line.sendto(b'x', ('127.0.0.1', 9))\nleak = 'reached'"
        ),
        "Unix socket": f"import socket\nsocket.socket(socket.AF_UNIX).connect({unix!r})\nleak = 'reached'",
        "Unix socket by a pair": (
            "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            f"a.sendto(b'x', {unix!r})\nleak = 'reached'"
        ),
        "end the grader": f"import os, signal\nos.kill({own}, signal.SIGTERM)\nleak = 'reached'",
        "limit the grader": (
            f"import resource\nresource.prlimit({own}, resource.RLIMIT_CORE, (0, 0))\nleak = 'reached'"
        ),
        "new namespaces": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10020000) == 0\nleak = 'reached'",
        "a child in new namespaces": (
            "import ctypes\nassert ctypes.CDLL(None).syscall(56, 0x10020011, 0, 0, 0, 0) >= 0\nleak = 'reached'"
        ),
    }


def sleepers(mark: str) -> str:
    """Return a cell that leaves processes in sessions of their own behind."""
    return (
        f"import subprocess, sys\nfor _ in range(5):\n    subprocess.Popen([sys.executable, '-c', "
        f"'import time; mark = \"{mark}\"; time.sleep(90)'], start_new_session=True)"
    )


TOO_MANY = {
    "five children with much memory each": (
        "import subprocess, sys, time\nmany = [subprocess.Popen([sys.executable, '-c', "
        "'import time; x = b\"x\" * 600_000_000; time.sleep(60)']) for _ in range(5)]\ntime.sleep(60)"
    ),
    "many processes": (
        "import os, time\nfor _ in range(400):\n    if not os.fork():\n        time.sleep(60)\n        os._exit(0)\n"
        "time.sleep(60)"
    ),
}
TOO_MUCH = {
    "fifty gigabytes at once": "x = bytearray(50 * 2**30)",
    "a gigabyte of prints": "import os\nfor _ in range(1024):\n    os.write(1, b'x' * 2**20)",
    "many files": "for i in range(60):\n    open(f'{i}', 'wb').write(b'x' * 900_000)",
    "shared memory": "for i in range(60):\n    open(f'/dev/shm/mine{i}', 'wb').write(b'x' * 900_000)",
}
SAYS = {  # what its errors say must not come to a page as it is
    "an error with a lone surrogate": "raise ValueError('\\ud800')",
    "an error with a terminal's commands": "raise ValueError('\\x1b[2J\\x1b]0;owned\\x07')",
    "an error with HTML": "raise ValueError('<script>alert(1)</script>')",
    "an error whose text raises": "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
    "an error whose type is a message": "raise type('<img src=x onerror=alert(1)>', (Exception,), {})('x')",
}


# Whole folders with one bad entry. Each gives Eve something; Zoe, who comes after her, is graded all the same.


def plant(kind: str, eve: Path) -> None:
    """Write one bad entry into Eve's folder."""
    eve.mkdir(parents=True)
    target = eve / f"{NAME}.ipynb"
    if kind in RAW:
        target.write_bytes(RAW[kind])
    elif kind == "FIFO":
        os.mkfifo(target)
    elif kind == "socket":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as made, contextlib.chdir(eve):
            made.bind(target.name)
    elif kind in LINKS:
        target.symlink_to(LINKS[kind])
    elif kind == "a folder by a notebook's name":
        target.mkdir()
    elif kind == "a name that is not UTF-8":
        Path(os.fsdecode(os.fsencode(eve) + b"/M\xfcller_" + NAME.encode() + b".ipynb")).write_text(
            notebook_of(RIGHT), encoding="utf-8"
        )
    elif kind == "a closed folder":
        (eve / "inner").mkdir(mode=0)
    elif kind in NAMES:
        (eve / NAMES[kind]).write_text(notebook_of(RIGHT), encoding="utf-8")
    elif kind != "an empty folder":
        raise ValueError(kind)


LINKS = {
    "a link to /dev/zero": "/dev/zero",
    "a link to a private file": "/etc/passwd",
    "a link to itself": f"{NAME}.ipynb",
    "a link to nothing": "/nowhere",
}
NAMES = {
    "a formula as a name": f"-1+cmd|'C calc'!A0 {NAME}.ipynb",
    "a tab before the name": f"\t=1+1_{NAME}.ipynb",
    "HTML as a name": f"<img src=x onerror=alert(1)>_{NAME}.ipynb",
    "turned letters and line ends in a name": f"\u202egnp\r\n_{NAME}.ipynb",
    "another exercise": "holiday.ipynb",
    "a very long name": f"{'x' * 200}_{NAME}.ipynb",
}
RAW: dict[str, bytes] = {
    "nothing at all": b"",
    "an open brace": b"{",
    "a list": b"[]",
    "cells: 3": b'{"cells": 3}',
    "cells: null": b'{"cells": null}',
    "a cell that is none": b'{"cells": [{}]}',
    "a source that is a number": b'{"cells": [{"cell_type": "code", "source": 7}]}',
    "bytes that are no text": bytes(range(256)),
    "Latin-1": notebook_of("x = 'M\u00fcller'").replace("\\u00fc", "\u00fc").encode("latin-1"),
    "200,000 open brackets": b"[" * 200_000,
    "100,000 levels within cells": b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a whole number of 5,000 digits": b'{"cells": [], "x": ' + b"9" * 5000 + b"}",
    "a lone surrogate in a cell": notebook_of("x = 1").replace("x = 1", "x = '\\ud800'").encode(),
}
SPECIAL = (["FIFO", "socket"] if hasattr(os, "mkfifo") else []) + ["a folder by a notebook's name", "an empty folder"]
BYTES = ["a name that is not UTF-8"] if sys.platform == "linux" else []
FOLDERS = [*RAW, *LINKS, *SPECIAL, *BYTES, *NAMES, "a closed folder"]


# The table


def all_attacks(outside: Path, server: socket.socket) -> dict[str, tuple[str, str]]:
    """Return all hostile submissions: cells to run first, and the answer that comes with them."""
    table = {name: (code, WRONG) for name, code in CHEATS.items()}
    table |= {name: (code, LEAK) for name, code in reaching(outside, server).items()}
    table |= {name: (code, RIGHT) for name, code in (ENDLESS | TOO_MANY | TOO_MUCH | SAYS).items()}
    table |= {f"{name}, in an answer": (WRONG, _raising(code)) for name, code in SAYS.items()}
    return table | {"processes left behind": (sleepers(SECRET), RIGHT)}


def _raising(code: str) -> str:
    return "def double(x):\n    " + code.replace("\n", "\n    ")


@contextlib.contextmanager
def surroundings(folder: Path) -> Iterator[tuple[Path, socket.socket]]:
    """Give a folder with a private file and a Unix socket, and a TCP server, that no attack may reach."""
    (folder / "precious.txt").write_text(SECRET, encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADERS_SECRET", SECRET)
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.closing(unix), contextlib.chdir(folder):
        unix.bind("socket")
        yield folder, server
    patch.undo()


def grade_attacks(folder: Path, fence: Fence, attacks: dict[str, tuple[str, str]]) -> dict[str, Grade]:
    """Grade every attack, two side by side, and return what came out."""
    made = {name: hand_in(folder / f"{i:02}", *cells) for i, (name, cells) in enumerate(attacks.items())}
    endless = [made[name] for name in made if name in ENDLESS]
    others = [made[name] for name in made if name not in ENDLESS]
    grades = {one.submission: one for one in grade_all(others, SMALL, fence)}
    grades |= {one.submission: one for one in grade_all(endless, SHORT, fence)}
    return {name: grades[one] for name, one in made.items()}


def plant_all(place: Path) -> dict[str, str]:
    """Fill a class's folder: Ada, a learner for each bad entry, and Zoe, who comes last; return what each hands in."""
    given = {f"eve{number:02}": kind for number, kind in enumerate(FOLDERS)}
    for name, kind in given.items():
        plant(kind, place / name)
    hand_in(place / "Ada", RIGHT)
    hand_in(place / "Zoe", RIGHT)
    return {"Ada": "a right answer, first", **given, "Zoe": "a right answer, last"}


def print_folders() -> None:
    """Print what becomes of a class in whose folder every bad entry lies."""
    with TemporaryDirectory() as name, TemporaryDirectory() as masters, one_small_exercise(Path(masters)):
        given = plant_all(place := Path(name, "class"))
        rows = grade_folder(place, Path(name, "out"), SMALL, show=lambda line: None)
    print("| folder of | points | what the teacher reads |\n|---|---|---|")
    for row in rows:
        kind = given.get(str(row["Learner"]), row["Learner"])
        print(f"| {kind} | {row['Points']} of {row['Possible']} | {row['Status']} |")


def main() -> None:
    """Print the table."""
    if "--folders" in sys.argv:
        return print_folders()
    fence = available_fence()
    if "--landlock" in sys.argv:
        fence = Fence(False, fence.landlock, fence.calls)
    with TemporaryDirectory() as name, TemporaryDirectory() as masters, one_small_exercise(Path(masters)):
        (outside := Path(name, "outside")).mkdir()
        print(f"| attack (behind {fence}) | points of 4 | what the teacher reads |\n|---|---|---|")
        with surroundings(outside) as (place, server):
            found = grade_attacks(Path(name, "in"), fence, all_attacks(place, server))
    for attack, one in found.items():
        said = "; ".join(filter(None, (one.said, *(task.said for task in one.tasks.values()))))
        print(f"| {attack} | {one.points:g} | {one.status}{f' ({said[:80]})' if said else ''} |")


if __name__ == "__main__":
    main()
