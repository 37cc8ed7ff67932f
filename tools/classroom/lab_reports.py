"""Are results that were handed in those of a measurement? A step of lab 04, lab 05's loaders, lab 07's ladder."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_type_hints

from labs.ladder.stored import Ladder
from labs.shootout.race import Row, recommend, to_markdown
from labs.true_size.lab_results import read_result
from labs.true_size.step_child import StepJob, StepReport
from tools.classroom.lab_files import Missing, Work, number
from utils.config import SIZES, total_parameters
from utils.errors import CourseError

UNITS = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
FREE = re.compile(r"With ([\d.,]+) (\w+) of memory free")
ADVICE = re.compile(r"(?m)^- \*\*(.+?)\*\*: (.+)$")


def find_report(work: Work, kind: type, command: str) -> str:
    """Return the name of the file with a result of one kind, whatever it is called."""
    wanted = {field.name for field in fields(kind)}
    for path in sorted(work.folder.glob("*.json")):
        try:
            if wanted <= work.json(path.name).keys():
                return path.name
        except CourseError:
            continue  # another one may be readable
    raise Missing(f"no JSON file of `{command}` is there")


def find_step(work: Work) -> str:
    """Return the name of the file with the report of one step."""
    return find_report(work, StepReport, "xl-step")


def check_step(work: Work) -> None:
    """Hold one step's report against the shape that it names: parameters, the plan of its memory, its losses."""
    name = find_step(work)
    report = read_result(StepReport, work.path(name))
    assert report is not None  # it is there
    job = StepJob(report.size, report.context, report.way)
    planned = sum(job.estimate().values())
    for what, found, expected, off in (
        ("parameters", report.parameters, total_parameters(job.config), 0.0),
        ("estimated_bytes", report.estimated_bytes, planned, 0.05),  # plans get a little better with versions
    ):
        if abs(found - expected) > off * expected:
            raise CourseError(f"{name}: {what} is {found:,}; a {job.way} step of {job.size} has {expected:,}.")
    if not 0 < report.loss_after < report.loss_before:
        raise CourseError(f"{name}: a loss of {report.loss_after} after {report.loss_before} is no step downhill.")
    weights = 4 * report.parameters
    if not weights / 2 < report.peak_bytes < 100 * weights or report.seconds <= 0:
        raise CourseError(
            f"{name}: {report.peak_bytes:,} bytes in {report.seconds} seconds can't be: the weights take {weights:,}."
        )


def read_race(work: Work) -> list[Row]:
    """Return the rows of a race of loaders."""
    kinds = get_type_hints(Row)
    found = []
    for line, row in enumerate(work.table("table.csv", kinds), start=2):
        where = f"table.csv, line {line}"
        figures: dict[str, Any] = {
            name: kind(number(row, name, where)) for name, kind in kinds.items() if kind is not str
        }
        found.append(Row(row["loader"], row["program"], row["file"], **figures))
    return found


def check_race(work: Work, fewest: int = 8) -> None:
    """Refuse a table with few loaders, or with figures that no measurement gives."""
    rows = read_race(work)
    if len({row.loader for row in rows}) < fewest:
        raise CourseError(f"table.csv has {len(rows)} loaders, expected at least {fewest}.")
    for row in rows:
        measured = (row.file_bytes, row.weight_bytes, row.load_seconds, row.memory_bytes, row.tokens_per_second)
        if min(measured) <= 0 or not (row.error >= 0 and row.divergence >= 0 and 0 <= row.same_top <= 1):
            raise CourseError(f"table.csv: a figure of {row.loader!r} can't be measured: it is zero, or out of range.")


def check_report(work: Work) -> None:
    """Hold a report against its own table: the figures that it shows, and the recommendation that follows from them."""
    rows = read_race(work)
    text = work.path("report.md").read_text(encoding="utf-8")
    if to_markdown(rows) not in text:
        raise CourseError("report.md shows other figures than table.csv.")
    free = FREE.search(text)
    if free is None or free[2] not in UNITS:
        raise CourseError("report.md does not say how much memory was free.")
    expected = recommend(rows, round(float(free[1].replace(",", "")) * UNITS[free[2]]))
    said = dict(ADVICE.findall(text))
    for purpose, words in expected.items():
        if said.get(purpose) != words:
            raise CourseError(f"report.md recommends {purpose} {said.get(purpose)!r}; by its table it is {words!r}.")


def read_ladder(work: Work) -> Ladder:
    """Return the ladder that was handed in."""
    ladder = read_result(Ladder, work.path(find_report(work, Ladder, "ladder")))
    assert ladder is not None  # it is there
    if ladder.size not in SIZES or "plain loop" not in ladder.rungs:
        raise CourseError(
            f"The ladder of {ladder.size!r} has no rung 'plain loop', which all others are compared with."
        )
    return ladder


def check_ladder(work: Work, fewest: int = 4) -> None:
    """Refuse a ladder with few rungs, or with figures that no measurement gives."""
    ladder = read_ladder(work)
    if len(ladder.rungs) < fewest:
        raise CourseError(f"The ladder has {len(ladder.rungs)} rungs, expected at least {fewest}.")
    weights, beginning = 4 * total_parameters(SIZES[ladder.size]), math.log(SIZES[ladder.size].vocab_size)
    for name, rung in ladder.rungs.items():
        speed, peak, first = rung["tokens_per_second"], rung["peak_bytes"], rung["losses"][0]
        if speed <= 0 or not weights < peak < 1000 * weights:
            raise CourseError(
                f"Rung {name!r}: {speed} tokens/s in {peak:,} bytes can't be: the weights take {weights:,}."
            )
        if abs(first - beginning) > 1:
            raise CourseError(f"Rung {name!r} begins at a loss of {first:.2f}; from zero it is near {beginning:.2f}.")


def check_same_losses(work: Work) -> None:
    """Hold the losses of all rungs with the same batch against the lowest one's, as the lab does."""
    ladder = read_ladder(work)
    lowest = ladder.rungs["plain loop"]
    for name, rung in ladder.rungs.items():
        if rung["sequences"] != lowest["sequences"]:
            continue  # a larger batch is another training
        pairs = zip(rung["losses"], lowest["losses"], strict=True)
        apart, most = max(abs(a - b) / b for a, b in pairs), 1e-2 if rung["dtype"] == "bfloat16" else 1e-4
        if not apart <= most:
            raise CourseError(
                f"Rung {name!r}: a loss is {apart:.1e} of its value off the plain loop's, at most {most}."
            )


def check_pictures(work: Work, names: Iterable[str]) -> None:
    """Refuse pictures that are missing, or no pictures."""
    for name in names:
        work.picture(name)
