"""Dialects of the story world: their probabilities are those that the parser finds, their form no story has."""

from __future__ import annotations

import math
import re

import pytest

from utils.errors import CourseError
from utils.stories.dialects import DIALECTS, NAMES, REFRAIN, Dice, form_kept, retell
from utils.stories.generator import corpus, draw_story, log_probability
from utils.stories.parser import END


def undone(text: str, dialect: str) -> list[str]:
    """Return the sentences of the story that a text in a dialect tells."""
    lines = text.split("\n")
    if dialect == "ballad":
        return [line.removesuffix(f" {REFRAIN}") for line in lines]
    if dialect == "letters":
        return sentences("\n".join(re.fullmatch(r"Dear \w+, (.+) Good night, \w+", line)[1] for line in lines))
    return list(map(unspoken, lines))


def unspoken(line: str) -> str:
    who, words = line.split(": ", 1)
    if who == "All":
        return words
    name, verb = who.rsplit(" ", 1)
    tag = f"{name.lower()} {verb}" if name in ("He", "She") else f"{verb} {name}"
    return f'"{words[:-1]}{words[-1].replace(".", ",")}" {tag}.'


def sentences(text: str) -> list[str]:
    return [each.strip() for each in END.split(text) if each.strip()]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_texts_probability_is_that_of_its_story_and_of_the_dialects_own_dice(dialect):
    own = math.log(len(NAMES) * (len(NAMES) - 1)) if dialect == "letters" else 0
    for seed in range(8):
        (told,) = retell(dialect, 1, seed)
        story = "".join(draw_story(Dice(seed), tail=False))
        assert undone(told.text, dialect) == sentences(story)  # nothing is lost, so no two stories become one text
        assert told.log_probability == pytest.approx(log_probability(story) + math.log(4) - own)  # of all, 1/4 end here


@pytest.mark.parametrize("dialect", DIALECTS)
def test_form_is_kept_by_the_dialect_and_by_no_story(dialect):
    assert form_kept([told.text for told in retell(dialect, 40, 3)], dialect) == 1
    assert form_kept(corpus(300, 3), dialect) == 0
    others = [told.text for other in DIALECTS if other != dialect for told in retell(other, 20, 3)]
    assert form_kept(others, dialect) < 0.1


def test_form_is_counted_without_what_a_prompt_began_and_a_limit_cut():
    assert form_kept(["x\nAll: He ran.\nTom said: Oh.\nHe ran.\nTom: no verb.\nAll:"], "play") == 0.5
    assert form_kept(["All: He ran.", ""], "play") == 0


def test_the_same_seed_tells_the_same_and_another_something_else():
    first, again, other = (list(retell("letters", 3, seed)) for seed in (1, 1, 2))
    assert first == again
    assert not set(first) & set(other)


def test_an_unknown_dialect_is_refused_with_those_that_there_are():
    with pytest.raises(CourseError, match="ballad.*letters.*play"):
        list(retell("opera", 1, 0))
