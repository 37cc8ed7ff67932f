"""Types: mypy, with its defaults, finds nothing to say about utils, tools, labs and benchmarks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from utils.files.places import ROOT


def test_mypy_finds_nothing():
    pytest.importorskip("mypy", reason="mypy is not installed here")
    cache = ROOT / ".mypy_cache"  # a second run takes seconds
    words = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-error-summary"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
