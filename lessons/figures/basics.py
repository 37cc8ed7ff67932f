"""Diagrams of lessons 00 to 08: writing, training's memory, tokens, the KV cache, drafts, files, scales, GPTQ, AWQ."""

from __future__ import annotations

from lessons.figures.svg import Drawing
from utils.bpe import split_pieces
from utils.tokenizer import Tokenizer, visible


def writing_loop() -> Drawing:
    """Draw how a language model writes: a token at a time, each put at the end of the text (lesson 00)."""
    alt = (
        "Four boxes in a row: a text becomes tokens, GPT-2 gives each token of its vocabulary a probability, and one "
        "of them is chosen. An arrow leads from the choice back to the text: it is put at the end, and so on."
    )
    drawing = Drawing(760, 170, alt)
    steps = ("a text,\nas tokens", "GPT-2", "a probability for\neach of 50,257 tokens", "one token\nis chosen")
    below = ("lesson 01", "lessons 02 and 03", "softmax of its logits", "lesson 04")
    places = ((15, 120), (205, 110), (385, 180), (635, 110))
    colors = ("gray", "blue", "orange", "green")
    for (x, width), step, where, color in zip(places, steps, below, colors, strict=True):
        drawing.box(x, 30, width, 56, step, color).text(x + width / 2, 102, where, size=11, color="gray")
    for (x, width), (after, _) in zip(places, places[1:], strict=False):
        drawing.arrow(x + width, 58, after, 58)
    drawing.line([(690, 114), (690, 138), (75, 138)]).arrow(75, 138, 75, 112)
    return drawing.text(385, 153, "put it at the end of the text, and ask again", size=12)


def training_memory() -> Drawing:
    """Draw what training holds for each layer: weights, activations, gradient and averages (lesson 00)."""
    alt = (
        "Three layers in a row between a text and its error. In the forward pass, each layer leaves its activations in "
        "memory. In the backward pass, each layer gets a gradient, as large as its weights. Below it stand the "
        "optimizer's two averages, each as large again."
    )
    drawing = Drawing(760, 290, alt)
    drawing.box(20, 30, 70, 40, "text", "gray").box(670, 30, 70, 40, "error", "gray")
    for layer, x in enumerate((150, 320, 490), start=1):
        drawing.arrow(90 if layer == 1 else x - 50, 50, x, 50)
        drawing.box(x, 30, 120, 40, f"weights {layer}", "blue")
        drawing.box(x + 15, 80, 90, 26, "activations", "orange", dashed=True)
        drawing.box(x, 135, 120, 34, f"gradient {layer}", "green")
        drawing.box(x, 190, 120, 28, "mean", "pink").box(x, 222, 120, 28, "mean of squares", "pink")
    drawing.arrow(610, 50, 670, 50).line([(705, 70), (705, 152)]).arrow(705, 152, 610, 152)
    drawing.arrow(490, 152, 440, 152).arrow(320, 152, 270, 152)
    drawing.text(20, 16, "forward pass →", 12, "start").text(20, 152, "← backward pass", 12, "start")
    drawing.text(20, 220, "its averages,\nfor the optimizer", 12, "start")
    return drawing.note(150, 274, "To run a model the upper row is enough, and activations may be forgotten.", width=90)


def token_path(tokenizer: Tokenizer, text: str) -> Drawing:
    """Draw the way of a text to its ids: pieces by the rule, tokens by merges, numbers by the table (lesson 01)."""
    pieces = split_pieces(text)
    ids = [tokenizer.encode(piece) for piece in pieces]
    alt = (
        f"The text {text!r} is cut into {len(pieces)} pieces, each with the space before it, the pieces by merges into "
        f"{sum(map(len, ids))} tokens, and each token has a number: {sum(ids, [])}."
    )
    drawing, x = Drawing(760, 220, alt), 190
    for y, row, how in zip(
        (30, 80, 130, 190),
        ("text", "pieces", "tokens", "ids"),
        ("", "by a rule", "by merges", "by a table"),
        strict=True,
    ):
        drawing.text(20, y, row, anchor="start", bold=True).text(80, y, how, 12, "start", color="gray")
    drawing.text(x, 30, text, anchor="start")
    for piece, tokens in zip(pieces, ids, strict=True):
        drawing.box(x, 64, 80 * len(tokens) - 6, 32, visible(piece.encode()), "blue")
        for token in tokens:
            drawing.box(x, 114, 74, 32, visible(tokenizer.decode_bytes([token])), "orange")
            drawing.box(x, 174, 74, 32, str(token), "green").arrow(x + 37, 96, x + 37, 114).arrow(
                x + 37, 146, x + 37, 174
            )
            x += 80
        x += 10
    return drawing


