"""A strict run of notebooks in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.repo.notebooks import ROOT


def strict_run(*words: str | Path, **settings: str) -> subprocess.CompletedProcess:
    """Run pytest as `python course.py test` does, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OMP_", "MKL_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"]
    command += ["-o", "pythonpath=", "-p", "conftest"]  # the root's conftest, not that of tests/
    command += ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **settings}, capture_output=True, encoding="utf-8", errors="replace"
    )
