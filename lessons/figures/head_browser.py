"""Attention head browser: all layers and heads of one text in a page of its own, for mouse, finger and keys.

The page loads nothing: numbers, style and script stand in it. It works without a kernel, in JupyterLab, on Colab and
on the static site; where scripts are not run, as in GitHub's preview, a sentence says so (lesson 02).
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.errors import CourseError

if TYPE_CHECKING:
    from IPython.display import HTML

MOST_BYTES = 3_000_000  # what a page of 1,200 heads (xl) on 42 tokens takes; nano's takes 50 kB
STYLE = """
.heads{font:15px/1.5 system-ui,sans-serif;color:inherit;max-width:60rem}
.heads button{font:inherit;color:inherit;background:none;border:1px solid #8888;border-radius:4px;cursor:pointer}
.heads button:focus-visible{outline:3px solid #e69f00;outline-offset:1px}
.heads .text button{margin:2px 1px;padding:1px 3px;white-space:pre;border-color:transparent}
.heads .text button[aria-pressed=true]{border:2px solid #e69f00}
.heads .said{min-height:3em;margin:.4em 0}
.heads .grid{display:grid;gap:5px;overflow-x:auto;padding:3px}
.heads .grid button{padding:2px;font-size:11px;line-height:1.2;min-width:40px}
.heads .grid button[aria-pressed=true]{border:2px solid #e69f00;padding:1px}
.heads canvas{display:block;width:100%;image-rendering:pixelated}
"""
SCRIPT = """
(function () {
  function build(root) {
    const data = JSON.parse(root.querySelector("[type='application/json']").textContent);
    const {layers, heads, pieces, shares} = data, time = pieces.length, cells = time * (time + 1) / 2;
    let head = data.first, token = time - 1, held = token;
    const add = (parent, tag, text) => {
      const made = document.createElement(tag);
      if (text !== undefined) made.textContent = text;
      return parent.appendChild(made);
    };
    const share = (h, row, column) =>
      column > row ? 0 : parseInt(shares.substr(2 * (h * cells + row * (row + 1) / 2 + column), 2), 16) / 100;
    const blue = (value) => `rgba(30,144,230,${value})`;
    const visible = (piece) => piece.replace(/\\n/g, "↵");
    const shown = (piece) => "“" + (visible(piece).trim() || "·") + "”";
    const name = (h) => Math.floor(h / heads) + "." + h % heads;
    const page = root.querySelector(".page");
    page.textContent = "";
    const text = add(page, "div"), said = add(page, "div"), grid = add(page, "div");
    text.className = "text"; said.className = "said"; grid.className = "grid";
    said.setAttribute("aria-live", "polite");
    grid.style.gridTemplateColumns = `repeat(${heads}, minmax(40px, 110px))`;
    const words = pieces.map((piece, place) => {
      const word = add(text, "button", visible(piece));
      word.type = "button";
      word.onmouseenter = word.onfocus = () => { token = place; draw(); };
      word.onclick = () => { token = held = place; draw(); };
      return word;
    });
    text.onmouseleave = () => { token = held; draw(); };
    const maps = Array.from({length: layers * heads}, (_, h) => {
      const button = add(grid, "button"), canvas = add(button, "canvas");
      button.type = "button";
      canvas.width = canvas.height = time;
      add(button, "span", name(h));
      button.setAttribute("aria-label", "block " + Math.floor(h / heads) + ", head " + h % heads);
      button.onclick = () => { head = h; draw(); };
      return button;
    });
    const move = (list, across) => (event) => {
      const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across}[event.key];
      const next = list[list.indexOf(document.activeElement) + step];
      if (next) { event.preventDefault(); next.focus(); }
    };
    text.onkeydown = move(words, 1);
    grid.onkeydown = move(maps, heads);
    function paint(h) {
      const pen = maps[h].querySelector("canvas").getContext("2d");
      pen.clearRect(0, 0, time, time);
      pen.fillStyle = "rgba(230,159,0,0.35)";
      pen.fillRect(0, token, time, 1);
      for (let row = 0; row < time; row++) for (let column = 0; column <= row; column++) {
        pen.fillStyle = blue(share(h, row, column));
        pen.fillRect(column, row, 1, 1);
      }
    }
    function draw() {
      const row = pieces.map((_, column) => share(head, token, column));
      words.forEach((word, column) => {
        word.style.background = blue(0.85 * row[column]);
        word.style.opacity = column > token ? 0.45 : 1;
        word.title = column > token ? "comes later: hidden" : Math.round(100 * row[column]) + " %";
        word.setAttribute("aria-pressed", column === token);
      });
      const best = row.map((value, place) => [value, place]).filter((pair) => pair[0] >= 0.05);
      best.sort((a, b) => b[0] - a[0]);
      const percent = (value) => " " + Math.round(100 * value) + "\u00a0%";
      const parts = best.slice(0, 4).map(([value, place]) => shown(pieces[place]) + percent(value));
      said.textContent = "Head " + name(head) + ": " + shown(pieces[token]) + " looks at " +
        (parts.join(", ") || "all a little, none with 5 %") + ".";
      maps.forEach((button, h) => { button.setAttribute("aria-pressed", h === head); paint(h); });
    }
    draw();
  }
  document.querySelectorAll(".heads[data-id='ID']:not([data-ready])").forEach((root) => {
    root.dataset.ready = "yes";
    build(root);
  });
})();
"""
PAGE = """<div class="heads" data-id="{id}"><style>{style}</style>
<div class="page">{instead}</div>
<script type="application/json">{data}</script></div>
<script>{script}</script>"""
INSTEAD = "Run this cell to open the head browser: a stored page doesn't run its script."


def head_browser(patterns: np.ndarray, pieces: Sequence[str], first: tuple[int, int] = (0, 0)) -> HTML:
    """Show all attention heads (layer, head, time, time) of a text; point at a token to see what it looks at."""
    from IPython.display import HTML

    return HTML(browser_page(np.asarray(patterns), pieces, first))


def browser_page(patterns: np.ndarray, pieces: Sequence[str], first: tuple[int, int] = (0, 0)) -> str:
    """Return the browser as HTML; attention weights are rounded to whole percents."""
    layers, heads, time, _ = patterns.shape
    if time != len(pieces):
        raise CourseError(
            f"Found patterns of {time} tokens and {len(pieces)} pieces of text, expected as many of both."
        )
    data = {
        "layers": layers,
        "heads": heads,
        "first": first[0] * heads + first[1],
        "pieces": list(pieces),
        "shares": packed_shares(patterns),
    }
    text = json.dumps(data).replace("<", "\\u003c")  # no token can end the script that it stands in
    name = hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]
    script = SCRIPT.replace("'ID'", f"'{name}'")
    page = PAGE.format(id=name, style=STYLE, instead=html.escape(INSTEAD), data=text, script=script)
    if len(page) > MOST_BYTES:
        found = f"{layers * heads} heads on {time} tokens make a page of {len(page):,} bytes"
        raise CourseError(f"{found}, expected {MOST_BYTES:,} at most. Take a shorter text.")
    return page


def packed_shares(patterns: np.ndarray) -> str:
    """Return each head's lower triangle, row by row, as percent in two hexadecimal digits for each cell.

    >>> packed_shares(np.array([[[[1.0, 0.0], [0.25, 0.75]]]]))
    '64194b'
    """
    rows, columns = np.tril_indices(patterns.shape[-1])
    percents = np.rint(100 * patterns[..., rows, columns]).astype(int)
    return "".join(f"{percent:02x}" for percent in percents.flat)
