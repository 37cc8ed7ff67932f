"""A model for the browser: 8 bits a weight, the rows of tokens that it knows, and a list of what lies where.

`docs/site/live/load.js` reads what this writes: model.bin holds numbers alone, model.json says which they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.config import total_parameters
from utils.files.whole_files import write_whole
from utils.model import GPT2
from utils.quantize.grids import Grid, quantize
from utils.tokenizer import CharTokenizer, Tokenizer, tokenizer_for_page

GRID = Grid(8, group=64)  # 8.25 bits a weight; none of nano's probabilities moves by 0.02 on the texts of the tests
NEAR = 0.05  # of the largest distance between a row of the token table and the median row
TABLE = "token_embedding.weight"


@dataclass(frozen=True)
class Written:
    """What was written, and what it costs to load."""

    folder: Path
    files: tuple[Path, ...]
    tokens: int  # that the model may choose
    parameters: int

    @property
    def nbytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def known_tokens(table: Tensor, size: int) -> np.ndarray | None:
    """Return the ids that have a row of their own, or None where all of the first `size` have one.

    A model that was trained with `compact` gives all other tokens one common row and a little noise.

    >>> known_tokens(torch.tensor([[0.0, 1], [5, 5], [0, 1], [0, 1.001]]), 4)
    array([1])
    """
    distance = (table[:size] - table[:size].median(0).values).norm(dim=1)
    own = distance > NEAR * distance.max()
    return None if int(own.sum()) > size // 2 else np.flatnonzero(own.numpy())


def page_weights(model: GPT2, known: np.ndarray | None, size: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a page's model by name: of the token table the known rows, then one for all others.

    Packed layers and adapters are expanded: the page has one grid of its own.
    """
    with torch.device("meta"):
        names = [name for name, _ in GPT2(model.config).named_parameters()]  # the head is tied, and not among them
    for name in names:
        place, _, kind = name.rpartition(".")
        weight = getattr(model.get_submodule(place), kind).detach().float().cpu()
        if name == TABLE and known is not None:
            others = weight[:size].median(0).values[None]
            weight = torch.cat([weight[torch.from_numpy(known)], others])
        yield name, weight[:size] if name == TABLE and known is None else weight


def write_model(model: GPT2, tokenizer: Tokenizer | CharTokenizer, folder: Path, **more: Any) -> Written:
    """Write model.bin and model.json into a folder; `more` stands in model.json as it is."""
    size = min(model.config.vocab_size, tokenizer.vocab_size)
    known = known_tokens(model.token_embedding.weight.detach().float().cpu(), size)
    parts, tensors, at = [], [], 0
    for name, weight in page_weights(model, known, size):
        pieces, entry = packed(weight, at)
        tensors.append({"name": name, "shape": list(weight.shape), **entry})
        parts += pieces
        at += sum(map(len, pieces))
    config = {
        "layers": model.config.n_layer,
        "heads": model.config.n_head,
        "width": model.config.n_embd,
        "context": model.config.context,
        "vocab": size if known is None else len(known),
    }
    about = {"config": config, "bytes": at, "bits": GRID.bits, "tensors": tensors, **more}
    about["tokenizer"] = tokenizer_for_page(tokenizer, None if known is None else known.tolist())
    files = (folder / "model.bin", folder / "model.json")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    write_whole(files[0], lambda file: [file.write(part) for part in parts])
    write_whole(files[1], lambda file: file.write(text))
    return Written(folder, files, config["vocab"], total_parameters(model.config))


def packed(weight: Tensor, at: int) -> tuple[list[bytes], dict[str, int]]:
    """Return the bytes of a tensor, each part filled up to four, and where they lie when they begin at `at`."""
    if weight.dim() < 2:
        return [filled(weight.numpy().astype("<f4").tobytes())], {"at": at, "group": 0}
    codes = quantize(weight, GRID)
    numbers = filled(codes.codes.numpy().tobytes())
    scales = filled(codes.scales.numpy().astype("<f2").tobytes())
    return [numbers, scales], {"at": at, "group": int(GRID.group), "scales": at + len(numbers)}


def filled(raw: bytes) -> bytes:
    """Fill up to a multiple of four bytes, where a browser's typed arrays may begin.

    >>> len(filled(b"12345"))
    8
    """
    return raw + bytes(-len(raw) % 4)
