"""Notebooks on a machine made to look like Colab: an older torch, a clone, an index with what is missing; its disk.

Cells are run by IPython, which sends the line that begins with ! to the shell.
"""

from __future__ import annotations

import ensurepip
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import types
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from packaging.requirements import Requirement
from wheels import make_wheel

from tools.repo.course_map import read_home
from tools.repo.notebook_rules import FORM
from tools.repo.notebooks import ROOT
from utils.batches import Batches
from utils.config import GPT2Config
from utils.files import colab as on_colab
from utils.files.colab import NEEDED, lasting, pinned, say_what_is_lost
from utils.model import GPT2
from utils.training import TrainConfig, TrainingData, train

PACKAGES = [name.replace("_", "-") for name in NEEDED]
LESSON = ROOT / "lessons" / "00_set_up_and_choose_a_size.ipynb"
SECOND = ROOT / "lessons" / "03_build_the_whole_network.ipynb"
# A kernel that has imported google.colab, as Colab's has, and runs one cell after the other until one fails.
RUN = """
import json, sys, types
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
sys.modules["google.colab"] = types.ModuleType("google.colab")
shell = InteractiveShell.instance(history_length=0)
fine = all(shell.run_cell(cell).success for cell in json.load(sys.stdin))
print("now in", Path.cwd().name)
sys.exit(not fine)
"""


def make_module(folder: Path, package: str, version: str, module: str, requires: tuple[str, ...] = ()) -> None:
    """Write a wheel of one module that knows its version."""
    make_wheel(folder, package, version, {f"{module}/__init__.py": f"__version__ = {version!r}\n"}, requires)


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """A Python with Colab's marker and an older torch, an index with everything newer, a clone's origin."""
    if os.name == "nt" or not shutil.which("git"):
        pytest.skip("Colab is a Linux machine with git")
    place = tmp_path_factory.mktemp("colab")
    index, content, python = place / "index", place / "content", place / "python"
    index.mkdir()
    content.mkdir()
    venv.create(python)
    wheels = Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or Path(ensurepip.__file__).parent / "_bundled")
    site = sysconfig.get_path("purelib", "venv", {"base": str(python)})
    ZipFile(next(wheels.glob("pip-*.whl"))).extractall(site)  # what `with_pip` does, in a second instead of ten
    for package, module in zip(PACKAGES, NEEDED, strict=True):
        make_module(index, package, pinned(package).partition("==")[2], module, ("torch>=2", "numpy"))
    make_module(index, "torch", "99.0", "torch")
    make_module(index, "numpy", "99.0", "numpy")
    old = place / "old"
    old.mkdir()
    make_module(old, "torch", "2.5.1", "torch")
    make_module(old, "numpy", "1.26.4", "numpy")
    make_module(old, "google-colab", "1.0.0", "google/colab")
    make_ipython(place / "ipython")
    pip = [python / "bin" / "python", "-m", "pip", "install", "-q", "--no-index"]
    subprocess.run([*pip, *old.glob("*.whl")], check=True)
    return {"index": index, "content": content, "python": python / "bin" / "python", "place": place}


