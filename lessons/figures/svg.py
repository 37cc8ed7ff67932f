"""SVG drawings by code: boxes, arrows and words, with a description for those who don't see them.

The same calls give the same text on every machine, so that strict comparison holds. A drawing brings its own light
card, which reads in dark themes too; letters are the reader's own, nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import fill

from utils.errors import CourseError
from utils.plots.basic import COLORS, TINTS

GRAY, INK, CARD = "#5F6368", "#1F1F1F", "#FDFDFB"
FILLS = {"blue": TINTS[0], "orange": TINTS[1], "green": TINTS[2], "pink": TINTS[3], "white": "#FFFFFF"}
LINES = dict(zip(FILLS, COLORS, strict=False)) | {"gray": GRAY, "white": GRAY}
FILLS["gray"] = "#E9E9E6"
HEAD = (
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    f'orient="auto-start-reverse"><path d="M0 0 10 5 0 10z" fill="{GRAY}"/></marker></defs>'
)


class Drawing:
    """A drawing of `width` × `height` points, of which `alt` says in words what it shows; each call adds a part.

    The colors are "blue", "orange", "green", "pink", "gray" and "white". Show it as a cell's last line.
    """

    def __init__(self, width: int, height: int, alt: str):
        if len(alt.split()) < 4:
            raise CourseError(f"Found alt={alt!r}; expected a sentence that says what the drawing shows.")
        self.size, self.alt, self.parts = (width, height), alt, list[str]()

    def box(
        self, x: float, y: float, width: float, height: float, text: str = "", color: str = "blue", dashed: bool = False
    ) -> Drawing:
        """Add a box with its words (lines by \\n) in the middle."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="4" '
            f'fill="{_color(FILLS, color)}" stroke="{LINES[color]}"{dash}/>'
        )
        return self.text(x + width / 2, y + height / 2, text) if text else self

    def text(
        self, x: float, y: float, text: str, size: float = 13, anchor: str = "middle", bold: bool = False,
        color: str = "",
    ) -> Drawing:  # fmt: skip
        """Add words around a point: anchor "start", "middle" or "end"; several lines are centered on it."""
        lines, step = text.split("\n"), 1.25 * size
        top = y - step * (len(lines) - 1) / 2 + 0.35 * size
        weight = ' font-weight="600"' if bold else ""
        look = f'font-size="{_n(size)}" text-anchor="{anchor}" fill="{LINES[color] if color else INK}"{weight}'
        for place, line in enumerate(lines):
            self.parts.append(f'<text x="{_n(x)}" y="{_n(top + place * step)}" {look}>{escape(line)}</text>')
        return self

    def note(self, x: float, y: float, text: str, anchor: str = "start", width: int = 40) -> Drawing:
        """Add small gray words, wrapped at `width` letters."""
        return self.text(x, y, fill(text, width), size=11, anchor=anchor, color="gray")

    def arrow(self, x1: float, y1: float, x2: float, y2: float, text: str = "", both: bool = False) -> Drawing:
        """Add an arrow from a point to another, with a word at its middle."""
        start = ' marker-start="url(#head)"' if both else ""
        self._line(x1, y1, x2, y2, f'marker-end="url(#head)"{start}')
        flat = abs(y2 - y1) < abs(x2 - x1)
        x, y, anchor = ((x1 + x2) / 2, (y1 + y2) / 2 - 8, "middle") if flat else (x1 + 6, (y1 + y2) / 2, "start")
        return self.text(x, y, text, size=11, anchor=anchor) if text else self

    def line(self, points: Sequence[tuple[float, float]], color: str = "gray", dashed: bool = False) -> Drawing:
        """Add a line through points."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        corners = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self.parts.append(
            f'<polyline points="{corners}" fill="none" stroke="{_color(LINES, color)}" stroke-width="2"{dash}/>'
        )
        return self

    def _line(self, x1: float, y1: float, x2: float, y2: float, more: str) -> None:
        places = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
        self.parts.append(f'<line {places} stroke="{GRAY}" stroke-width="1.5" {more}/>')

    def svg(self) -> str:
        """Return the drawing as the text of an SVG file."""
        width, height = self.size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'role="img" style="max-width:100%;height:auto" font-family="system-ui, sans-serif">'
        )
        card = f'<rect width="{width}" height="{height}" rx="8" fill="{CARD}"/>'
        return "\n".join([head, f"<title>{escape(self.alt)}</title>", HEAD, card, *self.parts, "</svg>"]) + "\n"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": self.alt}


def _n(number: float) -> str:
    """Return a coordinate with one digit at most: the last digits of a sum may differ between machines."""
    return f"{round(number, 1):g}"


def _color(table: dict[str, str], name: str) -> str:
    if name not in table:
        raise CourseError(f"Found the color {name!r}; expected one of {', '.join(table)}.")
    return table[name]
