"""Two processes on this machine train as one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training import QUICK, tiny_data, tiny_model, tiny_tokens, weights
from torch.testing import assert_close

from utils.batches import Batches
from utils.distributed import ProcessGroup
from utils.run_log import RunLog
from utils.training import TrainingData, train

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed part")

STEPS = 6


def train_share(folder: str) -> None:
    """One process's part: half of each batch. Run by torchrun through the end of this file."""
    group = ProcessGroup()
    batches = Batches(tiny_tokens(), 4, 16, rank=group.rank, world_size=group.world_size)
    config = replace(QUICK, max_steps=STEPS, accumulate=2, out=f"{folder}/run")
    log = RunLog(folder, show=lambda line: None)
    model = tiny_model(seed=group.rank)  # they start apart: the first process's weights must win
    train(model, TrainingData(batches, tiny_tokens(100)), config, log)
    torch.save(weights(model), f"{folder}/weights{group.rank}.pt")


def launch(folder: Path) -> None:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, str(folder)]
    places = [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(sys.platform == "win32", reason="torch for Windows is built without what torchrun's store needs")
def test_two_processes_give_the_weights_of_one(tmp_path):
    launch(tmp_path)
    config = replace(QUICK, max_steps=STEPS, accumulate=2, batch_size=8)
    log = RunLog(tmp_path / "alone", show=lambda line: None)
    alone = tiny_model(seed=0)
    train(alone, tiny_data(batch_size=8), config, log)
    first, second = (torch.load(tmp_path / f"weights{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for name, ours, theirs in zip([n for n, _ in alone.named_parameters()], first, weights(alone), strict=True):
        if not name.endswith("qkv.bias"):  # keys' biases have no gradient but rounding, which AdamW blows up
            assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    rows = (tmp_path / "steps.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == STEPS  # one process writes the log
    for row, record in zip(rows, log.history, strict=True):
        step, loss, _, samples, tokens = row.split(",")[:5]
        assert (int(step), int(samples), int(tokens)) == (record.step, record.samples, record.tokens)
        assert float(loss) == pytest.approx(record.loss, rel=1e-4)


if __name__ == "__main__":
    train_share(sys.argv[1])
