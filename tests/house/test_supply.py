"""What SECURITY.md and docs/privacy.md promise: a test behind each promise, hashes, commits, the list of parts."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from wheels import make_wheel

from tools.__main__ import main
from tools.classroom.exports import Marks, Person, write_canvas, write_moodle, write_plain
from tools.commands import teacher
from tools.repo import locks
from utils.files.passed import read_record, record, record_pass
from utils.files.places import ROOT
from utils.files.whole_files import sha256_of
from utils.run_log import log_chat
from utils.system_log import SystemLog

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISE = re.compile(r"(?m)^\| (?!promised|--)(.+?) \| (.+) \|$")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def names_in(file: str) -> set[str]:
    path = ROOT / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_promise_names_a_test_that_exists():
    promises = PROMISE.findall(SECURITY)
    assert len(promises) >= 20
    for promise, held_by in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", held_by)
        assert named, f"no test is named beside: {promise}"
        missing = [f"{file}::{name}" for file, name in named if name not in names_in(file)]
        assert missing == [], f"beside: {promise}"


def test_each_of_the_four_is_told_what_is_promised_and_what_is_not():
    parts = re.split(r"(?m)^### ", SECURITY)[1:]
    assert [part.partition("\n")[0] for part in parts] == [
        "The author of a file",
        "The neighbour on the Wi-Fi",
        "The pupil",
        "The package index",
    ]
    for part in parts:
        assert PROMISE.search(part) and re.search(r"(?m)^Not promised: \w", part), part.partition("\n")[0]


def test_who_reports_reads_how_when_and_for_which_versions():
    head = SECURITY.partition("## Threat model")[0]
    assert "Report a vulnerability" in head and "Supported versions" in head
    assert re.findall(r"(\d+) days", head) == ["7", "30", "90"]


# The package index


def test_the_lock_files_hold_the_pins_and_a_sha256_of_each():
    assert locks.all_problems() == [], "python course.py locks"
    assert sum(len(lines) for lines in locks.expected().values()) > 400


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The lock files in a folder where they may be damaged."""
    for lock in locks.FOLDER.glob("*.lock"):
        shutil.copy(lock, tmp_path)
    monkeypatch.setattr(locks, "FOLDER", tmp_path)
    return tmp_path


