"""N-gram overlap, the memorization meter: which share of a text's phrases stands word for word in another text.

Lesson 14 reads it beside a zero point: the share that fresh text has anyway.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from utils.errors import CourseError

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd and far from any pattern, so that different phrases rarely meet


class Phrases:
    """All phrases of so many words in some texts, as sorted 64-bit hashes: eight bytes a phrase."""

    def __init__(self, texts: Iterable[str], words: int = 8) -> None:
        if words < 1:
            raise CourseError(f"words is {words}, expected at least 1.")
        self.words = words
        self.numbers: dict[str, int] = {}  # of each word, in the order of first sight
        self.hashes = np.unique(np.concatenate([np.empty(0, np.uint64), *map(self._phrases, texts)]))

    def __len__(self) -> int:
        return len(self.hashes)

    def share(self, texts: Iterable[str]) -> float:
        """Return the share of phrases in `texts` that occur here; 0 where texts are too short to hold any.

        >>> Phrases(["the cat sat on the mat"], words=3).share(["a cat sat on the sofa"])
        0.5
        """
        found = total = 0
        for text in texts:
            phrases = self._phrases(text)
            total += len(phrases)
            places = np.searchsorted(self.hashes, phrases).clip(max=max(len(self) - 1, 0))
            found += int((self.hashes[places] == phrases).sum()) if len(self) else 0
        return found / total if total else 0.0

    def _phrases(self, text: str) -> np.ndarray:
        """Return one hash for each phrase of the text, in its order."""
        numbers = [self.numbers.setdefault(word, len(self.numbers) + 1) for word in text.split()]
        if len(numbers) < self.words:
            return np.empty(0, np.uint64)
        return phrase_hashes(np.array(numbers, np.uint64), self.words)


def phrase_hashes(numbers: np.ndarray, words: int) -> np.ndarray:
    """Return a 64-bit hash for each run of so many numbers, in their order."""
    windows = np.lib.stride_tricks.sliding_window_view(numbers, words)
    hashes = np.zeros(len(windows), np.uint64)
    for column in windows.T:
        hashes = (hashes + column) * MULTIPLIER  # overflow wraps around, as it should
        hashes ^= hashes >> np.uint64(29)
    return hashes
