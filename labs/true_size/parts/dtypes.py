"""Mixed precision at true size: float16 with GradScaler and bfloat16 beside float32, from the same weights and text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

from labs.true_size.bench import Bench, Figures, Measure, largest_difference, learn_steps
from utils.training.config import TrainConfig

DTYPES = ("float32", "float16", "bfloat16")
TOLERANCE = 0.05  # nats: 16 bits round off


def settings(bench: Bench, dtype: str) -> TrainConfig:
    """Return what all dtypes train with."""
    batch, context, steps = (4, 32, 6) if bench.tiny else (8, 512, 12)
    return TrainConfig(
        context=context, batch_size=batch, max_steps=steps, learning_rate=3e-4, warmup_steps=4, dtype=dtype
    )


def learn(bench: Bench, found: Mapping[str, Figures], dtype: str) -> Figures:
    """Take a few steps in one dtype, and hold its losses to those of float32."""
    config = settings(bench, dtype)
    trainer, records, figures = learn_steps(bench, config, config.max_steps)
    figures["skipped steps"] = sum(not math.isfinite(record.gradient_norm) for record in records)
    if trainer.scaler.is_enabled():
        figures["loss scale"] = trainer.scaler.get_scale()
    whole = found.get("float32", {}).get("losses")
    if whole and dtype != "float32":
        figures["largest difference"] = largest_difference(figures["losses"], whole)
        figures["agrees"] = figures["largest difference"] <= allowed(whole, figures["skipped steps"])
    return figures


def allowed(whole: Sequence[float], skipped: int) -> float:
    """Return how far a curve may be from float32's: each step that the scaler skips sets it back by one.

    >>> round(allowed([5.0, 4.5, 4.25], skipped=1) - allowed([5.0, 4.5, 4.25], skipped=0), 6)
    0.5
    """
    return TOLERANCE + skipped * max(abs(before - after) for before, after in pairwise(whole))


MEASURES: dict[str, Measure] = {dtype: partial(learn, dtype=dtype) for dtype in DTYPES}
