"""Badges, Colab's first cell and the README's map all follow one setting."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from nbformat import from_dict

from tools.repo import course_map
from tools.repo.course_map import Home, linked, opening_of, problems, read_home, write_home
from tools.repo.marks import put_between
from tools.repo.notebooks import ROOT, find_notebooks, normalise, read_notebook
from utils.errors import CourseError

FORK = Home("ada/gpt2-course", "spring-2027")
NOTEBOOKS = [path.relative_to(ROOT).as_posix() for path in find_notebooks()]


def test_every_badge_first_cell_and_the_map_are_what_the_setting_says():
    assert list(problems(read_home())) == []


def test_on_a_fork_everything_is_stale_until_it_is_rewritten():
    found = list(problems(FORK))
    assert len(found) == len(NOTEBOOKS) + 1
    assert any("README.md" in sentence for sentence in found)


def test_a_rewritten_notebook_opens_the_fork_and_changes_nothing_else():
    for name in NOTEBOOKS:
        path = ROOT / name
        before = read_notebook(path)
        after = linked(copy.deepcopy(before), path, FORK)
        changed = [new.source for old, new in zip(before.cells, after.cells, strict=True) if old.source != new.source]
        assert len(changed) == 2, name
        assert f"https://colab.research.google.com/github/ada/gpt2-course/blob/spring-2027/{name})" in changed[0]
        assert "-b spring-2027 https://github.com/ada/gpt2-course\n" in changed[1]
        assert "/content/gpt2-course/tools/on_colab.py" in changed[1]
        assert f'("{path.parent.relative_to(ROOT).as_posix()}")' in changed[1]
        assert read_home().repository not in "".join(changed)


def test_the_first_code_cell_is_short_and_folded():
    notebook = read_notebook(ROOT / NOTEBOOKS[0])
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    title, *code = filter(None, cell.source.splitlines())
    assert title.startswith("# @title ") and len(code) <= 5
    assert cell.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}}
    assert normalise(copy.deepcopy(notebook)).cells == notebook.cells, "running it would unfold it"
    cell.metadata = from_dict({})
    assert str(linked(copy.deepcopy(notebook), ROOT / NOTEBOOKS[0], read_home())) != str(notebook)


def test_openings_tell_title_aims_minutes_and_hardware_and_their_badges_are_our_own():
    for path in (ROOT / name for name in NOTEBOOKS):
        text = "".join(cell.source for cell in read_notebook(path).cells)
        pictures = re.findall(r"!\[Open in Colab\]\(([^)]+)\)", text)
        assert pictures and all((path.parent / picture).resolve().is_file() for picture in pictures), path
        said = opening_of(path)
        if "exercises" not in path.parts:
            assert all(said.values()), (path, said)
            assert re.match(r"\d", said["minutes"]) and "\n" not in said["aims"], path


def test_the_map_names_every_notebook_of_the_course():
    text = course_map.course_map(read_home())
    shown = [name for name in NOTEBOOKS if name.count("/") == 1]
    assert all(f"({name})" in text for name in shown)
    assert "solutions/" not in text


def test_what_stands_between_two_marks_is_replaced_and_nothing_else():
    assert (
        put_between("# Title\n<a>\nfrom last year\n<b>\nrest\n", "<a>", "<b>", "new")
        == "# Title\n<a>\nnew\n<b>\nrest\n"
    )
    for text in ("# Title\n<a>\n", "<b>\n"):
        with pytest.raises(CourseError, match="<a>\n<b>"):
            put_between(text, "<a>", "<b>", "new")


def test_the_setting_is_read_and_written_in_place(tmp_path):
    setting = tmp_path / "pyproject.toml"
    shutil.copy(ROOT / "pyproject.toml", setting)
    write_home(FORK, setting)
    assert read_home(setting) == FORK
    before, after = (path.read_text(encoding="utf-8").splitlines() for path in (ROOT / "pyproject.toml", setting))
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 2
    setting.write_text("[project]\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"lacks repository or branch under \[tool.course\]"):
        read_home(setting)


@pytest.mark.parametrize("repository", ["https://github.com/ada/course", "course", "ada/course/tree", "a b/c"])
def test_a_repository_is_owner_and_name(repository):
    with pytest.raises(CourseError, match="expected owner/name"):
        Home(repository, "main")


def test_a_notebook_without_badge_or_first_cell_is_named():
    path = find_notebooks()[0]
    notebook = read_notebook(path)
    for cell in notebook.cells:
        cell.source = cell.source.replace("google.colab", "")
    with pytest.raises(CourseError, match="no first code cell for Colab"):
        linked(notebook, path, FORK)
    notebook.cells[0].source = "# Title"
    with pytest.raises(CourseError, match="has no badge"):
        linked(notebook, path, FORK)


# The workflow of a fork


GH = """#!/bin/sh
echo "$@" >> "$HOME/gh.txt"
[ "$1" != pr ] || [ -e "$HOME/allowed" ]
"""
PYTHON = f"""#!/bin/sh
shift  # course.py, which would install
exec {sys.executable} -m tools "$@"
"""


@dataclass
class Fork:
    """A clone of a small fork, whose home is a folder of ours; `gh` and `python` there do what the workflow needs."""

    place: Path

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.place / "clone", capture_output=True, encoding="utf-8")
        return done.stdout + done.stderr

    def push(self) -> list[str]:
        """Run what the workflow runs after a push, and return the names of the steps."""
        job = yaml.safe_load((ROOT / ".github" / "workflows" / "fork.yml").read_text(encoding="utf-8"))["jobs"]["links"]
        env = {**os.environ, "OFFER": job["env"]["OFFER"], "TORCH_BUILD": "cpu", "HOME": str(self.place)}
        env |= {"GITHUB_REPOSITORY": "ada/gpt2-course", "GITHUB_REF_NAME": "spring", "GIT_CONFIG_NOSYSTEM": "1"}
        env |= {"PATH": f"{self.place / 'bin'}{os.pathsep}{env['PATH']}", "PYTHONPATH": str(self.place / "clone")}
        env |= {name: str(self.place / f"{name}.txt") for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        (self.place / "GITHUB_OUTPUT.txt").write_text("", encoding="utf-8")
        ran = []
        for step in (step for step in job["steps"] if "run" in step):
            if "if" in step and "stale=yes" not in (self.place / "GITHUB_OUTPUT.txt").read_text(encoding="utf-8"):
                continue
            bash = ["bash", "-e", "-c", step["run"].replace(' --torch "$TORCH_BUILD"', "")]
            done = subprocess.run(bash, cwd=self.place / "clone", env=env, capture_output=True, encoding="utf-8")
            assert done.returncode == 0, done.stdout + done.stderr
            ran.append(step["name"])
        self.git("switch", "-q", "spring")
        return ran


@pytest.fixture
def fork(tmp_path) -> Fork:
    if os.name == "nt" or not shutil.which("git"):
        pytest.skip("the workflow runs on Linux, with git")
    clone = tmp_path / "clone"
    for name in ("utils", "tools", "labs", "lessons", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.png", "[1-9]*.ipynb", "0[1-9]*.ipynb")
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, clone / name)
    for name, text in (("gh", GH), ("python", PYTHON)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text, encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    fork = Fork(tmp_path)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "origin"], check=True)
    for line in ("init -q -b spring", "add -A", "-c user.name=t -c user.email=t@example.org commit -qm x"):
        fork.git(*line.split())
    fork.git("remote", "add", "origin", str(tmp_path / "origin"))
    assert "error" not in fork.git("push", "-q", "origin", "spring")
    return fork


def test_a_forks_first_push_offers_its_own_badges_and_a_later_one_nothing(fork):
    (fork.place / "allowed").touch()
    assert len(fork.push()) == 3
    changed = fork.git("diff", "--name-only", "spring", "origin/links-of-this-repository").split()
    assert changed == ["README.md", "lessons/00_set_up_and_choose_a_size.ipynb", "pyproject.toml"]
    lesson = fork.git("show", f"origin/links-of-this-repository:{changed[1]}")
    assert "github/ada/gpt2-course/blob/spring/lessons" in lesson and "-b spring https://github.com/ada" in lesson
    said = (fork.place / "gh.txt").read_text(encoding="utf-8")
    assert "pr create --base spring --head links-of-this-repository" in said
    assert len(fork.push()) == 1, "it is offered already"
    fork.git("-c", "user.name=t", "-c", "user.email=t@example.org", "merge", "-q", "origin/links-of-this-repository")
    fork.git("push", "-q", "origin", "spring", ":links-of-this-repository")
    assert len(fork.push()) == 1, "it is taken"


def test_where_actions_may_open_no_pull_request_the_summary_says_where_to_do_it(fork):
    assert len(fork.push()) == 3
    said = (fork.place / "GITHUB_STEP_SUMMARY.txt").read_text(encoding="utf-8")
    assert "https://github.com/ada/gpt2-course/compare/spring...links-of-this-repository" in said
