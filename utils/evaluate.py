"""How good a model is: loss and perplexity with their protocol stated, and logits held side by side."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from utils.batches import padded
from utils.errors import CourseError
from utils.model import GPT2, IGNORE, weight_bytes
from utils.sampling import END_OF_TEXT_ID, VOCAB, Sampling, generate
from utils.stories.generator import corpus, exact_entropy, log_probability
from utils.stories.reader import read_story
from utils.texts.memorization import Phrases
from utils.tokenizer import Tokenizer


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
    """A mean loss in nats per token, over how many tokens, by which protocol."""

    loss: float
    tokens: int
    protocol: Protocol

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def __str__(self) -> str:
        return f"perplexity {self.perplexity:.2f} (loss {self.loss:.4f}, {self.tokens:,} tokens, {self.protocol})"


def scoring_windows(tokens: Tensor, protocol: Protocol) -> list[tuple[Tensor, Tensor]]:
    """Cut tokens (time,) into inputs and targets so that every token but the first is a target exactly once."""
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


@torch.no_grad()
def measure_loss(model: GPT2, tokens, protocol: Protocol | None = None) -> Score:
    """Return the mean loss of `model` over tokens (time,), each guessed once."""
    protocol = protocol or Protocol(model.config.context, model.config.context)
    training = model.training
    model.eval()
    windows = scoring_windows(torch.as_tensor(np.asarray(tokens, dtype=np.int64)), protocol)
    total, count = 0.0, 0
    for group in _groups(windows, protocol.batch):
        inputs, targets = (torch.stack(rows).to(model.device) for rows in zip(*group, strict=True))
        scored = int((targets != IGNORE).sum())
        total += float(model(inputs, targets)) * scored
        count += scored
    model.train(training)
    return Score(total / count, count, protocol)


def _groups(windows: list, size: int):
    """Yield up to `size` windows of one length at a time; only the last window may be shorter."""
    full = len(windows[0][0])
    even = [window for window in windows if len(window[0]) == full]
    for first in range(0, len(even), size):
        yield even[first : first + size]
    yield from ([window] for window in windows if len(window[0]) != full)


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (batch, time, vocab) against the tokens (batch, time) that follow."""
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())


@dataclass(frozen=True)
class Difference:
    """How far two sets of logits are apart, and how often they agree on the likeliest token."""

    largest: float
    root_mean_square: float
    same_choice: float


def compare_logits(a: Tensor, b: Tensor) -> Difference:
    """Compare logits (…, vocab) of two models on the same tokens."""
    if a.shape != b.shape:
        raise CourseError(f"Logits of shapes {tuple(a.shape)} and {tuple(b.shape)} can't be compared; use one text.")
    a, b = a.float().cpu(), b.float().cpu()  # they may come from two devices
    error, agree = a - b, (a.argmax(-1) == b.argmax(-1)).float().mean()
    return Difference(float(error.abs().max()), float(error.square().mean().sqrt()), float(agree))


STORY_ROOM = 401  # positions that a story of utils.evaluate may need


COLUMNS = ("model", "bytes", "loss", "perplexity", "bits per byte", "coherence", "in training text")


@dataclass(frozen=True)
class Exam:
    """What everybody is asked; the same for all, so that the answers can be compared."""

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
    tokenizer: object


@dataclass(frozen=True)
class Result:
    """What one model reached; None where it was not asked, or could not answer."""

    name: str
    weight_bytes: int
    score: Score
    bits_per_byte: float  # the loss in a unit that does not depend on the tokenizer
    coherence: float | None = None
    recited: float | None = None  # share of eight-word phrases that stand in the training text

    def cells(self) -> dict[str, str]:
        """Return one row of the table, rounded for people."""
        shares = ["–" if share is None else f"{share:.1%}" for share in (self.coherence, self.recited)]
        loss, bits = f"{self.score.loss:.3f}", f"{self.bits_per_byte:.3f}"
        figures = [self.name, f"{self.weight_bytes:,}", loss, f"{self.score.perplexity:,.2f}", bits, *shares]
        return dict(zip(COLUMNS, figures, strict=True))


def compare_models(candidates: Iterable[Candidate], exam: Exam) -> list[Result]:
    """Examine each model, in the order in which they come; a generator lets one be loaded at a time."""
    return [examine(candidate, exam) for candidate in candidates]


def examine(candidate: Candidate, exam: Exam) -> Result:
    """Let one model sit the exam."""
    model, tokens = candidate.model, encode_documents(candidate.tokenizer, exam)
    if len(tokens) < 2:
        raise CourseError("The exam's documents hold fewer than two tokens. Give it more text.")
    if exam.protocol.context > model.config.context:
        raise CourseError(
            f"{candidate.name} has {model.config.context} positions and the protocol asks for {exam.protocol.context}. "
            f"Compare all of them with a context of at most {model.config.context}."
        )
    score = measure_loss(model, tokens, exam.protocol)
    length = len(candidate.tokenizer.decode(tokens[1:]).encode("utf-8"))
    able = model.config.vocab_size >= VOCAB and model.config.context >= STORY_ROOM
    return Result(
        candidate.name,
        weight_bytes(model),
        score,
        score.loss * score.tokens / math.log(2) / length,
        mean_coherence(model, exam) if exam.stories and able else None,
        recited_share(candidate, tokens, exam) if exam.training is not None else None,
    )


