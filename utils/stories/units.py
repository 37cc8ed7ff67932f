"""The story world sentence by sentence: which sentence of which step a text may be, and what it mentions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from utils.stories.world import PRONOUNS, Node, Pick, Sequence, Slot, Step, load_world

END = re.compile(r'(?<=[.!?])\s+(?=[A-Z"])|(?<=[.!?]")\s+(?=[A-Z"])')


WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


PEOPLE = ("hero", "friend", "elder")


KINDS = {
    **dict.fromkeys(PEOPLE, "name"),
    **dict.fromkeys(("hkind", "fkind", "ekind"), "kind"),
    **dict.fromkeys(("place", "scene", "spot_a", "spot_b", "spot_c"), "place"),
    **dict.fromkeys(("number", "sum"), "count"),
    **dict.fromkeys(("weather", "time", "day"), "time"),
    **{name: name for name in ("colour", "size", "trait")},
}


@dataclass(frozen=True)
class Mention:
    """What a sentence says in the place of a slot."""

    slot: Slot
    text: str

    @property
    def kind(self) -> str:
        """The sort of fault that it is when the mention is wrong."""
        return "pronoun" if self.slot.form in PRONOUNS else KINDS.get(self.slot.name, "thing")


@dataclass(frozen=True, eq=False)
class Unit:
    """One sentence that a step may contain: the part-th of so many parts of one option."""

    plot: str
    step: int
    name: str
    option: int
    part: int
    parts: int
    nodes: Sequence

    @cached_property
    def pattern(self) -> tuple[re.Pattern, list[Slot]]:
        """A pattern in which any few words may stand in each slot's place, and the slots in order."""
        slots: list[Slot] = []
        return re.compile(as_pattern(self.nodes, slots)), slots

    def mentions(self, sentence: str) -> tuple[Mention, ...] | None:
        """Read the sentence as this unit with values that the slots may take, or return None."""
        if self.pattern[0].fullmatch(sentence) is None:
            return None
        return whole_match(self.nodes, sentence)

    def rough_mentions(self, sentence: str) -> tuple[Mention, ...] | None:
        """Read the sentence as this unit with any words in the slots' places, or return None."""
        pattern, slots = self.pattern
        found = pattern.fullmatch(sentence)
        if found is None or sum(map(len, filter(None, found.groups()))) > len(sentence) * 0.6:
            return None
        return tuple(Mention(slot, text) for slot, text in zip(slots, found.groups(), strict=True) if text)


def as_pattern(nodes: Sequence, slots: list[Slot]) -> str:
    """Write nodes as a regular expression with one group for each slot."""
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(re.escape(node))
        elif isinstance(node, Slot):
            slots.append(node)
            parts.append("(.{1,80}?)")
        else:
            parts.append("(?:" + "|".join(as_pattern(option, slots) for option in node.options) + ")")
    return "".join(parts)


def free_match(nodes: Sequence, text: str, at: int) -> Iterator[tuple[int, tuple[Mention, ...]]]:
    """Find every way in which the text begins with the nodes, whatever the slots hold: (end, mentions)."""
    if not nodes:
        yield at, ()
        return
    node, rest = nodes[0], nodes[1:]
    if isinstance(node, str):
        if text.startswith(node, at):
            yield from free_match(rest, text, at + len(node))
    elif isinstance(node, Slot):
        for value in values(node):
            if text.startswith(value, at):
                for end, found in free_match(rest, text, at + len(value)):
                    yield end, (Mention(node, value), *found)
    else:
        for option in node.options:
            yield from free_match((*option, *rest), text, at)


def whole_match(nodes: Sequence, text: str) -> tuple[Mention, ...] | None:
    """Read a whole text as these nodes, whatever the slots hold, or return None."""
    return next((found for end, found in free_match(nodes, text, 0) if end == len(text)), None)


def values(slot: Slot) -> tuple[str, ...]:
    """List what may stand in a slot's place; for a name, the name of anybody in the world."""
    return everybody() if slot.name in PEOPLE and not slot.form else tuple(slot.values)


@cache
def everybody() -> tuple[str, ...]:
    """List all names of the world."""
    slots = load_world()[0].slots
    return tuple(row.columns[0] for name in ("hero", "elder") for row in slots[name].domain.rows)


def sentences(text: str) -> list[str]:
    """Split a text into sentences, paragraph by paragraph.

    >>> sentences('"Oh!" said Mia. "It is a kite." And off she ran.')
    ['"Oh!" said Mia.', '"It is a kite."', 'And off she ran.']
    """
    lines = [line.strip() for line in text.split("\n")]
    return [sentence for line in lines if line for sentence in END.split(line)]


