"""A reader that checks any text against the rules of the story world and says what is wrong with it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from utils.stories.parser import parse
from utils.stories.units import (
    Mention,
    Unit,
    misspelt,
    own_units,
    readings,
    sentences,
    split_answer,
    units_of,
    vocabulary,
    whole_match,
)
from utils.stories.world import Plot, Sequence, load_world

MARKS = ("Question: ", "Answer: ", "Summary: ")


UNKNOWN, BACKWARD, ROUGH, CLASH = 1.2, 1.5, 0.6, 0.3  # what a path through the plot pays for its flaws


LOOK_BACK = 40  # so many sentences in a row may be unknown before the reader starts afresh


@dataclass(frozen=True)
class Fault:
    """Something that the world's rules forbid: its kind, the sentence where it shows, and the reason."""

    kind: str
    sentence: str  # empty if something is missing
    why: str
    number: int = 0  # which sentence of the text it is, from 1; 0 if something is missing


@dataclass(frozen=True)
class Reading:
    """What the reader thinks of a text: a score from 0 to 1, the faults behind it and the plot."""

    score: float
    faults: tuple[Fault, ...]
    plot: str = ""


@dataclass(frozen=True)
class Candidate:
    """A sentence of the plot that a sentence of the text may be."""

    unit: Unit
    mentions: tuple[Mention, ...]
    rough: bool  # some value is none that the slot may take


Path = list[Candidate | None]  # what each sentence of a text is; None: unknown


def read_story(text: str) -> Reading:
    """Check a story, with or without question and summary, and give the share of it that is in order."""
    exact = parse(text.strip())
    return Reading(1.0, (), exact[0].plot) if exact else examine(text)


def examine(text: str) -> Reading:
    """Check a text sentence by sentence."""
    lines = [line.strip() for line in text.strip().split("\n")]
    told = sentences("\n".join(line for line in lines if not line.startswith(MARKS)))
    if not told:
        return Reading(0.0, (Fault("empty", "", "There is no story to read."),))
    plot = guess_plot(told)
    choices = [candidates(sentence, plot.name) for sentence in told]
    facts: dict[str, int] = {}
    for _ in range(2):  # once to find the facts, once more to prefer what agrees with them
        path = best_path(plot, choices, facts)
        facts = agree(plot, path)
    tail = [line for line in lines if line.startswith(MARKS)]
    faults = [*order_faults(plot, told, path), *sentence_faults(plot, told, path, facts)]
    faults += [replace(fault, number=fault.number + len(told)) for fault in tail_faults(plot, tail, facts)]
    return Reading(score(faults, len(told) + len(tail)), tuple(faults), plot.name)


def coherence(texts: Iterable[str]) -> float:
    """Return the mean score of some texts."""
    scores = [read_story(text).score for text in texts]
    if not scores:
        raise ValueError("There are no texts to read; give at least one.")
    return sum(scores) / len(scores)


def score(faults: list[Fault], sentence_count: int) -> float:
    """Return the share of sentences without a fault; what is missing counts as sentences, too."""
    missing = sum(not fault.number for fault in faults)
    faulty = len({fault.number for fault in faults if fault.number})
    return 1 - (faulty + missing) / (sentence_count + missing)


def guess_plot(told: list[str]) -> Plot:
    """Find the plot to which most sentences belong."""
    votes = Counter({plot.name: 0.0 for plot in load_world()})
    for sentence in told:
        plots = {unit.plot for unit, _ in readings(sentence)}
        votes.update({plot: 1 / len(plots) for plot in plots})
    return max(load_world(), key=lambda plot: votes[plot.name])


@lru_cache(4096)
def candidates(sentence: str, plot: str) -> tuple[Candidate, ...]:
    """Find the sentences of a plot that a sentence may be; only if there is none, those that it resembles."""
    exact = [Candidate(unit, mentions, False) for unit, mentions in readings(sentence) if unit.plot == plot]
    if exact:
        return tuple(exact)
    rough = [(unit, unit.rough_mentions(sentence)) for unit in units_of(plot)]
    return tuple(Candidate(unit, mentions, True) for unit, mentions in rough if mentions is not None)


def best_path(plot: Plot, choices: list[tuple[Candidate, ...]], facts: dict[str, int]) -> Path:
    """Choose for each sentence what it is, so that the story runs through the plot as straight as can be."""
    best: list[list[tuple[float, Path]]] = [[(0.0, [])]]  # after each sentence: the best way to a candidate
    for index, options in enumerate([*choices, (None,)]):
        row = []
        for option in options:
            ways = [
                (cost + step_cost(plot, path, option, index - back), path + [None] * (index - back))
                for back, ends in enumerate(best)
                if back == 0 or index - back < LOOK_BACK
                for cost, path in ends
            ]
            cost, path = min(ways, key=lambda way: way[0])
            row.append((cost + own_cost(option, facts), [*path, option]))
        best.append(row)
    return best[-1][0][1][:-1]


