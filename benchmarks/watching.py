"""What the system log costs: its thread's own processor time, and training with it beside training without it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import Child, OthersWatch, Report, Rounds, Sample, compare, interleave, machine_description
from utils.config import GPT2Config

SPEED, COST = "tokens/s", "of a core share"
LIMIT = 0.01  # of the training's time


@dataclass(frozen=True)
class Settings:
    """A model that learns for so many steps a turn, watched every so many seconds."""

    config: GPT2Config = GPT2Config(4, 4, 128, 2000, 256)
    batch: int = 4
    steps: int = 60
    every: float = 1.0
    rounds: Rounds = Rounds(7)


def measure(settings: Settings = Settings()) -> Report:
    """Let the same training run with and without the log, in turns, and time one row of the log."""
    arguments = (settings.config, settings.batch, settings.steps, settings.every)
    imports = ("utils.training.loop", "utils.system_log")
    with (
        Child(training, *arguments, True, imports=imports) as watched,
        Child(training, *arguments, False, imports=imports) as alone,
        Child(one_row, settings.every, imports=imports) as row,
        OthersWatch() as others,
    ):
        turns = {"training, watched": watched.turn, "training alone": alone.turn, "a row of the log": row.turn}
        samples = interleave(turns, settings.rounds)
    ratio = compare(samples, "training, watched", "training alone", SPEED, target=1 - LIMIT)
    notes = [
        f"The log has a row every {settings.every:g} s. The aim is to cost training less than {LIMIT:.0%}.",
        "A row's share of a core is its processor time over the time between two rows: what it can cost at most.",
        others.sentence(),
    ]
    title = "Watching: what the system log costs"
    return Report("watching", title, asdict(settings), samples, [ratio], notes, machine_description())


def training(config: GPT2Config, batch: int, steps: int, every: float, watched: bool):
    """Take steps of the course's own loop, inside the log's with block or without it."""
    import torch

    from utils.batches import Batches
    from utils.model import GPT2
    from utils.run_log import RunLog
    from utils.system_log import SystemLog
    from utils.training.config import TrainConfig
    from utils.training.data import TrainingData
    from utils.training.loop import train

    torch.manual_seed(0)
    tokens = torch.randint(config.vocab_size, (40 * batch * config.context,))
    model, folder = GPT2(config), Path(tempfile.mkdtemp())
    settings = TrainConfig(context=config.context, batch_size=batch, max_steps=steps, dtype="float32")

    def turn() -> Sample:
        system_log = SystemLog(folder / "system_log.csv", every) if watched else None
        run_log = RunLog(folder, show=lambda line: None)
        train(model, TrainingData(Batches(tokens, batch, config.context)), settings, run_log, system_log)
        return {SPEED: steps * batch * config.context / sum(record.seconds for record in run_log.history)}

    return turn


def one_row(every: float):
    """Read the sensors and write rows, on a processor clock that counts only this process."""
    from utils.system_log import Sensors, SystemLog

    log = SystemLog(Path(tempfile.mkdtemp()) / "system_log.csv", 3600)
    log.sensors = Sensors()
    rows = 50

    def turn() -> Sample:
        with log:
            began = time.process_time()
            for _ in range(rows):
                log._write("During")
            return {COST: (time.process_time() - began) / rows / every}

    return turn
