"""How well a model tells the world's stories: loss beside the exact entropy, coherence, memorization."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch

from utils.batches import padded
from utils.losses import IGNORE
from utils.memorization import Phrases
from utils.model import GPT2
from utils.sampling import END_OF_TEXT, Sampling, generate
from utils.stories import corpus, exact_entropy, log_probability, read_story
from utils.tokenizer import Tokenizer

TRAINING = (120_000, 1)  # documents and seed of what gpt2-nano was trained on
FRESH = 7  # the seed of stories that nobody has trained on


@dataclass(frozen=True)
class Verdict:
    """What a model's stories are worth, each figure beside the one that the generator itself reaches."""

    loss: float  # nats per token on fresh documents, each read from its beginning
    best_loss: float  # of the generator on the very same documents: no model can do better on them
    entropy: float  # nats per token over all documents there can be
    documents: int
    coherence: float
    perfect: float  # share of stories without any fault
    stories: int
    faults: dict[str, int]  # how many of each kind in all stories
    overlap: float  # share of eight-word phrases that stand in the training text
    overlap_at_1: float  # the same at temperature 1, with the model's own odds, as the generator tells with its own
    generator_overlap: float  # the same share for as many fresh stories of the generator
    generator_overlaps: list[float]  # for nine times as many more: how far such a share scatters by itself

    def __str__(self) -> str:
        return "\n".join(
            [
                f"held-out loss {self.loss:.4f} nats a token on {self.documents:,} fresh documents",
                f"the generator itself {self.best_loss:.4f} on these, {self.entropy:.4f} on all there can be",
                f"coherence {self.coherence:.1%} on {self.stories} stories at temperature 0.8, as they came",
                f"stories without any fault {self.perfect:.1%}; faults: {self.faults or 'none'}",
                f"eight-word phrases found in the training text {self.overlap:.2%}, "
                f"at temperature 1 {self.overlap_at_1:.2%}; in as many fresh stories of the generator "
                f"{self.generator_overlap:.2%}, in nine times as many more {min(self.generator_overlaps):.2%} "
                f"to {max(self.generator_overlaps):.2%}, {fmean(self.generator_overlaps):.2%} in the mean",
            ]
        )

    def save(self, path: str | Path, told: Sequence[str]) -> None:
        """Write the figures and the stories as JSON."""
        text = json.dumps({**asdict(self), "told": list(told)}, indent=1, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8", newline="\n")


def judge(
    model: GPT2, documents: int = 500, stories: int = 200, seed: int = 0, training: tuple[int, int] = TRAINING
) -> tuple[Verdict, list[str]]:
    """Measure everything, and return it with the sampled stories."""
    fresh = list(corpus(documents, FRESH))
    loss, best = document_loss(model, fresh)
    told = tell_stories(model, stories, seed)
    readings = [read_story(text) for text in told]
    phrases = Phrases(corpus(*training))
    verdict = Verdict(
        loss,
        best,
        exact_entropy().nats_per_token,
        documents,
        sum(reading.score for reading in readings) / stories,
        sum(not reading.faults for reading in readings) / stories,
        stories,
        dict(Counter(fault.kind for reading in readings for fault in reading.faults).most_common()),
        phrases.share(told),
        phrases.share(tell_stories(model, stories, seed, temperature=1.0)),
        phrases.share(fresh[:stories]),
        [phrases.share(corpus(stories, FRESH + more)) for more in range(1, 10)],
    )
    return verdict, told


def tell_stories(model: GPT2, count: int, seed: int = 0, temperature: float = 0.8, batch: int = 50) -> list[str]:
    """Return stories as they come from the model, each begun from nothing."""
    tokenizer, told = Tokenizer.gpt2(), []
    for first in range(0, count, batch):
        prompts = [[END_OF_TEXT]] * min(batch, count - first)
        settings = Sampling(max_new=400, temperature=temperature, seed=seed + first)
        told += [tokenizer.decode(row) for row in generate(model, prompts, settings)]
    return told


@torch.no_grad()
def document_loss(model: GPT2, documents: Sequence[str], batch: int = 8) -> tuple[float, float]:
    """Return nats per token of the model and of the generator: each document alone, its end counted."""
    rows = sorted(([END_OF_TEXT, *Tokenizer.gpt2().encode(text), END_OF_TEXT] for text in documents), key=len)
    total, count = 0.0, 0
    for group in (rows[first : first + batch] for first in range(0, len(rows), batch)):
        inputs, targets = padded(group)  # (batch, time)
        scored = int((targets != IGNORE).sum())
        total += float(model(inputs.to(model.device), targets.to(model.device))) * scored
        count += scored
    return total / count, -sum(map(log_probability, documents)) / count
