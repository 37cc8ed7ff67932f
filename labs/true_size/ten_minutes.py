"""True size in ten minutes: what a CPU can't show, measured on one GPU within a budget of time, in one JSON.

Each part gets its share of the time that is left, so what an early one saves goes to the later ones. The JSON is
written after every measure, and a second call goes on with those that have no figures yet.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.measure import machine_description
from labs.true_size.bench import Bench, Figures, Measure
from labs.true_size.lab_results import RESULTS, read_result, write_result
from labs.true_size.parts import dtypes, generation, kernels, memory, mfu, one_device, shakespeare
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.machine import device_name, pick_device

COMMAND = "python course.py true-size"
NO_FIGURES = ("skipped", "failed")  # the reason stands there instead
TINY_LEAST = 0.05  # of the least seconds of a part, at the tiny shape


@dataclass(frozen=True)
class Part:
    """Some measures that belong together, and their share of the time."""

    name: str
    share: int  # seconds, where ten minutes are to be had
    least: int  # seconds below which no measure of it begins, at the true shape
    measures: Mapping[str, Measure]


PARTS = (
    Part("dtypes", 50, 10, dtypes.MEASURES),
    Part("one_device", 20, 5, one_device.MEASURES),
    Part("generation", 70, 10, generation.MEASURES),
    Part("memory", 50, 15, memory.MEASURES),
    Part("kernels", 80, 15, kernels.MEASURES),
    Part("mfu", 110, 20, mfu.MEASURES),
    Part("shakespeare", 220, 30, shakespeare.MEASURES),  # the last one: it takes what the others left
)


@dataclass(frozen=True)
class Settings:
    """What is measured where; `only` names parts, and nothing names all of them."""

    device: str = ""
    tiny: bool = False
    minutes: float = 10.0
    only: tuple[str, ...] = ()
    peak: float = 0.0  # FLOP/s


@dataclass(frozen=True)
class Report:
    """What was found: figures by part and measure, or the reason why there are none."""

    command: str
    machine: Figures
    shape: str
    parts: dict[str, dict[str, Figures]] = field(default_factory=dict)

    def __str__(self) -> str:
        every = [one for measures in self.parts.values() for one in measures.values()]
        counts = [f"{sum(kind in one for one in every)} {kind}" for kind in NO_FIGURES]
        return f"{sum(map(has_figures, every))} measures on {self.machine['device']}, {', '.join(counts)}"


def run_parts(
    settings: Settings, path: Path, say: Callable[[str], object] = print, parts: Sequence[Part] = PARTS
) -> Report:
    """Run all measures that `path` has no figures of, as far as the time goes, and write them there one by one."""
    chosen, device = choose(parts, settings.only), pick_device(settings.device or None)
    report = open_report(path, device, settings.tiny)
    with TemporaryDirectory() as folder:
        bench = Bench(device, Path(folder), settings.tiny, settings.peak)
        for part, until in shares(chosen, time.monotonic() + 60 * settings.minutes):
            for name, figures in run_part(part, replace(bench, until=until), report):
                write_result(report, path)
                say(f"{part.name}, {name}: {in_short(figures)}")
    return report


def choose(parts: Sequence[Part], only: Sequence[str]) -> list[Part]:
    """Return the parts of these names, in their own order."""
    known = [part.name for part in parts]
    if unknown := [name for name in only if name not in known]:
        raise CourseError(f"There is no part {unknown[0]!r}, expected one of {', '.join(known)}.")
    return [part for part in parts if not only or part.name in only]


def shares(parts: Sequence[Part], end: float) -> Iterator[tuple[Part, float]]:
    """Yield each part when its turn comes, and when its share of the time left until `end` will be over."""
    for number, part in enumerate(parts):
        now, rest = time.monotonic(), sum(one.share for one in parts[number:])
        yield part, now + max(0.0, end - now) * part.share / rest


def run_part(part: Part, bench: Bench, report: Report) -> Iterator[tuple[str, Figures]]:
    """Run the measures of a part that have no figures yet, and yield each as soon as it stands in the report."""
    results = report.parts.setdefault(part.name, {})
    for name, measure in part.measures.items():
        if has_figures(results.get(name)):
            continue
        least = part.least * (TINY_LEAST if bench.tiny else 1)
        if bench.left < least:
            results[name] = {"skipped": too_late(part, bench.left, least)}
        else:
            results[name] = attempt(measure, bench, results)
        yield name, results[name]


def attempt(measure: Measure, bench: Bench, results: Mapping[str, Figures]) -> Figures:
    """Return what a measure finds, or why it failed; the others go on."""
    began = time.monotonic()
    try:
        return {**measure(bench, results), "seconds": round(time.monotonic() - began, 2)}
    except CourseError as error:
        said = str(error)
    except Exception as error:  # any library may fail in any way
        said = f"{type(error).__name__}: {str(error)[:500]}"
    finally:
        gc.collect()
        if bench.device.type == "cuda":
            with suppress(RuntimeError):  # after some errors a GPU answers nothing more; the next measure will say so
                torch.cuda.empty_cache()
    return {"failed": said}


def has_figures(found: Figures | None) -> bool:
    return found is not None and not any(reason in found for reason in NO_FIGURES)


def too_late(part: Part, left: float, least: float) -> str:
    return (
        f"{max(left, 0):.1f} s were left for {part.name}, and a measure of it needs {least:g}. Call the command again: "
        "it goes on with what is missing."
    )


def open_report(path: Path, device: torch.device, tiny: bool) -> Report:
    """Return the report that is begun in a file, or a new one; figures of two machines don't mix."""
    new = Report(COMMAND, describe(device), "tiny" if tiny else "small")
    old = read_result(Report, path)
    if old is None:
        return new
    before, now = ({**one.machine, "shape": one.shape} for one in (old, new))
    if differ := [f"{key}: {before.get(key)}, now {now.get(key)}" for key in now if before.get(key) != now.get(key)]:
        raise CourseError(
            f"{path} holds figures of another machine or shape ({'; '.join(differ)}). Name another file by --out."
        )
    return old


def describe(device: torch.device) -> Figures:
    """Return the machine in plain values, its GPU included."""
    found = {**machine_description(), "device": device_name(device)}
    if device.type == "cuda":
        found["device memory GiB"] = round(torch.cuda.get_device_properties(device).total_memory / 2**30)
        found["CUDA"] = torch.version.cuda
    return found


def in_short(figures: Figures) -> str:
    """Say a measure's figures in a line: no lists, and of its parts the first figure."""
    said = []
    for name, value in figures.items():
        if isinstance(value, dict) and value:
            name, value = f"{name}, {next(iter(value))}", next(iter(value.values()))
        if isinstance(value, float):
            value = f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        if not isinstance(value, list):
            said.append(f"{name} {value}")
    return "; ".join(said)


def place_for(tiny: bool) -> Path:
    """Return where results go unless told otherwise: those at the tiny shape are for trying it out."""
    return ROOT / "build" / "true_size_tiny.json" if tiny else RESULTS / "true_size.json"
