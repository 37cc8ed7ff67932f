"""A world small enough to train on in seconds: our stories, in the numbers of those tokens alone that they use.

Lessons 11 and 16 learn it from zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.stories.generator import corpus
from utils.tokenizer import Tokenizer
from utils.training.compact_vocabulary import CompactTokenizer, compact, used_tokens


@dataclass(frozen=True)
class SmallWorld:
    """Stories as compact tokens, an end-of-text behind each; the last `held` of them are never trained on."""

    stories: list[np.ndarray]
    tokenizer: CompactTokenizer
    held: int

    def first(self, count: int) -> np.ndarray:
        """Return the first stories as one text, (time,)."""
        return np.concatenate(self.stories[:count])

    @property
    def learn(self) -> np.ndarray:
        """The stories to learn from, (time,)."""
        return self.first(len(self.stories) - self.held)

    @property
    def held_out(self) -> np.ndarray:
        """The stories of the exam, (time,)."""
        return np.concatenate(self.stories[-self.held :])

    @property
    def vocab_size(self) -> int:
        return len(self.tokenizer.used)


def tell_stories(count: int, held: int = 40, seed: int = 10) -> SmallWorld:
    """Generate stories, the same ones for the same seed, and keep of GPT-2's tokens those that occur."""
    full = Tokenizer.gpt2()
    stories = [np.array([*full.encode(text), full.end_of_text]) for text in corpus(count, seed=seed)]
    used = used_tokens(*stories)
    return SmallWorld([compact(story, used) for story in stories], CompactTokenizer(full, used), held)
