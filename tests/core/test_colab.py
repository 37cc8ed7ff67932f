"""The first cell on a machine made to look like Colab: an older torch, a clone, an index with what is missing."""

from __future__ import annotations

import ensurepip
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from wheels import make_wheel

from tools.repo.course_map import read_home
from tools.repo.notebooks import ROOT
from utils.session import NEEDED, pinned

PACKAGES = [name.replace("_", "-") for name in NEEDED]
LESSON = ROOT / "lessons" / "00_set_up_and_choose_a_size.ipynb"
# What IPython would do with the cell: its line that begins with ! goes to the shell.
RUN = """
import pathlib, subprocess, sys
def shell(line, names):
    return subprocess.run(line.format(**names), shell=True, check=True)
exec(compile(sys.stdin.read(), "first cell", "exec"))
print("now in", pathlib.Path.cwd().name)
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
    pip = [python / "bin" / "python", "-m", "pip", "install", "-q", "--no-index"]
    subprocess.run([*pip, *old.glob("*.whl")], check=True)
    return {"index": index, "content": content, "python": python / "bin" / "python", "place": place}


def first_cell() -> str:
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def run_first_cell(colab: dict, before: str = "", find_links: Path | None = None) -> subprocess.CompletedProcess:
    """Run lesson 00's first cell with /content in a folder of our own, GitHub and the index likewise."""
    source = first_cell().replace('"/content/', f'"{colab["content"]}/')
    source = re.sub(r"(?m)^(\s*)!(.*)$", r"\1shell(\2, globals())", source.replace("!git", "!'git"))
    source = re.sub(r"shell\((.*), globals\(\)\)", r"shell(\1', globals())", source)
    origin = colab["place"] / "origin"
    if not origin.exists():  # a repository with what the cell needs: utils, lessons, pins
        origin.mkdir()
        for name in ("utils", "requirements.txt", "lessons"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, origin / name)
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", origin]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
            subprocess.run([*git, *words], check=True)
    settings = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(find_links or colab["index"]),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{read_home().repository}",
        "PATH": os.environ["PATH"],
        "HOME": str(colab["place"]),
    }
    command = [colab["python"], "-c", RUN]
    return subprocess.run(
        command, input=before + source, env=settings, capture_output=True, text=True, cwd=colab["content"]
    )


def versions(colab: dict) -> dict[str, str]:
    done = subprocess.run([colab["python"], "-m", "pip", "list", "--format=json"], capture_output=True, text=True)
    return {found["name"]: found["version"] for found in json.loads(done.stdout)}


def test_missing_packages_come_and_torch_and_numpy_stay(colab):
    broken = colab["place"] / "nothing"
    broken.mkdir()
    done = run_first_cell(colab, find_links=broken)  # an index that has nothing: a sentence, and nothing changed
    assert done.returncode == 1 and "Run this cell again" in done.stderr and "omegaconf==" in done.stderr
    assert set(versions(colab)) == {"torch", "numpy", "google-colab", "pip"}
    done = run_first_cell(colab)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "now in lessons\n"
    there = versions(colab)
    assert there["torch"] == "2.5.1" and there["numpy"] == "1.26.4"
    assert all(f"{package}=={there[package]}" == pinned(package) for package in PACKAGES)
    assert run_first_cell(colab).stdout == "now in lessons\n"  # and again, with nothing left to do


def test_stale_modules_are_refused_with_what_to_do(colab):
    run_first_cell(colab)
    done = run_first_cell(colab, before="import torch\ntorch.__version__ = '2.4.0'\n")
    assert done.returncode == 1 and "torch changed on disk" in done.stderr and "Restart session" in done.stderr


def test_elsewhere_the_first_cell_does_nothing(tmp_path):
    source = re.sub(r"(?m)^(\s*)!.*$", r"\1raise SystemExit('cloned')", first_cell())
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_every_needed_package_is_pinned():
    assert all("==" in pinned(package) for package in PACKAGES)
