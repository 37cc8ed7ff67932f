"""Multiple-choice and cloze items made out of stories: what a reader of the story knows, and a guesser doesn't.

The parser knows who did what, so a question has one right answer, and wrong ones that stand in the same story. Lesson
14 scores them by log-likelihood, as HellaSwag (Zellers et al. 2019, arXiv:1905.07830) and LAMBADA (Paperno et al. 2016,
arXiv:1606.06031) are scored.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from utils.errors import CourseError
from utils.stories.generator import render
from utils.stories.grammar import Pick, Plot, Sequence, Slot, load_world, slots_of
from utils.stories.parser import StoryText

CHOICES = 4
ANSWER = "\nAnswer:"
LAST_WORD = re.compile(r" ([\w-]+)(?=[.,!?])")  # of a sentence or clause


class Question(NamedTuple):
    """A question about a story, and answers of which one is right."""

    text: str  # from the line end before "Question:" to "Answer:"
    answers: tuple[str, ...]  # each with the space before it
    right: int


class Gap(NamedTuple):
    """The last word of a sentence or clause, where the story before it has told that word."""

    before: str
    word: str  # with the space before it


class Quiz(NamedTuple):
    """A story without the questions that its document may end with, and ours about it."""

    story: str
    questions: tuple[Question, ...]
    gaps: tuple[Gap, ...]


def make_quiz(document: str, seed: int = 0, most: int = 20) -> Quiz:
    """Ask what the plot can be asked, at most so much, and leave out the last word of what ends with a known fact."""
    story = re.split(r"\n(?:Question|Summary): ", document)[0]
    plot, rows = facts_of(story)
    asked, draw = plot.steps[-1].options[1][0], random.Random(seed)
    assert isinstance(asked, Pick)
    found = [question for nodes in asked.options if (question := make_question(plot, rows, nodes, draw))]
    facts = {next(iter(plot.slots[slot].rows[row].columns.values())) for slot, row in rows.items()}
    ends = [match for match in LAST_WORD.finditer(story) if match[1] in facts]
    gaps = [Gap(story[: end.start()], end[0]) for end in ends if f" {end[1]}" in story[: end.start()]]
    return Quiz(story, tuple(draw.sample(found, min(most, len(found)))), tuple(gaps))


def facts_of(story: str) -> tuple[Plot, dict[str, int]]:
    """Return the plot that derives a story, and the row that each of its slots holds."""
    for plot in load_world():
        for way in StoryText(story).ways(plot, 0):
            return plot, {slot: next(iter(held)) for slot, held in way.rows.items() if len(held) == 1}
    raise CourseError("No plot derives this text, expected a story of corpus: questions need its facts.")


def make_question(plot: Plot, rows: dict[str, int], nodes: Sequence, draw: random.Random) -> Question | None:
    """Ask one question of the grammar; its wrong answers hold another value where the question says nothing."""
    cut, parts = next(
        (i, node.split(ANSWER)) for i, node in enumerate(nodes) if isinstance(node, str) and ANSWER in node
    )
    asked, answer = (*nodes[:cut], parts[0] + ANSWER), (parts[1], *nodes[cut + 1 :])
    slots = [node for node in answer if isinstance(node, Slot) and node.name not in set(slots_of(asked))]
    if not slots or not set(slots_of(nodes)) <= rows.keys():
        return None
    varied = next((slot for slot in slots if slot.name in ("hero", "friend", "elder")), slots[-1])
    values = [varied.texts[row] for row in other_rows(plot, rows, varied.name, draw)]
    others = [value for value in dict.fromkeys(values) if value != varied.texts[rows[varied.name]]]
    written = [_write(answer, rows)]
    written += [_write(tuple(value if node is varied else node for node in answer), rows) for value in others]
    if len(written) < CHOICES:
        return None
    right = draw.randrange(CHOICES)
    wrong = written[1:CHOICES]
    return Question(_write(asked, rows), (*wrong[:right], written[0], *wrong[right:]), right)


def other_rows(plot: Plot, rows: dict[str, int], slot: str, draw: random.Random) -> list[int]:
    """List the rows that a slot could hold: those of like slots in the same story first, then others at random."""
    like, group = plot.slots[slot].rows, plot.slots[slot].rows[rows[slot]].group
    here = [row for name, row in rows.items() if plot.slots[name].rows is like]
    others = [row for row in range(len(like)) if like[row].group == group]
    return [*here, *draw.sample(others, len(others))]


def _write(nodes: Sequence, rows: dict[str, int]) -> str:
    pieces: list[str] = []
    render(nodes, rows, lambda options: 0, pieces)
    return "".join(pieces)
