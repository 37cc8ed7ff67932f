"""Clean notebooks and a clean repository; each message says what to do."""

from __future__ import annotations

import ast
import copy
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from nbformat import from_dict, v4

import utils
from tools.repo.notebook_rules import FORM, problems
from tools.repo.notebooks import ROOT, check_notebook, find_notebooks, read_notebook

CODE_FOLDERS = ("utils", "lessons", "tools", "tests", "benchmarks", "labs", "data")
PICTURE = {
    "output_type": "display_data",
    "metadata": {},
    "data": {"image/png": "iVBORw0KGgo=", "text/plain": "pic"},
}
OPENING = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](x)\n# 42 · Test a rule\n"
    "*You will be able to* do it.\n*Needs* nothing. *Minutes* 5. *Hardware* anything."
)
START = f"from utils import start\n\n{FORM}\ncourse = start(seed=1, size=size)"
BOX = "## At small and medium\n\n- GPT-2 small needs 3 of them ([Ada and others, 2019](https://example.org/notes)).\n"


def repository_files() -> list[Path]:
    """Return the files that are or would be committed."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so nobody can say which files belong to it")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def python_files() -> list[Path]:
    files = [ROOT / "course.py", ROOT / "conftest.py"]
    return files + sorted(path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Notebooks


@pytest.mark.parametrize("path", find_notebooks(), ids=name_of)
def test_notebook_is_clean(path):
    found = check_notebook(path)
    assert not found, f"{path.name}:\n  - " + "\n  - ".join(found)


def test_two_notebooks_of_one_folder_never_share_a_number():
    lessons = [path.name[:2] for path in find_notebooks() if path.parent.name == "lessons"]
    assert len(lessons) == len(set(lessons))


@pytest.fixture
def good():
    """A lesson against which no rule has anything to say."""
    cells = [v4.new_markdown_cell(OPENING), v4.new_code_cell("import sys"), v4.new_code_cell(START)]
    cells += [v4.new_code_cell(f"print({number})") for number in range(22)]
    cells += [v4.new_markdown_cell(f"{BOX}\n## Recap\n\n- 1 and 1 are 2.")]
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
        cell.outputs = [v4.new_output("stream", name="stdout", text=f"{count}\n")]
    return v4.new_notebook(cells=cells)


def found_in(notebook, name: str = "lessons/42_test_rules.ipynb") -> list[str]:
    return list(problems(notebook, ROOT / name))


def test_rules_are_silent_about_a_good_lesson(good):
    assert found_in(good) == []


def set_output(text: str):
    def change(notebook):
        notebook.cells[3].outputs[0].text = text

    return change


def ignore(cell):
    cell.metadata["tags"] = ["nbval-ignore-output"]


MISTAKES = {
    "not run": (lambda n: n.cells[4].update(execution_count=None), "execution counts"),
    "run out of order": (lambda n: n.cells[4].update(execution_count=99), "execution counts"),
    "the same id twice": (lambda n: n.cells[4].update(id=n.cells[5].id), "ids of their own"),
    "widget state": (lambda n: n.metadata.update(widgets={}), "state of widgets"),
    "time of execution": (lambda n: n.cells[2].metadata.update(execution={}), "time at which it ran"),
    "error output": (
        lambda n: n.cells[2].outputs.append(v4.new_output("error", ename="E", evalue="v", traceback=[])),
        "stored an error",
    ),
    "widget id": (
        lambda n: n.cells[2].outputs.append(
            v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}})
        ),
        "id of a widget",
    ),
    "empty code cell": (lambda n: n.cells.append(v4.new_code_cell("")), "empty code cell"),
    "a version": (set_output("torch 2.13.0\n"), "a version"),
    "a path": (set_output("saved to /home/ada/course/model.bin\n"), "a path"),
    "a path on Windows": (set_output("saved to C:\\course\n"), "a path"),
    "a date": (set_output("2026-05-01\n"), "a date"),
    "a time": (set_output("at 12:34:56\n"), "a time of day"),
    "an address": (set_output("<object at 0x7f3a9c2d>\n"), "an address in memory"),
    "a raw float": (set_output("0.30000000000000004\n"), "a raw float"),
    "ignored without an assertion": (lambda n: ignore(n.cells[2]), "asserts nothing"),
    "too many ignored": (
        lambda n: [(ignore(c), c.update(source="assert True")) for c in n.cells[2:10]],
        "at most a quarter",
    ),
    "a skipped cell": (lambda n: n.cells[2].metadata.update(tags=["nbval-skip"]), "has the tag nbval-skip"),
    "raises-exception": (lambda n: n.cells[2].metadata.update(tags=["raises-exception"]), "raises-exception"),
    "nbval by comment": (lambda n: n.cells[2].update(source="# NBVAL_IGNORE_OUTPUT\n1"), "by a comment"),
    "a picture without words": (lambda n: n.cells[2].outputs.append(from_dict(PICTURE)), "shows a picture"),
    "no opening": (lambda n: n.cells.pop(0), "first cell is not text"),
    "no badge": (lambda n: n.cells[0].update(source=OPENING.replace("olab", "olb")), "lacks 'colab'"),
    "no minutes": (lambda n: n.cells[0].update(source=OPENING.replace("Minutes", "Time")), "*Minutes*"),
    "minutes that nobody measured": (
        lambda n: n.cells[0].update(source=OPENING.replace("5.", "5 (nano) / 6 (small).")),
        "`6 (small)`",
    ),
    "no box": (lambda n: n.cells[-1].update(source="## Recap"), "no section"),
    "a box without a source": (
        lambda n: n.cells[-1].update(source="## At small and medium\n\nIt is known."),
        "no section",
    ),
    "a figure without a source": (
        lambda n: n.cells[-1].update(source=BOX + "- Medium needs 4, small 3.\n"),
        "`- Medium needs 4, small 3.` has a figure",
    ),
    "a source without a year": (
        lambda n: n.cells[-1].update(source=BOX + "- 4 for medium ([Ada](https://example.org/2019)).\n"),
        "`- 4 for medium",
    ),
    "a sentence that stands twice": (
        lambda n: n.cells[-1].update(source=f"{BOX}\n## Recap\n\n{2 * 'A sentence of more than a few words. '}"),
        "says twice",
    ),
    "no hardware": (lambda n: n.cells[0].update(source=OPENING.replace("Hardware", "")), "*Hardware*"),
    "no start": (lambda n: n.cells[2].update(source="import utils"), "start(seed="),
    "no field for the size": (lambda n: n.cells[2].update(source=START.replace("@param", "")), FORM),
    "a field that nothing reads": (lambda n: n.cells[2].update(source=START.replace(", size=size", "")), "size=size"),
    "a field in the wrong cell": (lambda n: n.cells.pop(1), FORM),
    "a long cell": (lambda n: n.cells[3].update(source="x = 1\n" * 21), "21 lines"),
    "long cells": (lambda n: [c.update(source="x = 1\n" * 7) for c in n.cells[2:-1]], "in the median"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_rules_name_every_planted_mistake(good, mistake):
    change, words = MISTAKES[mistake]
    change(good)
    assert any(words in sentence for sentence in found_in(good)), found_in(good)


def test_rules_hold_the_number_of_cells_and_the_names_of_lessons(good):
    short = copy.deepcopy(good)
    del short.cells[2:20]
    assert any("it has 8 cells, a lesson has 25 to 45" in sentence for sentence in found_in(short))
    assert not any("cells, a lesson" in sentence for sentence in found_in(short, "labs/42_test_rules.ipynb"))
    for name in ("Lesson1.ipynb", "1_test.ipynb", "42_Test_Rules.ipynb", "42-test-rules.ipynb"):
        assert any("NN_verb_phrase" in sentence for sentence in found_in(good, f"lessons/{name}"))


def test_the_field_for_the_size_is_not_a_line_that_counts(good):
    good.cells[2].source = "x = 1\n" * 19 + START.partition("\n\n")[2]
    assert found_in(good) == []


def test_a_picture_with_words_below_it_is_welcome(good):
    good.cells[-2].outputs.append(from_dict(PICTURE))
    assert any("shows a picture" in sentence for sentence in found_in(good))
    good.cells[-1].source = "*One bar, which says nothing here.*\n\n" + good.cells[-1].source
    assert found_in(good) == []


# The repository


def test_no_large_file_outside_data():
    large = [
        name_of(p) for p in repository_files() if p.stat().st_size > 1_000_000 and p.parts[len(ROOT.parts)] != "data"
    ]
    assert large == [], "these are over 1 MB: put them into data/, or make them smaller"


def text_files() -> list[Path]:
    kinds = {".py", ".ipynb", ".md", ".toml", ".txt", ".yml", ".yaml", ".cfg", ".json", ".sh", ""}
    outside_data = (p for p in repository_files() if p.parts[len(ROOT.parts)] not in ("data",))
    return [p for p in outside_data if p.suffix in kinds]


def test_no_path_of_one_machine_and_no_index_address():
    # spelt so that this file does not hold what it forbids
    user = r"/(?:home|Users)/(?!ada\b)[a-z]\w+/|(?<![\w.])/(?:root|work|mnt|opt)/\w|[A-Z]:\\\\?Users"
    index = r"pypi[.]org|python" + r"hosted|download[.]py" + r"torch|--index-" + r"url|--extra-index-" + r"url"
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if len(line) < 2000 and (match := re.search(f"{user}|{index}", line)):
                found.append(f"{name_of(path)}:{number}: {match[0]}")
    assert found == [], "paths of one machine, or addresses of package indexes: leave them to settings"


# These open something else, or are not of the standard library: target is one of those in tools/repo/fuzz.py
OTHER_OPENS = {"os", "webbrowser", "tarfile", "zipfile", "gzip", "bz2", "lzma"}


def opens_without_encoding(tree: ast.AST) -> list[int]:
    """Return the lines that open a file as text and leave the encoding to the machine."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and lacks_encoding(node)]