def own_cost(option: Candidate | None, facts: dict[str, int]) -> float:
    """Return what a candidate costs by itself: for values out of place and for each clash with the facts."""
    if option is None:
        return 0.0
    known = [mention for mention in option.mentions if mention.slot.name in facts]
    clashes = sum(mention.text != mention.slot.texts[facts[mention.slot.name]] for mention in known)
    return ROUGH * option.rough + CLASH * clashes


def step_cost(plot: Plot, path: Path, option: Candidate | None, gap: int) -> float:
    """Return what it costs to go on to a candidate, or to the end, past so many unknown sentences."""
    last, unit = path[-1].unit if path else None, option.unit if option else None
    if last and unit and (unit.step, unit.part) <= (last.step, last.part):
        return BACKWARD + gap * UNKNOWN
    return max(0, len(skipped(plot, last, unit)) - gap) + gap * UNKNOWN


def skipped(plot: Plot, last: Unit | None, unit: Unit | None) -> list[str]:
    """Name the steps, or rests of steps, that are left out between two sentences."""
    if last and unit and last.step == unit.step:
        same = last.option == unit.option
        return [unit.name] * (unit.part - last.part - 1 if same else 1)
    first = last.step + 1 if last else 0
    end = unit.step if unit else len(plot.steps) - 1
    left = [last.name] if last and last.part + 1 < last.parts else []
    left += [step.name for step in plot.steps[first:end] if not step.optional]
    return left + ([unit.name] if unit and unit.part > 0 else [])


def agree(plot: Plot, path: Path) -> dict[str, int]:
    """Find for each slot the row on which most mentions agree; the earlier mention wins a tie."""
    mentions = [mention for candidate in path if candidate for mention in candidate.mentions]
    facts: dict[str, int] = {}
    for slot, kind in plot.slots.items():
        own = [mention for mention in mentions if mention.slot.name == slot]
        if not own:
            continue
        rows = range(len(kind.domain.rows))
        if kind.parent in facts:
            group = plot.slots[kind.parent].domain.rows[facts[kind.parent]].group
            rows = [row for row in kind.domain.groups[group] if support(own, row)[0]] or rows
        facts[slot] = max(rows, key=lambda row: support(own, row))
    return facts


def support(mentions: list[Mention], row: int) -> tuple[int, int]:
    """Count the mentions that a row explains, and rank equals by how early the first of them comes."""
    fits = [index for index, mention in enumerate(mentions) if mention.text == mention.slot.texts[row]]
    return len(fits), -fits[0] if fits else -len(mentions)


def order_faults(plot: Plot, told: list[str], path: Path) -> Iterator[Fault]:
    """Report steps that are missing or out of order; a step that stands elsewhere is not missing."""
    lost = [sentence for sentence, known in zip(told, path, strict=True) if known is None]
    strays = {unit.name for sentence in lost for unit in own_units(sentence, plot.name)}
    last, gap = None, 0
    for number, (sentence, candidate) in enumerate(zip(told, path, strict=True), start=1):
        if candidate is None:
            gap += 1
            continue
        unit = candidate.unit
        if last and (unit.step, unit.part) <= (last.step, last.part):
            yield Fault("order", sentence, f"{unit.name!r} cannot come after {last.name!r}.", number)
        else:
            for name in skipped(plot, last, unit)[gap:]:
                if name not in strays:
                    yield Fault("missing", "", f"Something of the step {name!r} is missing before {sentence!r}.")
        last, gap = unit, 0
    for name in skipped(plot, last, None)[gap:]:
        yield Fault("ending" if last else "missing", "", f"The story stops before the step {name!r} is told.")


def sentence_faults(plot: Plot, told: list[str], path: Path, facts: dict[str, int]) -> Iterator[Fault]:
    """Report sentences that the plot does not know, and mentions that disagree with the rest."""
    for index, (sentence, candidate) in enumerate(zip(told, path, strict=True)):
        if candidate is None:
            found = [unknown_sentence(sentence, plot, told[:index], index + 1 == len(told))]
        else:
            found = [fault for m in candidate.mentions for fault in mention_faults(plot, m, sentence, facts)]
        for fault in found:
            yield replace(fault, number=index + 1)