def kv_cache() -> Drawing:
    """Draw which keys and values are computed for each new token, without a KV cache and with one (lesson 04)."""
    alt = (
        "Two staircases of squares, a row for each new token and a square for each token that the model reads. Without "
        "a cache all squares are computed in every row, 30 in all. With a cache only the last square of each row is "
        "new, and the others are kept: the four of the prompt and one for each token after it."
    )
    drawing = Drawing(760, 220, alt)
    for left, title in ((20, "without a cache: 30 computed"), (410, "with a cache: 8 computed, the rest kept")):
        drawing.text(left, 18, title, anchor="start", bold=True)
        for row in range(5):
            drawing.text(left, 50 + 32 * row, f"token {row + 5}", 11, "start")
            for column in range(row + 4):
                new = left < 400 or row == 0 or column == row + 3
                drawing.box(left + 56 + 34 * column, 38 + 32 * row, 28, 24, "", "blue" if new else "white", not new)
    return drawing.note(
        20, 208, "blue: its keys and values are computed; dashed: they are read from the cache", width=90
    )


def draft_and_check() -> Drawing:
    """Draw one round of speculative decoding: proposals, GPT-2's answers in one pass, what is kept (lesson 04)."""
    alt = (
        "Three rows of boxes behind the text 'fox named Anna.' The draft proposes four tokens: One, foggy, day, comma. "
        "GPT-2's answers from one pass: One, foggy, Thursday, and then three that count no longer. The text gets three "
        "tokens: One and foggy, which were proposed rightly, and Thursday, GPT-2's own."
    )
    drawing = Drawing(760, 190, alt)
    drawing.text(20, 33, "the draft proposes", anchor="start").text(
        20, 88, "GPT-2 answers,\nin one pass", anchor="start"
    )
    drawing.text(20, 148, "the text gets", anchor="start").box(150, 130, 130, 36, "…fox named Anna.", "gray")
    proposed, answers = ("One", "foggy", "day", ","), ("One", "foggy", "Thursday", "…", "…")
    for place, word in enumerate(proposed):
        right = answers[place] == word
        drawing.box(290 + 88 * place, 15, 80, 36, word, "orange" if right else "white", not right)
        if place < 3:
            drawing.arrow(330 + 88 * place, 51, 330 + 88 * place, 70, "=" if right else "≠")
    for place, word in enumerate(answers):
        drawing.box(290 + 88 * place, 70, 80, 36, word, "blue" if place < 3 else "white", place > 2)
    for place, word in enumerate(answers[:3]):
        drawing.box(290 + 88 * place, 130, 80, 36, word, "green").arrow(330 + 88 * place, 106, 330 + 88 * place, 130)
    return drawing.note(
        560, 148, "three tokens for one pass; what stands behind the first difference counts for nothing", width=30
    )


def pickle_or_numbers() -> Drawing:
    """Draw what opening a file does: a pickle's instructions run, safetensors is only read (lesson 05)."""
    alt = (
        "Three ways from a file into memory. A pickle opened without care runs its instructions, which may call any "
        "function. Opened as weights only, it may use a short list of names, and all others are refused. A safetensors "
        "file is a length, JSON and numbers: there is nothing that could run."
    )
    drawing = Drawing(760, 200, alt)
    rows = (
        (".bin, opened without care", "runs every instruction", "any function:\nprint, os.system, …", "pink"),
        (".bin, weights only", "runs those on a short list", "tensors, or a refusal", "orange"),
        (".safetensors", "reads JSON, copies numbers", "tensors", "green"),
    )
    for y, (file, reader, result, color) in zip((20, 80, 140), rows, strict=True):
        drawing.box(20, y, 190, 44, file, "gray").box(275, y, 200, 44, reader, "blue").box(
            540, y, 200, 44, result, color
        )
        drawing.arrow(210, y + 22, 275, y + 22).arrow(475, y + 22, 540, y + 22)
    return drawing


