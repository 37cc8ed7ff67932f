"""Recover the choices behind a story's text: every derivation, with its probability."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from utils.stories.world import Plot, Sequence, Slot, Step, load_world

Candidates = dict[str, frozenset[int]]  # for each slot that was mentioned, the rows it may hold


@dataclass(frozen=True)
class Derivation:
    """One way to write a text: the plot, the choices and their log-probability in nats."""

    plot: str
    choices: tuple[int, ...]
    log_probability: float


@dataclass(frozen=True)
class Taken:
    """What was chosen at one step: whether it is there, which option, and the choices within it."""

    step: Step
    option: int | None
    picks: tuple[tuple[int, int], ...] = ()


def match(nodes: Sequence, text: str, at: int, rows: Candidates) -> Iterator[tuple[int, Candidates, tuple]]:
    """Find every way in which the text at a position begins with a sequence: (end, rows, picks)."""
    if not nodes:
        yield at, rows, ()
        return
    node, rest = nodes[0], nodes[1:]
    if isinstance(node, str):
        if text.startswith(node, at):
            yield from match(rest, text, at + len(node), rows)
    elif isinstance(node, Slot):
        for value, ids in fitting(node, rows):
            if text.startswith(value, at):
                yield from match(rest, text, at + len(value), {**rows, node.name: ids})
    else:
        size = len(node.options)
        for index, option in enumerate(node.options):
            for end, found, picks in match((*option, *rest), text, at, rows):
                yield end, found, ((index, size), *picks)


def fitting(slot: Slot, rows: Candidates) -> Iterator[tuple[str, frozenset[int]]]:
    """List the texts that a slot may still take, each with the rows that give it."""
    known = rows.get(slot.name)
    if known is None:
        yield from slot.values.items()
    elif len(known) == 1:
        yield slot.texts[next(iter(known))], known
    else:
        for value, ids in slot.values.items():
            if ids & known:
                yield value, ids & known


def walk(steps: tuple[Step, ...], text: str, at: int, rows: Candidates) -> Iterator[tuple[tuple, Candidates]]:
    """Find every way in which steps produce the rest of a text."""
    if not steps:
        if at == len(text):
            yield (), rows
        return
    step, rest = steps[0], steps[1:]
    if step.optional:
        for taken, found in walk(rest, text, at, rows):
            yield (Taken(step, None), *taken), found
    if text.startswith(step.lead, at):
        for index, option in enumerate(step.options):
            for end, bound, picks in match(option, text, at + len(step.lead), rows):
                for taken, found in walk(rest, text, end, bound):
                    yield (Taken(step, index, picks), *taken), found


def derive(plot: Plot, path: tuple[Taken, ...], rows: dict[str, int]) -> list[tuple[int, int]] | None:
    """List the choices of a path as (choice, options), or None if the slots break the world's rules."""
    world = load_world()
    choices = [(world.index(plot), len(world))]
    bound: dict[str, int] = {}
    for taken in path:
        if taken.step.optional:
            choices.append((int(taken.option is not None), 2))
        if taken.option is None:
            continue
        choices.append((taken.option, len(taken.step.options)))
        for slot in taken.step.new_slots[taken.option]:
            allowed = plot.allowed(slot, bound)
            if rows[slot] not in allowed:
                return None
            choices.append((allowed.index(rows[slot]), len(allowed)))
            bound[slot] = rows[slot]
        choices += taken.picks
    return choices


def parse(document: str) -> list[Derivation]:
    """Find every derivation of a document; a text of the story world has exactly one."""
    found = []
    for plot in load_world():
        for path, candidates in walk(plot.steps, document, 0, {}):
            for values in product(*candidates.values()):
                choices = derive(plot, path, dict(zip(candidates, values, strict=True)))
                if choices is not None:
                    surprise = sum(math.log(options) for _, options in choices)
                    found.append(Derivation(plot.name, tuple(choice for choice, _ in choices), -surprise))
    return found
