"""Benchmarks: ours beside peers, in one run. `python course.py bench [startup loading …]`."""

from __future__ import annotations

import importlib
from pathlib import Path

from utils.errors import CourseError

RESULTS = Path(__file__).resolve().parent / "results"
NAMES = (  # the quick ones first
    "startup",
    "tokenizing",
    "loading",
    "offload",
    "quantization",
    "watching",
    "generation",
    "drafting",
    "serving",
    "adapters",
    "training",
    "finetuning",
)


def run(names: list[str], count: int | None = None, folder: Path = RESULTS) -> int:
    """Run the named benchmarks, or all; print tables and keep the JSON. A `count` of rounds is for a quick look."""
    if unknown := [name for name in names if name not in NAMES]:
        raise CourseError(f"There is no benchmark {unknown[0]!r}, expected some of {', '.join(NAMES)}.")
    from benchmarks.measure import Rounds
    from benchmarks.report import save, to_markdown

    for name in names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        report = module.measure(module.Settings(rounds=Rounds(count, 0, 0)) if count else module.Settings())
        print(to_markdown(report))
        print(f"Every sample stands in {save(report, folder).name} in benchmarks/results.\n", flush=True)
    return 0