def files_and_programs() -> Drawing:
    """Draw which program of lesson 06 opens which kind of file, and where weights are packed."""
    alt = (
        "Three kinds of files on the left, programs on the right. A folder of safetensors opens in transformers, which "
        "keeps its bits, in bitsandbytes, which packs while it loads, and in torchao, which packs afterwards. GGUF "
        "opens in llama.cpp, a GPTQ folder in gptqmodel: both files are packed already. Ours opens all three."
    )
    drawing = Drawing(760, 290, alt)
    programs = ("transformers", "bitsandbytes", "torchao", "llama.cpp", "gptqmodel")
    does = [
        *("16 or 32 bits, as they are", "packs to 4 or 8 bits while loading", "packs to 8 or 4 bits after loading"),
        *("computes with packed weights", "computes with packed weights"),
    ]
    files = {"a folder with safetensors,\n16 bits": (0, 1, 2), "GGUF: F16, Q8_0,\nQ4_0, Q4_K_M": (3,)}
    files["a GPTQ folder,\n4bit-128g"] = (4,)
    for file, opened in files.items():
        y = 20 + 46 * sum(opened) / len(opened)
        drawing.box(20, y - 4, 200, 42, file, "gray")
        for place in opened:
            drawing.arrow(220, y + 17, 330, 37 + 46 * place)
    for place, (program, what) in enumerate(zip(programs, does, strict=True)):
        drawing.box(330, 20 + 46 * place, 130, 34, program, "blue" if place < 3 else "orange")
        drawing.text(475, 37 + 46 * place, what, 12, "start")
    return drawing.box(20, 252, 440, 28, "load_gpt2, ours: opens all of them", "green").text(
        475, 266, "expands to 32 bits", 12, "start"
    )


def shared_scales() -> Drawing:
    """Draw which weights of a matrix share a scale: per tensor, per channel, per group (lesson 07)."""
    alt = (
        "Three times the same matrix of four rows and eight columns. Per tensor all weights have one color, one scale. "
        "Per channel each row has a color of its own, four scales. Per group each half of a row has one, eight scales."
    )
    drawing = Drawing(760, 190, alt)
    colors = ("blue", "orange", "green", "pink")
    ways = {"per tensor: 1 scale": (4, 8), "per channel: 4 scales": (1, 8), "per group of 4: 8 scales": (1, 4)}
    for place, (title, (rows, columns)) in enumerate(ways.items()):
        left = 25 + 250 * place
        drawing.text(left, 20, title, anchor="start", bold=True)
        for row in range(4):
            for column in range(8):
                share = row // rows * (8 // columns) + column // columns
                drawing.box(left + 26 * column, 40 + 30 * row, 24, 26, "", colors[share % 4])
    return drawing.note(25, 178, "neighbors of one color share a scale; the more scales, the more bits", width=90)


def gptq_columns() -> Drawing:
    """Draw one step of GPTQ: a column is rounded, its error goes to the columns that are still free (lesson 08)."""
    alt = (
        "Ten columns of a matrix. Three at the left are rounded, the fourth is being rounded, six at the right are "
        "free. Arrows lead from the fourth to the free ones of its own block, which make up for its error at once; "
        "those of the next block get the errors of all columns of this block together, at its end."
    )
    drawing = Drawing(760, 240, alt)
    drawing.box(30, 40, 414, 130, "", "white", dashed=True).box(454, 40, 276, 130, "", "white", dashed=True)
    for column in range(10):
        x = 44 + 68 * column + 14 * (column > 5)
        color, word = ("gray", "done") if column < 3 else ("orange", "now") if column == 3 else ("blue", "free")
        drawing.box(x, 56, 50, 98, word, color)
        if column in (4, 5):
            drawing.line([(273, 154), (273, 186 + 12 * (column - 4))])
            drawing.line([(273, 186 + 12 * (column - 4)), (x + 25, 186 + 12 * (column - 4))])
            drawing.arrow(x + 25, 186 + 12 * (column - 4), x + 25, 154)
    drawing.line([(240, 170), (240, 214), (592, 214)], dashed=True).arrow(592, 214, 592, 170)
    drawing.text(237, 22, "one block: errors go on at once").text(592, 22, "the next block")
    return drawing.note(604, 204, "all errors of the block together, at its end", width=26)


def awq_fold() -> Drawing:
    """Draw AWQ's scaling: weights times s, the norm before them divided by s, the function unchanged (lesson 08)."""
    alt = (
        "Two rows with the same result. Above: a vector passes the norm and then the weights W. Below: the norm's own "
        "weights and bias are divided by s, and the columns of W are multiplied by s. Only W times s is rounded."
    )
    drawing = Drawing(760, 170, alt)
    rows = {20: ("norm: w, b", "x", "W", "blue"), 95: ("norm: w / s, b / s", "x / s", "W · s", "orange")}
    for y, (norm, middle, weights, color) in rows.items():
        drawing.text(40, y + 24, "stream").arrow(70, y + 24, 120, y + 24).box(120, y, 170, 48, norm, "gray")
        drawing.arrow(290, y + 24, 390, y + 24, middle).box(390, y, 150, 48, weights, color)
        drawing.arrow(540, y + 24, 610, y + 24).text(620, y + 24, "the same output", anchor="start")
    return drawing.note(390, 158, "rounding touches only this", width=40)
