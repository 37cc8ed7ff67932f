"""The story grammar: the files of data/stories, read and compiled to nodes that can be drawn or matched.

Word lists, slots and steps of sixteen plots become sequences of text, slots to fill and choices to make.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from utils.errors import CourseError
from utils.files.places import DATA

FOLDER = DATA / "stories"

TOKEN = re.compile(r"\[[^]]*\]|\{\w+\}|[^][(){}|]+|.")  # of a line: a reference, a phrase list, text, or a bracket
REFERENCE = re.compile(r"\[(?P<article>[Aa] )?(?P<name>\w+)(?:\.(?P<column>\w+))?\]")
HERS = {"he": "she", "him": "her", "his": "her", "himself": "herself"}  # pronouns in group he, and in group she
WHO = {"": "hero", "f": "friend", "e": "elder"}  # [he] is the hero, [fhe] the friend, [ehe] the elder
PRONOUNS = {who + his: (slot, his, her) for who, slot in WHO.items() for his, her in HERS.items()}


class Row(NamedTuple):
    """One value that a slot may take: its group, its place within the group, and its text in each column."""

    group: str
    place: int
    columns: dict[str, str]  # the first is the one that a bare [slot] means


@dataclass(frozen=True, eq=False)
class Slot:
    """A place in a sentence that a drawn value fills, in one form (with an article, as a pronoun, …)."""

    name: str
    texts: tuple[str, ...]  # the form of every row of the slot's list
    values: dict[str, frozenset[int]]  # text -> rows that give it


@dataclass(frozen=True, eq=False)
class Pick:
    """A choice among options, each with equal probability."""

    options: tuple[tuple[Node, ...], ...]


Node = str | Slot | Pick
Sequence = tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a plot: its options, the slots that each introduces and the space or line end before it."""

    name: str
    options: tuple[Sequence, ...]
    new_slots: list[list[str]]  # for each option
    sizes: list[list[int]]  # among how many rows each of these is drawn
    optional: bool
    lead: str


