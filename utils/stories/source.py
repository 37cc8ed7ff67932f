"""Reading the story world's files: word lists, slots and steps, as data/stories writes them down."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from utils.files.places import DATA

FOLDER = DATA / "stories"


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
                raise ValueError(f"{self.name}: {text!r} has {len(cells)} columns, expected {self.columns}.")
            index = sum(row.group == group for row in self.rows)
            self.rows.append(Row(group, index, cells))


@dataclass
class Source:
    """What one file of the grammar declares, before it is compiled."""

    domains: dict[str, Domain] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


Section = Domain | list[str] | dict[str, str] | None  # what the lines below a heading belong to


def read_source(path: Path, base: Source | None = None) -> Source:
    """Read one grammar file, on top of what an earlier file declared."""
    source = Source()
    if base is not None:
        source = Source(dict(base.domains), dict(base.slots), dict(base.steps))
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; the story world is read from the folder data/stories.")
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
        else:
            section[key] = rest.strip()
        return section
    if isinstance(section, list):
        section.append(line.strip())
        return section
    key, _, rest = (part.strip() for part in line.partition(":"))
    if key == "slots":
        return source.slots
    if key in ("about", "order"):
        source.facts[key] = rest
        return None
    source.domains[key] = Domain(key, tuple(name.strip() for name in rest.split(";")))
    return source.domains[key]


def spread(domain: Domain) -> Domain:
    """Copy the rows of group * into every other group."""
    common = [row for row in domain.rows if row.group == "*"]
    groups = list(dict.fromkeys(row.group for row in domain.rows if row.group != "*"))
    if not common or not groups:
        return domain
    full = Domain(domain.name, domain.columns)
    for group in groups:
        own = [row for row in domain.rows if row.group == group]
        full.rows += [Row(group, index, row.columns) for index, row in enumerate(common + own)]
    return full
