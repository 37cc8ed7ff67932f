"""Commands as pages write them: the README's are run in order, and what recipes promise to need is what they need."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from dataclasses import fields
from inspect import signature

import pytest

from tools.__main__ import find_commands, main
from tools.repo.notebooks import find_notebooks
from utils.files.places import ROOT
from utils.serve.chat import ChatSettings
from utils.training.recipes import TrainingRecipe

# What keeps a command short here; nothing else is changed.
SHORT = {
    "train": ["max_steps=3", "batch_size=2", "context=32", "evaluate_tokens=100"],
    "quantize": ["--rows", "1", "--context", "32"],
}
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", *find_notebooks()]
PAGES += [*(ROOT / "labs").rglob("*.yaml"), ROOT / "data" / "nano" / "README.md"]
WRITTEN = re.compile(r"python (?:course\.py|-m tools) ((?:class )?[a-z][a-z-]*)([^`#\n;|\\\"]*)")


def readme_commands() -> list[list[str]]:
    """Return the words of the README's commands without notebooks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("## Without notebooks")[1].split("```")[1]
    return [line.split("#")[0].split()[2:] for line in block.strip().splitlines()]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A current folder with texts of the learner's own, and words for the chat."""
    shutil.copytree(ROOT / "data" / "poems", tmp_path / "my_texts")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_commands_run_as_written_and_in_this_order(clone, monkeypatch, capsys):
    for words in readme_commands():
        if words[0] in ("serve", "update"):
            continue  # the one does not end by itself: the next test; the other would renew this very clone
        monkeypatch.setattr(sys, "stdin", io.StringIO("Once upon a time\nquit\n"))
        assert main([*words, *SHORT.get(words[0], [])]) == 0, (words, capsys.readouterr().err)
    assert (clone / "runs" / "mine" / "steps.csv").exists() and (clone / "q4" / "quantized.safetensors").exists()


def test_the_readmes_page_opens_and_ends_on_ctrl_c(clone):
    (words,) = [each for each in readme_commands() if each[0] == "serve"]
    main(["quantize", "nano", "--out", words[1]])
    command = [sys.executable, "-u", "-m", "tools", *words]
    environment = {"PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as server:
        said = []
        for line in server.stdout:
            said.append(line)
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        try:
            with urllib.request.urlopen(address[0], timeout=60) as page:
                assert page.status == 200
        finally:
            server.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
            try:
                server.communicate(timeout=60)
            finally:
                server.kill()  # else leaving the block would wait for it without end


def known_options(name: str, command) -> set[str]:
    """Return the names that a command takes as --name or name=."""
    more = {"train": TrainingRecipe, "chat": ChatSettings, "store-run": TrainingRecipe, "keep-last": TrainingRecipe}
    named = {field.name for field in fields(more[name])} | {"recipe", "to", "log"} if name in more else set()
    return {each.replace("_", "-") for each in {*signature(command).parameters, *named, "help"}}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_option_that_a_page_writes_is_one(path):
    commands = {name: command for group in find_commands().values() for name, command in group.items()}
    for name, rest in WRITTEN.findall(path.read_text(encoding="utf-8")):
        if name in commands:
            typed = re.findall(r"(?:^|\s)(?:--([a-z-]+)|([a-z]\w*)=)", rest)
            names = {(option or setting).replace("_", "-") for option, setting in typed}
            assert names <= known_options(name, commands[name]), (name, rest)
