"""What the parts of `true-size` stand on: the device, the shape, the time that is left; steps timed, memory watched."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

from labs.true_size.step_child import StepJob, first_tokens, start_peak_anew, step
from utils.batches import Batches
from utils.config import SIZES, GPT2Config
from utils.errors import CourseError
from utils.machine import peak_memory, training_dtype
from utils.model import GPT2
from utils.run_log import StepRecord
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.distributed import World
from utils.training.loop import Trainer

TINY = GPT2Config(n_layer=4, n_head=2, n_embd=64, vocab_size=512, context=64)
POEM_TOKENS = 10_000  # of our poems, which models of the true shape learn from, too
FEWEST = 2  # steps or tokens, even where the time is over: one alone has no speed
RECOMPILES = 64  # of one piece of code; beyond that PyTorch runs it as it is

Figures = dict[str, Any]  # what a measure found, by name; plain values only


@dataclass(frozen=True)
class Bench:
    """Where the measures run, at which shape, and until when."""

    device: torch.device
    folder: Path  # for weights that are written on the way
    tiny: bool = False
    peak: float = 0.0  # FLOP/s that the user names; 0 names none
    until: float = math.inf  # of time.monotonic(): here the share of this part ends

    @property
    def config(self) -> GPT2Config:
        return TINY if self.tiny else SIZES["small"]

    @property
    def left(self) -> float:
        """Seconds that are left to this part."""
        return self.until - time.monotonic()

    @property
    def dtype(self) -> str:
        """The dtype of matrix products that training takes here by itself."""
        return name_of(training_dtype(self.device))

    def model(self) -> GPT2:
        """Return new weights, the same ones each time."""
        torch.manual_seed(0)
        return GPT2(self.config).to(self.device)


def name_of(dtype: torch.dtype) -> str:
    """Return a dtype as recipes name it.

    >>> name_of(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


Measure = Callable[[Bench, Mapping[str, Figures]], Figures]  # the second: what its part has found so far


def new_trainer(bench: Bench, config: TrainConfig) -> Trainer:
    """Return a trainer of new weights that learns our poems, in memory alone."""
    tokens = first_tokens(POEM_TOKENS)[0] % bench.config.vocab_size
    data = TrainingData(Batches(tokens, config.batch_size, config.context, config.seed))
    return Trainer(bench.model().train(), data, config, World())


def take_steps(bench: Bench, trainer: Trainer, count: int) -> list[StepRecord]:
    """Take steps, fewer where the time ends, and keep freed memory meanwhile, as `train` does."""
    records: list[StepRecord] = []
    with trainer.memory:
        while len(records) < count and (bench.left > 0 or len(records) < FEWEST):
            records.append(trainer.step())
    return records


def learn_steps(bench: Bench, config: TrainConfig, count: int) -> tuple[Trainer, list[StepRecord], Figures]:
    """Let new weights take some steps, and return the trainer, the steps, and what every measure says of them."""
    peak, trainer = watch_peak(bench.device), new_trainer(bench, config)
    records = take_steps(bench, trainer, count)
    figures = {"losses": losses(records), "tokens/s": tokens_per_second(records), "peak bytes": peak()}
    return trainer, records, figures


def losses(records: Sequence[StepRecord]) -> list[float]:
    return [round(record.loss, 6) for record in records]


def tokens_per_second(records: Sequence[StepRecord], warm_up: int = 2) -> float:
    """Return the speed of the steps after the first ones, which pay for what is done once; of the last one at least."""
    counted = records[warm_up:] or records[-1:]
    return round(sum(one.tokens for one in counted) / sum(one.seconds for one in counted), 1)


def largest_difference(mine: Sequence[float], others: Sequence[float]) -> float:
    """Return how far two curves are apart where they are furthest, as far as both go.

    >>> largest_difference([3.0, 2.0, 1.0], [3.0, 2.5])
    0.5
    """
    return round(max(abs(a - b) for a, b in zip(mine, others, strict=False)), 6)


def watch_peak(device: torch.device) -> Callable[[], int]:
    """Return what says the most bytes held from now on: of a GPU, or of this process beyond what it has."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: torch.cuda.max_memory_allocated(device)
    pay_for_first_use()
    start_peak_anew()
    before = psutil.Process().memory_info().rss
    return lambda: max(0, peak_memory() - before)


@cache
def pay_for_first_use() -> None:
    """Take a step of next to nothing: what PyTorch imports and allocates once then counts for nobody."""
    step(GPT2(GPT2Config(1, 1, 8, 16, 8)), torch.zeros(1, 9, dtype=torch.long), StepJob(way="usual"))


@contextmanager
def compiled_blocks(bench: Bench, model: GPT2) -> Iterator[str]:
    """Within a with block, the blocks of a model run as torch.compile makes them; yields the backend.

    One block is compiled and serves for all, so that it takes seconds: the layer's number, at which a block finds its
    place in the KV cache, must not become a constant. On a CPU at the tiny shape nothing is turned into machine code.
    """
    import torch._dynamo

    backend = "aot_eager" if bench.tiny else "inductor"
    torch._dynamo.reset()
    settings = dict(allow_unspec_int_on_nn_module=True, recompile_limit=RECOMPILES)
    with torch._dynamo.config.patch(**settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Dynamo detected a call")  # of functions that remember their result
        for block in model.blocks:
            block.compile(backend=backend)
        try:
            yield backend
        finally:
            for block in model.blocks:
                block._compiled_call_impl = None
            torch._dynamo.reset()


def found_in(found: Mapping[str, Figures], measure: str, figure: str) -> Any:
    """Return a figure of an earlier measure, or say that it is missing."""
    if figure not in found.get(measure, {}):
        raise CourseError(
            f"This needs {figure!r} of the measure {measure!r}, which has none yet. Call the command again: it "
            "goes on with what is missing."
        )
    return found[measure][figure]
