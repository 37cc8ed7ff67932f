"""The class pack: made from an index, installed and started where there is none, damaged files refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
from wheels import BACKEND, COMMANDS, PYPROJECT, make_wheel

from tools.classroom import class_pack
from tools.classroom.class_pack import make_pack, pack_problems, serve_pack
from tools.repo.notebooks import ROOT
from utils.errors import CourseError

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="a pack is made from a clone, with git")


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """A pack of a tiny course, made with an index of tiny wheels."""
    place = tmp_path_factory.mktemp("school")
    course, index = place / "clone", place / "index"
    for folder in (
        course / "utils",
        course / "tools",
        course / "exercises" / "solutions",
        course / "labs" / "solutions",
        index,
    ):
        folder.mkdir(parents=True)
    files = {
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "utils/__init__.py": "",
        "tools/__main__.py": COMMANDS,
        "requirements.txt": f"extra==1.0\ntorch=={version('torch').partition('+')[0]}\n",
        "exercises/solutions/01.ipynb": "secret",
        "labs/solutions/06.py": "secret",
        ".gitignore": "ignored.txt\n",
        "ignored.txt": "not for learners",
        "a name with spaces, ü.txt": "hello",
    }
    for name, text in files.items():
        (course / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "course.py", course)
    subprocess.run(["git", "init", "-q"], cwd=course, check=True)
    make_wheel(index, "extra", "1.0", {"extra.py": ""})
    make_wheel(index, "torch", version("torch"), {"torch.py": "BUILD = 'from the pack'"})
    make_wheel(index, "pip", "99.0", {"pip.py": ""})
    if uv := class_pack.installed_uv():
        make_wheel(index, *uv[0].split("=="), {"uv.py": "raise SystemExit('this uv does not run here')"})
    patch = pytest.MonkeyPatch()
    patch.setattr(class_pack, "ROOT", course)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", index.as_uri())
    make_pack(place / "stick", show=lambda text: None)
    patch.undo()
    return place / "stick"


def start(pack: Path, home: Path, *words: str) -> subprocess.CompletedProcess:
    """Run start.py on a laptop that reaches no index, as a learner does."""
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "HOME": str(home)}
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "VIRTUAL"))}
    command = [sys.executable, str(pack / "start.py"), *words, "--to", str(home / "course"), "--no-lab"]
    return subprocess.run(command, env={**settings, **nowhere}, capture_output=True, text=True, cwd=home)


def test_a_pack_holds_the_course_its_packages_and_no_solutions(pack):
    names = set(json.loads((pack / "PACK.json").read_text(encoding="utf-8"))["files"])
    assert {
        "start.py",
        "course/course.py",
        "course/a name with spaces, ü.txt",
        "wheels/extra-1.0-py3-none-any.whl",
    } <= names
    assert not any("solutions" in name or "ignored" in name for name in names)
    assert list(pack_problems(pack)) == []


def test_a_laptop_without_an_index_installs_and_starts_from_the_stick(pack, tmp_path):
    done = start(pack, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch from the pack" in done.stdout and str(tmp_path / "course" / ".venv") in done.stdout
    before = (tmp_path / "course" / ".venv" / "ready").stat().st_mtime_ns
    again = start(pack, tmp_path)  # nothing is copied or installed twice
    assert again.returncode == 0 and "Setting up" not in again.stdout
    assert (tmp_path / "course" / ".venv" / "ready").stat().st_mtime_ns == before


def test_a_laptop_fetches_the_pack_from_the_teachers_machine(pack, tmp_path):
    with serve_pack(pack, port=0, host="127.0.0.1") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        (tmp_path / "start.py").write_bytes((pack / "start.py").read_bytes())
        done = start(tmp_path, tmp_path, address)
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch from the pack" in done.stdout
    assert (tmp_path / "course" / "a name with spaces, ü.txt").read_text(encoding="utf-8") == "hello"


@pytest.mark.parametrize("name", ["course/course.py", "wheels/extra-1.0-py3-none-any.whl"])
def test_a_damaged_file_is_named_and_nothing_is_installed(pack, tmp_path, name):
    copy = tmp_path / "stick"
    shutil.copytree(pack, copy)
    data = bytearray((copy / name).read_bytes())
    data[5] ^= 1
    (copy / name).write_bytes(data)
    assert list(pack_problems(copy)) == [f"{name} is missing or damaged"]
    done = start(copy, tmp_path)
    assert done.returncode == 1 and f"{name} is " in done.stderr and "Make the pack again" in done.stderr
    assert not (tmp_path / "course" / ".venv").exists()


def test_what_is_no_pack_and_a_folder_in_use_end_in_a_sentence(pack, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "is no class pack" in start(pack, tmp_path, str(tmp_path / "empty")).stderr
    assert "does not answer" in start(pack, tmp_path, "http://127.0.0.1:9").stderr
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "thesis.txt").write_text("mine", encoding="utf-8")
    assert "holds something else" in start(pack, tmp_path).stderr
    with pytest.raises(CourseError, match="holds something else than a class pack"):
        make_pack(tmp_path / "course")
    with pytest.raises(CourseError, match="is no class pack"):
        list(pack_problems(tmp_path / "empty"))
