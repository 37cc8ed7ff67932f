"""Small stories from a world whose probabilities are known: generator, exact entropy, reader.

Every choice is a fair die: a plot, an option of a step, a word in brackets, a name. A text tells which
choices made it (utils.stories.parser reads them back). So a story's surprise is the sum of log k over its
choices, k being the number of options, and the entropy is the mean surprise of all stories.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from utils.stories.parser import parse
from utils.stories.reader import Fault, Reading, coherence, read_story
from utils.stories.world import Pick, Plot, Sequence, Slot, Step, load_world

__all__ = [
    "Entropy",
    "Fault",
    "Reading",
    "Story",
    "coherence",
    "collision_probability",
    "corpus",
    "corpus_sha256",
    "exact_entropy",
    "generate_stories",
    "generate_story",
    "log_probability",
    "read_story",
]


LOG = [0.0, *map(math.log, range(1, 257))]  # LOG[k] is the surprise, in nats, of one choice among k


QUESTION, ANSWER, SUMMARY = "\nQuestion: ", "\nAnswer: ", "\nSummary: "


SEPARATOR = "<|endoftext|>"


@dataclass(frozen=True)
class Story:
    """One story: its text, what may follow it, and the choices that lead to it."""

    text: str
    tail: str  # empty, or a question with its answer, or a summary, or both
    plot: str
    choices: tuple[int, ...]
    log_probability: float  # of the whole document, in nats

    @property
    def document(self) -> str:
        """The story with the question and the summary that follow it."""
        return self.text + self.tail

    @property
    def question(self) -> str:
        """The question, or an empty text."""
        return self._line(QUESTION)

    @property
    def answer(self) -> str:
        """The answer to the question, or an empty text."""
        return self._line(ANSWER)

    @property
    def summary(self) -> str:
        """The summary, or an empty text."""
        return self._line(SUMMARY)

    def _line(self, mark: str) -> str:
        return self.tail.partition(mark)[2].partition("\n")[0]


class Dice:
    """Draws uniform choices and keeps account of them."""

    def __init__(self, rng: random.Random) -> None:
        """Wrap a random.Random, of which only .random() is used: it repeats on every platform."""
        self.random = rng.random
        self.choices: list[int] = []
        self.surprise = 0.0

    def __call__(self, options: int) -> int:
        """Choose one of so many options."""
        choice = int(self.random() * options)
        self.choices.append(choice)
        self.surprise += LOG[options]
        return choice


def generate_story(seed: int | random.Random) -> Story:
    """Draw one story."""
    dice = Dice(random.Random(seed) if isinstance(seed, int) else seed)
    world = load_world()
    plot = world[dice(len(world))]
    rows: dict[str, int] = {}
    text: list[str] = []
    for step in plot.steps:
        if step.optional and dice(2) == 0:
            continue
        if step.name == "tail":
            story, text = "".join(text), []
        choice = dice(len(step.options))
        for slot in step.new_slots[choice]:
            allowed = plot.allowed(slot, rows)
            rows[slot] = allowed[dice(len(allowed))]
        text.append(step.lead)
        render(step.options[choice], rows, dice, text)
    return Story(story, "".join(text), plot.name, tuple(dice.choices), -dice.surprise)


def render(nodes: Sequence, rows: dict[str, int], dice: Dice, text: list[str]) -> None:
    """Append the words of a sequence, choosing on the way."""
    for node in nodes:
        if node.__class__ is str:
            text.append(node)
        elif node.__class__ is Slot:
            text.append(node.texts[rows[node.name]])
        else:
            render(node.options[dice(len(node.options))], rows, dice, text)


def generate_stories(count: int, seed: int) -> Iterator[Story]:
    """Draw stories one after another from one seed."""
    if count < 0 or seed < 0:
        raise ValueError(f"Got count {count} and seed {seed}; both must be zero or more.")
    rng = random.Random(seed)
    for _ in range(count):
        yield generate_story(rng)


def corpus(count: int, seed: int) -> Iterator[str]:
    """Yield documents: stories with the questions and summaries that follow some of them."""
    for story in generate_stories(count, seed):
        yield story.document


def corpus_sha256(count: int, seed: int) -> str:
    """Return the SHA-256 of the corpus, each document followed by the separator and a line end."""
    digest = hashlib.sha256()
    for document in corpus(count, seed):
        digest.update(f"{document}\n{SEPARATOR}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Entropy:
    """What the generator's dice are worth: the line that no model's loss can go below."""

    nats_per_story: float
    tokens_per_story: float  # GPT-2 tokens of a document, and one for the separator after it
    nats_per_token: float


@cache
def exact_entropy() -> Entropy:
    """Sum surprise and tokens over the whole grammar, weighted by probability: exact, no sampling."""
    from utils.tokenizer import Tokenizer

    encode = Tokenizer.gpt2().encode
    count = cache(lambda text: len(encode(text)))
    world = load_world()
    nats = LOG[len(world)] + sum(expected_nats(plot) for plot in world) / len(world)
    tokens = 1 + sum(expected_tokens(plot, count) for plot in world) / len(world)
    return Entropy(nats, tokens, nats / tokens)


def expected_nats(plot: Plot) -> float:
    """Return the entropy of a plot's documents in nats: each choice among k adds log k."""
    total = 0.0
    for step, sizes in steps_with_sizes(plot):
        rows = sum(LOG[k] for ks in sizes for k in ks)
        here = LOG[len(sizes)] + (sum(map(nats_of, step.options)) + rows) / len(sizes)
        total += LOG[2] + here / 2 if step.optional else here
    return total


