"""Pictures: `plots.NAME` draws a basic one; each subject has a file of its own beside it."""

from __future__ import annotations

from utils.plots.basic import (
    COLORS,
    TINTS,
    as_png,
    attention_maps,
    bars,
    curves,
    layer_bars,
    logit_lens_table,
    loss_curve,
    memory_bar,
    new_axes,
    next_token_chart,
    next_token_comparison,
    share_bars,
    short_piece,
    stacked_bars,
    token_rows,
)

__all__ = [
    "COLORS",
    "TINTS",
    "as_png",
    "attention_maps",
    "bars",
    "curves",
    "layer_bars",
    "logit_lens_table",
    "loss_curve",
    "memory_bar",
    "new_axes",
    "next_token_chart",
    "next_token_comparison",
    "share_bars",
    "short_piece",
    "stacked_bars",
    "token_rows",
]
