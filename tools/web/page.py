"""A folder to share: a page with a model alive in it, for any static web server; `python course.py page`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from tools.web.model_file import GRID, Written, write_model
from tools.web.views import INSTEAD, next_tokens
from utils.config import SIZES, total_parameters
from utils.errors import CourseError
from utils.files.settings import read_settings
from utils.formats.open_file import open_model_file
from utils.loaders import load_with_tokenizer
from utils.plots.living import SCRIPTS, place_for
from utils.serve.chat import model_of
from utils.texts.bins import SIDES, load_bin
from utils.tokenizer import CharTokenizer, Tokenizer
from utils.training.compact_vocabulary import used_tokens
from utils.training.recipes import TrainingRecipe

VIEWS = {
    "sampling": (
        "Next tokens and sampling",
        "The model gives every token a probability to come next; the sliders bend it, and a draw chooses.",
    ),
    "attention": (
        "Attention",
        "In each block every token looks back at those before it. Knock a head out: the text goes on without it.",
    ),
    "lens": ("Logit lens", "What the model would answer if it ended after an earlier block."),
    "bits": ("Few bits against 16", "The same weights twice: as they were, and rounded to few bits while you look."),
    "network": ("The network, drawn", "The way of the last token through the network, part by part."),
}
STYLE = """
:root { color-scheme: light dark; --pst-color-background: #fff; background: #fff; color: #1c1e21; }
body { font: 17px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
@media (prefers-color-scheme: dark) {
  :root { background: #14171a; color: #e6e8ea; --pst-color-background: #14171a; --pst-color-text-base: #e6e8ea;
    --pst-color-text-muted: #a9b1b9; --pst-color-surface: #22272c; --pst-color-border: #4b535b; }
  a { color: #7cc0f5; }
}
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<meta name="description" content="{about}">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="live/live.css">
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{about}</p>
{views}
</main>
<script type="module" src="live/live.js"></script>
</body>
</html>
"""


def write_page(
    name: str | Path,
    out: Path,
    title: str = "",
    prompt: str = "",
    views: Sequence[str] = ("sampling", "attention"),
    data: str | Path = "",
    large: bool = False,
) -> Written:
    """Write index.html, the scripts and the model into a folder that any static web server can hand out.

    Of a model that was trained from zero on `data`, only the tokens of these texts travel.
    """
    if unknown := [view for view in views if view not in VIEWS]:
        raise CourseError(f"{unknown[0]!r} is no view, expected some of {', '.join(VIEWS)}.")
    if out.exists() and any(out.iterdir()) and not (out / "live" / "live.js").is_file():
        raise CourseError(f"{out} holds something else than such a page. Choose an empty folder.")
    name, data = of_recipe(str(name), str(data))
    check_size(name, large)
    model, tokenizer = load_with_tokenizer(name)
    used = tokens_of(Path(data), tokenizer) if data else None
    title = title or f"{Path(name).name}: a GPT-2 in this page"
    shutil.copytree(SCRIPTS, out / "live", dirs_exist_ok=True)
    written = write_model(model, tokenizer, out / "live" / "model", finer="bits" in views, used=used, prompt=prompt)
    about = (
        f"A GPT-2 with {written.parameters:,} parameters works in this page, on your own machine: "
        f"{written.nbytes / 1e6:.1f} MB to load, and nothing that you type leaves it."
    )
    stored = {"sampling": next_tokens(model, tokenizer, prompt)}
    parts = [view_html(view, stored.get(view, "")) for view in views]
    page = PAGE.format(title=escape(title), about=escape(about), style=STYLE, views="\n".join(parts))
    (out / "index.html").write_text(page, encoding="utf-8", newline="\n")
    return written


def of_recipe(name: str, data: str) -> tuple[str, str]:
    """Return model and data; a recipe stands for what it has trained, and if that was from zero, for its data."""
    folder = model_of(name)
    if folder != name and not data:
        recipe = read_settings(TrainingRecipe, recipe=name)
        data = "" if recipe.weights else recipe.data
    return folder, data


def tokens_of(data: Path, tokenizer: Tokenizer | CharTokenizer) -> np.ndarray:
    """Return the ids that prepared texts use, and the end of a text."""
    files = [file for side in SIDES if (file := data / f"{side}.bin").is_file()]
    texts = [load_bin(file) for file in files or [data / f"{SIDES[0]}.bin"]]
    return used_tokens(*texts, np.array([tokenizer.end_of_text]))


def view_html(view: str, stored: str) -> str:
    """Return a view under its title, with a sentence that says what it shows."""
    title, about = VIEWS[view]
    return f"<h2>{title}</h2>\n<p>{about}</p>\n{place_for(view, stored or INSTEAD)}"


def check_size(name: str | Path, large: bool) -> None:
    """Refuse what is larger than nano, unless that is wanted, and say how many megabytes a visitor would load."""
    config = open_model_file(name, values=False).config
    needed = total_parameters(config) * (GRID.bits + 16 / int(GRID.group)) / 8 / 1e6
    if total_parameters(config) > total_parameters(SIZES["nano"]) and not large:
        raise CourseError(
            f"{name} has {total_parameters(config):,} parameters: each visitor would load {needed:.0f} MB, and wait "
            "for every token. Add --large if that is what you want, or share a smaller model."
        )
