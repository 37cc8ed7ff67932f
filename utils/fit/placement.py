"""Device map planner: GPU, CPU memory or disk for each block, under memory caps, before anything is allocated.

Where each part of a model goes, decided by arithmetic. Lesson 09 builds it. accelerate's `infer_auto_device_map` plans
weights only and refuses nothing; this one counts activations and KV cache, and says what would fit instead.

All matmuls are computed in one place. A part that is kept elsewhere comes for a visit when its turn comes: a
block as a whole, the token table, which is also the head, some thousand rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from utils.config import BYTES, SIZES, GPT2Config, Workload, count_parameters, estimate_memory, format_bytes
from utils.errors import CourseError

PLACES = ("gpu", "cpu", "disk")  # the nearest to the matmuls first
NAMES = {"gpu": "the GPU", "cpu": "CPU memory", "disk": "the disk"}
VISITING_ROWS = 4096  # of the token table at a time


@dataclass(frozen=True)
class Caps:
    """Bytes that may be used in each place."""

    cpu: int
    gpu: int = 0
    disk: int = 0

    def __post_init__(self) -> None:
        for place in PLACES:
            if getattr(self, place) < 0:
                raise CourseError(f"The cap of {place} is {getattr(self, place)} bytes, expected 0 or more.")

    @property
    def worker(self) -> str:
        """The place where matmuls are computed."""
        return "gpu" if self.gpu else "cpu"


@dataclass(frozen=True)
class Plan:
    """The place of the token table and of each block, and what that takes; what is small stays with the matmuls."""

    config: GPT2Config
    work: Workload
    worker: str
    table: str
    blocks: tuple[str, ...]

    @cached_property
    def needs(self) -> dict[str, int]:
        """Bytes in each place."""
        block, table = block_bytes(self.config, self.work), table_bytes(self.config, self.work)
        needs = {place: block * self.blocks.count(place) + table * (self.table == place) for place in PLACES}
        whole = sum(estimate_memory(self.config, self.work).values())
        needs[self.worker] += whole - block * self.config.n_layer - table  # positions, norm, cache, activations
        if set(self.blocks) != {self.worker}:
            needs[self.worker] += block  # room for the one that visits
        if self.table != self.worker:
            needs[self.worker] += min(VISITING_ROWS, self.config.vocab_size) * row_bytes(self.config, self.work)
        return needs

    def visits(self, place: str) -> int:
        """Bytes that come from a place for each new token."""
        return 0 if place == self.worker else self.needs[place]

    def shortage(self, caps: Caps) -> dict[str, int]:
        """Bytes that are missing in each place that is too small."""
        missing = {place: self.needs[place] - getattr(caps, place) for place in PLACES}
        return {place: count for place, count in missing.items() if count > 0}

    def __str__(self) -> str:
        lines = []
        for place in PLACES:
            parts = ["token table"] * (self.table == place)
            if count := self.blocks.count(place):
                first = self.blocks.index(place)
                parts.append(f"block {first}" if count == 1 else f"blocks {first} to {first + count - 1}")
            parts += ["cache and all products"] * (self.worker == place)
            if parts:
                lines.append(f"{place:4} {format_bytes(self.needs[place]):>8}  {', '.join(parts)}")
        return "\n".join(lines)


def row_bytes(config: GPT2Config, work: Workload) -> int:
    """Bytes of one row of the token table."""
    return int(config.n_embd * BYTES[work.dtype])


def table_bytes(config: GPT2Config, work: Workload) -> int:
    """Bytes of the token table, which is also the head."""
    return config.vocab_size * row_bytes(config, work)


def block_bytes(config: GPT2Config, work: Workload) -> int:
    """Bytes of the weights of one block."""
    parts = count_parameters(config)
    norms = parts["norms"] - 2 * config.n_embd  # without the final one
    return int((parts["attention"] + parts["mlp"] + norms) // config.n_layer * BYTES[work.dtype])


def plan_placement(config: GPT2Config, caps: Caps, work: Workload = Workload()) -> Plan:
    """Return the plan under `caps` that moves the fewest bytes, those on the disk counting first; or refuse."""
    device = "cpu" if caps.worker == "cpu" else "cuda"
    plans = list(every_plan(config, replace(work, device=device), caps))
    fitting = [plan for plan in plans if not plan.shortage(caps)]
    if not fitting:
        raise CourseError(refusal(plans, caps))
    return min(fitting, key=lambda plan: (plan.visits("disk"), plan.visits("cpu"), plan.needs[plan.worker]))


def every_plan(config: GPT2Config, work: Workload, caps: Caps) -> Iterator[Plan]:
    """Yield every way to fill the places in order: the first blocks nearest to the matmuls, the last on the disk."""
    places = PLACES[PLACES.index(caps.worker) :]
    n = config.n_layer
    if work.training:  # gradients and moments stay beside their weights
        yield Plan(config, work, caps.worker, caps.worker, (caps.worker,) * n)
        return
    for table in places:
        for near in range(n + 1):
            for middle in range(n - near + 1) if len(places) == 3 else (n - near,):
                counts = (near, middle, n - near - middle)
                blocks = sum(((place,) * count for place, count in zip(places, counts, strict=False)), ())
                yield Plan(config, work, caps.worker, table, blocks)


def refusal(plans: list[Plan], caps: Caps) -> str:
    """Say what is missing for the plan that comes nearest, and what would fit instead."""
    nearest = min(plans, key=lambda plan: sum(plan.shortage(caps).values()))
    work, missing = nearest.work, []
    for place, count in nearest.shortage(caps).items():
        whole, cap = format_bytes(nearest.needs[place]), format_bytes(getattr(caps, place))
        missing.append(
            f"{format_bytes(count)} more {'of' if place == 'cpu' else 'on'} {NAMES[place]} ({whole} of {cap})"
        )
    return (
        f"{'Training' if work.training else 'Running'} this model in {work.dtype} with {work.batch} × {work.context} "
        f"tokens needs {' and '.join(missing)}. Nothing was allocated. {what_would_fit(nearest.config, work, caps)}"
    )


def what_would_fit(config: GPT2Config, work: Workload, caps: Caps) -> str:
    """Name the first smaller wish that fits: batch, then context, then fewer bits, then a smaller GPT-2."""
    half = "float16" if work.dtype == "float32" and not work.training else work.dtype
    short = replace(work, batch=1, context=max(1, min(work.context, 64)))
    smaller = [(name, shape) for name, shape in reversed(SIZES.items()) if shape.n_embd < config.n_embd]
    ones = [replace(work, batch=1, context=c) for c in halves(work.context)]
    wishes = [
        *((f"A batch of {b} would fit.", config, replace(work, batch=b)) for b in halves(work.batch)),
        *((f"A batch of 1 with a context of {one.context} would fit.", config, one) for one in ones),
        ("In float16 it would fit.", config, replace(work, dtype=half)),
        ("In float16, one text of 64 tokens would fit.", config, replace(short, dtype=half)),
        *((f"GPT-2 {name} would fit, one text of {short.context} tokens.", shape, short) for name, shape in smaller),
    ]
    for sentence, shape, wish in wishes:
        if any(not plan.shortage(caps) for plan in every_plan(shape, wish, caps)):
            return sentence
    return "No size of GPT-2 fits under these caps; raise them."


def halves(count: int) -> Iterator[int]:
    """Yield half of a number, half of that, and so on down to 1.

    >>> list(halves(12))
    [6, 3, 1]
    """
    while count > 1:
        count //= 2
        yield count
