"""What can go wrong while a run writes: killed, interrupted, no room. The last good checkpoint always loads."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from runs import QUICK, child_environment, equal_weights, make_trainer, tiny_data, tiny_model

from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.open_file import open_weights
from utils.formats.safetensors import open_safetensors, read_note, write_safetensors
from utils.training.checkpoints import LAST
from utils.training.checksums import CHECKSUMS, STATE, checked_note
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


# A checkpoint that is no longer what was written


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The folder of a run that has saved its third step."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    train(tiny_model(), tiny_data(), replace(QUICK, out=str(folder), max_steps=3))
    return folder


@pytest.fixture
def copied(saved, tmp_path) -> Path:
    """The same checkpoint, in a folder where it may be damaged."""
    for name in (LAST, "config.json"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    return tmp_path / LAST


def resume(path: Path):
    return make_trainer(replace(QUICK, out=str(path.parent), resume=True, max_steps=9), tiny_model(8))


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["h.1.mlp.c_fc.weight", "optimizer.blocks.0.mlp.up.weight.exp_avg", "random.cpu"])
def test_a_flipped_bit_is_told_at_resume_by_the_tensors_name(copied, name):
    tensor = open_weights(copied)[name]
    flip(copied, tensor.offset + tensor.nbytes // 2)
    with pytest.raises(CourseError, match=rf"last.safetensors is damaged: '{re.escape(name)}' is not what was saved"):
        resume(copied)


def test_any_flipped_bit_is_told_or_changes_nothing(saved, copied):
    whole, told, chance = resume(saved / LAST), 0, random.Random(0)
    sound, header = copied.read_bytes(), copied.stat().st_size - sum(t.nbytes for t in open_weights(copied).values())
    for number in range(60):
        flip(copied, chance.randrange(header if number % 2 else len(sound)), chance.randrange(8))
        try:
            trainer = resume(copied)
        except CourseError:
            told += 1
        else:
            assert vars(trainer.progress) == vars(whole.progress)
            assert equal_weights(trainer.model, whole.model)
        copied.write_bytes(sound)
    assert told > 50


NOTES = [
    ("{", "training.*no JSON"),
    ("[1]", "'training'.*expected an object"),
    ("{}", "'training.optimizer_step'"),
    ({"progress": 3}, "'training.progress'.*expected dict"),
    ({"progress": {"step": "three"}}, "'progress.step'.*'three'"),
    ({"progress": {"steps": 3}}, "'progress.steps'"),
    ({"progress": {"best_loss": []}}, "'progress.best_loss'"),
    ({"batches": {}}, "'batches.drawn'"),
    ({"batches": {"drawn": 1.5}}, "'batches.drawn'.*1.5"),
    ({"scaler": None}, "'training.scaler'"),
    ({"scaler": {"scale": 2.0}}, None),  # of a run in float16; this one has no scaler
    ({"lora": 1}, "'training.lora'"),
    ({"optimizer_step": True}, "'training.optimizer_step'"),
]


def rewrite(path: Path, state: str | dict, without: str = "", checksums: bool = False) -> None:
    """Write a checkpoint anew with another state, or without a tensor; without checksums it is an older one."""
    stored, note = open_safetensors(path)
    tensors = [(name, tensor.read().clone()) for name, tensor in stored.items() if name != without]
    known = json.loads(note[STATE])
    known = known | state if isinstance(state, dict) else known
    note = checked_note(tensors, known) if checksums else {STATE: json.dumps(known)}
    write_safetensors(path, tensors, note if isinstance(state, dict) else {STATE: state})


@pytest.mark.filterwarnings("ignore:.*older than checksums")
@pytest.mark.parametrize(("state", "message"), NOTES, ids=lambda value: str(value)[:30])
def test_a_damaged_note_is_told_by_its_field(copied, state, message):
    rewrite(copied, state)
    if message is None:
        assert resume(copied).progress.step == 3
        return
    with pytest.raises(CourseError, match=rf"last.safetensors is damaged: .*{message}.*resume=false"):
        resume(copied)


@pytest.mark.filterwarnings("ignore:.*older than checksums")
@pytest.mark.parametrize("name", ["wte.weight", "random.cpu"])
def test_a_missing_tensor_is_told_by_name(copied, name):
    rewrite(copied, {}, without=name)
    with pytest.raises(CourseError, match=rf"last.safetensors is damaged: the tensor '{re.escape(name)}' is missing"):
        resume(copied)


def test_moments_that_are_missing_are_told_by_name(copied):
    note, name = read_note(copied), "optimizer.final_norm.bias.exp_avg_sq"
    tensors = [(key, tensor.read().clone()) for key, tensor in open_weights(copied).items() if key != name]
    write_safetensors(copied, tensors, {key: note[key] for key in (STATE, CHECKSUMS)})
    with pytest.raises(CourseError, match=rf"damaged: '{re.escape(name)}'"):
        resume(copied)


def test_an_older_checkpoint_without_checksums_resumes_and_says_so_once(copied):
    rewrite(copied, {})
    with pytest.warns(UserWarning, match="last.safetensors is older than checksums") as said:
        trainer = resume(copied)
    assert len(said) == 1 and trainer.progress.step == 3
    trainer.step()
    trainer.checkpoints.save(trainer.state)
    assert CHECKSUMS in read_note(copied)
