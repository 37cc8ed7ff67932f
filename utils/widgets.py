"""Things to turn: each function returns a widget that redraws one picture."""

from __future__ import annotations

import ipywidgets as widgets

from utils import plots
from utils.config import BYTES, SIZES, Workload, estimate_memory, format_bytes
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
