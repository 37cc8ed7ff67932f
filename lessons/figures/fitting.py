"""Diagrams of lessons 09 and 10: weights that visit or stay, the way to a GPU's cores, text to token files, MinHash."""

from __future__ import annotations

from lessons.figures.svg import Drawing


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


def text_to_tokens() -> Drawing:
    """Draw the way from a folder to token files, and the report that every step writes into."""
    drawing = Drawing(
        760,
        190,
        "Seven boxes in a row: a folder of files becomes records, is cleaned, checked for people and licences, freed "
        "of copies, parted into training and held-out texts, and written as tokens. From each step between the first "
        "and the last, an arrow leads down to a report of what was changed or left out, and why.",
    )
    steps = ("files", "records", "cleaned", "people,\nlicences", "no copies", "train and\nheld out", "tokens")
    for place, name in enumerate(steps):
        x = 12 + 106 * place
        drawing.box(x, 30, 86, 50, name, "gray" if place in (0, 6) else "blue")
        if place < 6:
            drawing.arrow(x + 86, 55, x + 106, 55)
        if 0 < place < 6:
            drawing.arrow(x + 43, 80, x + 43, 128)
    return drawing.box(118, 130, 510, 40, "report: what was changed or left out, by file and line, and why", "orange")


PHRASES = {  # of two short texts: which of them hold it, and its numbers under four hash functions
    "the old boat leaves": ("AB", 61, 12, 83, 40),
    "old boat leaves at": ("AB", 27, 75, 58, 19),
    "boat leaves at nine": ("A", 90, 34, 22, 66),
    "boat leaves at noon": ("B", 48, 51, 71, 7),
}


def minhash_table() -> Drawing:
    """Draw MinHash for two texts of three phrases: numbers of each phrase, and the smallest of each text below."""
    drawing = Drawing(
        760,
        250,
        "A table of four phrases, two of which both texts have, and their numbers under four hash functions. Below, "
        "the smallest number of each text under each function: 27, 12, 22, 19 for A and 27, 12, 58, 7 for B. "
        "Two of four agree, as two of four phrases are common.",
    )
    columns = (400, 480, 560, 640)
    for place, head in zip((130, 280, 330, *columns), ("phrase", "A", "B", "h1", "h2", "h3", "h4"), strict=True):
        drawing.text(place, 20, head, bold=True)
    signatures = {}
    for text in "AB":
        rows = [numbers for holders, *numbers in PHRASES.values() if text in holders]
        signatures[text] = [min(column) for column in zip(*rows, strict=True)]
    for row, (phrase, (holders, *numbers)) in enumerate(PHRASES.items()):
        y = 46 + 28 * row
        drawing.text(130, y, phrase)
        for text, x in (("A", 280), ("B", 330)):
            drawing.text(x, y, "•" if text in holders else "", 18)
        for x, number in zip(columns, numbers, strict=True):
            drawing.text(x, y, str(number))
    for row, (text, smallest) in enumerate(signatures.items()):
        drawing.text(130, 182 + 34 * row, f"signature of {text}: the smallest")
        for x, number, other in zip(columns, smallest, signatures["BA"[row]], strict=True):
            drawing.box(x - 28, 168 + 34 * row, 56, 28, str(number), "green" if number == other else "white")
    return drawing.note(400, 240, "green: the same smallest number, so a phrase that both have", width=70)
