"""What the commands `perplexity` and `judge` find: a table of models side by side, and a verdict on told stories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd
import torch

from utils.batches import padded
from utils.evaluate import FRESH, Result, mean_loss, tell_stories
from utils.files.progress import progress
from utils.model import GPT2
from utils.sampling import END_OF_TEXT_ID
from utils.stories.generator import corpus, exact_entropy, log_probability
from utils.stories.parser import read_story
from utils.texts.memorization import Phrases
from utils.tokenizer import Tokenizer

TRAINING = (120_000, 1)  # documents and seed of what gpt2-nano was trained on


def to_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return the results as a pandas table, one model a row, in their order, rounded for people."""
    rows = [
        {
            "model": each.name,
            "bytes": f"{each.weight_bytes:,}",
            "loss": f"{each.score.loss:.3f}",
            "perplexity": f"{each.score.perplexity:,.2f}",
            "bits per byte": f"{each.bits_per_byte:.3f}",
            "coherence": "–" if each.coherence is None else f"{each.coherence:.1%}",
            "in training text": "–" if each.recited is None else f"{each.recited:.1%}",
        }
        for each in results
    ]
    return pd.DataFrame(rows).set_index("model")


def join_rows(raw: str) -> str:
    """Join the lines of WikiText as the published perplexity of 29.94 had them: blank ones empty, "\\n\\n" between.

    >>> join_rows(" = Title = \\n \\n Text . \\n")
    ' = Title = \\n\\n\\n\\n\\n Text . \\n'
    """
    return "\n\n".join(line if line.strip() else "" for line in raw.splitlines(keepends=True))


@dataclass(frozen=True)
class Verdict:
    """What a model's stories are worth, each figure beside the one that the generator itself reaches."""

    loss: float  # nats per token on fresh documents, each read from its beginning
    best_loss: float  # of the generator on the very same documents: no model can do better on them
    entropy: float  # nats per token over all documents there can be
    documents: int
    coherence: float  # share of what its stories say, or leave out, that the grammar derives
    perfect: float  # share of stories that the grammar derives as a whole
    stories: int
    overlap: float  # share of eight-word phrases that stand in the training text
    overlap_at_1: float  # the same at temperature 1, with the model's own odds, as the generator tells with its own
    generator_overlap: float  # the same share for as many fresh stories of the generator
    generator_overlaps: list[float]  # for nine times as many more: how far such a share scatters by itself

    def __str__(self) -> str:
        more = self.generator_overlaps
        return f"""held-out loss {self.loss:.4f} nats a token on {self.documents:,} fresh documents
the generator itself {self.best_loss:.4f} on these, {self.entropy:.4f} on all there can be
coherence {self.coherence:.1%} on {self.stories} stories at temperature 0.8, as they came
stories without any fault {self.perfect:.1%}
eight-word phrases found in the training text {self.overlap:.2%}, at temperature 1 {self.overlap_at_1:.2%}; \
in as many fresh stories of the generator {self.generator_overlap:.2%}, \
in nine times as many more {min(more):.2%} to {max(more):.2%}, {fmean(more):.2%} in the mean"""

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
    phrases = Phrases(progress(corpus(*training), "training text, documents", training[0]))
    verdict = Verdict(
        loss,
        best,
        exact_entropy().nats_per_token,
        documents,
        fmean(reading.coherence for reading in readings),
        fmean(not reading.faults for reading in readings),
        stories,
        phrases.share(told),
        phrases.share(tell_stories(model, stories, seed, temperature=1.0)),
        phrases.share(fresh[:stories]),
        [phrases.share(corpus(stories, FRESH + more)) for more in range(1, 10)],
    )
    return verdict, told


@torch.no_grad()
def document_loss(model: GPT2, documents: Sequence[str], batch: int = 8) -> tuple[float, float]:
    """Return nats per token of the model and of the generator: each document alone, its end counted."""
    rows = sorted(([END_OF_TEXT_ID, *Tokenizer.gpt2().encode(text), END_OF_TEXT_ID] for text in documents), key=len)
    loss, count = mean_loss(model, (padded(rows[first : first + batch]) for first in range(0, len(rows), batch)))
    return loss, -sum(map(log_probability, documents)) / count
