"""Hands-On GPT-2: the one implementation of everything that two notebooks need.

Importing this package reads nothing, prints nothing and does not import torch.
"""

from __future__ import annotations

__version__ = "0.1.0"


def __getattr__(name: str):
    """Offer `from utils import start` without paying for torch on `import utils`."""
    if name == "start":
        from utils.session import start

        return start
    raise AttributeError(f"module 'utils' has no attribute {name!r}")
