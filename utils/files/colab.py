"""Google Colab: a machine lent for a session, with packages of its own and a disk that is lost when the session ends.

The first cell of every notebook clones the course there and hands over to `settle`; a run that keeps files elsewhere
than on Google Drive says once that they will be lost.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import ROOT

DRIVE = Path("/content/drive")
PINS = ROOT / "requirements.txt"
# What a notebook may import and Colab may lack; packages are named alike, with hyphens.
MODULES = """accelerate bitsandbytes gguf google_crc32c gpt_2_simple gradio httpx2 omegaconf peft psutil pypdf
safetensors tokenizers torchao transformers tyro xllamacpp"""
NEEDED = MODULES.split()
KEPT = ("torch", "numpy", "tensorflow")  # Colab's own builds: another one would break its kernel or its GPU


def on_colab() -> bool:
    """Say whether this process runs on Google Colab: in its notebook, or started from there."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def settle(folder: str) -> None:
    """Go to a folder of the course, so that notebooks find what they find elsewhere, and install what is missing."""
    os.chdir(ROOT / folder)
    install_missing()


def say_what_is_lost(folder: str | Path) -> None:
    """Say on Colab, once, that a folder will be lost with the session, and how to keep it on Google Drive."""
    if on_colab() and not Path(folder).resolve().is_relative_to(DRIVE.resolve()):
        _say_once()


def lasting(folder: str | Path) -> Path:
    """Return a folder that outlives the session: on Colab below Google Drive, which it asks to mount; else the same."""
    if not on_colab():
        return Path(folder)
    if not DRIVE.is_dir():
        from google.colab import drive

        try:
            drive.mount(str(DRIVE))
        except (ValueError, NotImplementedError) as error:  # what Colab raises when somebody says no
            print(f"Google Drive was not mounted ({error}).")
            return Path(folder)
    return DRIVE / "MyDrive" / "hands-on-gpt2" / Path(folder).name


@cache
def _say_once() -> None:
    kept = f"{DRIVE}/MyDrive"
    mount = "" if Path(kept).is_dir() else f"run `from google.colab import drive; drive.mount('{DRIVE}')`, and "
    print(f"What this run keeps lies on Colab's disk and is lost with the session: {mount}put out= below {kept}.")


def install_missing() -> list[str]:
    """Install by pip what is missing, in the course's versions, and return it; what is there keeps its version."""
    missing = [name.replace("_", "-") for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install([pinned(package) for package in missing], held())
    if stale := changed_under_us():
        raise CourseError(
            f"{', '.join(stale)} changed on disk after being imported. Runtime → Restart session, then run this cell "
            "first, before any other."
        )
    return missing


def pinned(package: str, pins: Path = PINS) -> str:
    """Return the package with the version that the course was tested with.

    >>> pinned("omegaconf")
    'omegaconf==2.4.0'
    """
    found = re.search(rf"^{re.escape(package)}==[^\s;#]+", pins.read_text(encoding="utf-8"), re.MULTILINE)
    return found[0] if found else package


def held() -> list[str]:
    """Return pip's constraints: the packages that must stay as they are, Colab's own and all that is loaded."""
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    owners = packages_distributions()
    names = {*KEPT, *(owner for module in loaded for owner in owners.get(module, ()))}
    return sorted(f"{name}=={there}" for name in names if (there := installed(name)))


def install(packages: list[str], held: list[str]) -> None:
    """Run pip with the packages and with what it may not change."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "held.txt"
        constraints.write_text("\n".join(held) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "-q", *packages, "-c", str(constraints)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CourseError(
            f"{', '.join(packages)} could not be installed: {reason}. Run this cell again; if that does not help, "
            "Runtime → Disconnect and delete runtime gives a fresh machine."
        )


def changed_under_us() -> list[str]:
    """Return the loaded packages of which another version than the loaded one is now on disk."""
    changed = []
    for name in (*KEPT, *NEEDED):
        have, there = getattr(sys.modules.get(name), "__version__", None), installed(name.replace("_", "-"))
        if have and there and have.partition("+")[0] != there.partition("+")[0]:
            changed.append(name)
    return changed


def installed(package: str) -> str | None:
    """Return the version of a package on disk, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
