"""One folder for a classroom without a network: the course, its packages, weights, and a file that starts it all."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from tools.classroom.pack_start import MANIFEST, entries, fingerprint, is_whole
from tools.classroom.start_page import PAGES, write_start_page
from tools.repo.notebooks import ROOT
from utils.errors import CourseError
from utils.files.whole_files import sha256_of

KEPT_BACK = ("exercises/solutions/", "labs/solutions/")  # for teachers' eyes


def make_pack(out: Path, sizes: Iterable[str] = (), pages: bool = True, show=print) -> Path:
    """Fill `out` with everything for laptops of this machine's kind; run again on another kind to add its packages."""
    if out.is_dir() and any(out.iterdir()) and not (out / "start.py").is_file():
        raise CourseError(f"{out} holds something else than a class pack. Choose an empty folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(f"{out} can't be made ({error.strerror}). Choose a folder that you may write to.") from error
    show("Copying the course …")
    copy_course(out / "course")
    show("Fetching packages …")
    fetch_wheels(out / "wheels")
    if sizes := [size for size in sizes if size != "nano"]:
        show(f"Fetching weights of {', '.join(sizes)} …")
        fetch_weights(sizes, out / "cache")
    if pages:
        from tools.repo.site import build_site  # brings torch, which `class serve` can do without

        show("Writing the course as pages …")
        build_site(out / "pages")
    write_start_page(out, with_course=pages)
    shutil.copy(Path(__file__).with_name("pack_start.py"), out / "start.py")
    write_manifest(out)
    return out


def course_files() -> list[str]:
    """Return the paths of what learners get: all files of the repository but the solutions."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
        names = [name for name in done.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError) as error:
        raise CourseError("git can't list the files of the course. Make the pack from a clone, with git.") from error
    return [name for name in names if not name.startswith(KEPT_BACK) and (ROOT / name).is_file()]


def copy_course(target: Path) -> None:
    """Copy the course, and remove what an earlier pack had and this one has not."""
    names = course_files()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    for path in [path for path in target.rglob("*") if path.is_file()]:
        if path.relative_to(target).as_posix() not in names:
            path.unlink()


def fetch_wheels(target: Path) -> None:
    """Gather the locked files of all packages, in the build of torch that is installed here, and uv to install them."""
    build = "torch-cpu" if version("torch").endswith("+cpu") else "torch"
    locks = [word for name in ("learn", build, "installer") for word in ("-r", f"requirements/{name}.lock")]
    fetch = ["download", "-q", "--no-deps", "--no-build-isolation", "--require-hashes", "-d", str(target.resolve())]
    command = [sys.executable, "-m", "pip", *fetch, *locks]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", cwd=ROOT)
    if done.returncode:
        raise CourseError(f"The packages could not be fetched:\n{(done.stderr or done.stdout)[-1500:]}")


def fetch_weights(sizes: list[str], target: Path) -> None:
    """Put the weights of some sizes where the packed course looks for them."""
    command = [sys.executable, "-m", "tools", "prefetch", *sizes]
    settings = {**os.environ, "COURSE_CACHE": str(target)}
    done = subprocess.run(command, cwd=ROOT, env=settings, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    if done.returncode:
        raise CourseError(done.stderr.strip()[-1500:])


def write_manifest(out: Path) -> None:
    """Write size and SHA-256 of every file that laptops get into PACK.json."""
    files = {}
    kept = (path for path in out.rglob("*") if path.relative_to(out).parts[0] not in PAGES)
    for path in sorted(path for path in kept if path.is_file() and path.name != MANIFEST):
        files[path.relative_to(out).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (out / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
    read_pack(out)


def read_pack(out: Path) -> tuple[str, dict]:
    """Return a pack's fingerprint, and name → size and SHA-256 of its files."""
    if not (out / MANIFEST).is_file():
        raise CourseError(f"{out} is no class pack: it has no {MANIFEST}.")
    manifest = (out / MANIFEST).read_bytes()
    try:
        return fingerprint(manifest), entries(manifest)
    except SystemExit as stop:
        raise CourseError(f"{out}: {stop}") from stop


def banner(out: Path) -> str:
    """Return the fingerprint of a pack as it is read aloud and shown to a class."""
    text = f"   P A C K     {' '.join(read_pack(out)[0])}   "
    return f"\n{'═' * len(text)}\n\n{text}\n\n{'═' * len(text)}\n"


def pack_problems(out: Path) -> Iterator[str]:
    """Yield every file of a pack that is missing or damaged."""
    files = read_pack(out)[1]
    yield from (f"{name} is missing or damaged" for name, entry in files.items() if not is_whole(out / name, entry))


def serve_pack(out: Path, port: int = 8000, host: str = "0.0.0.0") -> http.server.ThreadingHTTPServer:
    """Return a server that gives the pack, and nothing else, to the school's network."""
    list(pack_problems(out))
    handler = functools.partial(_Quiet, directory=str(out))
    return http.server.ThreadingHTTPServer((host, port), handler)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        """Say nothing of each of thousands of files."""
