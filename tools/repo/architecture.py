"""Generated pages: the tree of the house in docs/architecture.md, and the picture of the course in docs/course.svg.

python -m tools.repo.architecture [--check]
"""

from __future__ import annotations

import ast
import sys
from html import escape
from pathlib import Path

from tools.repo.marks import put_between
from utils.files.places import ROOT

PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "course.svg"
START, END = "<!-- tree: made by `python -m tools.repo.architecture` -->", "<!-- end of tree -->"
FOLDERS = ("utils", "lessons", "tools", "labs")

# Stations of the picture: what stands in the box, which lessons build it, and where the box stands (column, row).
STATIONS = {
    "text": ("10", 0, 1),
    "tokens": ("01", 1, 1),
    "GPT-2": ("00 · 02 · 03", 2, 1),
    "logits": ("04", 3, 1),
    "your text": ("04 · 14", 4, 1),
    "model files": ("05 · 06", 1, 0),
    "four bits": ("07 · 08", 2, 0),
    "your machine": ("09", 3, 0),
    "loss": ("11", 3, 2),
    "training": ("11 – 13 · 16", 2, 2),
    "a page": ("15", 4, 2),
}
ARROWS = (
    ("text", "tokens"),
    ("tokens", "GPT-2"),
    ("GPT-2", "logits"),
    ("logits", "your text"),
    ("model files", "GPT-2"),
    ("four bits", "GPT-2"),
    ("your machine", "GPT-2"),
    ("logits", "loss"),
    ("loss", "training"),
    ("training", "GPT-2"),
    ("your text", "a page"),
)
WIDE, HIGH, STEP_X, STEP_Y = 132, 58, 170, 104
STYLE = """<style>
text{font:600 15px system-ui,sans-serif;fill:#1f2328;text-anchor:middle}
.small{font-weight:400;font-size:12px;fill:#59636e}
rect{fill:#ddf4ff;stroke:#0969da;stroke-width:1.5}
.core{fill:#fff8c5;stroke:#9a6700}
line{stroke:#59636e;stroke-width:1.5;marker-end:url(#tip)}
#tip path{fill:#59636e}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}.small{fill:#9198a1}rect{fill:#12263f;stroke:#4493f8}.core{fill:#3a2d0c;stroke:#d29922}
line{stroke:#9198a1}#tip path{fill:#9198a1}}
</style>"""


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def tree() -> str:
    """Return the rooms and their files, a line each, with the first line of its docstring."""
    lines = ["```text"]
    for folder in FOLDERS:
        lines.append(f"{folder}/")
        top = ROOT / folder
        for path in sorted(top.iterdir(), key=lambda path: (path.is_dir(), path.name)):
            if path.suffix == ".py" and path.name != "__init__.py":
                lines.append(f"  {path.name:22} {first_line(path)}")
            if path.is_dir() and (path / "__init__.py").exists():
                lines.append(f"  {path.name + '/':22} {first_line(path / '__init__.py')}")
                files = (file for file in sorted(path.glob("*.py")) if file.name != "__init__.py")
                lines += [f"    {file.name:20} {first_line(file)}" for file in files]
    return "\n".join([*lines, "```"])


def centre(name: str) -> tuple[float, float]:
    """Return the middle of a station in the picture."""
    _, column, row = STATIONS[name]
    return 12 + WIDE / 2 + column * STEP_X, 12 + HIGH / 2 + row * STEP_Y


def arrow(start: str, end: str) -> str:
    """Return a line from the edge of one box to the edge of another."""
    (x0, y0), (x1, y1) = centre(start), centre(end)
    across = abs(x1 - x0) * HIGH > abs(y1 - y0) * WIDE
    share = (WIDE / 2 + 3) / abs(x1 - x0) if across else (HIGH / 2 + 3) / abs(y1 - y0)
    dx, dy = (x1 - x0) * share, (y1 - y0) * share
    return f'<line x1="{x0 + dx:.0f}" y1="{y0 + dy:.0f}" x2="{x1 - dx:.0f}" y2="{y1 - dy:.0f}"/>'


def picture() -> str:
    """Return the course as a drawing: what a text passes through, with the lessons that build each part."""
    width, height = 24 + WIDE + 4 * STEP_X, 24 + HIGH + 2 * STEP_Y
    title = "From text to tokens to GPT-2 to text, with model files, four bits, training and a page around it"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">']
    parts += [f"<title>{escape(title)}</title>", STYLE]
    tip = '<path d="M0 0 8 4 0 8z"/>'
    parts.append(f'<marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">{tip}</marker>')
    parts += [arrow(start, end) for start, end in ARROWS]
    for name, (lessons, _, _) in STATIONS.items():
        x, y = centre(name)
        kind = ' class="core"' if name == "GPT-2" else ""
        box = f'x="{x - WIDE / 2:.0f}" y="{y - HIGH / 2:.0f}" width="{WIDE}" height="{HIGH}" rx="10"'
        parts.append(f"<rect{kind} {box}/>")
        parts.append(f'<text x="{x:.0f}" y="{y - 3:.0f}">{escape(name)}</text>')
        parts.append(f'<text class="small" x="{x:.0f}" y="{y + 17:.0f}">lesson {lessons}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    """Write both, or with --check say which is stale."""
    fresh = {PAGE: put_between(PAGE.read_text(encoding="utf-8"), START, END, tree()), PICTURE: picture()}
    stale = [p for p, text in fresh.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path in stale if "--check" not in sys.argv else []:
        path.write_text(fresh[path], encoding="utf-8", newline="\n")
    for path in stale:
        print(f"{path.relative_to(ROOT).as_posix()} {'is stale' if '--check' in sys.argv else 'is written'}.")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
