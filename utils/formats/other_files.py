"""Files that hold no weights which anything here opens: what they are, from how they begin."""

from __future__ import annotations

import re
from pathlib import Path

from utils.config import format_bytes
from utils.formats.pickle_machine import pickle_requests
from utils.formats.torch_files import Damaged, read_zip

LFS = re.compile(rb"version https://\S+\noid sha256:([0-9a-f]{64})\nsize (\d{1,20})\n")
# Files that hold no weights which anything here opens, by how they begin
STARTS = (
    (b"\x93NUMPY", "one array of NumPy"),
    (b"\x89HDF\r\n", "HDF5, in which Keras saved weights (tf_model.h5); the same model is published as safetensors"),
    (b"\x7fELF", "a program for Linux"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (b"lmgg", "GGML, the format before GGUF: convert the original weights with save_gguf"),
    (b"tjgg", "GGML, the format before GGUF: convert the original weights with save_gguf"),
)


def describe_other(file: Path, start: bytes) -> list[str] | None:
    """Say what a file is that holds no weights, or weights that nothing should open; None for all others."""
    if start[8:9] == b"{" or file.suffix == ".index":  # weights, whatever their first bytes look like
        return None
    if pointer := LFS.match(start):
        size = format_bytes(int(pointer[2]))
        return [f"a pointer of Git LFS to {size} with SHA-256 {pointer[1].decode()}: run `git lfs pull` to fetch them"]
    for mark, what in STARTS:
        if start.startswith(mark):
            return [what, "load_gpt2: no, it holds no weights that it reads"]
    if start[:1] == b"\x80":
        with file.open("rb") as opened:
            wanted = list(dict.fromkeys(pickle_requests(opened.read(1_000_000))))
        asks = ", ".join(map(printable, wanted[:8])) or "nothing in its first million bytes"
        return [f"a pickle; it asks for {asks}", "load_gpt2: no, unpickling it could run any code: get a .safetensors"]
    if start[:2] == b"PK" and (arrays := _npz(file)) is not None:
        return [f"a zip of {arrays} arrays of NumPy (.npz)", "load_gpt2: no, it holds no weights that it reads"]
    return None


def _npz(file: Path) -> int | None:
    try:
        names = list(read_zip(file))
    except (Damaged, OSError):
        return None  # open_weights tells what is wrong
    return len(names) if names and all(name.endswith(".npy") for name in names) else None


def printable(text: str) -> str:
    """Escape what could move the cursor of a terminal, and cut what is too long for a line."""
    return (text if text.isprintable() else ascii(text))[:100]
