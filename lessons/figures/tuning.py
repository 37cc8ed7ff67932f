"""Figures of fine-tuning: rehearsal, mixed precision (lesson 12), LoRA, its merge, QLoRA, what they cost (lesson 13).

Nothing here is measured: the lessons compute beside the diagrams what they show; the calculator's memory is estimated.
"""

from __future__ import annotations

import ipywidgets as widgets

from lessons.figures.svg import Drawing
from utils.config import SIZES, Workload, estimate_memory
from utils.lora import estimate_lora_memory
from utils.plots import basic as plots
from utils.plots.widgets import Panel, panel


def rehearsal() -> Drawing:
    """Draw fine-tuning as a loop, with text that the base wrote itself mixed into what it learns."""
    drawing = Drawing(
        720,
        230,
        "The base model's weights are copied and trained on batches of new text. For rehearsal, texts that the base "
        "wrote itself are mixed in. Two measures stand at the end: held-out new text, and other texts by the base.",
    )
    drawing.box(15, 85, 110, 60, "base model\n(stays as it is)", "gray")
    drawing.box(185, 20, 130, 50, "new text", "blue").box(185, 160, 130, 50, "its own samples\n(rehearsal)", "green")
    drawing.box(380, 85, 120, 60, "training loop\non a copy", "orange")
    drawing.box(560, 20, 145, 50, "held-out new text:\nwhat was learned?", "blue")
    drawing.box(560, 160, 145, 50, "other own samples:\nwhat was forgotten?", "green")
    drawing.arrow(125, 115, 380, 115, "copy of the weights")
    drawing.arrow(95, 145, 185, 185, "writes").arrow(315, 45, 400, 85).arrow(315, 185, 400, 145, "mixed in")
    return drawing.arrow(500, 100, 560, 60).arrow(500, 130, 560, 170)


def mixed_precision() -> Drawing:
    """Draw one step in mixed precision: 16-bit copies for the products, master weights and moments in 32 bits."""
    drawing = Drawing(
        720,
        215,
        "Master weights in float32 are copied to 16 bits. Forward and backward pass multiply the copies in 16 bits. "
        "The gradients come back to float32, are unscaled and clipped, and AdamW moves the master weights in float32.",
    )
    drawing.box(20, 20, 150, 60, "master weights\nfloat32", "blue").box(280, 20, 150, 60, "copies\n16 bits", "orange")
    drawing.box(540, 20, 160, 60, "forward, backward\nproducts in 16 bits", "orange")
    drawing.box(540, 135, 160, 60, "gradients\nfloat32", "blue")
    drawing.box(280, 135, 150, 60, "unscale, clip\nfloat32", "blue")
    drawing.box(20, 135, 150, 60, "AdamW\nmoments in float32", "blue")
    drawing.arrow(170, 50, 280, 50, "round").arrow(430, 50, 540, 50).arrow(620, 80, 620, 135, "still scaled")
    return drawing.arrow(540, 165, 430, 165).arrow(280, 165, 170, 165).arrow(95, 135, 95, 80, "small steps survive")


def lora_paths() -> Drawing:
    """Draw a layer with its adapter: two ways for the input, whose results are added."""
    drawing = Drawing(
        720,
        240,
        "The input x goes two ways. One is the frozen matrix W, out × in. The other is the thin matrix A, rank × in, "
        "then the thin matrix B, out × rank, times alpha over rank. Both results are added to y.",
    )
    drawing.text(40, 120, "x", bold=True, size=16).text(690, 120, "y", bold=True, size=16)
    drawing.box(190, 20, 300, 75, "W  (out × in)\nfrozen: no gradient, no moments", "gray")
    drawing.box(150, 150, 130, 50, "A  (rank × in)\nrandom at first", "orange")
    drawing.box(340, 150, 130, 50, "B  (out × rank)\nzero at first", "green")
    drawing.arrow(55, 112, 190, 60).arrow(55, 128, 150, 172).arrow(280, 175, 340, 175, "rank")
    drawing.box(585, 95, 50, 50, "+", "white")
    drawing.arrow(490, 60, 585, 110).arrow(470, 175, 585, 130).arrow(635, 120, 675, 120)
    drawing.text(590, 175, "× alpha / rank", size=11)
    return drawing.note(150, 222, "y = W·x + (alpha/rank) · B·(A·x)", width=60)


def lora_merge() -> Drawing:
    """Draw the merge: B·A becomes a matrix of W's shape and is added to it."""
    drawing = Drawing(
        720,
        180,
        "A tall thin matrix B times a flat thin matrix A gives a matrix of the shape of W. Added to W it gives one "
        "plain matrix, so that nothing stands beside the weights any more.",
    )
    drawing.box(15, 35, 80, 80, "W", "gray").text(120, 75, "+  s ·", size=15).box(147, 35, 22, 80, "B", "green")
    drawing.text(181, 75, "·", size=18).box(193, 64, 80, 22, "A", "orange").text(296, 75, "=", size=15)
    drawing.box(320, 35, 80, 80, "W", "gray").text(420, 75, "+", size=15).box(440, 35, 80, 80, "s · B·A", "pink")
    drawing.text(545, 75, "=", size=15).box(570, 35, 80, 80, "merged", "blue")
    return drawing.note(15, 150, "s = alpha/rank. The sum has W's shape: one plain matrix again.", width=80)


def qlora_layer() -> Drawing:
    """Draw where QLoRA's numbers live: packed base, unpacked for a moment, adapters and moments in 32 bits."""
    drawing = Drawing(
        720,
        215,
        "The packed weights W, four bits each and a scale for each group of 64, are unpacked for a moment in the "
        "forward pass and once more in the backward pass. The adapters A and B, their gradients and moments, and the "
        "token table stay in 32 bits.",
    )
    drawing.box(20, 20, 190, 70, "packed W\n4 bits, scale per 64", "orange")
    drawing.box(280, 20, 170, 70, "W for a moment\nfloat32", "orange", dashed=True)
    drawing.box(520, 20, 180, 70, "product with x,\nthen thrown away", "white")
    drawing.arrow(210, 55, 280, 55, "unpack").arrow(450, 55, 520, 55)
    drawing.box(20, 120, 320, 75, "A, B, their gradients and moments\nfloat32, small", "green")
    drawing.box(380, 120, 320, 75, "token table, positions, norms\nfloat32 and frozen: never packed here", "blue")
    return drawing.note(215, 104, "the backward pass unpacks once more", width=60)


def adapter_calculator(size: str) -> Panel:
    """Return sliders for rank, bits of the base and batch above the memory of one step, beside that of all weights."""
    quiet = {"continuous_update": False}
    controls = {
        "rank": widgets.SelectionSlider(options=[1, 2, 4, 8, 16, 32, 64], value=8, description="rank", **quiet),
        "base_bits": widgets.SelectionSlider(options=[("4", 4), ("8", 8), ("32", 0)], description="bits", **quiet),
        "batch": widgets.IntSlider(value=4, min=1, max=16, description="batch", **quiet),
    }
    picture = widgets.Image(format="png", width=720)

    def draw(change: dict | None = None) -> None:
        rank, bits, batch = (control.value for control in controls.values())
        work = Workload(batch=batch, context=256, training=True)
        rows = {"all weights": estimate_memory(SIZES[size], work)}
        rows["adapters"] = estimate_lora_memory(SIZES[size], work, rank=rank, base_bits=bits)
        picture.value = plots.as_png(plots.stacked_bars(rows, f"{size}, {batch} × 256 tokens a step, rank {rank}"))

    return panel(draw, controls.values(), picture)
