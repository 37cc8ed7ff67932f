"""The strict run of notebooks itself: it fails on a wrong output, and stores the same file every time."""

from __future__ import annotations

import ast
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel
from strict_run import strict_run

from tools.repo.forked_kernels import forking
from tools.repo.notebooks import ROOT, check_notebook, find_notebooks, main, normalise, read_notebook, write_notebook
from utils.errors import CourseError

CANARY = ROOT / "tests" / "canary"


def save(path: Path, *sources: str) -> Path:
    """Write a notebook of code cells that has not been run."""
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources]), path)
    return path


def store(path: Path, *sources: str) -> Path:
    """Write a notebook, run it and store what it prints."""
    assert main([save(path, *sources)]) == 0
    return path


STABLE = "import time\nprint(f'{time.time():.2f} s, {time.time():.0f} tokens/s, 3 cells')"
LEAVES = "from tempfile import TemporaryDirectory\nfolder = TemporaryDirectory()"


@dataclass
class Outcome:
    """What a strict run said of each notebook: how its cells ended; and all of its output."""

    ends: dict[str, list[str]]
    said: str
    temporary: Path


@pytest.fixture(scope="module")
def strict(tmp_path_factory) -> Outcome:
    """Several notebooks in one strict run."""
    folder = tmp_path_factory.mktemp("strict")
    times = store(folder / "times.ipynb", STABLE)
    edited = times.read_text(encoding="utf-8").replace("3 cells\\n", "4 cells\\n")
    (folder / "edited_times.ipynb").write_text(edited, encoding="utf-8")
    save(folder / "dies.ipynb", "import os\nos._exit(1)")
    save(folder / "leaves.ipynb", LEAVES, "raise RuntimeError(folder.name)")
    (temporary := folder / "temporary").mkdir()
    done = strict_run("-rA", "-n0", "--nbval-cell-timeout=5", CANARY, folder, TMPDIR=str(temporary))
    ends: dict[str, list[str]] = {}
    for end, name in re.findall(r"(?m)^(PASSED|FAILED|ERROR) \S*?(\w+)\.ipynb::Cell", done.stdout):
        ends.setdefault(name, []).append(end)
    return Outcome(ends, done.stdout, temporary)


@pytest.mark.parametrize(
    ("name", "ends"),
    {
        "right_output": ["PASSED", "PASSED"],
        "wrong_output": ["PASSED", "FAILED"],
        "times": ["PASSED"],  # durations may differ, and nothing else
        "edited_times": ["FAILED"],
        "dies": ["FAILED"],  # and soon: a kernel that has died is not waited for
        "leaves": ["PASSED", "FAILED"],
    }.items(),
)
def test_a_cell_fails_where_its_output_or_its_kernel_does(strict, name, ends):
    assert strict.ends[name] == ends, strict.said


def test_a_failure_shows_both_outputs(strict):
    assert "'5\\n' == '4\\n'" in strict.said


def test_what_an_ended_kernel_leaves_is_removed(strict):
    assert f"{strict.temporary}{os.sep}course-" in strict.said
    assert [left.name for left in strict.temporary.iterdir() if not left.name.startswith("pytest-of-")] == []


def test_canaries_are_not_collected_by_the_normal_run():
    only_notebooks = "addopts=--nbval --nbval-current-env"
    done = strict_run("--collect-only", "-q", "-o", only_notebooks, "--ignore-glob=*/test_*.py", "tests")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


def test_a_stripped_notebook_would_pass_and_so_hygiene_refuses_it(tmp_path):
    stripped = read_notebook(CANARY / "wrong_output.ipynb")
    for cell in stripped.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = tmp_path / "stripped.ipynb"
    write_notebook(stripped, path)
    assert any("execution counts are [None, None]" in problem for problem in check_notebook(path))


def test_the_cell_timeout_of_the_course_is_five_minutes(pytestconfig):
    assert float(pytestconfig.getoption("nbval_cell_timeout")) == 300
    assert pytestconfig.getoption("nbval") and pytestconfig.getoption("nbval_current_env")
    assert Path(pytestconfig.getoption("nbval_sanitize_with")).is_absolute()


def test_a_stored_notebook_holds_outputs_and_nothing_that_moves(tmp_path):
    path = store(tmp_path / "clean.ipynb", "print(2)", "import ipywidgets\nipywidgets.IntSlider(7)")
    first, notebook = path.read_bytes(), read_notebook(path)
    assert notebook.cells[0].outputs[0].text == "2\n" and b"\r" not in first
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert list(notebook.cells[1].outputs[0].data) == ["text/plain"]
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert main([path]) == 0 and path.read_bytes() == first  # a second run stores the same


