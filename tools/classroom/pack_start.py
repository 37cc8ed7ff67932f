"""Start the course from a class pack, on a stick or on the teacher's machine. Needs Python 3.11–3.13, nothing else.

  python start.py                             from the pack that this file lies in
  python start.py http://192.168.1.20:8000    from the teacher's machine, where `class serve` runs
  … --pack 7f3a-91c2                          the pack's fingerprint, which the teacher reads aloud; else asked for
  … --to FOLDER                               where the course goes; hands-on-gpt2 in your home folder if not given
  … --no-lab                                  install, and don't open JupyterLab

The fingerprint stands for PACK.json, and PACK.json for the SHA-256 of every file: whoever answers in the teacher's
place is refused. What is there already is not copied again, so a second start is quick.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

MANIFEST = "PACK.json"
FOLDERS = ("course", "wheels", "cache")
MOST_NAMES, MOST_BYTES = 20 << 20, 64 << 30  # of PACK.json, and of all files together


def open_file(source: str, name: str):
    """Open one file of the pack for reading, from a folder or over the network."""
    if source.startswith("http"):
        return urllib.request.urlopen(f"{source.rstrip('/')}/{urllib.parse.quote(name)}", timeout=60)
    path = Path(source) / name
    if path.resolve() != Path(source).resolve() / name:
        sys.exit(f"{name} is a link in this pack, not a file. Make the pack again, or copy it anew.")
    return path.open("rb")


def fingerprint(manifest: bytes) -> str:
    """Return what a teacher reads aloud for a pack: scrypt of the SHA-256 of its PACK.json, in eight digits.

    scrypt takes 128 MB and a third of a second, so that to find another pack with the same digits takes decades.
    """
    digest = hashlib.sha256(manifest).digest()
    short = hashlib.scrypt(digest, salt=b"class pack", n=1 << 17, r=8, p=1, maxmem=1 << 28, dklen=4).hex()
    return f"{short[:4]}-{short[4:]}"


def check_fingerprint(manifest: bytes, said: str | None, remote: bool) -> None:
    """Refuse a pack that is not the one whose fingerprint the teacher has read aloud."""
    found = fingerprint(manifest)
    if said is None and not remote:
        print(f"This is pack {found}.")
        return
    try:
        said = said or input("Which fingerprint does the teacher read aloud for this pack, for instance 7f3a-91c2? ")
    except EOFError:
        sys.exit(
            "The pack's fingerprint is missing. Ask the teacher for it: python start.py http://… --pack FINGERPRINT"
        )
    if "".join(re.findall("[0-9a-f]", said.lower())) != found.replace("-", ""):
        sys.exit(f"This pack does not have the fingerprint {said}. Ask the teacher, and type it again. If it is "
                 "refused once more, another machine answers in the teacher's place: stop here.")  # fmt: skip


def check_entries(files: dict) -> dict:
    """Return what PACK.json says of its files if each name stays inside the pack and each size is a size."""
    for name, entry in files.items():
        parts = name.split("/")
        if any(not part.strip(". ") or re.search(r'[\\:*?"<>|\x00-\x1f]', part) for part in parts) or (
            name != "start.py" and (len(parts) < 2 or parts[0] not in FOLDERS)
        ):
            sys.exit(f"PACK.json names {name!r}, which lies outside the pack. Don't use this pack; tell the teacher.")
        if type(entry["bytes"]) is not int or entry["bytes"] < 0 or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            sys.exit(f"PACK.json says nothing sensible of {name!r}: {entry}. Make the pack again, or copy it anew.")
    if (total := sum(entry["bytes"] for entry in files.values())) > MOST_BYTES:
        sys.exit(f"PACK.json announces {total:,} bytes, {MOST_BYTES:,} are the most. Don't use it; tell the teacher.")
    return files


def place(home: Path, name: str) -> Path:
    """Return where a file of the pack goes."""
    return home / name.removeprefix("course/")


def is_whole(path: Path, entry: dict) -> bool:
    """Tell whether a file is there and is what the pack says."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry["bytes"]:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"]


