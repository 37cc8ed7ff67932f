"""gptqmodel as a peer, in a process of its own: `python gptqmodel_peer.py MODEL TOKENS.json GRID.json OUT`.

It may live in another environment, which GPTQMODEL_PYTHON names. So this file imports nothing of the course
when it runs over there; it prints the seconds that quantizing took, without loading and saving.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

QUIET = {"GPTQMODEL_CPU_WORKERS": "2", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


def gptqmodel_python() -> str | None:
    """Return the Python that has gptqmodel: the one that GPTQMODEL_PYTHON names, or this one, or None."""
    return os.environ.get("GPTQMODEL_PYTHON") or (sys.executable if find_spec("gptqmodel") else None)


def with_tokenizer(folder: Path) -> Path:
    """Put GPT-2's tokenizer beside weights of any vocabulary: gptqmodel opens no folder without one."""
    from utils.tokenizer import Tokenizer

    Tokenizer.gpt2().save_for_transformers(folder)
    return folder


def quantize_there(folder: Path, rows: list[list[int]], grid: dict, out: Path) -> float:
    """Let gptqmodel quantize a folder with these rows of tokens into `out`, and return its seconds."""
    from utils.errors import CourseError

    tokens, described = out.with_suffix(".tokens.json"), out.with_suffix(".grid.json")
    tokens.write_text(json.dumps(rows), encoding="utf-8")
    described.write_text(json.dumps(grid), encoding="utf-8")
    paths = (Path(__file__), folder, tokens, described, out)
    python = gptqmodel_python()
    if python is None:
        raise CourseError("gptqmodel is not installed. Name a Python that has it in GPTQMODEL_PYTHON.")
    command = [python, *(str(path.resolve()) for path in paths)]
    where = out.parent  # it writes logs into its current folder
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=where, env=os.environ | QUIET)
    if done.returncode:
        raise CourseError(f"gptqmodel failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def main(folder: str, tokens: str, grid: str, out: str) -> None:
    """Quantize in this process and print the seconds as the last word."""
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig

    settings, ids = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (grid, tokens))
    rows = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in ids]
    model = GPTQModel.load(folder, QuantizeConfig(**settings), device="cpu", dtype=torch.float32)
    began = time.perf_counter()
    model.quantize(rows, batch_size=4)
    seconds = time.perf_counter() - began
    model.save(out)
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
