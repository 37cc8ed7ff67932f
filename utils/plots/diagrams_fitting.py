"""Diagrams of lessons 09 and 10: weights that visit or stay, the way to a GPU's cores, text to token files, MinHash."""

from __future__ import annotations

from utils.plots.svg import Drawing


def visit_or_stay() -> Drawing:
    """Draw offloading, where weights travel to one buffer, beside layers that compute where they lie."""
    drawing = Drawing(
        760,
        250,
        "Two ways to run six blocks with a small fast memory. Left, offloading: blocks 2 to 5 lie on the disk, each is "
        "copied into one buffer in memory, computes there and is overwritten by the next. Right: blocks 0 and 1 "
        "compute on the GPU, blocks 2 to 5 on the CPU, and only the activations of the text cross between them.",
    )
    for left, title in ((10, "offloading: weights travel"), (390, "layers on the GPU: activations travel")):
        drawing.text(left + 180, 22, title, 14, bold=True).box(left, 40, 170, 195, "", "white")
        drawing.box(left + 210, 40, 150, 195, "", "white")
    places = {95: "memory, computes", 295: "disk, only stores", 475: "GPU, computes", 675: "CPU, computes"}
    for x, name in places.items():
        drawing.text(x, 56, name, 12)
    for layer in range(6):
        for left in (10, 390):
            x, y = (left + 20, 72 + 34 * layer) if layer < 2 else (left + 235, 72 + 38 * (layer - 2))
            drawing.box(x, y, 100, 26, f"block {layer}", "blue" if layer < 2 or left > 10 else "gray")
    drawing.box(30, 150, 100, 26, "buffer", "orange", dashed=True)
    for layer in range(4):
        drawing.arrow(245, 85 + 38 * layer, 132, 163)
    drawing.note(30, 205, "one block at a time, each for every token", width=26)
    drawing.arrow(510, 118, 622, 85, "text").note(400, 160, "a few kilobytes for each token", width=24)
    return drawing


def road_to_the_cores() -> Drawing:
    """Draw a processor and a GPU: how wide the way from memory to the cores is, and how many cores wait at its end."""
    drawing = Drawing(
        760,
        230,
        "A processor with 8 cores gets about 50 gigabytes a second from its memory by a thin band. A T4 gets 320 "
        "gigabytes a second by a band six times as thick, for 40 groups of 64 cores and 8 tensor cores each.",
    )
    for y, name, speed, band in ((20, "processor", "about 50 GB/s", 8), (90, "GPU (T4)", "320 GB/s", 51)):
        height = 60 if y == 20 else 124
        drawing.box(20, y, 130, height, f"memory of the\n{name}", "gray")
        drawing.box(160, y + height / 2 - band / 2, 250, band, "", "orange")
        drawing.text(285, y + height / 2 - band / 2 - 9, speed, 12)
    for core in range(8):
        drawing.box(430 + 36 * core, 35, 30, 30, "", "blue")
    for group in range(40):
        x, y = 430 + 29 * (group % 10), 90 + 31 * (group // 10)
        drawing.box(x, y, 24, 26, "", "blue").box(x + 2, y + 16, 20, 8, "", "green")
    drawing.note(430, 78, "8 cores, each with instructions of its own", width=60)
    return drawing.note(430, 219, "40 groups of 64 cores; green: their 8 tensor cores", width=60)
