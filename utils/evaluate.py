"""Evaluation: loss and perplexity with their protocol, models side by side in one exam, and the stories they tell.

Lesson 14 builds this by hand: how good a model is, by how much that can be trusted, and what a low loss hides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.errors import CourseError
from utils.files.progress import progress
from utils.model import GPT2, IGNORE, weight_bytes
from utils.sampling import END_OF_TEXT_ID, VOCAB, Sampling, generate
from utils.stories.parser import coherence
from utils.stories.questions import CHOICES, Quiz
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
    loss, count = mean_loss(model, batches)
    model.train(training)
    return Score(loss, count, protocol)


def mean_loss(model: GPT2, batches: Iterable[tuple[Tensor, ...]]) -> tuple[float, int]:
    """Return the mean over all targets of batches of inputs and targets (batch, time), and how many they are."""
    total, count = 0.0, 0
    for inputs, targets in progress(batches, "loss, batches", after=2.0):
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


# Stories

FRESH = 7  # the seed of stories that nobody has trained on


def tell_stories(model: GPT2, count: int, seed: int = 0, temperature: float = 0.8, batch: int = 50) -> list[str]:
    """Return stories as they come from the model, each begun from nothing."""
    tokenizer, told = Tokenizer.gpt2(), []
    for first in progress(range(0, count, batch), f"batches of {batch} stories"):
        prompts = [[END_OF_TEXT_ID]] * min(batch, count - first)
        settings = Sampling(max_new=400, temperature=temperature, seed=seed + first)
        told += [tokenizer.decode(row) for row in generate(model, prompts, settings)]
    return told


# Ability: questions and gaps


@dataclass(frozen=True)
class Marks:
    """How a model did: for each question whether it chose right, for each gap whether it wrote the word."""

    questions: list[bool]
    gaps: list[bool]


def accuracy(right: Sequence[bool]) -> tuple[float, float]:
    """Return the share that is right and half the width of its 95% binomial interval (Wilson 1927).

    >>> share, band = accuracy([True] * 80 + [False] * 20)
    >>> f"{share:.2f} ± {band:.2f}"
    '0.80 ± 0.08'
    """
    asked, share, z = len(right), sum(right) / len(right), 1.96
    return share, z / (1 + z * z / asked) * math.sqrt(share * (1 - share) / asked + (z / (2 * asked)) ** 2)


@torch.no_grad()
def sit_quiz(candidate: Candidate, quizzes: Iterable[Quiz]) -> Marks:
    """Score questions as HellaSwag does (the likeliest answer), gaps as LAMBADA does (every token the likeliest)."""
    model, encode = candidate.model, candidate.tokenizer.encode
    marks = Marks([], [])
    for quiz in progress(list(quizzes), "stories asked about"):
        rows = [(encode(asked.text), encode(answer)) for asked in quiz.questions for answer in asked.answers]
        story = [END_OF_TEXT_ID, *encode(quiz.story)]
        losses, x = answer_losses(model, story, rows)
        for number, asked in enumerate(quiz.questions):
            mine = losses[CHOICES * number : CHOICES * (number + 1)]
            marks.questions.append(int(mine.argmin()) == asked.right)
        for gap in quiz.gaps:
            word, place = encode(gap.word), len(encode(gap.before))  # the story begins with one token more
            marks.gaps.append(model.head(x[place : place + len(word)]).argmax(-1).tolist() == word)
    return marks


@torch.no_grad()
def answer_losses(model: GPT2, story: list[int], rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """Return the mean loss (rows,) of the answers in rows of (question, answer) that all follow one story.

    The story is read once: its keys and values are copied for all rows, which are then read in one pass. What the
    head would read at each of its tokens (time, width) is returned as well.
    """
    lengths = [len(question) + len(answer) for question, answer in rows]
    targets = torch.full((len(rows), max(lengths)), IGNORE, device=model.device)
    tokens = torch.zeros_like(targets)
    for number, (question, answer) in enumerate(rows):
        tokens[number, : lengths[number]] = torch.tensor(question + answer)
        targets[number, len(question) - 1 : lengths[number] - 1] = torch.tensor(answer)
    read, cache = model.new_cache(1, len(story)), model.new_cache(len(rows), len(story) + max(lengths))
    known = model.residual_stream(torch.tensor([story], device=model.device), read)[0]
    cache.store[..., : len(story), :], cache.used = read.store, len(story)
    x, asked = model.residual_stream(tokens, cache), targets != IGNORE  # (rows, time, width), (rows, time)
    losses = torch.zeros(targets.shape, device=model.device)
    losses[asked] = F.cross_entropy(model.head(x[asked]).float(), targets[asked], reduction="none")
    return losses.sum(1) / asked.sum(1), known
