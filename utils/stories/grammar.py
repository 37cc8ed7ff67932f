"""The story grammar: the files of data/stories, read and compiled to nodes that can be drawn or matched.

Word lists, slots and steps of sixteen plots become sequences of text, slots to fill and choices to make.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import DATA

FOLDER = DATA / "stories"

PRONOUNS = {"he": "she", "him": "her", "his": "her", "himself": "herself"}  # of heroes in group he, and in group she

PRONOUN_OF = {"": "hero", "f": "friend", "e": "elder"}  # [he] is the hero, [fhe] the friend, [ehe] the elder

REFERENCE = re.compile(r"\[(?P<article>[Aa] )?(?P<name>\w+)(?:\.(?P<column>\w+))?\]")


# The files


@dataclass(frozen=True)
class Row:
    """One value of a domain: its group, its place within the group and its columns."""

    group: str
    index: int
    columns: tuple[str, ...]


@dataclass
class Domain:
    """A list of rows from which slots are drawn, each with equal probability."""

    name: str
    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)

    @cached_property
    def groups(self) -> dict[str, list[int]]:
        """For each group, its rows."""
        found: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            found.setdefault(row.group, []).append(index)
        return found

    def add(self, group: str, texts: list[str]) -> None:
        """Append rows to a group; columns within a row are separated by semicolons."""
        for text in texts:
            cells = tuple(cell.strip() for cell in text.split(";"))
            if len(cells) != len(self.columns):
                raise CourseError(f"{self.name}: {text!r} has {len(cells)} columns, expected {self.columns}.")
            self.rows.append(Row(group, sum(row.group == group for row in self.rows), cells))

    def spread(self) -> Domain:
        """Copy the rows of group * into every other group."""
        common = [row for row in self.rows if row.group == "*"]
        groups = list(dict.fromkeys(row.group for row in self.rows if row.group != "*"))
        if not common or not groups:
            return self
        full = Domain(self.name, self.columns)
        for group in groups:
            own = [row for row in self.rows if row.group == group]
            full.rows += [Row(group, index, row.columns) for index, row in enumerate(common + own)]
        return full


@dataclass
class Source:
    """What one file of the grammar declares, before it is compiled."""

    domains: dict[str, Domain] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[str]] = field(default_factory=dict)
    order: str = ""


Section = Domain | list[str] | dict[str, str] | None  # what the lines below a heading belong to


def read_source(path: Path, base: Source | None = None) -> Source:
    """Read one grammar file, on top of what an earlier file declared."""
    source = Source(dict(base.domains), dict(base.slots), dict(base.steps)) if base else Source()
    if not path.exists():
        raise CourseError(f"{path} is missing; the story world is read from data/stories. Fetch the course again.")
    section: Section = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            section = read_line(source, section, line)
    return source


def read_line(source: Source, section: Section, line: str) -> Section:
    """Take one line into the source and return the section that the next line belongs to."""
    if line.startswith("= "):
        source.steps[line[2:].strip()] = section = []
        return section
    if line.startswith("  "):
        key, _, rest = line.strip().partition(" = ")
        if isinstance(section, Domain):
            section.add(key, [text.strip() for text in rest.split(" | ")])
        elif isinstance(section, dict):
            section[key] = rest.strip()
        return section
    if isinstance(section, list):
        section.append(line.strip())
        return section
    key, _, rest = (part.strip() for part in line.partition(":"))
    if key == "slots":
        return source.slots
    if key in ("about", "order"):
        source.order = rest if key == "order" else source.order
        return None
    source.domains[key] = Domain(key, tuple(name.strip() for name in rest.split(";")))
    return source.domains[key]


# The grammar


@dataclass(frozen=True, eq=False)
class Slot:
    """A place in a sentence that a drawn value fills, in one form (with an article, as a pronoun, …)."""

    name: str
    texts: tuple[str, ...]  # the form of every row of the slot's domain
    values: dict[str, frozenset[int]]  # text -> rows that give it


@dataclass(frozen=True, eq=False)
class Pick:
    """A choice among options, each with equal probability."""

    options: tuple[tuple[Node, ...], ...]


Node = str | Slot | Pick
Sequence = tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a plot: its options, the slots it introduces and the space or line end before it."""

    name: str
    options: tuple[Sequence, ...]
    new_slots: tuple[tuple[str, ...], ...]  # for each option
    optional: bool
    lead: str


