"""The lesson's commands for the hub, run as they are written, against a server on loopback that answers as it does."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from publish_server import PublishServer
from shapes import tiny_model

from tools.repo.notebooks import read_notebook
from utils.files.places import ROOT
from utils.loaders import save_gpt2
from utils.serve.export import export_app
from utils.tokenizer import CharTokenizer

HF = Path(sys.executable).with_name("hf.exe" if os.name == "nt" else "hf")


def written_commands() -> list[str]:
    """Return the lines that begin with `hf` in lesson 15."""
    cells = read_notebook(ROOT / "lessons" / "15_serve_it.ipynb").cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return [line for line in lines if line.startswith("hf ")]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Run the lesson's commands in a folder with an exported page; return that folder and what the server holds."""
    home = tmp_path_factory.mktemp("publish")
    letters = CharTokenizer.from_text("".join(map(chr, range(32, 127))) + "\n")
    save_gpt2(tiny_model(), home / "tiny")
    letters.save(home / "tiny")
    export_app(home / "tiny", home / "my_space")
    with PublishServer() as server:
        settings = {
            "HF_ENDPOINT": server.address,
            "HF_TOKEN": "hf_secret",
            "HF_HOME": str(home / "hf"),
            "NO_PROXY": "*",
            "HF_HUB_OFFLINE": "0",
        }
        for line in written_commands():
            if "auth login" in line:  # asks; HF_TOKEN takes its place, as the lesson says
                continue
            words = [str(HF), *shlex.split(line)[1:]]
            done = subprocess.run(words, cwd=home, env={**os.environ, **settings}, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return home, server


def test_the_space_and_the_weights_arrive_whole(published):
    home, server = published
    for repo, folder in {"spaces/ada/my-page": "my_space", "models/ada/my-gpt2": "my_space/model"}.items():
        sent = {path.relative_to(home / folder).as_posix(): path.read_bytes() for path in files_of(home / folder)}
        assert server.files[repo].keys() == sent.keys() and server.files[repo] == sent
    assert b"sdk: gradio" in server.files["spaces/ada/my-page"]["README.md"]


def test_both_are_private_and_the_token_stands_in_no_file(published):
    _, server = published
    made = {each["name"]: each for each in server.created if "private" in each or "visibility" in each}
    assert made.keys() == {"my-page", "my-gpt2"}, server.created
    assert "Bearer hf_secret" in server.tokens
    assert all(b"hf_secret" not in content for files in server.files.values() for content in files.values())


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
