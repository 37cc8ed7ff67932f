"""Mixed precision at true size: float16 with GradScaler and bfloat16 beside float32, from the same weights and text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from labs.true_size.bench import (
    Bench,
    Figures,
    Measure,
    largest_difference,
    losses,
    new_trainer,
    take_steps,
    tokens_per_second,
    watch_peak,
)
from utils.training.config import TrainConfig

DTYPES = ("float32", "float16", "bfloat16")
TOLERANCE = 0.05  # nats: 16 bits round off, and a step that the scaler skips sets the curve back by one


def settings(bench: Bench, dtype: str) -> TrainConfig:
    """Return what all dtypes train with."""
    batch, context, steps = (4, 32, 6) if bench.tiny else (8, 512, 12)
    return TrainConfig(
        context=context, batch_size=batch, max_steps=steps, learning_rate=3e-4, warmup_steps=4, dtype=dtype
    )


def learn(bench: Bench, found: Mapping[str, Figures], dtype: str) -> Figures:
    """Take a few steps in one dtype, and hold its losses to those of float32."""
    config, peak = settings(bench, dtype), watch_peak(bench.device)
    trainer = new_trainer(bench, config)
    records = take_steps(bench, trainer, config.max_steps)
    figures: Figures = {
        "losses": losses(records),
        "tokens/s": tokens_per_second(records),
        "peak bytes": peak(),
        "skipped steps": sum(not math.isfinite(record.gradient_norm) for record in records),
    }
    if trainer.scaler.is_enabled():
        figures["loss scale"] = trainer.scaler.get_scale()
    whole = found.get("float32", {}).get("losses")
    if whole and dtype != "float32":
        figures["largest difference"] = largest_difference(figures["losses"], whole)
        figures["agrees"] = figures["largest difference"] <= TOLERANCE
    return figures


MEASURES: dict[str, Measure] = {dtype: partial(learn, dtype=dtype) for dtype in DTYPES}
