"""Every notebook of a class pack, on a laptop that reaches no index: `python -m tests.whole_pack [FOLDER] [--pages]`.

A pack is made from this clone, installed into a new home as a learner does, and every notebook in work/ is run there
from top to bottom, one after the other. FOLDER keeps pack and home, so that a second run brings only what has changed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.classroom.class_pack import make_pack, pack_problems
from tools.learner.copies import FOLDERS, WORK

NOWHERE = "http://127.0.0.1:9"  # nobody answers there
HIDDEN = ("PIP_", "UV_", "PYTHON", "VIRTUAL", "COURSE_", "CONDA")  # of the settings of whoever runs this
COPIES = "from tools.learner.copies import refresh_copies; print(len(refresh_copies().made))"


def on_a_laptop(home: Path) -> dict[str, str]:
    """Return the environment of a learner whose machine reaches itself and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(HIDDEN)}
    blocked = {name: NOWHERE for way in ("http", "https", "all") for name in (f"{way}_proxy", f"{way}_proxy".upper())}
    index = {"PIP_INDEX_URL": f"{NOWHERE}/simple", "PIP_RETRIES": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    itself = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1")
    return {**kept, **blocked, **itself, **index, "HOME": str(home), "USERPROFILE": str(home), "PYTHONUTF8": "1"}


def install(pack: Path, home: Path) -> Path:
    """Start the course from a pack as a learner does, make their copies, and return its folder."""
    course = home / "hands-on-gpt2"
    home.mkdir(parents=True, exist_ok=True)
    start = [sys.executable, str(pack / "start.py"), "--to", str(course), "--no-lab"]
    subprocess.run(start, cwd=home, env=on_a_laptop(home), check=True, stdout=subprocess.DEVNULL)
    python = course / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-c", COPIES], cwd=course, env=on_a_laptop(home), check=True, stdout=subprocess.DEVNULL)
    return course


def notebooks_of(course: Path) -> list[Path]:
    """Return a learner's copies in the order in which they are met: lessons, exercises, labs."""
    return [path for folder in FOLDERS for path in sorted((course / WORK / folder).glob("[0-9][0-9]_*.ipynb"))]


def run_all(course: Path, home: Path, cell_seconds: int = 900) -> Iterator[tuple[str, str]]:
    """Run every notebook as `python course.py run` does; yield its name, and what went wrong or nothing."""
    for path in notebooks_of(course):
        name = path.relative_to(course / WORK).as_posix()
        command = [sys.executable, str(course / "course.py"), "run", str(path), "--timeout", str(cell_seconds)]
        done = subprocess.run(
            command, cwd=course, env=on_a_laptop(home), capture_output=True, encoding="utf-8", errors="replace"
        )
        yield name, (done.stdout + done.stderr).strip()[-3000:] if done.returncode else ""


def check_pack(folder: Path, pages: bool) -> int:
    """Make, install and run a pack in a folder; print a line for each notebook, and return how many failed."""
    print("Making the pack …", flush=True)
    make_pack(folder / "pack", pages=pages, show=lambda text: print(f"  {text}", flush=True))
    problems = list(pack_problems(folder / "pack"))
    print("\n".join(problems) or "Installing it where no index is in reach …", flush=True)
    home = folder / "home"
    course = install(folder / "pack", home)
    failed, began = len(problems), time.monotonic()
    for name, problem in run_all(course, home):
        now, began = time.monotonic() - began, time.monotonic()
        print(f"{'failed' if problem else 'good  '} {name} ({now:.0f} s){problem and f': {problem}'}", flush=True)
        failed += bool(problem)
    return failed


def main() -> int:
    """Read the words of the command; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--pages", action="store_true", help="put the course as pages into the pack, too")
    options = parser.parse_args()
    with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        failed = check_pack((options.folder or Path(temporary)).resolve(), options.pages)
    print(f"{failed} of it failed." if failed else "Every notebook of the pack runs.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
