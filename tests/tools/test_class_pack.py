"""The class pack: made from an index, installed and started where there is none, damaged files refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from wheels import BACKEND, COMMANDS, PYPROJECT, make_wheel

from tools.classroom import class_pack
from tools.classroom.class_pack import banner, copy_course, make_pack, pack_problems, read_pack, serve_pack
from tools.classroom.pack_start import entries, fingerprint
from tools.repo.notebooks import ROOT
from utils.errors import CourseError
from utils.files.whole_files import sha256_of

pytestmark = [
    pytest.mark.skipif(not shutil.which("git"), reason="a pack is made from a clone, with git"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:myst_parser"),
]

CPU = f"{version('torch').partition('+')[0]}+cpu"


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
        course / "requirements",
        index,
    ):
        folder.mkdir(parents=True)
    files = {
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "utils/__init__.py": "",
        "tools/__main__.py": COMMANDS,
        "requirements/build.lock": "",
        "exercises/solutions/01.ipynb": "secret",
        "labs/solutions/06.py": "secret",
        ".gitignore": "ignored.txt\n",
        "ignored.txt": "not for learners",
        "a name with spaces, ü.txt": "hello",
    }
    wheels = {
        "learn": make_wheel(index, "extra", "1.0", {"extra.py": ""}),
        "torch-cpu": make_wheel(index, "torch", CPU, {"torch.py": "BUILD = 'from the pack'"}),
        "torch": make_wheel(index, "torch", CPU.partition("+")[0], {"torch.py": "BUILD = 'from the pack'"}),
        "installer": make_wheel(index, "uv", "0.1", {"uv.py": "raise SystemExit('this uv does not run here')"}),
    }
    for lock, wheel in wheels.items():
        name, number = wheel.name.split("-")[:2]
        files[f"requirements/{lock}.lock"] = f"{name}==={number} --hash=sha256:{sha256_of(wheel)}\n"
    for name, text in files.items():
        (course / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "course.py", course)
    subprocess.run(["git", "init", "-q"], cwd=course, check=True)
    patch = pytest.MonkeyPatch()
    patch.setattr(class_pack, "ROOT", course)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", index.as_uri())
    make_pack(place / "stick", show=lambda text: None)
    patch.undo()
    return place / "stick"


def start(pack: Path, home: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess:
    """Run start.py on a laptop that reaches no index, as a learner does."""
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "HOME": str(home)}
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "VIRTUAL"))}
    command = [sys.executable, str(pack / "start.py"), *words, "--to", str(home / "course"), "--no-lab"]
    env = {**settings, **nowhere}
    return subprocess.run(command, env=env, input=typed, capture_output=True, encoding="utf-8", cwd=home)


@contextmanager
def served(pack: Path) -> Iterator[str]:
    """Serve a pack as the teacher's machine does, and give its address."""
    with serve_pack(pack, port=0, host="127.0.0.1") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


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


def test_a_laptop_fetches_the_pack_whose_fingerprint_the_teacher_reads_aloud(pack, tmp_path):
    shutil.copy(pack / "start.py", tmp_path)
    number = read_pack(pack)[0]
    with served(pack) as address:
        done = start(tmp_path, tmp_path, address, "--pack", number)
        again = start(tmp_path, tmp_path, address, typed=f"{number.upper().replace('-', ' ')}\n")  # it asks
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch from the pack" in done.stdout
    assert (tmp_path / "course" / "a name with spaces, ü.txt").read_text(encoding="utf-8") == "hello"
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize("words", [["--pack", "0000-0000"], ["--pack", "7f3"], []])
def test_whoever_answers_in_the_teachers_place_is_refused(pack, tmp_path, words):
    """A neighbour serves another pack at the teacher's address: nothing of it reaches the laptop."""
    shutil.copy(pack / "start.py", tmp_path)
    with served(pack) as address:
        refused = start(tmp_path, tmp_path, address, *words)
    assert refused.returncode == 1 and not (tmp_path / "course").exists()
    assert "".join(words[1:]) in refused.stderr and "teacher" in refused.stderr
    assert read_pack(pack)[0] not in refused.stdout + refused.stderr  # or it would be typed from there


def test_a_fingerprint_is_scrypt_of_the_sha256_and_shown_in_large(pack):
    manifest = (pack / "PACK.json").read_bytes()
    secret = hashlib.scrypt(
        hashlib.sha256(manifest).digest(), salt=b"class pack", n=131072, r=8, p=1, maxmem=2**28, dklen=4
    )
    assert fingerprint(manifest).replace("-", "") == secret.hex()
    assert " ".join(read_pack(pack)[0]) in banner(pack)
    assert fingerprint(manifest + b" ") != fingerprint(manifest)


OUTSIDE = [
    "../escaped.txt",
    "/absolute.txt",
    "C:/windows.txt",
    "course/../../escaped.txt",
    "course\\..\\..\\escaped.txt",
]
ODD = ["course//x.txt", "course/x.txt:stream", "course/x\0.txt", "other/x.txt", "course", ".", "", "course/.. /x.txt"]


