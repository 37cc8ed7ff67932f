"""The commands as a learner types them, from a folder of texts to a conversation."""

from __future__ import annotations

import csv
import io
import pathlib
import subprocess
import sys

import pytest
import torch

from tools.__main__ import main
from utils.config import GPT2Config
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.stories.generator import corpus
from utils.texts.bins import load_bin
from utils.tokenizer import Tokenizer

TINY = ["n_layer=1", "n_head=2", "n_embd=16", "context=16", "batch_size=2", "warmup_steps=1", "device=cpu"]


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A folder with three small texts, prepared, as the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for number in range(3):
        text = f"Ship {number} left the harbor before the bell. " * 20
        (tmp_path / "texts" / f"{number}.txt").write_text(text, encoding="utf-8")
    assert main(["prepare", "texts", "--out", "bins"]) == 0
    return tmp_path


def run(*words: str) -> int:
    return main(["train", "data=bins", *TINY, *words])


def watched_events(folder: str) -> tuple[str, str]:
    """Return the first and the last event of the only run in a folder's system log."""
    with (pathlib.Path(folder) / "system_log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["Run"] for row in rows}) == 1
    return rows[0]["Event"], rows[-1]["Event"]


def test_a_second_run_in_a_folder_has_its_own_system_log_whole(prepared):
    assert run("out=run", "max_steps=1") == 0 and run("out=run", "max_steps=1") == 0
    (older,) = (path for path in pathlib.Path().glob("run*") if path.name != "run")
    assert watched_events("run") == watched_events(str(older)) == ("Before", "After")
    assert run("out=unwatched", "max_steps=1", "watch=0") == 0
    assert not pathlib.Path("unwatched/system_log.csv").exists()


def test_from_texts_to_a_model_that_chats(prepared, capsys, monkeypatch):
    assert run("out=run", "max_steps=3") == 0
    out = capsys.readouterr().out
    assert "held-out loss" in out
    assert "step 1 | loss" in out
    assert "reached max_steps 3; weights and logs are in run" in out
    assert watched_events("run") == ("Before", "After")
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello there\nquit\n"))
    assert main(["chat", "run", "max_new=5", "temperature=0", "--log", "talk.csv"]) == 0
    with pathlib.Path("talk.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["User Query"] for row in rows] == ["Hello there"]
    assert rows[0]["GPT Response"] in capsys.readouterr().out


def test_training_again_from_the_weights_of_a_run(prepared, capsys):
    assert run("out=first", "max_steps=2") == 0
    words = ["data=bins", "weights=first", "out=second", "max_steps=1", "context=16", "batch_size=2", "device=cpu"]
    assert main(["train", *words]) == 0
    assert load_gpt2("second").config == load_gpt2("first").config


def test_prepare_twice_does_the_work_once(prepared, capsys):
    assert main(["prepare", "texts", "--out", "bins"]) == 0
    assert "was up to date" in capsys.readouterr().out


def test_inspect_lists_every_tensor_with_its_bytes(tmp_path, capsys):
    save_gpt2(GPT2(GPT2Config(1, 2, 16, vocab_size=30, context=8)), tmp_path)
    assert main(["inspect", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("model.safetensors: 16 tensors")
    (row,) = (line for line in lines if line.startswith("wte.weight"))
    assert row.split() == ["wte.weight", "float32", "[30,", "16]", "1,920", "bytes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chat", "nowhere"], "nowhere is neither a file, a folder nor a size"),
        (["inspect", "nowhere"], "neither a file"),
        (["train", "data=nowhere"], "train.bin is not there. Make it: python -m tools prepare"),
        (["train", "data=bins", "size=tiny"], "size is 'tiny', expected one of nano"),
        (["train", "data=bins", "contxt=3"], "Did you mean context?"),
        (["train", "data=bins", "weights=small", "n_layer=3"], "n_layer can't be set together with weights"),
        (["train", "data=bins", "device=warp"], "The device 'warp' is not here"),
        (["train", "data=bins", "context=1000", "device=cpu"], "a context of 1000 needs"),
        (["chat", "run", "temperature=-1"], "temperature is -1"),
        (["prepare", "nowhere"], "nowhere"),
        (["prefetch", "huge"], "huge"),
    ],
)
def test_a_mistake_ends_in_a_sentence(prepared, capsys, words, message):
    assert main(words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_model_and_text_of_other_tokenizers_are_refused(prepared, capsys):
    save_gpt2(GPT2(GPT2Config(1, 2, 16, vocab_size=30, context=32)), prepared / "small_vocabulary")
    assert main(["train", "data=bins", "weights=small_vocabulary", "device=cpu"]) == 1
    assert "has 30 tokens, bins was made with 50,257" in capsys.readouterr().err


def test_chat_ends_on_the_end_of_input(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    save_gpt2(GPT2(GPT2Config(1, 2, 16, context=32)), tmp_path)
    assert main(["chat", str(tmp_path), "--log", str(tmp_path / "talk.csv")]) == 0
    assert not (tmp_path / "talk.csv").exists()


def test_chat_logs_an_empty_question_too(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    save_gpt2(GPT2(GPT2Config(1, 2, 16, context=32)), tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert main(["chat", str(tmp_path), "max_new=40", "--log", str(tmp_path / "talk.csv")]) == 0  # past the context
    assert (tmp_path / "talk.csv").read_text(encoding="utf-8").count("\n") >= 2


@pytest.mark.parametrize("words", ["import utils", "import tools.__main__"])
def test_importing_brings_nothing_heavy(words):
    heavy = ["torch", "numpy", "transformers", "matplotlib", "omegaconf", "tokenizers"]
    code = f"{words}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("prepare", "train", "chat", "inspect", "prefetch", "notebooks", "bench"))


def test_stories_become_bins_and_the_same_ones_again(tmp_path, capsys):
    words = ["stories", "--count", "12", "--held-out", "0.25", "--out", str(tmp_path / "bins")]
    assert main(words) == 0 and main(words) == 0
    said = capsys.readouterr().out
    assert "3 of 12 validate" in said and "was up to date" in said
    documents = Tokenizer.gpt2().decode(load_bin(tmp_path / "bins" / "train.bin").tolist()).split("<|endoftext|>")
    assert len(documents) == 9 and set(documents) < set(corpus(12, 1))


def test_convert_writes_a_folder_of_half_the_bytes(tmp_path, capsys):
    torch.manual_seed(0)
    model = GPT2(GPT2Config(1, 2, 16, 50, 8))
    save_gpt2(model, tmp_path / "full")
    assert main(["convert", str(tmp_path / "full"), str(tmp_path / "half")]) == 0
    (half,) = (tmp_path / "half").glob("*.safetensors")
    assert "float16" in capsys.readouterr().out
    assert half.stat().st_size < 0.7 * (tmp_path / "full" / "model.safetensors").stat().st_size
    for ours, theirs in zip(load_gpt2(tmp_path / "half").parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float())


def test_convert_refuses_an_unknown_dtype(tmp_path, capsys):
    assert main(["convert", "nano", str(tmp_path), "--dtype", "int4"]) == 1
    assert "dtype 'int4' is unknown" in capsys.readouterr().err
