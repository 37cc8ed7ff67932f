"""What a run learns from, and what it measures now and then: held-out loss, other texts, phrases known by heart.

Lesson 12 shows why a training loss alone says little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from utils.batches import Batches, Tokens
from utils.model import GPT2
from utils.sampling import Sampling, complete, generate
from utils.texts.memorization import Phrases

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class MemorizationMeter:
    """Lets a model write some texts, always by the same dice, and says which share it wrote by heart."""

    phrases: Phrases  # of the training text
    decode: Decode
    start: int  # the token that stands before every text
    samples: int = 4
    length: int = 100  # tokens of each at most

    def __call__(self, model: GPT2) -> float:
        longest = min(self.length, model.config.context)
        training = model.training
        told = generate(model.eval(), [[self.start]] * self.samples, Sampling(max_new=longest, stop=(self.start,)))
        model.train(training)
        return self.phrases.share(self.decode(tokens) for tokens in told)


def texts_between(tokens: np.ndarray, separator: int, decode: Decode) -> Iterator[str]:
    """Yield the texts of a token file, which its separators part.

    >>> list(texts_between(np.array([9, 1, 2, 9, 3]), 9, str))
    ['[1, 2]', '[3]']
    """
    ends = [*np.flatnonzero(np.asarray(tokens) == separator).tolist(), len(tokens)]
    begin = 0
    for end in ends:
        if end > begin:
            yield decode(tokens[begin:end].tolist())
        begin = end + 1


@dataclass(frozen=True)
class TrainingData:
    """Batches to learn from, and what to measure now and then: held-out tokens (time,), other texts, memorization.

    Tokens may be tensors, or token files that stay on the disk (numpy memmaps).
    """

    batches: Batches
    validate: Tokens | None = None
    also: Mapping[str, Tokens] = field(default_factory=dict)  # texts of another kind by name: what is forgotten?
    memorization: MemorizationMeter | None = None

    @property
    def is_measured(self) -> bool:
        """Whether there is anything to evaluate."""
        return self.validate is not None or bool(self.also) or self.memorization is not None


def epoch_sentence(model: GPT2, tokenizer, prompt: str, settings: Sampling = Sampling(max_new=24, temperature=0)):
    """Return a function that lets the model, as it is by then, go on from `prompt`: a RunLog's `sample`."""

    def sentence() -> str:
        training = model.training
        model.eval()
        try:
            return prompt + complete(model, tokenizer, prompt, settings)[0]
        finally:
            model.train(training)

    return sentence
