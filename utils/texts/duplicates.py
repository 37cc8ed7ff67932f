"""Deduplication by MinHash, and data leakage: texts that stand twice, word for word or nearly, or on both sides.

Lesson 10 builds this by hand (Broder 1997, doi:10.1109/SEQUEN.1997.666900). Of all phrases in a text only the
smallest hashes under many hash functions are kept, and two texts agree in as large a part of those as they share
of their phrases.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from utils.errors import CourseError
from utils.texts.cleaning import text_key
from utils.texts.memorization import Phrases, phrase_hashes
from utils.texts.records import Document

WORDS = 4  # in one phrase
BANDS, ROWS = 32, 4  # texts are compared when all hashes of a band agree: nearly certain above 0.7, rare below 0.2
CHANCE = np.random.default_rng(0).integers(1, 2**63, size=(2, BANDS * ROWS), dtype=np.uint64)


class Like(NamedTuple):
    """A text that was there before, by name, and which share of their phrases the two have in common."""

    name: str
    share: float

    def __str__(self) -> str:
        return f"the same text as {self.name}" if self.share == 1 else f"{self.share:.0%} like {self.name}"


class Duplicates:
    """Remembers texts, in half a kilobyte each (16 bytes when only exact copies are asked for)."""

    def __init__(self, near: float | None = 0.8) -> None:
        if near is not None and not 0 < near <= 1:
            raise CourseError(f"near is {near!r}, expected a share between 0 and 1, such as 0.8, or None.")
        self.near = near
        self.names: list[str] = []
        self.keys: dict[bytes, int] = {}
        self.signatures: list[np.ndarray | None] = []
        self.bands: dict[bytes, list[int]] = {}  # which texts have this band in their signature

    def add(self, document: Document) -> Like | None:
        """Return which earlier text this one is like; if it is like none, remember it."""
        text = document.prompt + document.text
        key = text_key(text)
        if key in self.keys:
            return Like(self.names[self.keys[key]], 1.0)
        signature = minhash(text) if self.near is not None else None
        bands = [] if signature is None else _bands(signature)
        if like := self._nearest(signature, bands):
            return like
        self.keys[key] = len(self.names)
        for band in bands:
            self.bands.setdefault(band, []).append(len(self.names))
        self.names.append(document.name)
        self.signatures.append(signature)
        return None

    def _nearest(self, signature: np.ndarray | None, bands: list[bytes]) -> Like | None:
        candidates = sorted({number for band in bands for number in self.bands.get(band, ())})
        shares = [float(np.mean(self.signatures[number] == signature)) for number in candidates]
        if self.near is None or not shares or max(shares) < self.near:
            return None
        return Like(self.names[candidates[int(np.argmax(shares))]], min(max(shares), 0.99))


def _bands(signature: np.ndarray) -> list[bytes]:
    return [bytes([number]) + row.tobytes() for number, row in enumerate(signature.reshape(BANDS, ROWS))]


def minhash(text: str) -> np.ndarray | None:
    """Return the smallest hash of the text's phrases under each hash function (BANDS * ROWS,), None without words."""
    words = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _words(text)], np.uint64)
    if not len(words):
        return None
    hashes = phrase_hashes(words, min(WORDS, len(words)))
    factors, offsets = CHANCE[0] | np.uint64(1), CHANCE[1]
    smallest = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(hashes), 4096):  # a book's hashes under all functions would take hundreds of megabytes
        part = hashes[start : start + 4096, None] * factors + offsets  # overflow wraps around, as it should
        smallest = np.minimum(smallest, part.min(axis=0))
    return (smallest >> np.uint64(32)).astype(np.uint32)


def _words(text: str) -> list[str]:
    """Return the words, without what differs between two printings: case, punctuation, line ends."""
    return re.findall(r"\w+", text.lower())


def find_leaks(
    train: Iterable[Document], validate: Iterable[Document], words: int = 8, limit: float = 0.2
) -> dict[str, float]:
    """Return the held-out documents of which at least `limit` of the phrases also train, with that share.

    >>> find_leaks([Document("a", "one two three four")], [Document("b", "one two three")], words=2)
    {'b': 1.0}
    """
    phrases = Phrases((document.text for document in train), words)
    shares = {document.name: phrases.share([document.text]) for document in validate}
    return {name: share for name, share in shares.items() if share >= limit}
