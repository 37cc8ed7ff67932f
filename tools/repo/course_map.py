"""Where the course lives on the web, and what follows from it: badges, Colab's first cell, the README's map.

One setting says it, `[tool.course]` in pyproject.toml; `python -m tools links` writes it everywhere, so that
on a fork every badge opens the fork.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode, from_dict

from tools.repo.marks import put_between
from tools.repo.notebooks import ROOT, find_notebooks, read_notebook, write_notebook
from utils.errors import CourseError

SETTING = ROOT / "pyproject.toml"
PICTURE = "docs/open_in_colab.svg"  # our own, so that no page of the course loads anything from outside
START, END = "<!-- course map: made by `python course.py links` -->", "<!-- end of course map -->"
LESSON_HEAD = ["", "lesson", "min", "", "exercise", "min", ""]
LAB_HEAD = ["", "lab: a whole system", "min", ""]
BADGE_LINE = re.compile(r"\[!\[Open In Colab\]\([^)]*\)\]\([^)]*\)", re.IGNORECASE)
BOOTSTRAP = """# @title Only on Colab: fetch the course. Elsewhere this cell does nothing.
import runpy
import sys

if "google.colab" in sys.modules:
    !cd /content && test -e {folder} || git clone -q --depth 1 -b {branch} https://github.com/{repository}
    runpy.run_path("/content/{folder}/tools/on_colab.py")["begin"]("{place}")"""
HIDDEN = {"cellView": "form", "jupyter": {"source_hidden": True}}  # folded by Colab, and by JupyterLab


@dataclass(frozen=True)
class Home:
    """The repository, as owner/name, and the branch that badges open."""

    repository: str
    branch: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise CourseError(f"repository is {self.repository!r}, expected owner/name, as in its address on GitHub.")
        if not re.fullmatch(r"[\w./-]+", self.branch):
            raise CourseError(f"branch is {self.branch!r}, expected the name of a branch or tag.")

    def badge(self, path: Path) -> str:
        """Return the Markdown that opens a notebook in Colab; the picture's path is relative to the notebook."""
        up = "../" * (len(path.relative_to(ROOT).parts) - 1)
        return f"[![Open in Colab]({up}{PICTURE})]({self.address(path)})"

    def address(self, path: Path) -> str:
        name = path.relative_to(ROOT).as_posix()
        return f"https://colab.research.google.com/github/{self.repository}/blob/{self.branch}/{name}"

    def bootstrap(self, path: Path) -> str:
        """Return the first code cell of a notebook: on Colab it fetches the course, elsewhere it does nothing."""
        place = path.relative_to(ROOT).parent.as_posix()
        folder = self.repository.rpartition("/")[2]
        return BOOTSTRAP.format(folder=folder, branch=self.branch, repository=self.repository, place=place)


def read_home(setting: Path = SETTING) -> Home:
    """Return where the course lives, as pyproject.toml says."""
    found = tomllib.loads(setting.read_text(encoding="utf-8")).get("tool", {}).get("course", {})
    if not {"repository", "branch"} <= found.keys():
        raise CourseError(f"{setting.name} lacks repository or branch under [tool.course].")
    return Home(found["repository"], found["branch"])


def write_home(home: Home, setting: Path = SETTING) -> None:
    """Set where the course lives."""
    text = setting.read_text(encoding="utf-8")
    for name, value in (("repository", home.repository), ("branch", home.branch)):
        text = re.sub(rf'(?m)^{name} = "[^"]*"$', f'{name} = "{value}"', text)
    setting.write_text(text, encoding="utf-8", newline="\n")


def linked(notebook: NotebookNode, path: Path, home: Home) -> NotebookNode:
    """Give a notebook, in place, its badge and its first code cell, which is shown folded."""
    first = next((cell for cell in notebook.cells if cell.cell_type == "markdown"), None)
    if first is None or not BADGE_LINE.search(first.source):
        raise CourseError(f"{path.name} has no badge in its first text: begin it with [![Open in Colab](…)](…).")
    first.source = BADGE_LINE.sub(lambda _: home.badge(path), first.source, count=1)
    code = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if code is None or "google.colab" not in code.source:
        raise CourseError(f"{path.name} has no first code cell for Colab: copy that of lesson 00.")
    code.source = home.bootstrap(path)
    code.metadata.update(from_dict(HIDDEN))
    return notebook


def opening_of(path: Path) -> dict[str, str]:
    """Return what a notebook's first cell says: title, aims, minutes, hardware."""
    return opening_in(
        next(cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"), path.stem
    )


def opening_in(text: str, name: str) -> dict[str, str]:
    """Return what the text of a first cell says; without a title, the notebook's name is one."""
    title = re.search(r"(?m)^# (?:Exercise |Lab )?\d\d · (.+)$", text)
    aims = re.search(r"You will be able to\**\*?\s*(.+?)(?:\n\n|\n\*Needs|\Z)", text, re.DOTALL)
    found = {"title": title[1] if title else name, "aims": _in_a_line(aims[1]) if aims else ""}
    for word in ("Minutes", "Hardware"):
        said = re.search(rf"\*{word}\*\s*([^*\n]+?)\.?\s*(?=\*|\n|$)", text)
        found[word.lower()] = said[1].strip() if said else ""
    return found


def _in_a_line(aims: str) -> str:
    lines = [line.strip().removeprefix("- ").rstrip(".;,") for line in aims.strip().splitlines()]
    return "; ".join(line for line in lines if line)


def course_map(home: Home) -> str:
    """Return the README's map: lessons with their exercises, then labs."""
    lessons = [lesson_row(path, home) for path in sorted((ROOT / "lessons").glob("*.ipynb"))]
    labs = [[path.name[:2], *entry(path, home)] for path in sorted((ROOT / "labs").glob("*.ipynb"))]
    return "\n\n".join((table(LESSON_HEAD, lessons), table(LAB_HEAD, labs)))


def lesson_row(path: Path, home: Home) -> list[str]:
    """Return a lesson's row: its own entry, then that of the exercise with its number, if there is one."""
    exercises = sorted((ROOT / "exercises").glob(f"{path.name[:2]}_*.ipynb"))
    beside = entry(exercises[0], home) if exercises else [""] * 3
    return [path.name[:2], *entry(path, home), *beside]


def entry(path: Path, home: Home) -> list[str]:
    """Return a notebook's title as a link, its minutes at nano, and its badge."""
    said = opening_of(path)
    minutes = re.split(r"[ /]", said["minutes"])[0]
    title = f"[{said['title']}]({path.relative_to(ROOT).as_posix()})"
    return [title, minutes, f"[![Open in Colab]({PICTURE})]({home.address(path)})"]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def problems(home: Home) -> Iterator[str]:
    """Yield what is stale: a notebook's badge or first cell, the README's map."""
    for path in find_notebooks():
        notebook = read_notebook(path)
        before = str(notebook)
        if str(linked(notebook, path, home)) != before:
            yield f"{path.relative_to(ROOT).as_posix()} opens another place than {home.address(path)}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if put_between(readme, START, END, course_map(home)) != readme:
        yield "README.md has another course map than its notebooks give"


def write_links(home: Home) -> int:
    """Write badges, first cells and the map; return how many files changed."""
    changed = 0
    for path in find_notebooks():
        notebook = read_notebook(path)
        before = str(notebook)
        if str(linked(notebook, path, home)) != before:
            write_notebook(notebook, path)
            changed += 1
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if (new := put_between(text, START, END, course_map(home))) != text:
        readme.write_text(new, encoding="utf-8", newline="\n")
        changed += 1
    return changed
