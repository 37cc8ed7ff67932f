"""Diagrams of training, as SVG: the step as a loop, the epoch (lesson 11).

Nothing here is measured; the lessons compute beside them what they show.
"""

from __future__ import annotations

from utils.plots.svg import Drawing

CYCLE = ("blue", "orange", "green", "pink")


def training_step() -> Drawing:
    """Draw one step of training as a loop, with what happens only now and then beside it."""
    drawing = Drawing(
        720,
        250,
        "A loop of five boxes: batch, forward pass, backward pass, optimizer, learning rate, and back to the next "
        "batch. Beside it, now and then: measure the held-out loss, write a sample, save a checkpoint.",
    )
    drawing.text(250, 20, "one step (an iteration)", bold=True)
    drawing.box(20, 45, 130, 60, "next batch\ninputs, targets", "gray")
    drawing.box(185, 45, 130, 60, "forward pass\nlogits, loss", "blue")
    drawing.box(350, 45, 130, 60, "backward pass\na gradient each", "orange")
    drawing.box(350, 160, 130, 60, "clip\nif too long", "white")
    drawing.box(185, 160, 130, 60, "optimizer\nmoves weights", "green")
    drawing.box(20, 160, 130, 60, "next learning\nrate", "white")
    drawing.arrow(150, 75, 185, 75).arrow(315, 75, 350, 75).arrow(415, 105, 415, 160)
    drawing.arrow(350, 190, 315, 190).arrow(185, 190, 150, 190).arrow(85, 160, 85, 105)
    drawing.box(545, 45, 155, 175, "now and then\n\nheld-out loss\na sample of text\na checkpoint", "pink", dashed=True)
    return drawing


def epoch_strip(batch: int = 4, steps: int = 3) -> Drawing:
    """Draw a text cut into windows, the batches that are made of them in shuffled order, and the epoch."""
    count = batch * steps
    order = [(7 * place + 3) % count for place in range(count)]  # as if shuffled: 7 shares no factor with 12
    wide = 660 / count
    drawing = Drawing(
        720,
        220,
        f"A text as a strip of {count} windows. Shuffled, each {batch} of them make a batch, each batch makes one step "
        f"(an iteration), and {steps} steps, after which each window was read once, make an epoch.",
    )
    drawing.text(30, 20, "training text, cut into windows", anchor="start", bold=True)
    for place, window in enumerate(order):
        color, left = CYCLE[place // batch], 30 + place * wide
        drawing.box(30 + window * wide, 35, wide - 4, 32, f"{window + 1}", color)
        drawing.box(left, 115, wide - 4, 32, f"{window + 1}", color)
    drawing.text(30, 95, "the same windows, shuffled", anchor="start", bold=True)
    for step in range(steps):
        left = 30 + step * batch * wide
        drawing.line([(left, 153), (left, 160), (left + batch * wide - 4, 160), (left + batch * wide - 4, 153)])
        drawing.text(left + batch * wide / 2, 174, f"batch {step + 1} → iteration {step + 1}")
    drawing.line([(30, 190), (30, 197), (686, 197), (686, 190)])
    return drawing.text(358, 210, "one epoch: each window read once", bold=True)
