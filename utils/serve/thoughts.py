"""What a model thinks while it writes: how likely each token was, and which were the likeliest in its place.

These are the model's own probabilities, before temperature and top-k bend them: greedy text has doubts, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from utils.sampling import VOCAB
from utils.tokenizer import CharTokenizer, Tokenizer, visible

STYLE, SCRIPT = (Path(__file__).with_name(name) for name in ("answer.css", "answer.js"))  # that draw rows on a page
LIKELIEST = 5  # tokens that a page shows beside the one that was written
MOST = 1_000  # tokens of one answer about which this is kept


@dataclass(frozen=True)
class Thought:
    """How likely a token was, and the likeliest ones in its place, each with its probability."""

    share: float
    likeliest: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Written:
    """One token of an answer: the text that it completes, and what the model thought, where that was asked for."""

    token: int
    piece: str
    thought: Thought | None = None


def think(logits: Tensor, token: int) -> Thought:
    """Return what logits (vocab,) say of a token and of the likeliest ones."""
    shares = logits[:VOCAB].float().softmax(-1)
    best = shares.topk(min(LIKELIEST, len(shares)))
    return Thought(float(shares[token]), tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)))


def as_row(written: Written, tokenizer: Tokenizer | CharTokenizer) -> list:
    """Return a token as a page gets it: text, id, probability, and the likeliest as sign, id, probability.

    The end of a text has no id there: nothing can go on behind it.
    """
    if (thought := written.thought) is None:
        return [written.piece, written.token, None, []]
    likeliest = [
        ["end of text", None, round(share, 6)]
        if token == tokenizer.end_of_text
        else [visible(tokenizer.decode_bytes([token])), token, round(share, 6)]
        for token, share in thought.likeliest
    ]
    return [written.piece, written.token, round(thought.share, 6), likeliest]
