"""The commands as a learner types them, from a folder of texts to a conversation."""

from __future__ import annotations

import csv
import io
import pathlib
import re
import subprocess
import sys
from dataclasses import fields

import pytest
import torch

from tools.__main__ import find_commands, main
from tools.repo.notebooks import find_notebooks
from utils.config import GPT2Config
from utils.files.places import ROOT
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.stories.generator import corpus
from utils.texts.bins import load_bin
from utils.tokenizer import Tokenizer
from utils.training.recipes import TrainingRecipe

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


def outcome(capsys, *words: str) -> tuple[int, str]:
    """Return the exit code of a command line and all that it said."""
    capsys.readouterr()
    try:
        code = main(words)
    except SystemExit as end:  # tyro found the mistake
        code = end.code
    said = capsys.readouterr()
    return code, said.out + said.err


MISTAKES = """
chat nowhere → 1 nowhere
chat run temperature=-1 → 1 temperature
chat nano max_new=x → 1 max_new 'x'
class grade README.md → 1 README.md
class grade . --memory 0 → 1 --memory 0
class grade . --seconds 0 → 1 --seconds 0
class export . --to canvas → 1 grades.csv
class export . --to paper → 2 canvas
class pack README.md → 1 README.md
class pack . → 1 class pack
class pack nowhere --check → 1 nowhere PACK.json
class pak → 2 pack
class serve . --port -1 → 1 --port -1
compare nano --context 0 → 1 --context 0
compare nano --stride -1 → 1 --stride -1
compare nano --tokens many → 2 --tokens many
convert nano --out README.md → 1 README.md
convert nano --out half --dtype int4 → 1 int4 float16
exercises 99 → 1 99
bench nothing → 1 nothing
inspect nowhere → 1 nowhere
inspect README.md/weights → 1 README.md
judge --documents -5 → 1 --documents -5
judge --documents 0 --stories 0 → 1 --documents 0
keep-last recipe=nowhere.yaml → 1 --to
links --repository x → 1 x owner/name
notebooks nowhere → 1 nowhere
prefetch → 1 medium
prefetch huge → 1 huge
prepare → 2 SOURCE
prepare nowhere → 1 nowhere
prepare texts --chunk 0 → 1 --chunk 0
prepare texts --dedupe far → 2 --dedupe near
prepare texts --held-out 2 → 1 --held-out 2
prepare texts --held-ot 0.2 → 2 --held-out
prepare texts --out README.md → 1 README.md
quantize nano → 2 --out
quantize nano --out q --bits 99 → 1 --bits 99
quantize nano --out q --group some → 1 some
quantize nano --out q --method telepathy → 2 --method telepathy gptq
quantize nano --out q --rows 0 → 1 --rows 0
quantize-table nano --out q --tokens 0 → 1 --tokens 0
serve --most-tokens 0 → 1 --most-tokens 0
serve --port 99999 → 1 --port 99999
serve nano --export README.md → 1 README.md
serve nowhere → 1 nowhere
shootout nano --out x --only telepathy → 1 telepathy
site --out README.md → 1 README.md
store-run out=nowhere → 1 nowhere
stories --count -1 → 1 --count -1
train data=nowhere → 1 train.bin prepare
train data=bins size=tiny → 1 tiny nano
train data=bins contxt=3 → 1 context
train data=bins weights=small n_layer=3 → 1 n_layer weights
train data=bins device=warp → 1 warp
train data=bins context=1000 device=cpu → 1 1000
train --max-steps 0 → 1 max_steps 0
train --max-steps many → 1 max_steps many
train recipe=nowhere.yaml → 1 nowhere.yaml
trian → 2 train
true-size --device warp → 1 warp
true-size --minutes -1 → 1 --minutes -1
true-size --only speed → 1 speed dtypes
true-size --tiny --out README.md → 1 README.md
xl-step --context 0 → 1 --context 0
xl-step huge → 1 huge
""".strip().splitlines()


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_in_a_sentence_that_names_it(prepared, capsys, line):
    (prepared / "README.md").write_text("a file where a folder is wanted", encoding="utf-8")
    typed, _, expected = line.partition(" → ")
    code, said = outcome(capsys, *typed.split())
    wanted, *names = expected.split()
    assert code == int(wanted) and "Traceback" not in said
    assert all(name in said for name in names), said


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


@pytest.mark.parametrize("code", ["import utils", "from tools.__main__ import main; main([])"])
def test_what_starts_every_command_brings_nothing_heavy(code):
    heavy = ["torch", "numpy", "transformers", "matplotlib", "omegaconf", "tokenizers", "tyro"]
    code += f"; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and done.stderr == ""


def test_the_bare_command_helps_and_every_command_has_a_group_and_help(capsys):
    code, said = outcome(capsys)
    assert code == 0 and outcome(capsys, "--help") == outcome(capsys, "help") == (0, said)
    groups = find_commands()
    assert all(f"\n{group}:\n" in said for group in groups)
    for name in (name for commands in groups.values() for name in commands):
        assert f"\n  {name} " in said
        code, options = outcome(capsys, *name.split(), "--help")
        assert code == 0 and f"python course.py {name} " in options
    assert {"train", "chat", "quantize"} <= groups["For learners"].keys()
    words = ("pack", "grade", "labs", "export", "alike", "key", "serve", "slides")
    teachers = {"forget", *(f"class {word}" for word in words)}
    assert groups["For teachers"].keys() == teachers
    assert outcome(capsys, "--version") == (0, "0.1.0\n")


def test_every_command_that_pages_and_notebooks_name_is_there():
    known = {name for commands in find_commands().values() for name in commands} | {"lab", "test", "run", "help"}
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *find_notebooks(), *(ROOT / "labs").rglob("*.yaml")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        for named in re.findall(r"python (?:course\.py|-m tools) ((?:class )?[a-z][a-z-]*)", text):
            assert named in known, f"{path.name} names {named}"


def test_trainings_help_says_every_setting_and_what_it_means(capsys):
    _, said = outcome(capsys, "train", "--help")
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", said).split())
    for setting in fields(TrainingRecipe):
        assert f"--{setting.name.replace('_', '-')}" in said
    assert "sequences in one micro-batch (default: 8)" in said


def test_an_option_may_be_written_in_both_ways(prepared, capsys):
    assert run("out=a", "--max-steps", "2", "--watch=0") == 0
    assert "reached max_steps 2" in capsys.readouterr().out and not (prepared / "a" / "system_log.csv").exists()
    assert main(["prepare", "texts", "out=again", "held_out=0.5"]) == 0
    assert (prepared / "again" / "train.bin").exists()


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
    assert main(["convert", str(tmp_path / "full"), "--out", str(tmp_path / "half")]) == 0
    (half,) = (tmp_path / "half").glob("*.safetensors")
    assert "float16" in capsys.readouterr().out
    assert half.stat().st_size < 0.7 * (tmp_path / "full" / "model.safetensors").stat().st_size
    for ours, theirs in zip(load_gpt2(tmp_path / "half").parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float())