def bring(source: str, name: str, entry: dict, home: Path) -> None:
    """Copy one file of the pack, and keep it only if it is whole."""
    target = place(home, name)
    if is_whole(target, entry):
        return
    if not target.parent.resolve().is_relative_to(home):
        sys.exit(f"{target.parent} leads out of {home}: it is a link. Remove it, then run this again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    with open_file(source, name) as origin, partial.open("xb") as file:
        copied = 0
        while copied <= entry["bytes"] and (block := origin.read(1 << 20)):
            copied += file.write(block)
    if not is_whole(partial, entry):
        partial.unlink()
        sys.exit(f"{name} is damaged in this pack: its SHA-256 is another one. Make the pack again, or copy it anew.")
    partial.replace(target)


def read_manifest(source: str) -> bytes:
    """Return the text that says what is in the pack."""
    try:
        with open_file(source, MANIFEST) as file:
            text = file.read(MOST_NAMES + 1)
    except urllib.error.URLError as error:
        sys.exit(f"{source} does not answer ({error.reason}). Is the teacher's machine on, and in this network?")
    except OSError:
        sys.exit(f"{source} is no class pack: it has no {MANIFEST}. Start from the folder that `class pack` made.")
    if len(text) > MOST_NAMES:
        sys.exit(f"{MANIFEST} of {source} has more than {MOST_NAMES:,} bytes. Don't use this pack; tell the teacher.")
    return text


def entries(manifest: bytes) -> dict:
    """Return name → size and SHA-256 of every file of a pack, by its PACK.json."""
    try:
        return check_entries(json.loads(manifest)["files"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        sys.exit(f"{MANIFEST} is damaged ({type(error).__name__}: {error}). Make the pack again, or copy it anew.")


def fetch_pack(source: str, files: dict, home: Path) -> Path:
    """Bring the course and its weights to `home`; return where the wheels are: they stay on a stick."""
    remote = source.startswith("http")
    chosen = {name: entry for name, entry in files.items() if remote or not name.startswith("wheels/")}
    need = sum(entry["bytes"] for name, entry in chosen.items() if not place(home, name).exists())
    if need > (free := shutil.disk_usage(home).free):
        sys.exit(f"{home} has room for {free:,} bytes and the pack takes {need:,}: make room, then run this again.")
    for number, (name, entry) in enumerate(sorted(chosen.items()), start=1):
        bring(source, name, entry, home)
        if sys.stdout.isatty():
            print(f"\r{number} of {len(chosen)} files are here", end="", flush=True)
    return home / "wheels" if remote else Path(source).resolve() / "wheels"


def check_wheels(source: Path, files: dict) -> None:
    """Refuse a pack whose wheels are damaged before anything is installed."""
    for name, entry in files.items():
        if name.startswith("wheels/") and not is_whole(source / name, entry):
            sys.exit(f"{name} is missing or damaged in this pack. Make the pack again, or copy it anew.")


def main() -> int:
    """Bring the pack, then let course.py install from it, with no index, and open JupyterLab."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source", nargs="?", default=str(Path(__file__).resolve().parent))
    parser.add_argument("--pack")
    parser.add_argument("--to", default=str(Path.home() / "hands-on-gpt2"))
    parser.add_argument("--no-lab", action="store_true")
    options = parser.parse_args()
    home = Path(options.to).expanduser().resolve()
    if home.is_dir() and any(home.iterdir()) and not (home / "course.py").is_file():
        sys.exit(f"{home} holds something else. Choose another folder: python start.py --to FOLDER")
    remote = options.source.startswith("http")
    manifest = read_manifest(options.source)
    check_fingerprint(manifest, options.pack, remote)
    files = entries(manifest)
    home.mkdir(parents=True, exist_ok=True)
    wheels = fetch_pack(options.source, files, home)
    if not remote:
        check_wheels(Path(options.source), files)
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
