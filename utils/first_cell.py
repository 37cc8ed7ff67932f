"""What the first cell of every notebook does: choose the model's size, the device and the seed."""

from __future__ import annotations

import difflib
import importlib.util
import os
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from utils.config import SIZES, GPT2Config
from utils.errors import CourseError

if TYPE_CHECKING:
    import torch

    from utils.model import GPT2
    from utils.tokenizer import Tokenizer


def is_colab() -> bool:
    """Say whether this runs on Google Colab."""
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # there is no package `google` at all
        return False


def chosen_size(size: str | None = None) -> str:
    """Return the size asked for, or the one on the dial COURSE_MODEL; nano when nothing is set."""
    asked = "COURSE_MODEL" if size is None else "size"
    size = (os.environ.get("COURSE_MODEL", "") if size is None else size).strip().lower() or "nano"
    if size not in SIZES:
        near = difflib.get_close_matches(size, SIZES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise CourseError(f"{asked} is {size!r}, expected one of {', '.join(SIZES)}.{hint}")
    return size


@dataclass
class Course:
    """The choices of this session; the model and the tokenizer are loaded when they are first used."""

    size: str
    device: torch.device
    dtype: torch.dtype
    seed: int

    @property
    def config(self) -> GPT2Config:
        return SIZES[self.size]

    @cached_property
    def model(self) -> GPT2:
        from utils.loaders import load_gpt2

        return load_gpt2(self.size, dtype=self.dtype, device=self.device)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from utils.tokenizer import Tokenizer

        return Tokenizer.gpt2()

    def __str__(self) -> str:
        return f"{self.size} on {self.device}, {str(self.dtype).removeprefix('torch.')}"


def start(seed: int = 0, size: str | None = None) -> Course:
    """Set every source of chance to `seed`, choose size and device, say so in one line and return the choices."""
    import numpy as np
    import torch

    from utils.devices import pick_device

    size = chosen_size(size)
    os.environ["COURSE_MODEL"] = size
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    course = Course(size, pick_device(os.environ.get("COURSE_DEVICE") or None), torch.float32, seed)
    print(course)
    return course
