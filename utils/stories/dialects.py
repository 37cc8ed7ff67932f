"""Dialects of the story world, domain adaptation in small: its stories as a ballad, as letters or as a play.

Nano has read stories only, so that a learner sees at a glance what fine-tuning does (lesson 12). A dialect writes the
sentences of a story down by a few rules, and throws dice of its own; every text's probability is known exactly.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from utils.errors import CourseError
from utils.stories.generator import draw_story
from utils.stories.grammar import load_world
from utils.stories.parser import END

NAMES = [row.columns[""] for row in load_world()[0].slots["hero"].rows]
NAME = rf"(?:{'|'.join(NAMES)})"
REFRAIN = "Now sing, wind and rain"  # words that nano knows, since LoRA can't teach it new ones
SENTENCE = r'(?:(?![.!?]"? ["A-Z]).)+[.!?]"?'  # no more than one
SPEAKER = r"[A-Z]\w*(?: [A-Z]\w*)?"
SPOKEN = re.compile(rf'"([^"]+)([,!?])" (?:(\w+) ({SPEAKER})|(s?he) (\w+))\.')  # "Who is there?" whispered Tom.

Paragraphs = list[list[str]]  # of sentences


class Dice:
    """Fair dice that add up, in nats, what their throws were worth; the same on every platform."""

    def __init__(self, seed: int) -> None:
        self.number, self.nats = random.Random(seed).random, 0.0

    def __call__(self, options: int) -> int:
        self.nats += math.log(options)
        return int(self.number() * options)


class Retold(NamedTuple):
    """A text in a dialect, and its exact log-probability in nats."""

    text: str
    log_probability: float


def ballad(paragraphs: Paragraphs, dice: Dice) -> str:
    """Write a line for each sentence, and behind it the refrain."""
    return "\n".join(f"{sentence} {REFRAIN}" for part in paragraphs for sentence in part)


def letters(paragraphs: Paragraphs, dice: Dice) -> str:
    """Send every two sentences as a letter from one friend to another, a greeting before and a farewell behind them."""
    sender = dice(len(NAMES))
    reader = (sender + 1 + dice(len(NAMES) - 1)) % len(NAMES)
    notes = [" ".join(part[at : at + 2]) for part in paragraphs for at in range(0, len(part), 2)]
    return "\n".join(f"Dear {NAMES[reader]}, {note} Good night, {NAMES[sender]}" for note in notes)


def play(paragraphs: Paragraphs, dice: Dice) -> str:
    """Give each sentence to a speaker: to whom it names as one, else to all."""
    return "\n".join(spoken(sentence) for part in paragraphs for sentence in part)


def spoken(sentence: str) -> str:
    """Write a sentence as a speaker's.

    >>> spoken('"Who is there?" whispered Tom.'), spoken("Tom ran home.")
    ('Tom whispered: Who is there?', 'All: Tom ran home.')
    """
    if not (found := SPOKEN.fullmatch(sentence)):
        return f"All: {sentence}"
    words, end, *who = found.groups()
    verb, name = who[:2] if who[0] else who[:1:-1]
    return f"{name.capitalize() if who[2] else name} {verb}: {words}{end.replace(',', '.')}"


@dataclass(frozen=True)
class Dialect:
    """How a story is written down, and the pattern of a line by which anybody can tell."""

    write: Callable[[Paragraphs, Dice], str]
    line: str


DIALECTS = {
    "ballad": Dialect(ballad, f"{SENTENCE} {REFRAIN}"),
    "letters": Dialect(letters, rf"Dear {NAME}, .+[.!?]\"? Good night, {NAME}"),
    "play": Dialect(play, f"(?:All|{SPEAKER} [a-z]+):.*"),
}


def find_dialect(name: str) -> Dialect:
    """Return a dialect by its name."""
    if name not in DIALECTS:
        raise CourseError(f"There is no dialect {name!r}, expected one of {', '.join(DIALECTS)}.")
    return DIALECTS[name]


def retell(dialect: str, count: int, seed: int) -> Iterator[Retold]:
    """Yield stories in a dialect, the same for the same seed on every machine."""
    write, dice = find_dialect(dialect).write, Dice(seed)
    for _ in range(count):
        dice.nats = 0.0
        story = "".join(draw_story(dice, tail=False))
        paragraphs = [[each.strip() for each in END.split(part) if each.strip()] for part in story.split("\n")]
        yield Retold(write(paragraphs, dice), -dice.nats)


def form_kept(texts: Iterable[str], dialect: str) -> float:
    """Return the share of all lines that keep the dialect's form.

    A text's first line, which a prompt has begun, and its last, which may be cut short, aren't counted; without any
    other line no form is kept.

    >>> form_kept(["All: Who\\nTom said: Me.\\nTom ran home.\\nAll: Go"], "play")
    0.5
    """
    line = re.compile(find_dialect(dialect).line)
    lines = [each for text in texts for each in text.strip("\n").split("\n")[1:-1]]
    return sum(map(bool, map(line.fullmatch, lines))) / max(len(lines), 1)
