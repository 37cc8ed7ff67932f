"""Session setup: the first cell of every notebook chooses model size, device and RNG seed.

One dial: `start(size=…)` decides, else the environment variable COURSE_MODEL, else what was chosen in lesson 00 or by
`python course.py size` and is remembered for every notebook, else nano.
"""

from __future__ import annotations

import difflib
import logging
import os
import random
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from utils.config import SIZES, GPT2Config, format_bytes
from utils.errors import CourseError, show
from utils.files.hub import PINNED, is_downloaded, is_real
from utils.files.whole_files import write_whole

if TYPE_CHECKING:
    import torch

    from utils.model import GPT2
    from utils.tokenizer import Tokenizer

DEFAULT = "nano"
AS_CHOSEN = "as chosen"  # what the field in every notebook's first cell says until somebody chooses there
UNDO = "choose nano in lesson 00 or run `python course.py size nano` to undo it"


@dataclass(frozen=True)
class Choice:
    """A size, and where one other than nano was chosen."""

    size: str
    origin: str = ""

    @property
    def note(self) -> str:
        return "" if self.size == DEFAULT else f" ({self.origin})"


def choose_size(size: str | None = None) -> Choice:
    """Return the size asked for, else the one in COURSE_MODEL, else the remembered one, else nano."""
    if (asked := (size or "").strip().lower()) not in ("", AS_CHOSEN):
        return Choice(known_size(asked, "size"), "chosen in this cell")
    if asked := os.environ.get("COURSE_MODEL", "").strip().lower():
        return Choice(known_size(asked, "COURSE_MODEL"), "from COURSE_MODEL; unset that to undo it")
    if remembered := remembered_size():
        return Choice(remembered, f"remembered; {UNDO}")
    return Choice(DEFAULT)


def known_size(size: str, name: str) -> str:
    """Return the size if there is one of that name."""
    if size not in SIZES:
        near = difflib.get_close_matches(size, SIZES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise CourseError(f"{name} is {show(size)}, expected one of {', '.join(SIZES)}.{hint}")
    return size


def choice_file() -> Path:
    """Return where this user's choice is kept: a class may share its downloads, but not what each one works with."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # no error without a home
    return Path(base) / "hands-on-gpt2" / "size.txt"


def remembered_size() -> str:
    """Return the size that was chosen for every notebook, or nothing; what can't be one is ignored, and said."""
    try:
        with choice_file().open("rb") as file:
            text = file.read(100).decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        problem = f"can't be read: {error.strerror or error}"
    else:
        if text in SIZES:
            return text
        problem = f"holds {show(text)}, expected one of {', '.join(SIZES)}"
    print(f"{choice_file()} {problem}. It is ignored; choose a size again to mend it.", file=sys.stderr)
    return ""


def remember_size(size: str) -> str:
    """Keep a size for every notebook that is opened from now on, and say what follows; nano forgets."""
    path, size = choice_file(), known_size(size, "size")
    if size != DEFAULT:
        write_whole(path, lambda file: file.write(f"{size}\n".encode()))
        said = f"{size} is remembered for every notebook that you open or run again; nano undoes it."
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CourseError(f"{path} could not be removed: {error.strerror or error}. Remove it yourself.") from error
        said = "nano, as at the beginning: nothing is remembered."
    if asked := os.environ.get("COURSE_MODEL", "").strip():
        said += f" But COURSE_MODEL={asked} is set here and comes first: unset it, and start again."
    if size != DEFAULT and not is_downloaded(size):
        length = PINNED[size].files["model.safetensors"].bytes
        taken = f" ({format_bytes(length)})" if length else ""
        said += f" Its weights{taken} are fetched when first used, or now: python course.py prefetch {size}"
    return said


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

    def recorded(self, place: str) -> None:
        """Show what somebody recorded of a lesson ("06") or of one of its cells ("06/NAME") at small and medium."""
        from IPython.display import display

        from utils.files.recorded import recorded_bundles

        for bundle in recorded_bundles(place):
            display(bundle, raw=True)

    def __str__(self) -> str:
        return f"{self.size} on {self.device}, {str(self.dtype).removeprefix('torch.')}"


def start(seed: int = 0, size: str | None = None) -> Course:
    """Seed every random number generator, choose size and device, say so in one line and return the choices."""
    import numpy as np
    import torch

    from utils.machine import pick_device

    refuse_hub_code()
    choice = choose_size(size)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    course = Course(choice.size, pick_device(os.environ.get("COURSE_DEVICE") or None), torch.float32, seed)
    print(f"{course}{choice.note}")
    if not is_real(choice.size):
        print(f"These are not the weights that OpenAI published: COURSE_PINS names {PINNED[choice.size].repo} instead.")
    return course


def refuse_hub_code() -> None:
    """Let no library fetch native code from the Hugging Face Hub: bitsandbytes would while it is imported.

    It asks the package `kernels` for it, which Colab has and the course has not. What it fetches has no pinned hash.
    """
    if "kernels" not in sys.modules:
        sys.modules["kernels"] = None  # type: ignore[assignment]  # so that importing it fails
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # it advises to install kernels
