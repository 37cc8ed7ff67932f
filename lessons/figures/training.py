"""Diagrams of training, as SVG: the step as a loop, the epoch (lesson 11); all-reduce, ZeRO, overlap, cuts (16).

Nothing here is measured; the lessons compute beside them what they show.
"""

from __future__ import annotations

from lessons.figures.svg import Drawing

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


def ring_in_two_moves(devices: int = 4) -> Drawing:
    """Draw the two moves of an all-reduce: what each device sends and ends with."""
    drawing = Drawing(
        720,
        250,
        f"{devices} devices, each with a gradient cut into {devices} parts. After reduce-scatter device i holds the "
        "sum of everybody's part i; after all-gather each holds all sums.",
    )
    titles = ("before: each its own", "reduce-scatter: a sum each", "all-gather: all sums")
    for stage, title in enumerate(titles):
        left = 20 + 240 * stage
        drawing.text(left + 100, 20, title, bold=True)
        for device in range(devices):
            top = 40 + 50 * device
            for part in range(devices):
                done = stage == 2 or (stage == 1 and part == device)
                color, words = (CYCLE[part], f"Σ{part}") if done else ("gray" if stage else CYCLE[part], "")
                drawing.box(left + 50 * part, top, 46, 36, words if stage else f"{part}", color, dashed=not done)
        if stage < 2:
            drawing.arrow(left + 202, 132, left + 236, 132)
    return drawing.note(360, 242, "rows are devices, columns are parts of the gradient", "middle", 80)


def zero_stages(devices: int = 4) -> Drawing:
    """Draw what one of several devices holds under DDP and the three stages of ZeRO."""
    parts = {"weights": (4, "blue"), "gradients": (4, "orange"), "moments": (8, "green")}
    drawing = Drawing(
        720,
        230,
        f"What one of {devices} devices holds of 16 bytes a parameter. DDP: all. ZeRO-1: a part of the moments only. "
        "ZeRO-2: also only a part of the gradients. ZeRO-3, which is FSDP: also only a part of the weights.",
    )
    names = ("DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3 (FSDP)")
    for stage, name in enumerate(names):
        top, left, total = 20 + 50 * stage, 150.0, 0.0
        drawing.text(140, top + 18, name, anchor="end", bold=True)
        for place, (part, (count, color)) in enumerate(parts.items()):
            cut = stage >= 3 - place
            held = count / devices if cut else count
            drawing.box(left, top, 28 * count, 36, "", "gray", dashed=True)
            drawing.box(left, top, 28 * held, 36, f"{part} {count}" if not cut else f"{held:g}", color)
            left, total = left + 28 * count + 4, total + held
        drawing.text(620, top + 18, f"{total:g} bytes", anchor="start")
    return drawing.note(150, 220, "bytes a parameter; dashed: what the other devices hold", width=80)


def overlap_timeline() -> Drawing:
    """Draw a step whose messages wait for the end, and one in which they hide behind the backward pass."""
    drawing = Drawing(
        720,
        230,
        "Two timelines of a step. Above, forward and backward pass, then all messages: long. Below, the gradients of "
        "block 3 are sent while block 2 is computed, and so on; only the last message stands out: shorter.",
    )
    for top, title in ((35, "one after the other"), (140, "overlapped, bucket by bucket")):
        drawing.text(20, top - 12, title, anchor="start", bold=True)
        drawing.text(80, top + 18, "computes", anchor="end").text(80, top + 52, "sends", anchor="end")
        drawing.box(90, top, 120, 32, "forward", "blue")
        for place, block in enumerate((3, 2, 1)):
            drawing.box(212 + 82 * place, top, 80, 32, f"back {block}", "orange")
            begin = 458 if title.startswith("one") else 294
            drawing.box(begin + 82 * place, top + 36, 76, 30, f"send {block}", "green")
    drawing.line([(540, 140), (540, 212)], dashed=True).line([(700, 35), (700, 107)], dashed=True)
    return drawing.note(555, 180, "one message stands out", width=24)


def three_cuts() -> Drawing:
    """Draw tensor, pipeline and context parallelism: what is cut, and what travels."""
    drawing = Drawing(
        720,
        260,
        "Three ways to cut a model. Tensor: each matrix in halves, sums travel inside every block. Pipeline: blocks "
        "1-2 here and 3-4 there, activations travel once. Context: the text in halves, keys and values travel.",
    )
    for place, (title, said) in enumerate(
        {
            "tensor parallel": "every matrix cut; sums travel twice a block, so within one machine",
            "pipeline parallel": "blocks cut; activations travel between; some wait (the bubble)",
            "context parallel": "the text cut; keys and values go round, for long contexts",
        }.items()
    ):
        left = 20 + 238 * place
        drawing.text(left + 100, 20, title, bold=True).note(left, 225, said, width=36)
        for block in range(4):
            top = 46 + 42 * block
            if place == 1:
                drawing.box(left + 20, top, 160, 34, f"block {block + 1}", "blue" if block < 2 else "orange")
                continue
            drawing.box(left, top, 96, 34, f"block {block + 1}", "blue")
            drawing.box(left + 104, top, 96, 34, f"block {block + 1}", "orange")
    for place, words in ((0, "columns | columns"), (2, "tokens 1-512 | 513-1,024")):
        drawing.note(120 + 238 * place, 34, words, "middle")
    return drawing
