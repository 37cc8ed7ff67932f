"""Start the course from a class pack, on a stick or on the teacher's machine. Needs Python 3.11–3.13, nothing else.

  python start.py                             from the pack that this file lies in
  python start.py http://192.168.1.20:8000    from the teacher's machine, where `class serve` runs
  … --to FOLDER                               where the course goes; hands-on-gpt2 in your home folder if not given
  … --no-lab                                  install, and don't open JupyterLab

Every file is held to its SHA-256. What is there already is not copied again, so a second start is quick.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

MANIFEST = "PACK.json"


def open_file(source: str, name: str):
    """Open one file of the pack for reading, from a folder or over the network."""
    if source.startswith("http"):
        return urllib.request.urlopen(f"{source.rstrip('/')}/{urllib.parse.quote(name)}", timeout=60)
    return (Path(source) / name).open("rb")


def is_whole(path: Path, entry: dict) -> bool:
    """Tell whether a file is there and is what the pack says."""
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"]


def bring(source: str, name: str, entry: dict, target: Path) -> None:
    """Copy one file of the pack, and keep it only if it is whole."""
    if is_whole(target, entry):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with open_file(source, name) as origin, partial.open("wb") as file:
        shutil.copyfileobj(origin, file, 1 << 20)
    if not is_whole(partial, entry):
        partial.unlink()
        sys.exit(f"{name} is damaged in this pack: its SHA-256 is another one. Make the pack again, or copy it anew.")
    partial.replace(target)


def read_manifest(source: str) -> dict:
    """Return what is in the pack."""
    try:
        with open_file(source, MANIFEST) as file:
            return json.load(file)["files"]
    except urllib.error.URLError as error:
        sys.exit(f"{source} does not answer ({error.reason}). Is the teacher's machine on, and in this network?")
    except (OSError, ValueError, KeyError):
        sys.exit(f"{source} is no class pack: it has no {MANIFEST}. Start from the folder that `class pack` made.")


def fetch_pack(source: str, home: Path) -> Path:
    """Bring the course and its weights to `home`; return where the wheels are: they stay on a stick."""
    files = read_manifest(source)
    remote = source.startswith("http")
    chosen = {name: entry for name, entry in files.items() if remote or not name.startswith("wheels/")}
    for number, (name, entry) in enumerate(sorted(chosen.items()), start=1):
        target = home / name.removeprefix("course/")
        bring(source, name, entry, target)
        if sys.stdout.isatty():
            print(f"\r{number} of {len(chosen)} files are here", end="", flush=True)
    return home / "wheels" if remote else Path(source).resolve() / "wheels"


def check_wheels(source: Path) -> None:
    """Refuse a pack whose wheels are damaged before anything is installed."""
    for name, entry in read_manifest(str(source.parent)).items():
        if name.startswith("wheels/") and not is_whole(source.parent / name, entry):
            sys.exit(f"{name} is missing or damaged in this pack. Make the pack again, or copy it anew.")


def main() -> int:
    """Bring the pack, then let course.py install from it, with no index, and open JupyterLab."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source", nargs="?", default=str(Path(__file__).resolve().parent))
    parser.add_argument("--to", default=str(Path.home() / "hands-on-gpt2"))
    parser.add_argument("--no-lab", action="store_true")
    options = parser.parse_args()
    home = Path(options.to).expanduser().resolve()
    if home.is_dir() and any(home.iterdir()) and not (home / "course.py").is_file():
        sys.exit(f"{home} holds something else. Choose another folder: python start.py --to FOLDER")
    wheels = fetch_pack(options.source, home)
    if not options.source.startswith("http"):
        check_wheels(wheels)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri()}
    command = [sys.executable, str(home / "course.py"), *(["help"] if options.no_lab else ["lab"])]
    print(f"\nThe course is in {home}; from now on: python {home / 'course.py'} lab", flush=True)
    return subprocess.call(command, env={**os.environ, **index}, cwd=home)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped; run the same command again to go on.")
    except OSError as error:
        sys.exit(f"The start stopped: {error}. Mend that, then run the same command again.")