def nats_of(nodes: Sequence) -> float:
    """Return the entropy in nats of the choices within a sequence."""
    picks = [node.options for node in nodes if isinstance(node, Pick)]
    return sum(LOG[len(options)] + sum(map(nats_of, options)) / len(options) for options in picks)


def steps_with_sizes(plot: Plot) -> Iterator[tuple[Step, list[list[int]]]]:
    """Yield each step with, for each option, the numbers of rows among which its new slots are drawn."""
    bound: set[str] = set()
    for step in plot.steps:
        sizes = []
        for new_slots in step.new_slots:
            taken = set(bound)
            sizes.append([])
            for slot in new_slots:
                sizes[-1].append(plot.slots[slot].size - len(taken.intersection(plot.alike[slot])))
                taken.add(slot)
        yield step, sizes
        bound |= set.intersection(*map(set, step.new_slots))


def expected_tokens(plot: Plot, count: Callable[[str], int]) -> float:
    """Return the expected number of tokens of a plot's documents."""
    total = 0.0
    for step in plot.steps:
        here = sum(tokens_of(option, step.lead, count)[0] for option in step.options) / len(step.options)
        total += here / 2 if step.optional else here
    return total


def tokens_of(nodes: Sequence, space: str, count: Callable[[str], int]) -> tuple[float, str]:
    """Return the expected tokens of a sequence, given the space before it, and the space that it leaves over.

    GPT-2 cuts a text into words, each with the space before it, and merges bytes only within a word. So the
    tokens of the parts add up if each part takes the space before it. Each row of a slot is equally likely.
    """
    total = 0.0
    for node in nodes:
        if isinstance(node, str):
            text = space + node
            space = " " if text.endswith(" ") else ""
            total += count(text.removesuffix(" "))
        elif isinstance(node, Slot):
            total += sum(count(space + text) for text in node.texts) / len(node.texts)
            space = ""
        else:
            parts = [tokens_of(option, space, count) for option in node.options]
            total += sum(part for part, _ in parts) / len(parts)
            space = parts[0][1]
    return total, space


def collision_probability() -> float:
    """Return the exact probability that two documents drawn apart from each other are the same."""
    world = load_world()
    total = 0.0
    for plot in world:
        product = 1.0
        for step, sizes in steps_with_sizes(plot):
            inner = [same(option) / math.prod(ks) for option, ks in zip(step.options, sizes, strict=True)]
            here = sum(inner) / len(inner) ** 2
            product *= (1 + here) / 4 if step.optional else here
        total += product
    return total / len(world) ** 2


def same(nodes: Sequence) -> float:
    """Return the probability that two draws of a sequence choose alike."""
    picks = [node.options for node in nodes if isinstance(node, Pick)]
    return math.prod(sum(map(same, options)) / len(options) ** 2 for options in picks)


def log_probability(document: str) -> float:
    """Return the exact log-probability of a document (or of a story with nothing after it) in nats."""
    found = parse(document)
    if not found:
        raise ValueError("The generator cannot have written this text; read_story says what is wrong.")
    most = max(derivation.log_probability for derivation in found)
    return most + math.log(sum(math.exp(derivation.log_probability - most) for derivation in found))