def encode_documents(tokenizer, exam: Exam) -> list[int]:
    """Return the tokens of all documents, an end of text between two of them, up to the exam's length."""
    tokens: list[int] = []
    for document in exam.documents:
        if tokens:
            tokens.append(tokenizer.end_of_text)
        tokens += tokenizer.encode(document)
        if len(tokens) > exam.most_tokens:
            break
    return tokens[: exam.most_tokens + 1]


def mean_coherence(model: GPT2, exam: Exam) -> float:
    """Return the mean coherence of stories that the model tells, by the reader of our story world."""
    from utils.stories.reader import read_story

    told = tell_stories(model, exam.stories, exam.seed)
    return sum(read_story(text).score for text in told) / len(told)


def recited_share(candidate: Candidate, tokens: Sequence[int], exam: Exam) -> float:
    """Return which share of the phrases that a model writes stands word for word in the training text."""
    room = min(64, candidate.model.config.context // 2)
    starts = torch.linspace(0, max(0, len(tokens) - room), exam.beginnings).long().tolist()
    prompts = [list(tokens[start : start + room // 2]) for start in starts]
    settings = Sampling(max_new=room, temperature=0.8, seed=exam.seed, stop=())
    told = generate(candidate.model, prompts, settings)
    return exam.training.share(candidate.tokenizer.decode(row) for row in told)


def to_table(results: Sequence[Result]):
    """Return the results as a pandas table, one model a row, in their order."""
    import pandas as pd

    return pd.DataFrame([result.cells() for result in results], columns=COLUMNS).set_index("model")


def before_and_after(before: Result, after: Result):
    """Return two results of one model and the change between them as a pandas table."""
    import pandas as pd

    change = {
        "bytes": f"{after.weight_bytes - before.weight_bytes:+,}",
        "loss": f"{after.score.loss - before.score.loss:+.3f}",
        "perplexity": f"× {after.score.perplexity / before.score.perplexity:.3f}",
        "bits per byte": f"{after.bits_per_byte - before.bits_per_byte:+.3f}",
        "coherence": difference(before.coherence, after.coherence),
        "in training text": difference(before.recited, after.recited),
    }
    rows = {"before": before.cells(), "after": after.cells(), "change": change}
    return pd.DataFrame(rows).loc[list(COLUMNS[1:])].T


def difference(before: float | None, after: float | None) -> str:
    """Write how far a share has moved, in points of a hundred.

    >>> difference(0.25, 0.5), difference(None, 0.5)
    ('+25.0 points', '–')
    """
    return "–" if before is None or after is None else f"{100 * (after - before):+.1f} points"


def common_protocol(models: Iterable[GPT2], protocol: Protocol = Protocol()) -> Protocol:
    """Return the protocol that all models can follow: the wished one, shortened to the shortest of them."""
    context = min([protocol.context, *(model.config.context for model in models)])
    return replace(protocol, context=context, stride=min(protocol.stride, context))


def join_rows(raw: str) -> str:
    """Join the lines of WikiText as the published perplexity of 29.94 had them: blank ones empty, "\\n\\n" between.

    >>> join_rows(" = Title = \\n \\n Text . \\n")
    ' = Title = \\n\\n\\n\\n\\n Text . \\n'
    """
    lines = raw.splitlines(keepends=True)
    return "\n\n".join(line if line.strip() else "" for line in lines)


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
        prompts = [[END_OF_TEXT_ID]] * min(batch, count - first)
        settings = Sampling(max_new=400, temperature=temperature, seed=seed + first)
        told += [tokenizer.decode(row) for row in generate(model, prompts, settings)]
    return told


@torch.no_grad()
def document_loss(model: GPT2, documents: Sequence[str], batch: int = 8) -> tuple[float, float]:
    """Return nats per token of the model and of the generator: each document alone, its end counted."""
    rows = sorted(([END_OF_TEXT_ID, *Tokenizer.gpt2().encode(text), END_OF_TEXT_ID] for text in documents), key=len)
    total, count = 0.0, 0
    for group in (rows[first : first + batch] for first in range(0, len(rows), batch)):
        inputs, targets = padded(group)  # (batch, time)
        scored = int((targets != IGNORE).sum())
        total += float(model(inputs.to(model.device), targets.to(model.device))) * scored
        count += scored
    return total / count, -sum(map(log_probability, documents)) / count
