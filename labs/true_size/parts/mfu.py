"""Model FLOPs utilization (MFU) of small at its best batch, as it is and by torch.compile, of a peak that is measured.

Counted as in PaLM (Chowdhery et al. 2022, appendix B, arXiv:2204.02311): useful operations only, by the model's shape.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping

import torch

from benchmarks.training import FLOPS, matrix_product
from labs.true_size.bench import (
    Bench,
    Figures,
    Measure,
    compiled_blocks,
    found_in,
    largest_difference,
    learn_steps,
    losses,
    new_trainer,
    take_steps,
    tokens_per_second,
    watch_peak,
)
from utils.config import flops_per_token, peak_flops
from utils.errors import CourseError
from utils.fit.memory_ladder import is_out_of_memory
from utils.machine import device_name
from utils.training.config import TrainConfig

GAIN = 1.03  # a batch twice as large is worth its memory if it is faster by this
STEPS = 6
COMPILING = 40  # seconds that are kept for it, at the true shape


def matrix_peak(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Measure what the device does with one large product, beside what its maker says."""
    size = 256 if bench.tiny else 8192 if bench.device.type == "cuda" else 2048
    turn = matrix_product(bench.dtype, size, bench.device)
    best = max(turn()[FLOPS] for _ in range(3)) * 1e12
    return {
        "dtype": bench.dtype,
        "matrix": size,
        "FLOP/s": best,
        "maker's FLOP/s": peak_flops(device_name(bench.device), bench.dtype),
    }


def context_of(bench: Bench) -> int:
    return 32 if bench.tiny else bench.config.context


def settings(bench: Bench, batch: int) -> TrainConfig:
    return TrainConfig(
        context=context_of(bench), batch_size=batch, learning_rate=3e-4, warmup_steps=4, dtype=bench.dtype
    )


def speed_at(bench: Bench, batch: int) -> Figures:
    """Take some steps with so many sequences in each."""
    began = time.monotonic()
    _, _, figures = learn_steps(bench, settings(bench, batch), STEPS)
    return {"batch": batch, **figures, "measured in seconds": round(time.monotonic() - began, 2)}


def speed_or_none(bench: Bench, batch: int) -> Figures | None:
    """Return the speed with a batch, or None where memory ran out."""
    try:
        return speed_at(bench, batch)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    gc.collect()  # here the error and all that it held on to are gone
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def search_batch(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Double the batch until memory, gain or time ends, and keep the fastest."""
    batch, most = (1, 4) if bench.tiny else (8, 512) if bench.device.type == "cuda" else (1, 16)
    kept = 0 if bench.tiny else COMPILING
    rows: list[Figures] = []
    ended = ""
    while not ended:
        row = speed_or_none(bench, batch)
        rows += [row] if row else []
        if row is None:
            ended = f"memory ran out with a batch of {batch}"
        elif len(rows) > 1 and row["tokens/s"] < GAIN * rows[-2]["tokens/s"]:
            ended = f"a batch of {batch} was hardly faster than one of {batch // 2}"
        elif batch >= most:
            ended = f"a batch of {batch} is the largest that was to be tried"
        elif bench.left - kept < 2 * row["measured in seconds"]:
            ended = f"there was no time for a batch of {2 * batch}"
        batch *= 2
    if not rows:
        raise CourseError(f"Not even one batch was measured: {ended}. Close other programs on this device.")
    best = max(rows, key=lambda row: row["tokens/s"])
    shared = {"context": context_of(bench), "dtype": bench.dtype, "ended": ended, "tried": rows}
    return shared | best | shares_of_peak(bench, found, best["tokens/s"])


def compiled(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Take the same steps with compiled blocks, at the batch that was best without."""
    batch, plain = (found_in(found, "best batch", figure) for figure in ("batch", "losses"))
    peak = watch_peak(bench.device)
    trainer = new_trainer(bench, settings(bench, batch))
    with compiled_blocks(bench, trainer.model) as backend:
        records = take_steps(bench, trainer, 2 * STEPS)
    speed = tokens_per_second(records, warm_up=STEPS)
    return {
        "backend": backend,
        "batch": batch,
        "compiling seconds": round(records[0].seconds, 2),
        "tokens/s": speed,
        "over plain": round(speed / found_in(found, "best batch", "tokens/s"), 3),
        "peak bytes": peak(),
        "largest difference": largest_difference(losses(records), plain),
        **shares_of_peak(bench, found, speed),
    }


def shares_of_peak(bench: Bench, found: Mapping[str, Figures], speed: float) -> Figures:
    """Return the MFU of a speed in tokens/s: of the peak that was measured, the maker's, and the one that was named."""
    measured = found.get("matrix peak", {})
    peaks = {
        "MFU of the measured peak": measured.get("FLOP/s"),
        "MFU of the maker's peak": measured.get("maker's FLOP/s"),
        "MFU of --peak": bench.peak,
    }
    useful = speed * flops_per_token(bench.config, context_of(bench))
    return {name: round(useful / peak, 4) for name, peak in peaks.items() if peak}


MEASURES: dict[str, Measure] = {"matrix peak": matrix_peak, "best batch": search_batch, "compiled": compiled}