def test_normalise_keeps_tags_and_mends_ids():
    cells = [v4.new_code_cell("a", id="same"), v4.new_code_cell("b", id="same"), v4.new_markdown_cell("c")]
    cells[0].metadata = nbformat.from_dict({"tags": ["nbval-ignore-output"], "execution": {"iopub.status": "t"}})
    notebook = v4.new_notebook(metadata={"widgets": {}, "colab": {}})
    notebook.cells, cells[2].id = cells, "bad id!"
    notebook = normalise(notebook)
    assert notebook.cells[0].metadata == {"tags": ["nbval-ignore-output"]}
    assert "widgets" not in notebook.metadata and "colab" not in notebook.metadata
    ids = [cell.id for cell in notebook.cells]
    assert ids[0] == "same" and len(set(ids)) == 3 and " " not in ids[2]
    assert [cell.id for cell in normalise(notebook).cells] == ids  # stable
    nbformat.validate(notebook)


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path, capsys):
    path = save(tmp_path / "fails.ipynb", "x = 1", "# divide\nx / 0")
    before = path.read_bytes()
    assert main([path]) == 1
    said = capsys.readouterr().out
    assert "ZeroDivisionError" in said and "cell 2" in said and "# divide" in said
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_check_reports_and_changes_nothing(tmp_path, capsys):
    path = save(tmp_path / "dirty.ipynb", "print(1)")
    before = path.read_bytes()
    assert main([path], check=True) == 1
    assert "execution counts" in capsys.readouterr().out and path.read_bytes() == before
    assert main([path], store=False) == 0 and path.read_bytes() == before
    main([path])
    assert main([path], check=True) == 0
    edited = path.read_text(encoding="utf-8").replace('"metadata": {}', '"metadata": {"collapsed": true}', 1)
    path.write_text(edited, encoding="utf-8")
    assert main([path], check=True) == 1


def test_what_is_no_notebook_is_refused_by_name(tmp_path):
    with pytest.raises(CourseError, match="neither a notebook nor a folder"):
        find_notebooks([tmp_path / "missing.ipynb"])
    path = tmp_path / "text.ipynb"
    path.write_text("once upon a time", encoding="utf-8")
    with pytest.raises(CourseError, match=r"text\.ipynb is not a notebook"):
        read_notebook(path)


def test_workers_share_two_threads_and_do_not_take_two_each():
    """With two threads in each of two workers on two cores, small steps waited for each other 300 times as long."""
    if "OMP_NUM_THREADS" not in os.environ.get("COURSE_THREADS_SET_BY_CONFTEST", ""):
        pytest.skip("OMP_NUM_THREADS was set by whoever started pytest")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {str(max(1, 2 // workers))}


FACTS = """import numpy, os, random, signal, sys
facts = {"path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ)}
facts["signals"] = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
facts["own"] = [name for name in sys.modules if name.split(".")[0] in ("conftest", "labs", "tests", "tools", "utils")]
facts["leads its group"] = os.getpgid(0) == os.getsid(0) == os.getpid()
facts["input"], facts["words"] = os.read(0, 1), sys.argv[:-1]
chance = numpy.random.random(), random.random()
parent = os.getppid()"""


def ask_kernel(folder: Path) -> tuple[dict, tuple, int]:
    """Return what a new kernel says of the process that it is, of chance, and of its parent."""
    kernel = RunningKernel(CURRENT_ENV_KERNEL_NAME, cwd=str(folder))
    try:
        number = kernel.kc.execute(FACTS, user_expressions={name: name for name in ("facts", "chance", "parent")})
        while (reply := kernel.get_message("shell", timeout=30))["parent_header"].get("msg_id") != number:
            pass
        said = [one["data"]["text/plain"] for one in reply["content"]["user_expressions"].values()]
    finally:
        kernel.stop()
    facts, chance, parent = map(ast.literal_eval, said)
    environment = facts.pop("environment")
    own = ("JPY_PARENT_PID", "TORCHINDUCTOR_CACHE_DIR")  # the second is set wherever an optimizer has stepped
    return {**facts, **{name: value for name, value in environment.items() if name not in own}}, chance, parent


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_a_forked_kernel_is_like_any_other_and_has_imported_nothing_of_the_course(tmp_path):
    usual, _, starter = ask_kernel(tmp_path)
    with forking():
        (first, chance, server), (second, other_chance, same_server) = ask_kernel(tmp_path), ask_kernel(tmp_path)
    assert starter == os.getpid() != server == same_server
    assert first == second == usual and usual["own"] == [] and usual["folder"] == str(tmp_path)
    assert not set(chance) & set(other_chance)
    assert ask_kernel(tmp_path)[2] == os.getpid()  # and afterwards as before