@dataclass(frozen=True)
class SlotKind:
    """Where a slot's values come from: a domain and, if the group depends on another slot, that slot."""

    domain: Domain
    parent: str | None


@dataclass(eq=False)
class Plot:
    """A plot: its steps in order and the slots they fill."""

    name: str
    slots: dict[str, SlotKind]
    steps: tuple[Step, ...] = ()

    def allowed(self, slot: str, rows: dict[str, int]) -> list[int]:
        """List the rows that a slot may take: those of its group, but none that a like slot has taken."""
        kind = self.slots[slot]
        domain = kind.domain
        taken = [domain.rows[rows[name]] for name in self.alike[slot] if name in rows]
        if kind.parent is None:
            return [i for i, row in enumerate(domain.rows) if row not in taken]
        group = self.slots[kind.parent].domain.rows[rows[kind.parent]].group
        used = {row.index for row in taken}
        return [i for i in domain.groups[group] if domain.rows[i].index not in used]

    @cached_property
    def alike(self) -> dict[str, list[str]]:
        """For each slot, the other slots that are drawn from the same domain."""
        return {
            slot: [name for name, other in self.slots.items() if name != slot and other.domain is kind.domain]
            for slot, kind in self.slots.items()
        }

    @cached_property
    def sizes(self) -> list[list[list[int]]]:
        """For each step and option, among how many rows each of its new slots is drawn: the same in every story."""
        found, bound = [], set[str]()
        for step in self.steps:
            found.append([self._sizes(slots, bound) for slots in step.new_slots])
            bound |= set.intersection(*map(set, step.new_slots))
        return found

    def _sizes(self, slots: tuple[str, ...], bound: set[str]) -> list[int]:
        sizes, taken = [], set(bound)
        for slot in slots:
            kind = self.slots[slot]
            rows = len(kind.domain.rows) // (len(kind.domain.groups) if kind.parent else 1)
            sizes.append(rows - len(taken.intersection(self.alike[slot])))
            taken.add(slot)
        return sizes


