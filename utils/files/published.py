"""Published outputs of GPT-2 small: next-token logits and attention patterns of the real weights, from others.

They show in a lesson that runs at nano what a model of the web does. Sources and licences: data/recorded/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from utils.files.places import DATA
from utils.files.whole_files import read_json

if TYPE_CHECKING:
    import torch

FOLDER = DATA / "recorded" / "small"


@dataclass(frozen=True)
class PublishedPrompt:
    """One of five prompts, as all of GPT-2 small read it; head 11 of block 4 is `attention[4, 11]`."""

    text: str
    pieces: list[str]
    tokens: list[int]
    logits: torch.Tensor  # (vocab,), after the last token
    scores: torch.Tensor  # (layer, head, time, time), divided by the root of the head's width, not masked
    attention: torch.Tensor  # (layer, head, time, time)


@dataclass(frozen=True)
class PublishedText:
    """One of two longer texts with an end-of-text token in front, as some layers of GPT-2 small read it."""

    pieces: list[str]
    attention: Mapping[int, torch.Tensor]  # layer → (head, time, time)


def published_prompts() -> list[PublishedPrompt]:
    """Return the five prompts for which all logits and all 144 heads are known."""
    about, arrays = _read()
    return [
        PublishedPrompt(
            entry["prompt"],
            entry["tokens"],
            entry["token_ids"],
            *(arrays[f"{name}_{number}"] for name in ("logits", "scores", "attention")),
        )
        for number, entry in enumerate(about["transformer_explainer"]["prompts"])
    ]


def published_texts() -> list[PublishedText]:
    """Return the two longer texts with the layers that are known of each."""
    about, arrays = _read()
    found = []
    for name, pieces in about["transformer_lens"]["tokens"].items():
        start = f"lens_{name}_layer"
        layers = {int(key.removeprefix(start)): value for key, value in arrays.items() if key.startswith(start)}
        found.append(PublishedText(pieces, dict(sorted(layers.items()))))
    return found


@lru_cache(maxsize=1)
def _read() -> tuple[dict, dict[str, torch.Tensor]]:
    import numpy as np
    import torch

    with np.load(FOLDER / "published.npz", allow_pickle=False) as arrays:
        return read_json(FOLDER / "published.json"), {name: torch.from_numpy(arrays[name]) for name in arrays}
