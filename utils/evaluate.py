"""Evaluation: loss and perplexity with their protocol, a table of models side by side, and a judge of stories.

Lesson 13 builds this by hand: how good a model is, by how much that can be trusted, and what a low loss hides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from utils.batches import padded
from utils.errors import CourseError
from utils.model import GPT2, IGNORE, weight_bytes
from utils.sampling import END_OF_TEXT_ID, VOCAB, Sampling, generate
from utils.stories.generator import corpus, exact_entropy, log_probability
from utils.stories.parser import coherence, read_story
from utils.texts.memorization import Phrases
from utils.tokenizer import CharTokenizer, Tokenizer

# Loss and perplexity


@dataclass(frozen=True)
class Protocol:
    """What a perplexity was measured with; without it the number says nothing."""

    context: int = 1024
    stride: int = 1024  # how far the window moves; smaller gives each token more context, and costs more
    batch: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.context or self.batch < 1:
            raise CourseError(
                f"stride {self.stride} and batch {self.batch} with context {self.context} can't be, expected a "
                f"stride from 1 to {self.context} and a batch of at least 1."
            )

    def __str__(self) -> str:
        return f"context {self.context}, stride {self.stride}, mean over tokens"


@dataclass(frozen=True)
class Score:
    """A mean cross-entropy loss in nats per token, over how many tokens, by which protocol."""

    loss: float
    tokens: int
    protocol: Protocol

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def __str__(self) -> str:
        return f"perplexity {self.perplexity:.2f} (loss {self.loss:.4f}, {self.tokens:,} tokens, {self.protocol})"


@torch.no_grad()
def measure_loss(model: GPT2, tokens, protocol: Protocol | None = None) -> Score:
    """Return the mean loss of `model` over tokens (time,), each guessed once."""
    protocol = protocol or Protocol(model.config.context, model.config.context)
    training = model.training
    model.eval()
    *even, last = scoring_windows(torch.as_tensor(np.asarray(tokens, dtype=np.int64)), protocol)
    groups = [even[first : first + protocol.batch] for first in range(0, len(even), protocol.batch)]
    batches = (tuple(torch.stack(rows) for rows in zip(*group, strict=True)) for group in [*groups, [last]])
    loss, count = _mean_loss(model, batches)
    model.train(training)
    return Score(loss, count, protocol)


def _mean_loss(model: GPT2, batches: Iterable[tuple[Tensor, ...]]) -> tuple[float, int]:
    """Return the mean over all targets of batches of inputs and targets (batch, time), and how many they are."""
    total, count = 0.0, 0
    for inputs, targets in tqdm(batches, "loss", disable=None, leave=False):  # a bar on terminals only
        scored = int((targets != IGNORE).sum())
        total += float(model(inputs.to(model.device), targets.to(model.device))) * scored
        count += scored
    return total / count, count


def scoring_windows(tokens: Tensor, protocol: Protocol) -> list[tuple[Tensor, Tensor]]:
    """Cut tokens (time,) into strided inputs and targets so that every token but the first is a target once."""
    if len(tokens) < 2:
        raise CourseError(f"The text has {len(tokens)} tokens; a loss needs at least 2, one to see and one to guess.")
    windows, scored = [], 0  # targets up to `scored` are done; target i is token i + 1
    for start in range(0, len(tokens) - 1, protocol.stride):
        end = min(start + protocol.context, len(tokens) - 1)
        targets = tokens[start + 1 : end + 1].clone()
        targets[: scored - start] = IGNORE  # these were guessed by an earlier window
        windows.append((tokens[start:end], targets))
        scored = end
        if end == len(tokens) - 1:
            break
    return windows


# Models side by side

STORY_CONTEXT = 401  # positions that a story may need


@dataclass(frozen=True)
class Exam:
    """What every model is asked; the same for all, so that the answers can be compared."""

    documents: Sequence[str]  # that nobody was trained on
    protocol: Protocol = Protocol()
    most_tokens: int = 20_000
    stories: int = 0  # to tell, for their coherence; 0 asks for none
    training: Phrases | None = None  # of a training text: how much of it do they recite?
    beginnings: int = 8  # from the documents, to go on from where `training` is given
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """A model under its name, with its own tokenizer."""

    name: str
    model: GPT2
    tokenizer: Tokenizer | CharTokenizer


@dataclass(frozen=True)
class Result:
    """What one model reached; None where it was not asked, or could not answer."""

    name: str
    weight_bytes: int
    score: Score
    bits_per_byte: float  # the loss in a unit that does not depend on the tokenizer
    coherence: float | None = None
    recited: float | None = None  # share of eight-word phrases that stand in the training text


def compare_models(candidates: Iterable[Candidate], exam: Exam) -> list[Result]:
    """Examine each model, in the order in which they come; a generator lets one be loaded at a time."""
    return [examine(candidate, exam) for candidate in candidates]


def examine(candidate: Candidate, exam: Exam) -> Result:
    """Let one model sit the exam."""
    model, tokens = candidate.model, encode_documents(candidate.tokenizer, exam)
    if exam.protocol.context > model.config.context:
        raise CourseError(
            f"{candidate.name} has {model.config.context} positions and the protocol asks for {exam.protocol.context}. "
            f"Compare all of them with a context of at most {model.config.context}."
        )
    score = measure_loss(model, tokens, exam.protocol)
    length = len(candidate.tokenizer.decode(tokens[1:]).encode("utf-8"))
    asked = exam.stories and model.config.vocab_size >= VOCAB and model.config.context >= STORY_CONTEXT
    return Result(
        candidate.name,
        weight_bytes(model),
        score,
        score.loss * score.tokens / math.log(2) / length,
        coherence(tell_stories(model, exam.stories, exam.seed)) if asked else None,
        recited_share(candidate, tokens, exam, exam.training) if exam.training is not None else None,
    )


def encode_documents(tokenizer: Tokenizer | CharTokenizer, exam: Exam) -> list[int]:
    """Return the tokens of all documents, an end of text between two of them, up to the exam's length."""
    tokens: list[int] = []
    for document in exam.documents:
        if tokens:
            tokens.append(tokenizer.end_of_text)
        tokens += tokenizer.encode(document)
        if len(tokens) > exam.most_tokens:
            break
    return tokens[: exam.most_tokens + 1]


