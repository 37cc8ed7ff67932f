"""The first cell of every notebook calls `begin` on Google Colab, in the clone that it has just made."""

from __future__ import annotations

import sys
from pathlib import Path


def begin(folder: str) -> None:
    """Let Python find the clone in which this file lies, and let the course settle there, in a folder of notebooks."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from utils.files.colab import settle

    settle(folder)
