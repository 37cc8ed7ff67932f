"""What can go wrong while a run writes: killed, interrupted, no room. The last good checkpoint always loads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from runs import QUICK, child_environment, tiny_data, tiny_model

from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.open_file import open_weights
from utils.formats.safetensors import read_note
from utils.training.checkpoints import LAST
from utils.training.loop import train

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9, SIGINT to a child or file size limit")

RUN = """
import sys
from dataclasses import replace
from runs import QUICK, tiny_data, tiny_model
from utils.run_log import RunLog
from utils.training.loop import train
settings = dict(item.split("=") for item in sys.argv[2:])
config = replace(QUICK, out=sys.argv[1] + "/run", max_steps=int(settings.get("max_steps", 20000)),
                 save_every=1, evaluate_every=10**6, resume=settings.get("resume") == "yes")
result = train(tiny_model(), tiny_data(), config, RunLog(sys.argv[1], show=lambda line: None))
print("ended:", result.steps, result.reason)
"""


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nobody_runs_on():
    """End what a failed test left running."""
    yield
    for child in STARTED:
        child.kill()
    STARTED.clear()


def start(folder: Path, *settings: str, before: str = "") -> subprocess.Popen:
    env, words = child_environment(), [sys.executable, "-c", before + RUN, str(folder), *settings]
    STARTED.append(subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return STARTED[-1]


def wait_for_step(child: subprocess.Popen, folder: Path, step: int) -> None:
    """Wait until the run has saved `step` or a later one."""
    deadline = time.monotonic() + 300
    while saved_step(folder) < step:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.005)


def saved_step(folder: Path) -> int:
    path = folder / "run" / LAST
    return json.loads(read_note(path)["training"])["progress"]["step"] if path.exists() else 0


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_after_the_step_and_saves_it(tmp_path, number):
    child = start(tmp_path)
    wait_for_step(child, tmp_path, 3)
    child.send_signal(number)
    out, error = child.communicate(timeout=300)
    assert child.returncode == 0, error
    assert "stopped by hand" in out
    assert saved_step(tmp_path) == int(out.split()[1])


LIMIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit then fails as a full disk does
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))
"""


@posix
def test_a_full_disk_stops_with_a_sentence_and_keeps_the_old_checkpoint(tmp_path):
    child = start(tmp_path, "max_steps=3")
    out, error = child.communicate(timeout=300)
    assert "reached" in out, error
    before = (tmp_path / "run" / LAST).read_bytes()
    limit = LIMIT.replace("LIMIT_BYTES", str(len(before) // 2))
    child = start(tmp_path, "max_steps=5", "resume=yes", before=limit)
    out, error = child.communicate(timeout=300)
    assert child.returncode != 0
    assert "CourseError" in error
    assert "could not be written" in error
    assert "untouched" in error
    assert (tmp_path / "run" / LAST).read_bytes() == before
    assert not list((tmp_path / "run").glob("*.part"))


def test_writing_where_a_folder_should_be_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CourseError, match="could not be written"):
        write_whole(tmp_path / "file" / "model.safetensors", lambda file: file.write(b"x"))


def test_an_error_while_writing_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def fail(file) -> None:
        file.write(b"half of the new one")
        raise ValueError("something else went wrong")

    with pytest.raises(ValueError, match="something else"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_truncated_checkpoint_is_refused_by_name(tmp_path):
    train(tiny_model(), tiny_data(), replace(QUICK, out=str(tmp_path / "run"), max_steps=1))
    path = tmp_path / "run" / LAST
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CourseError, match="last.safetensors is truncated"):
        open_weights(path)
