"""Any number of models sit the same exam: loss and perplexity by one protocol, coherence, memorization."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from utils.errors import CourseError
from utils.evaluate import Protocol, Score, measure_loss
from utils.memorization import Phrases
from utils.model import GPT2
from utils.quantization.quantized_linear import weight_bytes
from utils.sampling import VOCAB, Sampling, generate

STORY_ROOM = 401  # positions that a story of utils.story.judge may need
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
    from utils.stories import read_story
    from utils.story.judge import tell_stories

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
