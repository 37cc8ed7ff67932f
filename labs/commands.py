"""Commands of the labs: Shakespeare, figures and weights of a finished run, a step of xl, a GPU, clusters, loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tools.commands import expect, read_words, write_bins
from utils.errors import CourseError


def shakespeare(
    *,
    out: str = "data/prepared/shakespeare",  # folder for the result
) -> None:
    """Download Tiny Shakespeare and write it as train.bin and validate.bin."""
    from utils.files.hub import fetch_text
    from utils.texts.corpus import BinSettings

    write_bins(fetch_text("tinyshakespeare"), out, BinSettings())


def store_run(*words: str) -> None:
    """Store a finished run's figures for a lab: settings as it was started with, and --to FILE."""
    from labs.true_size.lab_results import RESULTS, store_run
    from utils.training.recipes import TrainingRecipe

    settings, to = _part(read_words(TrainingRecipe, words, "store-run recipe=FILE [--to FILE]"))
    print(store_run(settings, to or RESULTS / "shakespeare.json"))


def keep_last(*words: str) -> None:
    """Save the last weights of a run, not the best, to serve them: its settings, and --to FOLDER."""
    from labs.true_size.last_weights import keep_last
    from utils.training.recipes import TrainingRecipe

    settings, to = _part(read_words(TrainingRecipe, words, "keep-last recipe=FILE --to FOLDER"))
    if not to:
        raise CourseError("--to FOLDER is missing: where shall the weights go?")
    print(f"{keep_last(settings, to)} is ready")


def _part(words: list[str]) -> tuple[list[str], str]:
    """Part settings of a run from `to`: `out` is the run's own folder, and so not free for the result."""
    to = [word.removeprefix("to=") for word in words if word.startswith("to=")]
    return [word for word in words if not word.startswith("to=")], (to or [""])[-1]


def xl_step(
    size: str = "xl",  # nano, small, medium, large or xl
    /,
    *,
    context: int = 128,  # tokens to learn from
    way: Literal["careful", "usual"] = "careful",  # usual takes the memory that most loops take
    weights: str = "",  # a size, folder or file; without, new ones are drawn
    prompt: str = "The kettle",  # what goes on before and after the step, where weights are given
    keep_free: float = 2.0,  # GB to leave to others
    out: str = "",  # a JSON file for the result, for instance labs/results/xl_step.json
) -> None:
    """Take one training step of a true shape with little memory, and measure its peak."""
    from labs.true_size.lab_results import write_result
    from labs.true_size.step_child import StepJob, measure_step

    expect(1, context=context)
    expect(0, keep_free=keep_free)
    report = measure_step(StepJob(size, context, way, weights, prompt), keep_free=int(keep_free * 1e9))
    print(report)
    if out:
        write_result(report, out)


def true_size(
    *,
    out: str = "",  # the JSON file; without, labs/results/true_size.json, and in build/ at the tiny shape
    device: str = "",  # cuda or cpu; empty takes the best there is
    tiny: bool = False,  # a tiny shape, to try all of it on a CPU
    minutes: float = 10.0,  # for all parts together
    only: str = "",  # some parts, parted by commas: dtypes,mfu
    peak: float = 0.0,  # FLOP/s of the device, to count the MFU by, beside the peak that is measured
) -> int:
    """Measure on one GPU, in ten minutes, what a CPU can't show; call it again to go on with what is missing."""
    from labs.true_size.ten_minutes import Settings, place_for, run_parts

    expect(0, minutes=minutes, peak=peak)
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    path = Path(out) if out else place_for(tiny)
    report = run_parts(Settings(device, tiny, minutes, names, peak), path)
    print(f"{path} has {report}")
    return int(any("failed" in one for measures in report.parts.values() for one in measures.values()))


def scaling_law(
    operations: float,  # to spend on each model, for instance 2.4e11
    widths: str,  # of the models, parted by commas: 8,16,32,64,128
    /,
    *,
    out: str = "",  # a JSON file for the rows, for instance labs/results/scaling_law.json
) -> None:
    """Train models of several widths on our stories until a budget is spent: a row of lesson 16's scaling law each."""
    from utils.training.scaling import add_rows, spend
    from utils.training.small_world import tell_stories

    world = tell_stories(4000)
    for width in map(int, widths.split(",")):
        expect(2, width=width)
        row = spend(operations, width, world)
        print(f"width {row.width}: {row.parameters:,} parameters, {row.tokens:,} tokens, loss {row.loss:.3f}")
        if out:
            add_rows([row], out)


def shootout(
    model: str,  # a size, a folder or a file
    /,
    *,
    out: str,  # folder for the report, the table (CSV) and the pictures
    only: str = "",  # some loaders, parted by semicolons: "ours, GGUF F16;llama.cpp, F16"
) -> None:
    """Open one model with every loader, and compare: a report, a table and pictures."""
    from labs.shootout.report import shootout

    shootout(model, out, only.split(";") if only else None)


def slurm_here(
    *,
    steps: int = 12,  # before the job is cancelled, and again after that
    out: str = "",  # a JSON file for the result, for instance labs/results/slurm.json
) -> None:
    """Cancel train.slurm on a real Slurm of two nodes on this machine, go on with more processes, compare losses."""
    from labs.scale.slurm_here import run_here

    expect(1, steps=steps)
    print(run_here(out, steps))


def ladder(
    size: str = "small",  # nano, small, medium, large or xl
    /,
    *,
    context: int = 256,  # tokens of one sequence
    sequences: int = 4,  # in one step
    steps: int = 4,  # of each rung; the first one is not timed
    rounds: int = 1,  # how often the whole ladder is climbed; the middle counts
    clock: Literal["wall", "processor"] = "wall",  # processor: one thread's own seconds, on a busy machine
    out: str = "",  # a JSON file for the result, for instance labs/results/ladder.json
) -> None:
    """Measure lab 07's ladder of training speed at a true shape: tokens a second, peak memory, losses."""
    from labs.ladder.stored import Climb, climb_and_store

    expect(2, steps=steps)
    expect(1, context=context, sequences=sequences, rounds=rounds)
    print(climb_and_store(Climb(size, context, sequences, steps, rounds, clock), out))


def vllm_here(
    model: str = "nano",  # a size, a folder or a file
    /,
    *,
    requests: int = 50,  # at the same moment
    tokens: int = 40,  # of each answer
    out: str = "",  # a JSON file for the result, for instance labs/results/vllm.json
) -> None:
    """Serve a model with vLLM on this machine's CPU: is its greedy text ours, and what do many requests take?"""
    from labs.scale.vllm_here import run_here

    expect(1, requests=requests, tokens=tokens)
    print(run_here(model, requests, tokens, out))