def make_ipython(folder: Path) -> None:
    """Let another Python use this one's IPython: links to it and to what it needs, which is Python only."""
    folder.mkdir()
    waiting, seen = ["ipython"], {"psutil"}  # which the course must find missing
    while waiting:
        if (name := waiting.pop()) in seen:
            continue
        seen.add(name)
        needs = map(Requirement, distribution(name).requires or [])
        waiting += [need.name for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
        for top in {file.parts[0] for file in distribution(name).files or [] if file.suffix == ".py"} - {".."}:
            (folder / top).symlink_to(distribution(name).locate_file(top))


def code_cells(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A repository with what the first cells need."""
    origin = tmp_path_factory.mktemp("origin")
    for name in ("utils", "tools", "requirements.txt", "lessons"):
        ignored = shutil.ignore_patterns("__pycache__")
        place = origin / name
        shutil.copytree(ROOT / name, place, ignore=ignored) if "." not in name else shutil.copy(ROOT / name, place)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", origin]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    return origin


def run_cells(cells: list[str], python: Path, content: Path, origin: Path, **more: str) -> subprocess.CompletedProcess:
    """Run cells with /content in a folder of our own, and with GitHub and HOME likewise."""
    settings = {
        "PIP_NO_INDEX": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{read_home().repository}",
        "PATH": os.environ["PATH"],
        "HOME": str(content.parent),
        "COURSE_DEVICE": "cpu",
    }
    source = json.dumps([cell.replace("/content", str(content)) for cell in cells])
    how = dict(env=settings | more, capture_output=True, encoding="utf-8", cwd=content)
    return subprocess.run([python, "-c", RUN], input=source, **how)


@pytest.fixture
def first_cell(colab, origin):
    """Run lesson 00's first cell, after something else perhaps, with an index to install from."""

    def run(before: str = "", index: Path = colab["index"]) -> subprocess.CompletedProcess:
        cells = [before, code_cells(LESSON)[0]]
        more = {"PIP_FIND_LINKS": str(index), "PYTHONPATH": str(colab["place"] / "ipython")}
        return run_cells(cells, colab["python"], colab["content"], origin, **more)

    return run


def versions(colab: dict) -> dict[str, str]:
    done = subprocess.run([colab["python"], "-m", "pip", "list", "--format=json"], capture_output=True, text=True)
    return {found["name"]: found["version"] for found in json.loads(done.stdout)}


def test_missing_packages_come_and_torch_and_numpy_stay(colab, first_cell):
    broken = colab["place"] / "nothing"
    broken.mkdir()
    done = first_cell(index=broken)  # an index that has nothing: a sentence, and nothing changed
    assert done.returncode == 1 and "Run this cell again" in done.stdout and "omegaconf==" in done.stdout
    assert set(versions(colab)) == {"torch", "numpy", "google-colab", "pip"}
    done = first_cell()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "now in lessons\n"
    there = versions(colab)
    assert there["torch"] == "2.5.1" and there["numpy"] == "1.26.4"
    assert all(f"{package}=={there[package]}" == pinned(package) for package in PACKAGES)
    assert first_cell().stdout == "now in lessons\n"  # and again, with nothing left to do


def test_stale_modules_are_refused_with_what_to_do(first_cell):
    first_cell()
    done = first_cell(before="import torch\ntorch.__version__ = '2.4.0'\n")
    assert done.returncode == 1 and "torch changed on disk" in done.stdout and "Restart session" in done.stdout


def test_elsewhere_the_first_cell_does_nothing(tmp_path):
    lines = code_cells(LESSON)[0].splitlines()
    assert sum(line.startswith("    !") for line in lines) == 1
    source = "\n".join("    raise SystemExit('cloned')" if line.startswith("    !") else line for line in lines)
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_every_needed_package_is_pinned():
    assert all("==" in pinned(package) for package in PACKAGES)


# The dial: every notebook is another machine


@pytest.fixture
def opened(tmp_path_factory, origin):
    """Open a notebook on a machine of its own, choose in its form, and run what opens it; return what that says."""

    def open_notebook(path: Path, chosen: str, then: str = "") -> str:
        content = tmp_path_factory.mktemp("machine") / "content"
        content.mkdir()
        first, second = code_cells(path)[:2]
        form = FORM.replace('"as chosen"', f'"{chosen}"', 1)  # what Colab writes into the cell
        cells = [first, second.replace(FORM, form), then]
        done = run_cells(cells, Path(sys.executable), content, origin)
        assert done.returncode == 0 and (content / read_home().repository.partition("/")[2]).is_dir(), done.stdout
        return done.stdout

    return open_notebook


def test_the_field_chooses_for_its_notebook_and_another_machine_knows_nothing_of_it(opened):
    turned = "from utils.session import remember_size\nassert remember_size('large')\nstart(seed=0)"
    said = opened(LESSON, "small", turned)
    assert said.startswith("small on cpu") and "this cell" in said and "large on cpu, float32 (remembered" in said
    assert opened(SECOND, "as chosen") == "nano on cpu, float32\nnow in lessons\n"
    assert opened(SECOND, "medium").startswith("medium on cpu, float32 (")


# The disk, which is lost with the session


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A process started from Colab's notebook, with the place where Drive would be mounted."""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setattr(on_colab, "DRIVE", tmp_path / "drive")
    monkeypatch.chdir(tmp_path)
    on_colab._say_once.cache_clear()
    yield tmp_path
    on_colab._say_once.cache_clear()


def train_into(folder: str) -> None:
    model, text = GPT2(GPT2Config(1, 2, 16, 50, 16)), torch.arange(200) % 50
    train(model, TrainingData(Batches(text, 2, 16)), TrainConfig(out=folder, max_steps=1, context=16, dtype="float32"))


def test_a_run_on_colabs_disk_says_once_what_is_lost_and_how_to_mount_drive(session, capsys):
    train_into("runs/first")
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"drive.mount('{session / 'drive'}')" in said and "out=" in said
    train_into("runs/second")
    assert capsys.readouterr().out == ""


def test_a_run_on_drive_is_kept_and_one_beside_it_is_told_where_drive_is(session, capsys):
    (session / "drive" / "MyDrive").mkdir(parents=True)
    train_into("drive/MyDrive/run")
    assert capsys.readouterr().out == ""
    train_into("run")
    said = capsys.readouterr().out
    assert str(session / "drive" / "MyDrive") in said and "mount(" not in said


def test_elsewhere_nothing_is_said_of_a_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    say_what_is_lost(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_lasting_folder_lies_on_drive_on_colab_and_where_it_was_elsewhere(session, monkeypatch):
    (session / "drive").mkdir()
    assert lasting("runs/first") == session / "drive" / "MyDrive" / "hands-on-gpt2" / "first"
    monkeypatch.delenv("COLAB_RELEASE_TAG")
    assert lasting("runs/first") == Path("runs/first")


def test_who_does_not_mount_drive_goes_on_with_colabs_disk(session, monkeypatch, capsys):
    drive, colab = types.ModuleType("google.colab.drive"), types.ModuleType("google.colab")

    def refuse(place: str) -> None:
        raise ValueError("mount failed")

    drive.mount, colab.drive = refuse, drive
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert lasting("runs/first") == Path("runs/first")
    assert "not mounted" in capsys.readouterr().out