FIRST = locks.expected()["learn"][0]  # of the lock file, too
MORE = f"evil==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
DAMAGE = {
    "another version": (f"\n{FIRST}", f"\n{FIRST}.1", [f"lacks {FIRST}", f"{FIRST}.1"]),
    "a marker more": (f"\n{FIRST}", f"\n{FIRST} ; sys_platform == 'darwin'", [FIRST, "darwin"]),
    "one package more": (f"\n{FIRST}", f"\n{MORE}{FIRST}", ["evil==1.0"]),
    "a hash that is none": ("sha256:", "md5:", [f"SHA-256 of {locks.name_of(FIRST)}"]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_lock_file_that_says_something_else_is_told_by_the_package(copied, damage):
    old, new, named = DAMAGE[damage]
    lock = copied / "learn.lock"
    text = lock.read_text(encoding="utf-8")
    assert old in text
    lock.write_text(text.replace(old, new), encoding="utf-8")
    found = "\n".join(locks.all_problems())
    assert "learn.lock" in found and all(name in found for name in named), found
    assert main(["locks", "--check"]) == 1


def simple_index(folder: Path, wheels: dict[str, Path]) -> str:
    """Write pages as a package index has them, with the SHA-256 of each file; return their address."""
    for name, wheel in wheels.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        link = f'<a href="{wheel.as_uri()}#sha256={sha256_of(wheel)}">{wheel.name}</a>'
        (folder / name / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>", encoding="utf-8")
    return folder.as_uri()


@pytest.mark.skipif(not find_spec("uv"), reason="uv comes with requirements/dev.txt")
def test_hashes_are_those_of_the_files_and_asked_for_again_only_where_pins_change(tmp_path, monkeypatch):
    """A tiny project against an index of tiny wheels, by the real uv."""
    needs = {"torch": ("cuda-library==1.0 ; sys_platform == 'linux'", "extra==1.0")}
    names = ("extra", "setuptools", "torch", "uv", "cuda-library")
    wheels = {name: make_wheel(tmp_path, name, "1.0", {}, needs.get(name, ())) for name in names}
    pins = {"learn": "extra==1.0\nsetuptools==1.0\ntorch==1.0\n", "teach": "", "dev": "uv==1.0\n"}
    for name, text in pins.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    monkeypatch.setattr(locks, "PINS", {name: tmp_path / f"{name}.txt" for name in pins})
    monkeypatch.setattr(locks, "FOLDER", tmp_path)
    monkeypatch.setenv("UV_DEFAULT_INDEX", simple_index(tmp_path / "simple", wheels))
    (tmp_path / "torch-cpu.lock").write_text(f"torch==1.0+cpu \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    assert set(locks.write_locks()) == {"learn", "dev", "installer", "build", "torch"}
    assert locks.all_problems() == [] == locks.write_locks()
    held = {"learn": ["extra", "setuptools"], "torch": ["torch", "cuda-library"], "dev": ["uv"], "installer": ["uv"]}
    for name, packages in held.items():
        text = (tmp_path / f"{name}.lock").read_text(encoding="utf-8")
        assert sorted(re.findall(r"sha256:(\w+)", text)) == sorted(sha256_of(wheels[each]) for each in packages), name
    simple_index(tmp_path / "simple", {"extra": make_wheel(tmp_path, "extra", "2.0", {})})
    (tmp_path / "learn.txt").write_text(pins["learn"].replace("extra==1.0", "extra==2.0"), encoding="utf-8")
    assert locks.write_locks() == ["learn"]


def test_torch_for_processors_is_asked_for_at_an_index_that_is_named(copied, monkeypatch, capsys):
    (copied / "torch-cpu.lock").unlink()
    monkeypatch.delenv(locks.CPU_INDEX, raising=False)
    assert main(["locks"]) == 1
    assert f"set {locks.CPU_INDEX}" in capsys.readouterr().err


def test_torch_for_processors_has_a_hash_for_each_python_on_both_kinds_of_linux():
    text = (locks.FOLDER / "torch-cpu.lock").read_text(encoding="utf-8")
    assert len(set(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", text))) >= 6


@pytest.mark.skipif(not find_spec("cyclonedx_py"), reason="cyclonedx-bom comes with requirements/dev.txt")
def test_the_list_of_parts_names_every_pin_with_its_hashes(tmp_path):
    assert main(["sbom", "--out", str(tmp_path / "made" / "parts.json")]) == 0
    bom = json.loads((tmp_path / "made" / "parts.json").read_text(encoding="utf-8"))
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["name"] == "hands-on-gpt2"
    parts = {(part["name"], part["version"]): part for part in bom["components"]}
    pinned = [line for name in ("learn", "installer", "torch") for line in locks.expected()[name]]
    for line in pinned:
        name, version = re.split("=+", line.partition(" ")[0])
        hashes = [entry for place in parts[name, version]["externalReferences"] for entry in place["hashes"]]
        assert hashes and {entry["alg"] for entry in hashes} == {"SHA-256"}, line
    assert len(parts) >= len(pinned)


PROPOSE = {"contents": "write", "pull-requests": "write"}  # a branch, and an offer to take it
PUBLISH = {"pages": "write", "id-token": "write"}  # what GitHub Pages asks for
MAY_WRITE = {("fork", "links"): PROPOSE, ("record", "propose"): PROPOSE, ("site", "deploy"): PUBLISH}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_may_only_read(path):
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40}", action), f"{action} can be moved: pin its commit"
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), f"{action}: which version is that?"
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions") == MAY_WRITE.get((path.stem, name))
        checkout = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkout)


def test_the_token_that_may_write_is_shown_to_no_step_that_installs():
    for (name, job), rights in MAY_WRITE.items():
        text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
        found = yaml.safe_load(text)["jobs"][job]
        assert found["permissions"] == rights and "token" not in str(found.get("env"))
        shown = [step for step in found["steps"] if "token" in str(step.get("env", ""))]
        if rights is PUBLISH:
            assert not any("run" in step for step in found["steps"]), "it hands over what another job has built"
        else:
            assert shown and not any(word in step["run"] for step in shown for word in ("pip", "python", "course.py "))


def test_all_workflows_use_one_commit_of_an_action():
    found = {use for path in WORKFLOWS for use in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))}
    assert len(found) == len({use.partition("@")[0] for use in found})


def test_every_week_all_pins_are_looked_up_among_known_vulnerabilities():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8"))["jobs"]
    lines = [step["run"] for step in jobs["vulnerabilities"]["steps"] if "pip_audit" in step.get("run", "")]
    looked_up = {word for line in lines for word in line.split() if word.endswith(".txt")}
    teach, dev = (
        {line.partition(" ")[0] for line in locks.pinned((ROOT / "requirements" / name).read_text(encoding="utf-8"))}
        for name in ("teach.txt", "dev.txt")
    )
    assert teach <= dev, "what a teacher runs is looked up with what a developer runs"
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "requirements").glob("*.txt")}
    assert looked_up | {"requirements/teach.txt"} == files | {"requirements.txt"}


