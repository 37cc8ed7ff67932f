"""Reliability with figures: kills, folders that can't be written or vanish, two runs in one, a cell run twice."""

from __future__ import annotations

import csv
import faulthandler
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from runs import QUICK, child_environment, tiny_data, tiny_model, weights

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.formats.safetensors import read_note
from utils.loaders import load_gpt2
from utils.run_log import RunLog
from utils.training.checkpoints import BEST, LAST
from utils.training.checksums import CHECKSUMS, STATE
from utils.training.loop import train

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork, kill -9 or folder without write permission")

# Its learning rate stays the same, so that a run doesn't depend on how far it is to go. How often checkpoints come must
# change nothing; the rarer they are, the more steps are logged beyond them when a run is killed.
KILLED = replace(QUICK, warmup_steps=0, min_learning_rate=QUICK.learning_rate, evaluate_every=7)

# One process imports PyTorch and learns nothing; each of its children resumes, trains, and is killed.
KILLS = """
import csv, json, os, random, signal, sys, time, traceback
from dataclasses import replace
from pathlib import Path
import torch
from runs import QUICK, tiny_data, tiny_model
from utils.training.checkpoints import LAST
from utils.run_log import RunLog
from utils.training.loop import train
from utils.formats.open_file import open_weights
from utils.formats.safetensors import read_note

folder, rounds, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(0)
last, half_written, beyond = folder / "run" / LAST, 0, 0
config = replace(QUICK, warmup_steps=0, min_learning_rate=QUICK.learning_rate, evaluate_every=7)
config = replace(config, out=str(folder / "run"), max_steps=100_000)

def saved_step():
    return json.loads(read_note(last)["training"])["progress"]["step"] if last.exists() else 0

def wait_for_a_step_after(step):
    deadline = time.monotonic() + 300
    while saved_step() <= step:
        assert time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.01)
    time.sleep(chance.random() / 50)
    while chance.random() < 0.9999 and not list(last.parent.glob("*.part")):  # mostly in the middle of a file
        pass

weight = torch.zeros(1, requires_grad=True)
weight.grad = torch.zeros(1)
torch.optim.AdamW([weight]).step()  # imports much at its first step; backward must be left to the children
step = 0
for number in range(rounds):
    child = os.fork()
    if not child:
        try:
            log = RunLog(config.out, show=lambda line: None, sample=lambda: "words", sample_every=10)
            config = replace(config, resume=number > 0, save_every=1 + number % 3)
            train(tiny_model(number), tiny_data(), config, log)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    try:
        wait_for_a_step_after(step)
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"child {number} ended by itself"
    half_written += bool(list((folder / "run").glob("*.part")))
    for tensor in open_weights(last).values():  # a file cut short would be refused
        tensor.read()
    assert saved_step() > step
    step = saved_step()
    with (last.parent / "steps.csv").open(newline="") as file:
        beyond += sum(int(row["step"] or 0) > step for row in csv.DictReader(file))
print(f"{rounds} kills, {half_written} with a file half written, {beyond} steps logged beyond a checkpoint; "
      f"every checkpoint loaded, the last of step {step}")
"""


def run_child(code: str, *words: str, seconds: float = 400) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=seconds)


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of a run's logs without what the clock says."""
    found = {}
    for name in ("steps.csv", "evaluations.csv", "training_log.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found[name] = [{key: cell for key, cell in row.items() if "seconds" not in key} for row in rows]
    return found


@posix
def test_killed_many_times_a_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path, pytestconfig):
    faulthandler.cancel_dump_traceback_later()  # 60 kills may take longer than a test; run_child has its own limit
    kills = pytestconfig.getoption("--kills")
    done = run_child(KILLS, str(tmp_path), str(kills), seconds=60 + 30 * kills)
    assert done.returncode == 0, done.stdout + done.stderr
    print("\n" + done.stdout.strip())
    step = int(re.search(r"of step (\d+)", done.stdout)[1])
    killed, whole = tmp_path / "run", tmp_path / "whole"
    for folder in (killed, whole):
        config = replace(KILLED, out=str(folder), max_steps=step + 20, resume=folder == killed)
        log = RunLog(folder, show=lambda line: None, sample=lambda: "words", sample_every=10)
        train(tiny_model(), tiny_data(), config, log)
    found, expected = tables(killed), tables(whole)
    assert [int(row["step"]) for row in found["steps.csv"]] == list(range(1, step + 21))
    assert found == expected
    sums = [json.loads(read_note(folder / LAST)[CHECKSUMS]) for folder in (killed, whole)]
    assert sums[0].keys() == sums[1].keys() and len(sums[0]) > 80  # weights, two moments of each, and the RNG
    assert {name for name in sums[0] if sums[0][name] != sums[1][name]} <= {STATE}  # it holds an epoch's seconds
    assert (killed / BEST).read_bytes() == (whole / BEST).read_bytes()
    assert not list(killed.glob("*.part")), "what kills left half written is swept away"
    rows = ", ".join(f"{len(lines)} of {name}" for name, lines in found.items())
    print(f"rows equal to those of a run that was never killed: {rows}; {len(sums[0]) - 1} tensors equal bit for bit")


