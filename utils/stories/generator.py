"""Text generator with known entropy: the stories that nano learned from, and what no model's loss can go below.

Every choice is a fair die: a plot, an option of a step, a word in brackets, a name. A text tells which
choices made it (utils.stories.parser reads them back). So a story's surprise is the sum of log k over its
choices, k being the number of options, and the entropy is the mean surprise of all stories.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import cache
from statistics import fmean
from typing import NamedTuple

from utils.errors import CourseError
from utils.stories.grammar import Pick, Sequence, Slot, Step, load_world
from utils.stories.parser import parse, read_story

LOG = [0.0, *map(math.log, range(1, 257))]  # LOG[k] is the surprise, in nats, of one choice among k


def draw_story(dice: Callable[[int], int], tail: bool = True) -> list[str]:
    """Draw one document, piece by piece, with or without its tail; `dice(k)` chooses one of k options."""
    world = load_world()
    plot = world[dice(len(world))]
    rows: dict[str, int] = {}
    pieces: list[str] = []
    for step in plot.steps if tail else plot.steps[:-1]:
        if step.optional and dice(2) == 0:
            continue
        choice = dice(len(step.options))
        for slot in step.new_slots[choice]:
            allowed = plot.allowed(slot, rows)
            rows[slot] = allowed[dice(len(allowed))]
        pieces.append(step.lead)
        render(step.options[choice], rows, dice, pieces)
    return pieces


def render(nodes: Sequence, rows: dict[str, int], dice: Callable[[int], int], pieces: list[str]) -> None:
    """Append the words of a sequence, choosing on the way."""
    for node in nodes:
        if isinstance(node, str):
            pieces.append(node)
        elif isinstance(node, Slot):
            pieces.append(node.texts[rows[node.name]])
        else:
            render(node.options[dice(len(node.options))], rows, dice, pieces)


def corpus(count: int, seed: int) -> Iterator[str]:
    """Yield documents: stories with the questions and summaries that follow some of them."""
    if count < 0 or seed < 0:
        raise CourseError(f"{count} stories from seed {seed} can't be drawn, expected two numbers from 0 on.")
    number = random.Random(seed).random  # of which only this is used: it repeats on every platform
    for _ in range(count):
        yield "".join(draw_story(lambda options: int(number() * options)))


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

    encode, world = Tokenizer.gpt2().encode, load_world()
    count = cache(lambda text: len(encode(text)))
    steps = [step for plot in world for step in plot.steps]
    nats = LOG[len(world)] + sum(map(nats_of_step, steps)) / len(world)
    tokens = 1 + sum(tokens_of_step(step, count) for step in steps) / len(world)
    return Entropy(nats, tokens, nats / tokens)


def nats_of_step(step: Step) -> float:
    """Return the entropy of a step in nats: each choice among k adds log k."""
    rows = sum(LOG[k] for sizes in step.sizes for k in sizes)
    told = LOG[len(step.options)] + (sum(map(nats_of, step.options)) + rows) / len(step.options)
    return LOG[2] + told / 2 if step.optional else told


def nats_of(nodes: Sequence) -> float:
    """Return the entropy in nats of the choices within a sequence."""
    picks = [node.options for node in nodes if isinstance(node, Pick)]
    return sum(LOG[len(options)] + sum(map(nats_of, options)) / len(options) for options in picks)


def tokens_of_step(step: Step, count: Callable[[str], int]) -> float:
    """Return the expected number of tokens of a step."""
    told = fmean(tokens_of(option, step.lead, count)[0] for option in step.options)
    return told / 2 if step.optional else told


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