class Compiler:
    """Turns the lines of one plot into nodes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.domains = {name: domain.spread() for name, domain in source.domains.items()}
        self.slots = {name: self.slot_kind(text) for name, text in source.slots.items()}

    def slot_kind(self, text: str) -> SlotKind:
        """Read "domain" or "domain by slot"."""
        name, _, parent = text.partition(" by ")
        if name not in self.domains:
            raise CourseError(f"A slot is drawn from {name!r}, which no domain is called.")
        sizes = {len(rows) for rows in self.domains[name].groups.values()}
        if parent and len(sizes) > 1:
            raise CourseError(f"The groups of {name} have the sizes {sorted(sizes)}; they should be equal.")
        return SlotKind(self.domains[name], parent or None)

    def slot(self, reference: str) -> Slot:
        """Compile a reference such as [hero], [a kind], [place.at] or [He]."""
        found = REFERENCE.fullmatch(reference)
        if found is None:
            raise CourseError(f"{reference!r} is no reference to a slot.")
        article, name, column = found["article"], found["name"].lower(), found["column"]
        capital = (article or found["name"])[0].isupper()
        pronoun = next((p for p in PRONOUNS for x in PRONOUN_OF if name == x + p), None)
        if pronoun:
            name = PRONOUN_OF[name.removesuffix(pronoun)]
            texts = [PRONOUNS[pronoun] if row.group == "she" else pronoun for row in self.slots[name].domain.rows]
        else:
            domain = self.slots[name].domain
            position = domain.columns.index(column) if column else 0
            texts = [row.columns[position] for row in domain.rows]
        if article:
            texts = [with_article(text) for text in texts]
        if capital:
            texts = [text[0].upper() + text[1:] for text in texts]
        values = {text: frozenset(i for i, other in enumerate(texts) if other == text) for text in texts}
        return Slot(name, tuple(texts), values)

    def sequence(self, text: str) -> Sequence:
        """Compile one option: literal text, [references], (choices|of|words) and {phrase lists}."""
        nodes, rest = self.parse(text, "")
        if rest:
            raise CourseError(f"Unbalanced brackets in {text!r} at {rest!r}.")
        return nodes

    def parse(self, text: str, stop: str) -> tuple[Sequence, str]:
        """Compile up to a stop character and return the nodes and the rest of the text."""
        nodes: list[Node] = []
        while text and text[0] not in (stop or "\0"):
            if text[0] == "(":
                options, text = [], "|" + text[1:]
                while text[:1] == "|":
                    option, text = self.parse(text[1:], "|)")
                    options.append(option)
                nodes.append(Pick(tuple(options)))
                text = text[1:]
            elif text[0] == "{":
                name, _, text = text[1:].partition("}")
                nodes.append(Pick(tuple(map(self.sequence, self.source.steps[name]))))
            elif text[0] == "[":
                reference, _, text = text.partition("]")
                nodes.append(self.slot(reference + "]"))
            else:
                literal = re.match(r"[^()\[\]{}|]+", text)
                if literal is None:
                    raise CourseError(f"Unexpected {text[0]!r} at {text!r}.")
                nodes.append(literal[0])
                text = text[literal.end() :]
        return tuple(nodes), text

    def options(self, names: str) -> tuple[Sequence, ...]:
        """Compile all options of a step; "a|b" first chooses between the steps a and b."""
        unknown = [name for name in names.split("|") if name not in self.source.steps]
        if unknown:
            raise CourseError(f"The order names the step {unknown[0]!r}, which is not written.")
        lines = [tuple(map(self.sequence, self.source.steps[name])) for name in names.split("|")]
        return lines[0] if len(lines) == 1 else tuple((Pick(options),) for options in lines)


def with_article(text: str) -> str:
    """Put a or an before a word.

    >>> with_article("honest owl"), with_article("red kite")
    ('an honest owl', 'a red kite')
    """
    return ("an " if text.startswith(("a", "e", "i", "o", "u", "hon")) else "a ") + text


def slots_of(nodes: Sequence) -> Iterator[str]:
    """Name every slot that a sequence may mention, in reading order."""
    for node in nodes:
        if isinstance(node, Slot):
            yield node.name
        elif isinstance(node, Pick):
            for option in node.options:
                yield from slots_of(option)


def tail_options(compiler: Compiler) -> tuple[Sequence, ...]:
    """Options for the end of a document: nothing, a question, a summary, or both."""
    questions = [line.partition(" => ") for line in compiler.source.steps["questions"]]
    asked = Pick(tuple(compiler.sequence(f"\nQuestion: {q}\nAnswer: {a}") for q, _, a in questions))
    lines = compiler.source.steps["summary"]
    summary = Pick(tuple(compiler.sequence(f"\nSummary: {line}") for line in lines))
    return (), (asked,), (summary,), (asked, summary)


def compile_plot(path: Path, base: Source) -> Plot:
    """Compile one plot file on top of the shared world."""
    source = read_source(path, base)
    source.steps["questions"] = base.steps["questions"] + source.steps["questions"]
    compiler = Compiler(source)
    steps, lead = [], ""
    known = (compiler.slots, set[str](), set[str]())
    for word in source.order.split():
        if word == "/":
            lead = "\n"
            continue
        name = word.removesuffix("?")
        options = compiler.options(name)
        steps.append(make_step(name, options, known, lead, word.endswith("?")))
        lead = " "
    steps.append(make_step("tail", tail_options(compiler), known, "", False))
    return Plot(path.stem.partition("_")[2], compiler.slots, tuple(steps))


def make_step(name: str, options: tuple[Sequence, ...], known: tuple, lead: str, optional: bool) -> Step:
    """Build a step and note the slots that each option introduces; later steps may use what all do."""
    slots, bound, loose = known
    used = [set(slots_of(option)) - bound for option in options]
    for new in used:
        if new & loose or (name == "tail" and new):
            raise CourseError(f"The step {name} mentions {new}, which the story may not have introduced.")
    if not optional:
        bound |= set.intersection(*used)
    loose |= set.union(*used) - bound
    new_slots = tuple(tuple(slot for slot in slots if slot in new) for new in used)
    return Step(name, options, new_slots, optional, lead)


@cache
def load_world() -> tuple[Plot, ...]:
    """Read and compile all plots (once)."""
    base = read_source(FOLDER / "shared.txt", read_source(FOLDER / "world.txt"))
    return tuple(compile_plot(path, base) for path in sorted((FOLDER / "plots").glob("*.txt")))
