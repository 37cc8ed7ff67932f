"""Text generator with known entropy: the stories that nano learned from, and what no model's loss can go below.

Every choice is a fair die: a plot, an option of a step, a word in brackets, a name. A text tells which
choices made it (utils.stories.parser reads them back). So a story's surprise is the sum of log k over its
choices, k being the number of options, and the entropy is the mean surprise of all stories.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from utils.errors import CourseError
from utils.stories.grammar import Pick, Plot, Sequence, Slot, load_world
from utils.stories.parser import parse, read_story

LOG = [0.0, *map(math.log, range(1, 257))]  # LOG[k] is the surprise, in nats, of one choice among k

SEPARATOR = "<|endoftext|>"


class Story(NamedTuple):
    """One story with the question and the summary that may follow it, its plot and its log-probability in nats."""

    document: str
    plot: str
    log_probability: float


class Dice:
    """Draws uniform choices and keeps account of them."""

    def __init__(self, rng: random.Random) -> None:
        self.random = rng.random  # of which only this is used: it repeats on every platform
        self.surprise = 0.0

    def __call__(self, options: int) -> int:
        """Choose one of so many options."""
        self.surprise += LOG[options]
        return int(self.random() * options)


def generate_story(rng: random.Random) -> Story:
    """Draw one story."""
    dice, world = Dice(rng), load_world()
    plot = world[dice(len(world))]
    rows: dict[str, int] = {}
    text: list[str] = []
    for step in plot.steps:
        if step.optional and dice(2) == 0:
            continue
        choice = dice(len(step.options))
        for slot in step.new_slots[choice]:
            allowed = plot.allowed(slot, rows)
            rows[slot] = allowed[dice(len(allowed))]
        text.append(step.lead)
        render(step.options[choice], rows, dice, text)
    return Story("".join(text), plot.name, -dice.surprise)


def render(nodes: Sequence, rows: dict[str, int], dice: Dice, text: list[str]) -> None:
    """Append the words of a sequence, choosing on the way."""
    for node in nodes:
        if isinstance(node, str):
            text.append(node)
        elif isinstance(node, Slot):
            text.append(node.texts[rows[node.name]])
        else:
            render(node.options[dice(len(node.options))], rows, dice, text)


def generate_stories(count: int, seed: int) -> Iterator[Story]:
    """Draw stories one after another from one seed."""
    if count < 0 or seed < 0:
        raise CourseError(f"{count} stories from seed {seed} can't be drawn, expected two numbers from 0 on.")
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


def log_probability(document: str) -> float:
    """Return the exact log-probability of a document (or of a story with nothing after it) in nats."""
    if found := parse(document):
        return math.log(math.fsum(math.exp(each.log_probability) for each in found))
    first = read_story(document).faults[0]
    raise CourseError(
        f"the grammar doesn't derive this text: {first!r} has no place in it. Expected a story of corpus."
    )


class Entropy(NamedTuple):
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
    for step, sizes in zip(plot.steps, plot.sizes, strict=True):
        rows = sum(LOG[k] for ks in sizes for k in ks)
        here = LOG[len(sizes)] + (sum(map(nats_of, step.options)) + rows) / len(sizes)
        total += LOG[2] + here / 2 if step.optional else here
    return total


def nats_of(nodes: Sequence) -> float:
    """Return the entropy in nats of the choices within a sequence."""
    picks = [node.options for node in nodes if isinstance(node, Pick)]
    return sum(LOG[len(options)] + sum(map(nats_of, options)) / len(options) for options in picks)


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
