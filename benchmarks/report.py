"""A benchmark's report as JSON for machines and as a small table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Ratio, Report, Summary, summarize

UNITS = {"bytes": (1e6, "MB"), "seconds": (1, "s"), "share": (0.01, "%")}  # by the last word of a quantity's name


def to_json(report: Report) -> dict:
    """Return everything that was measured, samples included, in JSON's own types."""
    rows = {
        name: {quantity: asdict(summary) for quantity, summary in quantities(samples).items()}
        for name, samples in report.samples.items()
    }
    return {
        "benchmark": report.name,
        "title": report.title,
        "machine": dict(report.machine),
        "settings": dict(report.settings),
        "summaries": rows,
        "ratios": [asdict(ratio) for ratio in report.ratios],
        "notes": list(report.notes),
        "samples": {name: list(samples) for name, samples in report.samples.items()},
    }


def save(report: Report, folder: Path) -> Path:
    """Write FOLDER/NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    path.write_text(json.dumps(to_json(report), indent=1) + "\n", encoding="utf-8")
    return path


def quantities(samples) -> dict[str, Summary]:
    """Summarize each quantity of one contestant over its turns."""
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: summarize([sample[name] for sample in samples if name in sample]) for name in names}


def to_markdown(report: Report) -> str:
    """Return title, machine, one row for each contestant, one for each ratio, and the notes."""
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    parts = [f"### {report.title}", f"Measured on: {machine}.", _contestants(report)]
    if report.ratios:
        parts.append(_ratios(report.ratios))
    parts += [f"- {note}" for note in report.notes]
    return "\n\n".join(parts) + "\n"


def _contestants(report: Report) -> str:
    rows = {name: quantities(samples) for name, samples in report.samples.items()}
    columns = list(dict.fromkeys(quantity for row in rows.values() for quantity in row))
    lines = [["", *(_heading(column) for column in columns)], ["---", *("---:" for _ in columns)]]
    for name, row in rows.items():
        lines.append([name, *(show(column, row[column]) if column in row else "" for column in columns)])
    return _table(lines)


def _ratios(ratios: Sequence[Ratio]) -> str:
    lines = [["ratio", "of", "median (lowest–highest)", "target"], ["---", "---", "---:", "---:"]]
    for ratio in ratios:
        s = ratio.summary
        target = "" if ratio.target is None else f"≥ {ratio.target:.2f}"
        spread = f"{s.median:.2f} ({s.low:.2f}–{s.high:.2f})"
        lines.append([f"{ratio.of} / {ratio.to}", ratio.quantity, spread, target])
    return _table(lines)


def show(quantity: str, summary: Summary) -> str:
    """Write a median and its spread in the quantity's unit.

    >>> show("peak bytes", Summary(2_000_000_000, 1_900_000_000, 2_100_000_000, 3))
    '2,000 (1,900–2,100)'
    """
    size = UNITS.get(quantity.split()[-1], (1, ""))[0]
    median, low, high = (_number(value / size) for value in (summary.median, summary.low, summary.high))
    return median if summary.count == 1 or low == high else f"{median} ({low}–{high})"


def _heading(quantity: str) -> str:
    unit = UNITS.get(quantity.split()[-1], (1, ""))[1]
    return f"{quantity.rpartition(' ')[0] or quantity} ({unit})" if unit else quantity


def _number(value: float) -> str:
    """Write three figures.

    >>> [_number(v) for v in (1234.5, 123.4, 12.34, 1.234, 0.01234)]
    ['1,234', '123', '12.3', '1.23', '0.0123']
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