SIZES = [{"bytes": -1}, {"bytes": True}, {"bytes": "5"}, {"bytes": 2**40}, {"sha256": "../x"}, {"sha256": 7}]
WHOLE = {"bytes": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}


@pytest.mark.parametrize(
    ("name", "entry"), [(name, {}) for name in [*OUTSIDE, *ODD]] + [("start.py", e) for e in SIZES]
)
def test_names_that_lead_out_of_the_pack_and_sizes_that_are_none_are_refused(name, entry):
    with pytest.raises(SystemExit, match=r"PACK\.json") as refused:
        entries(json.dumps({"files": {name: WHOLE | entry}}).encode())
    assert entry or repr(name) in str(refused.value)


@pytest.mark.parametrize(("name", "entry"), [(OUTSIDE[0], {}), (OUTSIDE[1], {}), ("start.py", SIZES[0])])
def test_that_is_refused_before_anything_is_written(pack, tmp_path, name, entry):
    stick = broken_pack(pack, tmp_path, {name: WHOLE | entry})
    done = start(stick, tmp_path)
    assert done.returncode == 1 and repr(name) in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["stick"]
    with pytest.raises(CourseError) as error:
        list(pack_problems(stick))
    assert repr(name) in str(error.value)


def broken_pack(pack: Path, place: Path, files: dict) -> Path:
    """Return a pack whose PACK.json says something else."""
    (place / "stick").mkdir()
    shutil.copy(pack / "start.py", place / "stick")
    (place / "stick" / "PACK.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    return place / "stick"


def test_a_file_that_is_longer_than_announced_is_not_read_to_its_end(pack, tmp_path):
    stick = broken_pack(pack, tmp_path, {"course/x.txt": WHOLE})
    (stick / "course").mkdir()
    with (stick / "course" / "x.txt").open("wb") as file:
        file.truncate(1 << 40)  # a hole: no disk holds it, and nobody has the time to read it
    done = start(stick, tmp_path)
    assert done.returncode == 1 and "course/x.txt is damaged" in done.stderr
    assert list((tmp_path / "course").rglob("*.*")) == []


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators on Windows")
def test_links_in_a_pack_and_on_the_laptop_are_not_followed(pack, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hello", encoding="utf-8")
    stick = broken_pack(pack, tmp_path, {"course/sub/x.txt": WHOLE})
    (stick / "course" / "sub").mkdir(parents=True)
    (stick / "course" / "sub" / "x.txt").symlink_to(secret)
    done = start(stick, tmp_path)
    assert done.returncode == 1 and "course/sub/x.txt is a link" in done.stderr
    (stick / "course" / "sub" / "x.txt").unlink()
    shutil.copy(secret, stick / "course" / "sub" / "x.txt")
    shutil.rmtree(tmp_path / "course", ignore_errors=True)
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "course.py").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "course" / "sub").symlink_to(tmp_path / "elsewhere")
    done = start(stick, tmp_path)
    assert done.returncode == 1 and str(tmp_path / "course" / "sub") in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pack_of_packages_with_another_sha256_is_not_made(pack, tmp_path, monkeypatch):
    course = pack.parent / "clone"
    shutil.copytree(course, tmp_path / "clone")
    lock = tmp_path / "clone" / "requirements" / "learn.lock"
    lock.write_text("extra==1.0 --hash=sha256:" + "0" * 64, encoding="utf-8")
    monkeypatch.setattr(class_pack, "ROOT", tmp_path / "clone")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", (pack.parent / "index").as_uri())
    with pytest.raises(CourseError) as error:
        make_pack(tmp_path / "stick", show=lambda text: None)
    assert "extra" in str(error.value) and "0" * 64 in str(error.value)


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
    (tmp_path / "file").touch()
    with pytest.raises(CourseError) as error:
        make_pack(tmp_path / "file" / "stick")
    assert str(tmp_path / "file" / "stick") in str(error.value)


def test_the_address_of_a_class_opens_a_page_that_says_what_to_copy(pack):
    server = serve_pack(pack, 0, "127.0.0.1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/", timeout=30) as answer:
            page = answer.read().decode("utf-8")
    finally:
        server.shutdown()
    assert page.count("start.py ADDRESS") == 3 and "location.origin" in page
    assert fingerprint((pack / "PACK.json").read_bytes()) not in page, "only the teacher's voice tells it"
    assert "index.html" not in entries((pack / "PACK.json").read_bytes()), "no laptop needs the page"


def test_the_lab_with_solutions_runs_from_a_packs_copy_which_has_none(tmp_path):
    copy_course(course := tmp_path / "course")
    assert not (course / "labs" / "solutions").exists() and not (course / "exercises" / "solutions").exists()
    command = [sys.executable, "-m", "tools.repo.notebooks", "--no-store", "labs/06_find_the_bugs.ipynb"]
    settings = {**os.environ, "PYTHONPATH": str(course)}
    done = subprocess.run(command, cwd=course, env=settings, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