# What is kept about people


@pytest.fixture
def school(tmp_path, monkeypatch):
    """A folder in which a class has worked: logs of all kinds, marks, and files that are nobody's business."""
    monkeypatch.chdir(tmp_path)
    log_chat("talk.csv", "I am Ada Lovelace", "Once upon a time")
    (tmp_path / "run").mkdir()
    with SystemLog(tmp_path / "run" / "system_log.csv", every=60):
        pass
    (tmp_path / "grades").mkdir()
    (tmp_path / "progress").mkdir()
    for name, text in {
        "grades/grades.csv": "\ufeffLearner,Exercise,Points\nAda,02,7\n",
        "grades/gradebook.csv": "\ufeffLearner,02\nAda,70\n",
        "grades/labs.csv": "\ufeffLearner,Id,Number,Lab\nAda,x1,,01\n",
        "grades/Ada.md": "# Ada\n",
        "grades/Ada_1f3a.html": "<h1>Ada</h1>\n",
        "notes.md": "# mine\n",
        "page.html": "<h1>mine</h1>\n",
        "progress/notes.json": '{"mine": 1}\n',
        "steps.csv": "step,loss\n1,2.5\n",
        "empty.csv": "",
        "picture.csv": "\x00\xff",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def files(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


MARKS = {f"grades/{name}" for name in ("grades.csv", "gradebook.csv", "labs.csv", "Ada.md", "Ada_1f3a.html")}
KEPT_AT_HOME = (teacher.class_grade, teacher.class_labs, teacher.class_key, teacher.class_slides)
PERSONAL = {"talk.csv", "run/system_log.csv", *MARKS}


def test_what_is_kept_about_people_is_listed_and_deleted_only_when_asked(school, capsys):
    before = files(school)
    assert main(["forget"]) == 0
    listed = capsys.readouterr().out
    assert files(school) == before
    assert {line.partition(":")[0].replace(os.sep, "/") for line in listed.splitlines()[:-1]} == PERSONAL
    assert main(["forget", "--delete"]) == 0
    assert files(school) == before - PERSONAL


@pytest.mark.parametrize("command", KEPT_AT_HOME, ids=lambda command: command.__name__)
def test_what_a_teacher_makes_in_the_courses_folder_is_never_committed(command):
    place = inspect.signature(command).parameters["out"].default
    known = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{place}" in known or f"/{place}/" in known


def test_what_is_younger_than_some_days_stays(school):
    month = time.time() - 31 * 86_400
    os.utime(school / "talk.csv", (month, month))
    before = files(school)
    assert main(["forget", ".", "--days", "30", "--delete"]) == 0
    assert files(school) == before - {"talk.csv"}


def test_what_a_learner_has_passed_is_forgotten_too(school, monkeypatch, capsys):
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    exercises, before = school / "exercises", files(school)
    record_pass(exercises, "03_build_attention", "q1")
    record(exercises, "capstone", done=[1, 2], files="0a1b")
    made = files(school) - before
    assert len(made) == 2
    assert main(["forget", "--delete"]) == 0
    assert sum("passed" in line for line in capsys.readouterr().out.splitlines()) == 2
    assert files(school) == before - PERSONAL, "a JSON file of another kind stays, in a folder of that name, too"
    assert read_record(exercises, "03_build_attention") == {}


def test_what_class_export_writes_is_forgotten_too(school):
    before = files(school)
    marks = [
        Marks("Ada", "7", Person("7", "ada"), {"03": {"Percent": "70", "File": "ada_7_11_03.ipynb", "Id": "1f3a"}})
    ]
    write_plain(marks, school / "out")
    write_canvas(marks, school / "grades", school / "out")
    write_moodle(marks, school / "grades", school / "out")
    assert len(files(school) - before) == 5
    assert main(["forget", "--delete"]) == 0
    assert files(school) == before - PERSONAL


def test_a_folder_that_is_none_is_named(school, capsys):
    assert main(["forget", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="links are for administrators on Windows")
def test_what_lies_behind_a_link_is_not_deleted(school, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    log_chat(elsewhere / "chat_log.csv", "private", "yes")
    (school / "link").symlink_to(elsewhere)
    (school / "link.csv").symlink_to(elsewhere / "chat_log.csv")
    assert main(["forget", "--delete"]) == 0
    assert (elsewhere / "chat_log.csv").exists()


def test_every_log_that_the_privacy_page_names_is_one_that_forget_knows():
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+\.csv)`", page))
    marks = {"grades.csv", "gradebook.csv", "labs.csv"}
    assert named == {"chat_log.csv", "system_log.csv", "training_log.csv", *marks}
