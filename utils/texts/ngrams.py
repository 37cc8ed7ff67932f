"""N-grams: which token followed the last few most often, counted in texts; a drafter for speculative decoding.

Lesson 04 counts pairs by hand. A proposal costs a look into a table, and a right one saves a pass of the model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence


class NGrams:
    """A table of what came next, for the last 2 to `longest` - 1 tokens; the longest ending that is known decides.

    >>> NGrams([[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3, 4]], longest=3)([9, 1, 2], most=3)
    [3, 4, 1]
    """

    def __init__(self, texts: Iterable[Sequence[int]], longest: int = 5) -> None:
        counted: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for text in texts:
            for size in range(2, longest):
                for start in range(len(text) - size):
                    counted[tuple(text[start : start + size])][text[start + size]] += 1
        self.longest = longest
        self.likeliest = {ending: found.most_common(1)[0][0] for ending, found in counted.items()}

    def __call__(self, tokens: Sequence[int], most: int) -> list[int]:
        """Propose up to `most` tokens behind a text, none where its last two never stood in what was counted."""
        text = list(tokens[-self.longest :])
        before = len(text)
        while len(text) < before + most and (token := self._next(text)) is not None:
            text.append(token)
        return text[before:]

    def _next(self, text: list[int]) -> int | None:
        endings = (tuple(text[-size:]) for size in range(min(self.longest - 1, len(text)), 1, -1))
        return next((self.likeliest[ending] for ending in endings if ending in self.likeliest), None)
