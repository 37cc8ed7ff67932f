"""A model for the browser: 8 bits a weight, the rows of tokens that it knows, and a list of what lies where.

`docs/site/live/load.js` reads what this writes: model.bin holds numbers alone, model.json says which they are. With
`finer`, finer.bin holds four more bits of each weight, for the view that sets few bits against 16.
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
from utils.quantize.grids import Grid, Quantized, from_groups, quantize, to_groups
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


def write_model(
    model: GPT2,
    tokenizer: Tokenizer | CharTokenizer,
    folder: Path,
    finer: bool = False,
    used: np.ndarray | None = None,
    **more: Any,
) -> Written:
    """Write model.bin, model.json and maybe finer.bin into a folder; `more` stands in model.json as it is.

    `used` are the ids that the model knows, where the caller knows it better than its token table.
    """
    size = min(model.config.vocab_size, tokenizer.vocab_size)
    known = known_tokens(model.token_embedding.weight.detach().float().cpu(), size) if used is None else used
    parts: list[bytes] = []
    rests: list[bytes] = []
    tensors: list[dict[str, Any]] = []
    for name, weight in page_weights(model, known, size):
        pieces, rest, entry = packed(weight, sum(map(len, parts)))
        tensors.append({"name": name, "shape": list(weight.shape), **entry, "finer": sum(map(len, rests))})
        parts += pieces
        rests.append(rest)
    config = {
        "layers": model.config.n_layer,
        "heads": model.config.n_head,
        "width": model.config.n_embd,
        "context": model.config.context,
        "vocab": size if known is None else len(known),
    }
    about = {"config": config, "bytes": sum(map(len, parts)), "bits": GRID.bits, "tensors": tensors, **more}
    about["tokenizer"] = tokenizer_for_page(tokenizer, None if known is None else known.tolist())
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    contents = {"model.bin": parts, "model.json": [text]} | ({"finer.bin": rests} if finer else {})
    for name, content in contents.items():
        write_whole(folder / name, lambda file, content=content: [file.write(part) for part in content])
    files = tuple(folder / name for name in contents)
    return Written(folder, files, config["vocab"], total_parameters(model.config))


def packed(weight: Tensor, at: int) -> tuple[list[bytes], bytes, dict[str, int]]:
    """Return a tensor's bytes, each part filled up to four, its finer bits, and where it lies if it begins at `at`."""
    if weight.dim() < 2:
        return [filled(weight.numpy().astype("<f4").tobytes())], b"", {"at": at, "group": 0}
    codes = quantize(weight, GRID)
    numbers = filled(codes.codes.numpy().tobytes())
    scales = filled(codes.scales.numpy().astype("<f2").tobytes())
    return (
        [numbers, scales],
        finer_bits(weight, codes),
        {"at": at, "group": int(GRID.group), "scales": at + len(numbers)},
    )


def finer_bits(weight: Tensor, codes: Quantized) -> bytes:
    """Return what rounding to codes left, in sixteenths of a step: four bits for each weight, two weights a byte."""
    steps = to_groups(weight - codes.dequantize(), codes.grid) / codes.scales.float()[..., None]  # from −1/2 to 1/2
    rest = from_groups((16 * steps).round() + 8, weight.shape).clamp(0, 15).to(torch.uint8).flatten().numpy()
    even = np.append(rest, np.uint8(0))[: len(rest) + len(rest) % 2]
    return filled((even[::2] + 16 * even[1::2]).tobytes())


def filled(raw: bytes) -> bytes:
    """Fill up to a multiple of four bytes, where a browser's typed arrays may begin.

    >>> len(filled(b"12345"))
    8
    """
    return raw + bytes(-len(raw) % 4)
