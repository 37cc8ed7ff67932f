"""Parser of the story grammar: every derivation of a text with its probability, and the faults of any other text.

All ways through a plot are followed at once, step by step. Where none fits, the parser corrects errors as Aho and
Peterson do (1972, doi:10.1137/0201022): it passes sentences over and leaves steps out, as few as it can.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import product
from statistics import fmean
from typing import NamedTuple

from utils.errors import CourseError
from utils.stories.grammar import Plot, Sequence, Slot, Step, load_world

Candidates = dict[str, frozenset[int]]  # for each slot that was mentioned, the rows it may hold

END = re.compile(r'(?<=[.!?])(?= [A-Z"])|(?<=[.!?]")(?= [A-Z"])|(?=\n)|\Z')  # of a sentence
BEAM = 60  # ways that are followed at a time where there are faults


class Derivation(NamedTuple):
    """One way to write a text, and its log-probability in nats."""

    plot: str
    log_probability: float


class Reading(NamedTuple):
    """A text as the story that it comes closest to: how many of its sentences the grammar derives, and its faults.

    A fault is a sentence that has no place in the story, or the name of a step that is missing.
    """

    plot: str
    kept: int
    faults: tuple[str, ...]

    @property
    def coherence(self) -> float:
        """The share in order of what the text says and what it leaves out."""
        return self.kept / (self.kept + len(self.faults))


class _Way(NamedTuple):
    """How a plot may have written the text up to here."""

    at: int = 0
    rows: Candidates = {}
    nats: float = 0.0  # the surprise of its choices
    faults: tuple[str, ...] = ()
    passed: int = 0  # sentences of the text that are faults


def parse(document: str) -> list[Derivation]:
    """Find every derivation of a document; a text of the story world has exactly one."""
    found, text, world = [], StoryText(document), load_world()
    for plot in world:
        for way in text.ways(plot, 0):
            for values in product(*way.rows.values()):
                rows = dict(zip(way.rows, values, strict=True))
                if all(rows[slot] in plot.allowed(slot, rows) for slot in rows):
                    found.append(Derivation(plot.name, -way.nats - math.log(len(world))))
    return found


def read_story(story: str) -> Reading:
    """Read any text with as few faults as possible, each of the same weight."""
    text, most = StoryText(story.strip()), 0
    while True:
        found = [(len(way.faults), plot.name, way) for plot in load_world() for way in text.ways(plot, most)]
        if found:
            _, plot, way = min(found, key=lambda one: one[0])
            return Reading(plot, len(text.ends) - way.passed, way.faults)
        most = 2 * most or 1


def coherence(stories: Iterable[str]) -> float:
    """Return the mean coherence of stories."""
    shares = [read_story(story).coherence for story in stories]
    if not shares:
        raise CourseError("there are no stories to read, expected at least one. Ask for one or more.")
    return fmean(shares)


class StoryText:
    """A text, where its sentences end, and which steps can begin where."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends = sorted({match.start() for match in END.finditer(text)} - {0})
        self.begins: dict[tuple[Step, int], bool] = {}

    def ways(self, plot: Plot, most: int) -> list[_Way]:
        """Return the ways in which a plot gives the whole text with at most so many faults."""
        ways = [_Way()]
        for number in range(len(plot.steps)):
            ways = [after for way in ways for after in self._after(plot, number, way, most)]
            if most:
                required = sum(not step.optional for step in plot.steps[number + 1 : -1])
                ways = self._likeliest(ways, required, most)
        found = [passed for way in ways for passed in self._pass_over(way, most)]
        return [way for way in found if way.at == len(self.text)]

    def _likeliest(self, ways: list[_Way], required: int, most: int) -> list[_Way]:
        """Return the ways with the fewest faults, so many steps before the end; one for a place and its facts."""

        def least(way: _Way) -> int:
            sentences_left = len(self.ends) - bisect_right(self.ends, way.at)
            return len(way.faults) + max(0, required - sentences_left)

        ways = sorted((way for way in ways if least(way) <= most), key=least, reverse=True)
        best = {(way.at, *way.rows.items()): way for way in ways}
        return sorted(best.values(), key=least)[:BEAM]

    def _after(self, plot: Plot, number: int, before: _Way, most: int) -> Iterator[_Way]:
        """Yield each way to go on past one step, whose text may follow sentences that are faults."""
        step = plot.steps[number]
        for passed, way in enumerate(self._pass_over(before, most)):
            if step.optional and not passed:
                yield way._replace(nats=way.nats + math.log(2))
            elif passed == 1:  # a sentence instead of the step
                yield way
            elif not passed and len(way.faults) < most:
                yield way._replace(faults=(*way.faults, step.name))
            if self.text.startswith(step.lead, way.at) or not way.at:
                yield from self._follow(plot, step, way)

    def _follow(self, plot: Plot, step: Step, way: _Way) -> Iterator[_Way]:
        """Yield each way in which the step itself gives what comes next, behind the space or line end before it."""
        start = way.at + len(step.lead) if way.at else 0
        if (step, start) not in self.begins:  # whatever is known: most steps can begin in few places
            self.begins[step, start] = any(any(match(option, self.text, start, {})) for option in step.options)
        if not self.begins[step, start]:
            return
        choice = way.nats + math.log(len(step.options) * (2 if step.optional else 1))
        for option, sizes in zip(step.options, step.sizes, strict=True):
            for end, found, nats in match(option, self.text, start, way.rows):
                if (rows := _narrow(plot, found, way.rows)) is not None:
                    yield way._replace(at=end, rows=rows, nats=choice + nats + sum(map(math.log, sizes)))

    def _pass_over(self, way: _Way, most: int) -> Iterator[_Way]:
        """Yield the way itself, and then with one more sentence as a fault each time."""
        yield way
        for end in self.ends[bisect_right(self.ends, way.at) :][: most - len(way.faults)]:
            faults = (*way.faults, self.text[way.at : end].strip())
            way = way._replace(at=end, faults=faults, passed=way.passed + 1)
            yield way


def _narrow(plot: Plot, rows: Candidates, before: Candidates) -> Candidates | None:
    """Keep of each slot the rows that may stand beside those that are known; None if nothing is left of one."""
    if rows is before:
        return rows
    rows = dict(rows)
    known = {slot: next(iter(ids)) for slot, ids in rows.items() if len(ids) == 1}
    for slot, ids in rows.items():
        settled = len(ids) == 1 and ids == before.get(slot)
        if not settled and plot.slots[slot].parent in ("", *known):
            rows[slot] = ids.intersection(plot.allowed(slot, known))
            if not rows[slot]:
                return None
    return rows


def match(nodes: Sequence, text: str, at: int, rows: Candidates) -> Iterator[tuple[int, Candidates, float]]:
    """Find every way in which the text at a position begins with a sequence: (end, rows, nats of the choices)."""
    if not nodes:
        yield at, rows, 0.0
        return
    node, rest = nodes[0], nodes[1:]
    if isinstance(node, str):
        if text.startswith(node, at):
            yield from match(rest, text, at + len(node), rows)
    elif isinstance(node, Slot):
        known = rows.get(node.name)
        for value, ids in node.values.items():
            if text.startswith(value, at) and (held := ids if known is None else ids & known):
                yield from match(rest, text, at + len(value), {**rows, node.name: held})
    else:
        for option in node.options:
            for end, found, nats in match((*option, *rest), text, at, rows):
                yield end, found, nats + math.log(len(node.options))