def lacks_encoding(call: ast.Call) -> bool:
    """Tell whether a call opens, reads or writes a text file and does not name the encoding."""
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if method else getattr(call.func, "id", "")
    if any(word.arg in ("encoding", None) for word in call.keywords):
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) <= (name == "write_text")  # the encoding may stand as a positional argument
    owner = getattr(call.func.value, "id", "") if method else ""
    if name != "open" or owner in OTHER_OPENS or owner[:1].isupper():  # Conversation.open is no file
        return False
    modes = [word.value for word in call.keywords if word.arg == "mode"] + call.args[0 if method else 1 :][:1]
    constants = [part.value for mode in modes for part in ast.walk(mode) if isinstance(part, ast.Constant)]
    return not any("b" in str(constant) for constant in constants)


def parse_cell(source: str) -> ast.AST:
    """Parse a code cell, with `pass` in place of lines that only IPython understands."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))


def test_every_text_file_is_opened_with_an_encoding():
    trees = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in python_files()]
    for path in find_notebooks():
        trees += [(path, parse_cell(cell.source)) for cell in read_notebook(path).cells if cell.cell_type == "code"]
    found = [f"{name_of(path)}:{line}" for path, tree in trees for line in opens_without_encoding(tree)]
    assert found == [], 'add encoding="utf-8": the default differs between systems'


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("open('x')", True),
        ("open('x', 'w')", True),
        ("open('x', 'rb')", False),
        ("open('x', encoding='utf-8')", False),
        ("Path('x').open()", True),
        ("Path('x').open('rb')", False),
        ("Path('x').read_text()", True),
        ("Path('x').read_text('utf-8')", False),
        ("Path('x').write_text('a')", True),
        ("Path('x').write_text('a', encoding='utf-8')", False),
        ("Path('x').open('ab' if more else 'wb')", False),
        ("os.open('x', 0)", False),
        ("Conversation.open('nano')", False),
    ],
)
def test_the_encoding_rule_knows_text_from_bytes(code, bad):
    assert bool(opens_without_encoding(ast.parse(code))) is bad


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_functions_are_short():
    found = []
    for path in python_files():
        if path.relative_to(ROOT).parts[0] in ("utils", "tools"):
            long = (f for f in functions(path) if f.end_lineno - f.body[0].lineno >= 30)
            found += [f"{name_of(path)}:{f.lineno} {f.name}" for f in long]
    assert found == [], "without its signature, 25 lines are enough for most ideas, 30 for any"


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, f"run `ruff {' '.join(arguments)}`:\n{done.stdout[-3000:]}{done.stderr[-500:]}"


def test_one_version_stands_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert utils.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"(?m)^## {re.escape(version)} · \d{{4}}-", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