def recited_share(candidate: Candidate, tokens: Sequence[int], exam: Exam, training: Phrases) -> float:
    """Return the n-gram overlap with the training text: which share of the phrases that a model writes is in it."""
    room = min(64, candidate.model.config.context // 2)
    starts = torch.linspace(0, max(0, len(tokens) - room), exam.beginnings).long().tolist()
    prompts = [list(tokens[start : start + room // 2]) for start in starts]
    settings = Sampling(max_new=room, temperature=0.8, seed=exam.seed, stop=())
    told = generate(candidate.model, prompts, settings)
    return training.share(candidate.tokenizer.decode(row) for row in told)


def to_table(results: Sequence[Result]):
    """Return the results as a pandas table, one model a row, in their order, rounded for people."""
    import pandas as pd

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


# Stories

TRAINING = (120_000, 1)  # documents and seed of what gpt2-nano was trained on

FRESH = 7  # the seed of stories that nobody has trained on


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
    phrases = Phrases(tqdm(corpus(*training), "training text", training[0], disable=None, leave=False))
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


def tell_stories(model: GPT2, count: int, seed: int = 0, temperature: float = 0.8, batch: int = 50) -> list[str]:
    """Return stories as they come from the model, each begun from nothing."""
    tokenizer, told = Tokenizer.gpt2(), []
    for first in tqdm(range(0, count, batch), "stories", disable=None, leave=False):
        prompts = [[END_OF_TEXT_ID]] * min(batch, count - first)
        settings = Sampling(max_new=400, temperature=temperature, seed=seed + first)
        told += [tokenizer.decode(row) for row in generate(model, prompts, settings)]
    return told


@torch.no_grad()
def document_loss(model: GPT2, documents: Sequence[str], batch: int = 8) -> tuple[float, float]:
    """Return nats per token of the model and of the generator: each document alone, its end counted."""
    rows = sorted(([END_OF_TEXT_ID, *Tokenizer.gpt2().encode(text), END_OF_TEXT_ID] for text in documents), key=len)
    loss, count = _mean_loss(model, (padded(rows[first : first + batch]) for first in range(0, len(rows), batch)))
    return loss, -sum(map(log_probability, documents)) / count
