"""Stand-in for GPT-2 small and medium: the exact shape and vocabulary, weights drawn at random and never trained.

The published weights can't be had everywhere, the shape can: with the stand-in every notebook runs at true size. So
that quantizers, plots and memory meet what they would meet, its weights have what is published about the real ones:

- `h.0.attn.c_attn` has a spread of about 0.2 and entries up to 2.9, in a few columns (the pinned weights of small).
- One or two channels of the residual stream carry, at the first position only, thousands of times the median
  (Sun et al. 2024, "Massive Activations in Large Language Models", arXiv:2402.17762).
- Most attention of the later layers rests on that first position (Xiao et al. 2023, arXiv:2309.17453); for small
  71 % of it, in the patterns that are published with TransformerLens.
- Some token vectors are hardly trained and lie close to their mean (Land and Bartolo 2024, arXiv:2405.05417).
- Frequent tokens, which have low numbers, are likelier everywhere: without that no text would cost less than another.

It writes no sentence that means anything, and whoever loads it is told what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self, cast

import torch

from utils.config import SIZES
from utils.files.hub import PUBLISHED
from utils.files.whole_files import sha256_of
from utils.loaders import save_gpt2
from utils.model import GPT2, Block

MASSIVE = (138, 447)  # channels; which ones doesn't matter, that they are few does
FIRST_LAYERS = 3  # the channels are filled by the MLP of the third block, and read from then on
UNUSED = 200  # rows of the vocabulary whose vectors were hardly trained


def draw(size: str, seed: int = 0) -> GPT2:
    """Return a GPT-2 of this size with drawn weights."""
    config = SIZES[size]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2(config)
        with torch.no_grad():
            spread_attention(model)
            order_vocabulary(model)
            fill_channels(model)
            for layer in range(FIRST_LAYERS, config.n_layer):
                look_at_the_first(model, layer)
    return model.eval()


def block_of(model: GPT2, layer: int) -> Block:
    return cast(Block, model.blocks[layer])


def spread_attention(model: GPT2) -> None:
    """Give the first block's c_attn its spread, and a few columns their outliers."""
    weight = block_of(model, 0).attention.qkv.weight  # (out, in)
    weight.mul_(0.2 / weight.std())
    columns = torch.randperm(weight.shape[1])[:8]
    weight[:, columns] *= 2.9 / weight[:, columns].abs().max()
    block_of(model, 0).norm1.weight.mul_(0.18)  # as in small, which so keeps its scores within bounds


def order_vocabulary(model: GPT2) -> None:
    """Spread the token vectors along one direction by their rank, which the final norm's bias prefers."""
    table, width = model.token_embedding.weight, model.config.n_embd
    table.mul_(0.12 / table.std())
    table[-UNUSED - 1 : -1] = table.mean(0) + 0.005 * torch.randn(UNUSED, width)  # the last token, the end, is used
    direction = torch.nn.functional.normalize(torch.randn(width), dim=0)
    ranks = (torch.arange(len(table)) - 256).abs() + 20.0  # the first 256 tokens are bytes, then come merges as found
    table += -0.5 * ranks.log()[:, None] * direction  # Zipf's law: the logarithm of a frequency falls with that of rank
    table -= table.mean(0)
    model.final_norm.weight.mul_(0.15)
    model.final_norm.bias.copy_(2.0 * direction)


def fill_channels(model: GPT2) -> None:
    """Let one neuron fire at the first position alone, and write thousands into a few channels."""
    width = model.config.n_embd
    model.position_embedding.weight.mul_(0.05 / model.position_embedding.weight.std())
    mark = torch.zeros(width)
    mark[torch.randperm(width)[:64]] = 1.0
    mark[list(MASSIVE)] = 0.0
    model.position_embedding.weight[0] = 3.0 * mark
    mlp = block_of(model, FIRST_LAYERS - 1).mlp
    mlp.up.weight[0] = mark
    mlp.up.bias[0] = -60.0  # of the normed stream only the first position's reaches beyond it
    mlp.down.weight[:, 0] = 0.0
    mlp.down.weight[list(MASSIVE), 0] = 20.0


def look_at_the_first(model: GPT2, layer: int) -> None:
    """Point each head's keys, where the channels are large, along the bias of its queries."""
    config, qkv = model.config, block_of(model, layer).attention.qkv
    heads = torch.nn.functional.normalize(torch.randn(config.n_head, config.head_width), dim=1)
    strength = torch.empty(config.n_head, 1).uniform_(5.0, 10.0)  # of the score, before softmax
    normed = math.sqrt(config.n_embd / len(MASSIVE))  # what layer norm leaves of channels that hold all there is
    qkv.bias[: config.n_embd] = (strength * heads).flatten()
    keys = slice(config.n_embd, 2 * config.n_embd)
    along = (heads * math.sqrt(config.head_width) / (normed * len(MASSIVE))).flatten()
    for channel in MASSIVE:
        qkv.weight[keys, channel] = along


@dataclass
class StandIn:
    """A stand-in in files as the hub has them, and their pins."""

    folder: Path

    @property
    def pins(self) -> Path:
        return self.folder / "pins.txt"

    @classmethod
    def write(cls, sizes: tuple[str, ...], folder: Path) -> Self:
        """Draw each size and write its files and pins; what is there already is drawn no second time."""
        made, texts = cls(folder), []
        for size in sizes:
            place = folder / f"stand-in/gpt2-{size}/resolve/drawn-0"
            if not (place / "model.safetensors").exists():
                save_gpt2(draw(size), place)
            texts.append("\n".join([f"{size} stand-in/gpt2-{size} drawn-0", *_pin_lines(place, size)]))
        made.pins.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
        return made

    def environment(self, address: str) -> dict[str, str]:
        """Return the settings under which the course takes the stand-in for the hub's weights."""
        kept = {"COURSE_CACHE": str(self.folder / "cache"), "COURSE_PINS": str(self.pins)}
        return kept | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}


def _pin_lines(place: Path, size: str) -> Iterator[str]:
    for name in PUBLISHED[size].files:
        yield f"{name} {(place / name).stat().st_size} {sha256_of(place / name)}"


class LoopbackHub:
    """Within a with block, serves a folder as the hub would, on this machine only; `address` says where."""

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *reason) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words) -> None:
        """Say nothing: what is served is no news."""
