"""Quantized kernels: small by each program that computes in fewer bits, where it is installed; error, bytes, tokens/s.

The shoot-out of lab 05 measures them, each in a process of its own, so that none can harm the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial

import torch

from labs.shootout.loader_zoo import LOADERS
from labs.shootout.race import run_shootout
from labs.true_size.bench import Bench, Figures, Measure
from utils.config import SIZES
from utils.errors import CourseError
from utils.machine import pick_device
from utils.model import GPT2

PROGRAMS = (
    "transformers, bfloat16",  # beside which the others are to be seen
    "torchao, 8 bits",
    "bitsandbytes, 8 bits",
    "bitsandbytes, NF4",
    "gptqmodel, GPTQ",
    "gptqmodel, AWQ",
    "exllamav2, EXL2",
)


def run_program(bench: Bench, found: Mapping[str, Figures], name: str) -> Figures:
    """Open the same weights with one program; its logits are held to those of our float32 on the CPU."""
    if reason := LOADERS[name].lacking():
        return {"skipped": reason}
    vocabulary = SIZES["small"].vocab_size  # stories are asked about, in GPT-2's tokens
    torch.manual_seed(0)
    model = GPT2(replace(bench.config, vocab_size=vocabulary)).eval()
    result = run_shootout(model, bench.folder, [name])
    if not result.rows:
        raise CourseError(result.skipped[name])
    return {"device": str(pick_device()), **asdict(result.rows[0])}


MEASURES: dict[str, Measure] = {name: partial(run_program, name=name) for name in PROGRAMS}
