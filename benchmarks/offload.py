"""What offloading costs and saves: tokens a second and peak memory with none, half and all of it on the disk."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.generation import DECODE, WHOLE, rates
from benchmarks.loading import add_peak_over_weights, write_weights
from benchmarks.measure import (
    OthersWatch,
    Report,
    Rounds,
    Sample,
    compare,
    fresh_turn,
    interleave,
    machine_description,
)
from utils.config import SIZES, GPT2Config, Workload, total_parameters

HERE, HALF, BLOCKS, ALL = (
    "all in memory",
    "half of the blocks on the disk",
    "all blocks on the disk",
    "blocks and table",
)


@dataclass(frozen=True)
class Settings:
    """Which model generates how much from how long a prompt."""

    config: GPT2Config = SIZES["small"]
    prompt: int = 16
    max_new: int = 20
    rounds: Rounds = Rounds(5)


def measure(settings: Settings = Settings()) -> Report:
    """Write the weights once, then load and generate under each plan in turns, a new process every time."""
    with TemporaryDirectory() as folder, OthersWatch() as others:
        write_weights(settings.config, Path(folder))
        imports = ("utils.fit.offload", "utils.sampling")
        turns = {
            name: fresh_turn(generate_under, Path(folder), settings, number, imports=imports)
            for number, name in enumerate(places(settings.config))
        }
        samples = interleave(turns, settings.rounds)
    weights = 4 * total_parameters(settings.config)
    add_peak_over_weights(samples, weights)
    ratios = [compare(samples, HERE, other, DECODE) for other in (HALF, BLOCKS, ALL)]
    ratios += [compare(samples, other, HERE, "peak bytes") for other in (HALF, BLOCKS, ALL)]
    notes = [
        f"The weights take {weights / 1e6:,.0f} MB in float32. What lies on the disk is in the system's cache while "
        "there is room for it, as on a machine with memory to spare; with none, a token costs the disk's own time.",
        others.sentence(),
    ]
    title = f"Offloading on a CPU: {settings.max_new} tokens after {settings.prompt}, greedy, random weights"
    return Report("offload", title, asdict(settings), samples, ratios, notes, machine_description())


def places(config: GPT2Config) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the place of the table and of each block for every contestant."""
    n = config.n_layer
    half = ("cpu",) * (n - n // 2) + ("disk",) * (n // 2)
    return {
        HERE: ("cpu", ("cpu",) * n),
        HALF: ("cpu", half),
        BLOCKS: ("cpu", ("disk",) * n),
        ALL: ("disk", ("disk",) * n),
    }


def generate_under(folder: Path, settings: Settings, number: int):
    """Load and generate with the parts where the contestant keeps them."""
    from utils.fit.offload import load_with_plan
    from utils.fit.placement import Plan
    from utils.sampling import Sampling, generate_steps

    work = Workload(1, settings.prompt + settings.max_new)
    table, blocks = list(places(settings.config).values())[number]
    plan = Plan(settings.config, work, "cpu", table, blocks)
    sampling = Sampling(max_new=settings.max_new, temperature=0, stop=())

    def run() -> Sample:
        with TemporaryDirectory() as parts:
            model = load_with_plan(folder, plan, parts)
            stamps = [time.perf_counter()]
            for _ in generate_steps(model, [list(range(settings.prompt))], sampling):
                stamps.append(time.perf_counter())
            found = rates(stamps, settings.prompt)
            del model
        return {name: value for name, value in found.items() if name != WHOLE}

    return run