def split_nodes(nodes: Sequence) -> list[Sequence]:
    """Split the nodes of an option into sentences, at the places where END splits the text."""
    parts: list[list[Node]] = [[]]
    for index, node in enumerate(nodes):
        if not isinstance(node, str):
            parts[-1].append(node)
            continue
        begins = "A" if index + 1 < len(nodes) and starts_high(nodes[index + 1]) else "a"
        first, *more = END.split(node + begins)
        pieces = [first, *more]
        pieces[-1] = pieces[-1][:-1]
        parts[-1].append(pieces[0])
        parts += [[piece] for piece in pieces[1:]]
    return [tuple(node for node in part if node) for part in parts if any(part)]


def starts_high(node: Node) -> bool:
    """Whether a node begins with a capital letter or a quotation mark."""
    if isinstance(node, str):
        return node[0].isupper() or node[0] == '"'
    if isinstance(node, Slot):
        return node.texts[0][0].isupper()
    return all(option and starts_high(option[0]) for option in node.options)


def options_of(step: Step) -> list[Sequence]:
    """List the options of a step; those of a choice between two steps one by one."""
    return [
        inner
        for option in step.options
        for inner in (option[0].options if len(option) == 1 and isinstance(option[0], Pick) else (option,))
    ]


@cache
def units_of(plot: str) -> tuple[Unit, ...]:
    """List all sentences of a plot, without the question and the summary."""
    steps = next(other.steps for other in load_world() if other.name == plot)[:-1]
    found = []
    for number, step in enumerate(steps):
        for index, option in enumerate(options_of(step)):
            parts = split_nodes(option)
            for part, part_nodes in enumerate(parts):
                found.append(Unit(plot, number, step.name, index, part, len(parts), part_nodes))
    return tuple(found)


@cache
def units_by_word() -> dict[str, list[list[Unit]]]:
    """Index the sentences of all plots, equal ones together, by their first word ("" if that is a slot)."""
    equal = defaultdict(list)
    for plot in load_world():
        for unit in units_of(plot.name):
            pattern, slots = unit.pattern
            equal[pattern.pattern, *((slot.name, slot.form) for slot in slots)].append(unit)
    index = defaultdict(list)
    for units in equal.values():
        for word in first_words(units[0].nodes):
            index[word].append(units)
    return index


@lru_cache(4096)
def readings(sentence: str) -> tuple[tuple[Unit, tuple[Mention, ...]], ...]:
    """Find every sentence of every plot that a sentence can be, with what it mentions."""
    word = WORD.search(sentence)
    likely = [*units_by_word().get(word[0] if word else "", ()), *units_by_word()[""]]
    found = [(units, units[0].mentions(sentence)) for units in likely]
    return tuple((unit, mentions) for units, mentions in found if mentions is not None for unit in units)


def own_units(sentence: str, plot: str) -> list[Unit]:
    """List the sentences of a plot that a sentence can be."""
    return [unit for unit, _ in readings(sentence) if unit.plot == plot]


def first_words(nodes: Sequence) -> set[str]:
    """Return the words with which a sequence may begin, "" for a slot."""
    node = nodes[0]
    if isinstance(node, Slot):
        return {""}
    if isinstance(node, Pick):
        return set().union(*(first_words(option) for option in node.options))
    found = WORD.search(node)
    return {found[0]} if found else first_words(nodes[1:])


@cache
def vocabulary() -> frozenset[str]:
    """Return every word that the world knows, in lower case."""
    words: set[str] = set()
    for plot in load_world():
        for step in plot.steps:
            for option in step.options:
                words |= words_of(option)
    return frozenset(words)


def words_of(nodes: Sequence) -> set[str]:
    """Return the words of a sequence, in lower case."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Pick):
            found |= set().union(*map(words_of, node.options))
        else:
            for text in node.texts if isinstance(node, Slot) else (node,):
                found |= {word.lower() for word in WORD.findall(text)}
    return found


def split_answer(nodes: Sequence) -> tuple[Sequence, Sequence]:
    """Split the nodes of a question and its answer into those of the question and those of the answer."""
    for index, node in enumerate(nodes):
        if isinstance(node, str) and "\nAnswer: " in node:
            before, mark, after = node.partition("\nAnswer: ")
            question = (*nodes[:index], before) if before else nodes[:index]
            return question, (mark + after, *nodes[index + 1 :])
    raise ValueError("A question of the story world has no answer.")


def misspelt(text: str) -> list[str]:
    """List the words that the world does not know."""
    return [word for word in WORD.findall(text) if word.lower().removesuffix("'s") not in vocabulary()]