# Folders that refuse or vanish

READ_ONLY = """
import os, sys
from dataclasses import replace
from pathlib import Path
from runs import QUICK, tiny_data, tiny_model
from utils.training.loop import train
folder = Path(sys.argv[1])
config = replace(QUICK, out=str(folder / "run"), max_steps=3)
train(tiny_model(), tiny_data(), config)
if os.geteuid() == 0:
    os.chmod(folder, 0o755)
    os.setuid(65534)  # nobody: the superuser may write anywhere
else:
    os.chmod(folder / "run", 0o555)
    os.chmod(folder, 0o555)
before = (folder / "run" / "last.safetensors").read_bytes()
for resume in (True, False):
    try:
        train(tiny_model(), tiny_data(), replace(config, max_steps=5, resume=resume))
    except Exception as error:
        print(type(error).__name__, error)
assert (folder / "run" / "last.safetensors").read_bytes() == before
print("intact")
"""


@posix
def test_a_read_only_folder_stops_with_a_sentence_and_keeps_its_checkpoint():
    folder = Path(tempfile.mkdtemp())
    try:
        done = run_child(READ_ONLY, str(folder))
        lines = done.stdout.strip().splitlines()
        assert lines[-1:] == ["intact"], done.stdout + done.stderr
        assert len(lines) == 3
        for line in lines[:2]:
            assert re.match("CourseError .* could not be (written|moved).*: Permission denied", line)
    finally:
        for path in (folder, folder / "run"):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_a_vanished_folder_stops_the_run_instead_of_saving_where_nobody_looks(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"), max_steps=50, evaluate_every=10, save_every=5)
    model = tiny_model()

    def show(line: str) -> None:
        if line.startswith("step 7 |"):
            (tmp_path / "run").rename(tmp_path / "unplugged")

    with pytest.raises(CourseError, match="has vanished since the run began.* step 10"):
        train(model, tiny_data(), config, RunLog(tmp_path / "logs", every=1, show=show))
    assert not (tmp_path / "run").exists()
    load_gpt2(tmp_path / "unplugged" / LAST)
    assert not model.training, "what was learned is still there to be saved"


# Twice at once, and twice in a row

HOLD = """
import sys, time
from dataclasses import replace
from pathlib import Path
from runs import QUICK, tiny_data, tiny_model
from utils.run_log import RunLog
from utils.training.loop import train
log = RunLog(sys.argv[1] + "/run", every=1, show=lambda line: (print(line, flush=True), time.sleep(0.2)))
train(tiny_model(), tiny_data(), replace(QUICK, out=sys.argv[1] + "/run", max_steps=10_000), log)
"""


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_in_a_folder_is_refused_and_leaves_the_first_alone(tmp_path, resume):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, env=child_environment(), stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline().startswith("step 1 |")
        config = replace(QUICK, out=str(tmp_path / "run"), max_steps=2)
        with pytest.raises(CourseError, match="Another run is writing into .*run. Wait for it, end it, or choose"):
            train(tiny_model(), tiny_data(), replace(config, resume=resume), RunLog(tmp_path / "run"))
        assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["run"]
        first.kill()
    steps = (tmp_path / "run" / "steps.csv").read_text(encoding="utf-8").splitlines()
    numbers = [int(line.split(",")[0]) for line in steps[1:]]
    assert numbers == list(range(1, len(numbers) + 1)), "one run's rows, whole and in order"
    assert train(tiny_model(), tiny_data(), config).steps == 2, "the dead hold nothing"


def test_a_training_cell_run_twice_or_after_an_error_works(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"), max_steps=3)
    models = [tiny_model() for _ in range(2)]
    first, second = (train(model, tiny_data(), config, RunLog(config.out, show=lambda _: None)) for model in models)
    assert first == second
    assert all(a.equal(b) for a, b in zip(*map(weights, models), strict=True))

    def fail(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), tiny_data(), config, RunLog(config.out, show=fail))
    assert train(tiny_model(), tiny_data(), config).steps == 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["run", "run.1", "run.2"]
