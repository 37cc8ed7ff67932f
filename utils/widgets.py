"""Things to turn: each function returns a widget that redraws one picture."""

from __future__ import annotations

import html
from itertools import cycle

import ipywidgets as widgets

from utils import plots
from utils.config import BYTES, SIZES, Workload, estimate_memory, format_bytes
from utils.errors import CourseError
from utils.hardware import machine_memory


def size_dropdown(course) -> widgets.Dropdown:
    """Return the dial: choosing a size sets COURSE_MODEL for this kernel and for the notebooks opened from it."""
    import os

    names = {f"{name}: {format_bytes(4 * _parameters(name))}": name for name in SIZES}
    dial = widgets.Dropdown(options=names, value=course.size, description="size")

    def turn(change: dict) -> None:
        os.environ["COURSE_MODEL"] = course.size = change["new"]
        course.__dict__.pop("model", None)  # the next use loads the new size

    dial.observe(turn, names="value")
    return dial


def _parameters(size: str) -> int:
    from utils.config import total_parameters

    return total_parameters(SIZES[size])


def memory_calculator(size: str = "nano") -> widgets.VBox:
    """Return the calculator: size × dtype × batch × context, and what of it fits this machine."""
    controls = {
        "size": widgets.Dropdown(options=list(SIZES), value=size, description="size"),
        "dtype": widgets.Dropdown(options=list(BYTES), value="float32", description="dtype"),
        "batch": widgets.IntSlider(value=1, min=1, max=64, description="batch", continuous_update=False),
        "context": widgets.IntSlider(
            value=1024, min=64, max=1024, step=64, description="context", continuous_update=False
        ),
        "training": widgets.Checkbox(value=False, description="training"),
    }
    picture = widgets.Image(format="png", width=720)

    def draw(change: dict | None = None) -> None:
        values = {name: control.value for name, control in controls.items()}
        name = values.pop("size")
        picture.value = plots.as_png(memory_picture(name, Workload(**values)))

    for control in controls.values():
        control.observe(draw, names="value")
    draw()
    return widgets.VBox([*controls.values(), picture])


def memory_picture(size: str, work: Workload):
    """Draw what `work` needs at a size as a bar against the memory of this machine."""
    parts = estimate_memory(SIZES[size], work)
    does = "trains" if work.training else "runs"
    title = f"{size} {does} in {work.dtype}, {work.batch} × {work.context} tokens: {format_bytes(sum(parts.values()))}"
    return plots.memory_bar(parts, machine_memory(), title)


def token_colors(tokenizer, text: str = "", most: int = 4_000) -> widgets.VBox:
    """Return a field to type in, and below it the tokens of what is typed: boxes that show their ids on hover."""
    field = widgets.Textarea(value=text, description="text", rows=4, layout=widgets.Layout(width="95%"))
    special = widgets.Checkbox(value=False, description="<|endoftext|> is one token")
    picture = widgets.HTML()

    def draw(change: dict | None = None) -> None:
        typed = field.value[:most]
        cut = f" Only the first {most:,} characters are shown." if len(field.value) > most else ""
        try:
            ids = tokenizer.encode(typed, allow_special=special.value)
        except CourseError as error:  # half of a character can be pasted
            picture.value = html.escape(str(error))
            return
        counts = f"Tokens: {len(ids):,}. Characters: {len(typed):,}. Bytes: {len(typed.encode('utf-8')):,}."
        picture.value = f"<p>{counts}{cut}</p>{tokens_as_html(tokenizer, ids)}"

    for control in (field, special):
        control.observe(draw, names="value")
    draw()
    return widgets.VBox([field, special, picture])


def tokens_as_html(tokenizer, ids: list[int]) -> str:
    """Return HTML that shows each token in a box, its id and bytes on hover; borders part them without color."""
    look = "display:inline-block;white-space:pre;margin:1px 0;padding:0 1px;border:1px solid #555;border-radius:3px"
    font = "font-family:monospace;color:#000;line-height:1.3"
    boxes = []
    for tint, token in zip(cycle(plots.TINTS), ids, strict=False):
        raw = tokenizer.decode_bytes([token])
        hover = f"id {token}, {'byte' if len(raw) == 1 else 'bytes'} {raw.hex(' ')}"
        style = f"background-color:{tint};{look};{font}"
        boxes.append(f'<kbd title="{hover}" style="{style}">{html.escape(visible(raw))}</kbd>')
        boxes.extend(["<br>"] * (b"\n" in raw))
    return f"<div>{''.join(boxes)}</div>"


def visible(raw: bytes) -> str:
    """Make a token's spaces, line ends and unprintable characters visible; bytes of half characters stay bytes.

    >>> visible(b" caf" + bytes([195, 169])), visible(b"a" + bytes([10, 9])), len(visible(bytes([230])))
    ('·café', 'a↵⇥', 4)
    """
    text = raw.decode("utf-8", errors="backslashreplace")
    signs = {" ": "·", "\t": "⇥", "\n": "↵"}
    return "".join(signs.get(c, c if c.isprintable() else c.encode("unicode_escape").decode("ascii")) for c in text)