class SlotKind(NamedTuple):
    """Where a slot's values come from: a list of rows and, if their group depends on another slot, that slot."""

    rows: tuple[Row, ...]
    parent: str


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot: the slots that it fills and its steps in order."""

    name: str
    slots: dict[str, SlotKind]
    steps: tuple[Step, ...]

    def allowed(self, slot: str, drawn: dict[str, int]) -> list[int]:
        """List the rows that a slot may take: those of its group, but none that a like slot has taken."""
        rows, parent = self.slots[slot]
        taken = [row for name, row in drawn.items() if name != slot and self.slots[name].rows is rows]
        if not parent:
            return [i for i in range(len(rows)) if i not in taken]
        group, used = self.slots[parent].rows[drawn[parent]].group, [rows[i].place for i in taken]
        return [i for i, row in enumerate(rows) if row.group == group and row.place not in used]


def read_grammar(path: Path) -> dict[str, Any]:
    """Read one file of the grammar: `lists` of rows, `slots` drawn from them and `steps`, a line for each option."""
    import yaml

    if not path.exists():
        raise CourseError(f"{path} is missing; the story world is read from data/stories. Fetch the course again.")
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {**found, "steps": {name: text.splitlines() for name, text in found["steps"].items()}}


def rows_of(groups: dict[str, list] | list) -> tuple[Row, ...]:
    """Return the rows of a list: groups of them or one, each row a text, or one for each column."""
    named = groups if isinstance(groups, dict) else {"": groups}
    listed = [(group, i, row) for group, rows in named.items() for i, row in enumerate(rows)]
    return tuple(Row(group, i, row if isinstance(row, dict) else {"": row}) for group, i, row in listed)


class Compiler:
    """Turns the lines of one plot into nodes, and its steps, in their order, into what a story is drawn from."""

    def __init__(self, lists: dict, slots: dict[str, str], steps: dict[str, list[str]]) -> None:
        self.written = steps
        self.lists = {name: rows_of(groups) for name, groups in lists.items()}
        self.slots = {name: self.slot_kind(text) for name, text in slots.items()}
        self.bound: set[str] = set()  # slots that every story has introduced by now
        self.loose: set[str] = set()  # slots that only some have

    def slot_kind(self, text: str) -> SlotKind:
        """Read "list" or "list by slot"."""
        name, _, parent = text.partition(" by ")
        groups = [row.group for row in self.lists[name]]
        if parent and len({groups.count(group) for group in groups}) > 1:
            raise CourseError(f"The groups of {name} differ in size, expected as many rows in each.")
        return SlotKind(self.lists[name], parent)

    def slot(self, reference: str) -> Slot:
        """Compile a reference such as [hero], [a kind], [place.at] or [He]."""
        found = REFERENCE.fullmatch(reference)
        if found is None:
            raise CourseError(f"{reference!r} is no reference to a slot.")
        article, name, column = found["article"], found["name"].lower(), found["column"]
        if name in PRONOUNS:
            name, his, her = PRONOUNS[name]
            texts = [her if row.group == "she" else his for row in self.slots[name].rows]
        else:
            texts = [row.columns[column or next(iter(row.columns))] for row in self.slots[name].rows]
        if article:
            texts = [with_article(text) for text in texts]
        if (article or found["name"])[0].isupper():
            texts = [text[0].upper() + text[1:] for text in texts]
        values = {text: frozenset(i for i, other in enumerate(texts) if other == text) for text in texts}
        return Slot(name, tuple(texts), values)

    def sequence(self, line: str) -> Sequence:
        """Compile one line: literal text, [references], (choices|of|words) and {phrase lists}."""
        stack: list[list[list[Node]]] = [[[]]]  # the line, and the options so far of each bracket that is open
        for token in TOKEN.findall(line):
            match token[0]:
                case "(":
                    stack.append([[]])
                case "|" if len(stack) > 1:
                    stack[-1].append([])
                case ")" if len(stack) > 1:
                    pick = Pick(tuple(map(tuple, stack.pop())))
                    stack[-1][-1].append(pick)
                case "[":
                    stack[-1][-1].append(self.slot(token))
                case "{":
                    stack[-1][-1].append(Pick(self.lines(token[1:-1])))
                case "|" | ")" | "]" | "}":
                    raise CourseError(f"Unexpected {token!r} in {line!r}.")
                case _:
                    stack[-1][-1].append(token)
        if len(stack) > 1:
            raise CourseError(f"A bracket of {line!r} is not closed.")
        return tuple(stack[0][0])

    def lines(self, name: str) -> tuple[Sequence, ...]:
        """Compile all lines of a step."""
        return tuple(map(self.sequence, self.written[name]))

    def tail(self) -> tuple[Sequence, ...]:
        """Compile the ends of a document: nothing, a question, a summary, or both."""
        questions = [line.partition(" => ") for line in self.written["questions"]]
        asked = Pick(tuple(self.sequence(f"\nQuestion: {question}\nAnswer: {it}") for question, _, it in questions))
        summary = Pick(tuple(self.sequence(f"\nSummary: {line}") for line in self.written["summary"]))
        return (), (asked,), (summary,), (asked, summary)

    def step(self, name: str, lead: str) -> Step:
        """Compile "name" or "name?", and note the slots that it introduces; later steps may use what all options do.

        "a|b" first chooses between the steps a and b.
        """
        name, optional = name.removesuffix("?"), name.endswith("?")
        either = [self.tail() if name == "tail" else self.lines(each) for each in name.split("|")]
        options = either[0] if len(either) == 1 else tuple((Pick(lines),) for lines in either)
        used = [set(slots_of(option)) - self.bound for option in options]
        if bad := [new for new in used if new & self.loose or (new and name == "tail")]:
            raise CourseError(f"The step {name} mentions {bad[0]}, which the story may not have introduced.")
        new_slots = [[slot for slot in self.slots if slot in new] for new in used]
        sizes = list(map(self.count_rows, new_slots))
        self.bound |= set() if optional else set.intersection(*used)
        self.loose |= set.union(*used) - self.bound
        return Step(name, options, new_slots, sizes, optional, lead)

    def count_rows(self, slots: list[str]) -> list[int]:
        """Return among how many rows each of the slots that an option introduces is drawn: the same in every story."""
        sizes = []
        for number, slot in enumerate(slots):
            rows, parent = self.slots[slot]
            groups = len({row.group for row in rows}) if parent else 1
            taken = sum(self.slots[name].rows is rows for name in self.bound.union(slots[:number]))
            sizes.append(len(rows) // groups - taken)
        return sizes


def with_article(text: str) -> str:
    """Put a or an before a word.

    >>> with_article("honest owl"), with_article("red kite")
    ('an honest owl', 'a red kite')
    """
    return ("an " if text.startswith(("a", "e", "i", "o", "u", "hon")) else "a ") + text


def slots_of(nodes: Sequence) -> Iterator[str]:
    """Name every slot that a sequence may mention."""
    for node in nodes:
        if isinstance(node, Slot):
            yield node.name
        elif isinstance(node, Pick):
            yield from slots_of(tuple(chain.from_iterable(node.options)))


def compile_plot(path: Path, world: dict[str, Any]) -> Plot:
    """Compile one plot on top of what all plots share; in its order, "/" begins a paragraph."""
    own = read_grammar(path)
    steps = {**world["steps"], **own["steps"], "questions": world["steps"]["questions"] + own["steps"]["questions"]}
    compiler = Compiler({**world["lists"], **own["lists"]}, {**world["slots"], **own["slots"]}, steps)
    story, paragraphs = [], [part.split() for part in own["order"].split("/")]
    for number, names in enumerate(paragraphs):
        leads = ["\n" if number else "", *" " * (len(names) - 1)]
        story += [compiler.step(name, lead) for name, lead in zip(names, leads, strict=True)]
    return Plot(path.stem.partition("_")[2], compiler.slots, (*story, compiler.step("tail", "")))


@cache
def load_world() -> tuple[Plot, ...]:
    """Read and compile all plots (once)."""
    world = read_grammar(FOLDER / "world.yaml")
    return tuple(compile_plot(path, world) for path in sorted((FOLDER / "plots").glob("*.yaml")))