def mention_faults(plot: Plot, mention: Mention, sentence: str, facts: dict[str, int]) -> Iterator[Fault]:
    """Report a mention that disagrees with the facts or breaks a rule between slots."""
    slot = mention.slot
    right = slot.texts[facts[slot.name]]
    if mention.text != right:
        kind = "spelling" if misspelt(mention.text) else mention.kind
        yield Fault(kind, sentence, f"It says {mention.text!r}, but elsewhere {right!r}.")
        return
    parent = plot.slots[slot.name].parent
    if parent in facts:
        group = plot.slots[parent].domain.rows[facts[parent]].group
        if plot.slots[slot.name].domain.rows[facts[slot.name]].group != group:
            yield Fault(mention.kind, sentence, f"{mention.text!r} does not fit the {parent} of this story.")
    twins = [name for name in plot.alike[slot.name] if facts.get(name) == facts[slot.name]]
    if twins and not slot.form and slot.name > min(twins):
        yield Fault(mention.kind, sentence, f"{mention.text!r} is already the {twins[0]} of this story.")


def unknown_sentence(sentence: str, plot: Plot, before: list[str], final: bool) -> Fault:
    """Say why a sentence has no place in the plot."""
    if sentence in before:
        return Fault("repeated", sentence, "This sentence was told before.")
    if final and sentence[-1] not in '.!?"':
        return Fault("cut off", sentence, "The text stops in the middle of a sentence.")
    if strange := misspelt(sentence):
        near = difflib.get_close_matches(strange[0].lower(), vocabulary(), 1)
        hint = f"; perhaps {near[0]!r} is meant" if near else ""
        return Fault("spelling", sentence, f"The world has no word {strange[0]!r}{hint}.")
    if own_units(sentence, plot.name):
        return Fault("order", sentence, "This sentence belongs to another place in the story.")
    for unit, _ in readings(sentence):
        kind = "ending" if unit.name in ("lesson", "close", "close_night") else "plot"
        return Fault(kind, sentence, f"It belongs to the plot {unit.plot!r}, but this is {plot.name!r}.")
    return Fault("sentence", sentence, "No sentence of this plot reads like that.")


def tail_faults(plot: Plot, lines: list[str], facts: dict[str, int]) -> Iterator[Fault]:
    """Check the question, its answer and the summary against the facts of the story."""
    _, (questions,), (summary,), _ = plot.steps[-1].options
    pairs = [split_answer(option) for option in questions.options]
    seen: dict[str, int] = {}
    answers: list[Sequence] = []
    for number, line in enumerate(lines, start=1):
        mark = next(mark for mark in MARKS if line.startswith(mark))
        if mark in seen:
            found = [Fault("repeated", line, f"There can be only one {mark.strip(': ').lower()}.")]
        elif mark == "Question: ":
            found = [*line_faults(line, [question for question, _ in pairs], facts)]
            answers = [answer for question, answer in pairs if whole_match(question, "\n" + line) is not None]
        elif mark == "Answer: ":
            right = any(not any(line_faults(line, [answer], facts)) for answer in answers)
            found = [] if right else [Fault("answer", line, "The story gives another answer, or no question.")]
        else:
            found = [*line_faults(line, summary.options, facts)]
        seen[mark] = number
        yield from (replace(fault, number=number) for fault in found)
    if "Question: " in seen and "Answer: " not in seen:
        yield Fault("answer", lines[seen["Question: "] - 1], "It has no answer.", seen["Question: "])


def line_faults(line: str, options: Iterable[Sequence], facts: dict[str, int]) -> Iterator[Fault]:
    """Report what is wrong with a line after the story, if it is read as the option that fits it best."""
    found = [mentions for option in options if (mentions := whole_match(option, "\n" + line)) is not None]
    if found:
        yield from min(([*told_otherwise(mentions, line, facts)] for mentions in found), key=len)
    elif misspelt(line):
        yield Fault("spelling", line, f"The world has no word {misspelt(line)[0]!r}.")
    else:
        yield Fault("sentence", line, "No question or summary of this plot reads like that.")


def told_otherwise(mentions: Iterable[Mention], line: str, facts: dict[str, int]) -> Iterator[Fault]:
    """Report mentions after the story that disagree with the story."""
    for mention in mentions:
        row = facts.get(mention.slot.name)
        if row is not None and mention.text != mention.slot.texts[row]:
            right = mention.slot.texts[row]
            yield Fault(mention.kind, line, f"It says {mention.text!r}, but the story says {right!r}.")
