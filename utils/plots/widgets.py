"""Interactive ipywidgets: things to turn, each of which redraws one picture (lessons 00, 01, 04 and 09)."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count, cycle
from typing import Any

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from utils.config import BYTES, SIZES, Workload, estimate_memory, format_bytes, total_parameters
from utils.errors import CourseError
from utils.machine import machine_memory
from utils.plots import basic as plots
from utils.sampling import Sampling, next_token_probabilities, stream
from utils.session import remember_size
from utils.tokenizer import StreamDecoder, visible


class Panel(widgets.VBox):
    """A widget that also leaves its first picture as a PNG, for pages without a kernel: GitHub, print, the site."""

    def _repr_mimebundle_(self, **settings: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**settings)
        pictures = [child.value for child in self.children if isinstance(child, widgets.Image)]
        if bundle and pictures:
            bundle["image/png"] = base64.b64encode(pictures[0]).decode("ascii")
        return bundle


def panel(draw: Callable, controls: Iterable[widgets.Widget], *shown: widgets.Widget) -> Panel:
    """Return controls above what they change: `draw` is called now, and whenever one of them is turned."""
    for control in controls:
        control.observe(draw, names="value")
    draw()
    return Panel([*controls, *shown])


def sliders(draw: Callable[..., Figure], **choices: Sequence) -> Panel:
    """Return a slider for each name over its choices, from the middle one on, above the picture that `draw` gives."""
    quiet = {"continuous_update": False, "style": {"description_width": "initial"}}
    controls = {
        name: widgets.SelectionSlider(
            options=[(f"{value:g}", value) for value in values],
            value=values[len(values) // 2],
            description=name.replace("_", " "),
            layout=widgets.Layout(width="60%"),
            **quiet,
        )
        for name, values in choices.items()
    }
    picture = widgets.Image(format="png", width=720)

    def turn(change: dict | None = None) -> None:
        picture.value = plots.as_png(draw(**{name: control.value for name, control in controls.items()}))

    return panel(turn, controls.values(), picture)


def size_dropdown(course) -> widgets.VBox:
    """Return the dial: a size chosen on it is remembered for every notebook, and a line below says what follows."""
    names = {f"{name}: {format_bytes(4 * total_parameters(config))}": name for name, config in SIZES.items()}
    dial = widgets.Dropdown(options=names, value=course.size, description="size")
    said = widgets.HTML()

    def turn(change: dict) -> None:
        try:
            said.value = html.escape(remember_size(change["new"]))
        except CourseError as error:
            said.value = html.escape(str(error))
        course.size = change["new"]
        course.__dict__.pop("model", None)  # the next use loads the new size

    dial.observe(turn, names="value")
    return widgets.VBox([dial, said])


def memory_calculator(size: str = "nano") -> widgets.VBox:
    """Return the calculator: size × dtype × batch × context, and what of it fits this machine."""
    quiet = {"continuous_update": False}
    controls = {
        "size": widgets.Dropdown(options=list(SIZES), value=size, description="size"),
        "dtype": widgets.Dropdown(options=list(BYTES), value="float32", description="dtype"),
        "batch": widgets.IntSlider(value=1, min=1, max=64, description="batch", **quiet),
        "context": widgets.IntSlider(value=1024, min=64, max=1024, step=64, description="context", **quiet),
        "training": widgets.Checkbox(value=False, description="training"),
    }
    picture = widgets.Image(format="png", width=720)

    def draw(change: dict | None = None) -> None:
        values = {name: control.value for name, control in controls.items()}
        name = values.pop("size")
        picture.value = plots.as_png(memory_picture(name, Workload(**values)))

    return panel(draw, controls.values(), picture)


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

    return panel(draw, (field, special), picture)


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


def sampling_playground(model, tokenizer, text: str = "", most: int = 8) -> widgets.VBox:
    """Return a text, sliders that shape its next token and the chart of what they do; a button writes the token."""
    wide = widgets.Layout(width="95%")
    field = widgets.Textarea(value=text, description="text", rows=3, continuous_update=False, layout=wide)
    sliders, button = sampling_sliders(), widgets.Button(description="write a token")
    picture, message, seeds = widgets.Image(format="png", width=720), widgets.HTML(), count()
    tokens: list[int] = []  # of what is typed

    def draw(change: dict | None = None) -> None:
        try:
            tokens[:] = readable_tokens(model, tokenizer, field.value)
        except CourseError as error:  # half of a character can be pasted
            tokens.clear()
            message.value = html.escape(str(error))
            return
        own = next_token_probabilities(model, tokens)
        shaped = next_token_probabilities(model, tokens, chosen_sampling(sliders))
        picture.value = plots.as_png(shaping_picture(tokenizer, own, shaped, most))
        message.value = describe_choices(shaped)

    def write(_: widgets.Button) -> None:
        if tokens:
            piece = next_piece(model, tokenizer, tokens, replace(chosen_sampling(sliders), seed=next(seeds)))
            field.value += piece
            message.value = message.value if piece else "The model ends its text here."

    button.on_click(write)
    return panel(draw, (field, *sliders.values()), button, picture, message)


def sampling_sliders() -> dict[str, widgets.Widget]:
    """Return a slider for each setting of `Sampling` that shapes the next token, at rest where it changes nothing."""
    quiet = {"continuous_update": False, "style": {"description_width": "9em"}, "layout": widgets.Layout(width="30em")}
    return {
        "temperature": widgets.FloatSlider(value=1, min=0, max=3, step=0.05, description="temperature", **quiet),
        "top_k": widgets.IntSlider(value=0, min=0, max=100, description="top-k (0: all)", **quiet),
        "top_p": widgets.FloatSlider(value=1, min=0.05, max=1, step=0.05, description="top-p (1: all)", **quiet),
        "min_p": widgets.FloatSlider(value=0, min=0, max=1, step=0.01, description="min-p (0: all)", **quiet),
        "repetition_penalty": widgets.FloatSlider(
            value=1, min=1, max=2, step=0.05, description="repetition penalty", **quiet
        ),
    }


def chosen_sampling(sliders: dict[str, widgets.Widget]) -> Sampling:
    """Return the settings that the sliders stand at."""
    values = {name: slider.value for name, slider in sliders.items()}
    return Sampling(**{**values, "top_k": values["top_k"] or None, "min_p": values["min_p"] or None})


def readable_tokens(model, tokenizer, text: str) -> list[int]:
    """Return the tokens of a text, as many of the last as the model can read; of no text, an end-of-text."""
    return tokenizer.encode(text)[-model.config.context :] or [tokenizer.end_of_text]


def next_piece(model, tokenizer, tokens: list[int], settings: Sampling) -> str:
    """Draw what comes after tokens: one more, or the few that make a character; nothing where the text ends."""
    drawn = stream(model, tokens, replace(settings, max_new=4, stop=(tokenizer.end_of_text,), window=True))
    return next(filter(None, map(StreamDecoder(tokenizer).feed, drawn)), "")


def shaping_picture(tokenizer, before: Tensor, after: Tensor, most: int):
    """Draw the likeliest next tokens, as the model (vocab,) has them and as the settings (vocab,) leave them."""
    likeliest = torch.maximum(before, after).topk(min(most, len(before))).indices
    pieces = [tokenizer.decode([token]) for token in likeliest.tolist()]
    rows = {"the model": before[likeliest].tolist(), "with your settings": after[likeliest].tolist()}
    return plots.next_token_comparison(pieces, rows)


def describe_choices(probabilities: Tensor) -> str:
    """Say how many tokens are possible, and how many equally likely ones would leave as much open.

    >>> describe_choices(torch.tensor([0.5, 0.5, 0.0]))
    '2 tokens are possible; it is as open as a choice among 2.0.'
    """
    possible, entropy = int((probabilities > 0).sum()), float(torch.special.entr(probabilities).sum())
    words = "token is" if possible == 1 else "tokens are"
    return f"{possible:,} {words} possible; it is as open as a choice among {math.exp(entropy):,.1f}."
