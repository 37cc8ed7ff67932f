"""Figures and widgets: `plots.NAME` draws a basic picture; each subject has a file of its own beside it.

Lessons 00 to 16 use them; none builds one by hand.
"""

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
    loss_mask,
    memory_bar,
    new_axes,
    next_token_chart,
    next_token_charts,
    next_token_comparison,
    share_bars,
    short_piece,
    stacked_bars,
    token_rows,
)
from utils.plots.layouts import byte_strips
from utils.plots.stories import shaded
