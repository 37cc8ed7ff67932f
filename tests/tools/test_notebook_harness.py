"""The strict run of notebooks itself: it fails on a wrong output, and stores the same file every time."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from strict_run import strict_run

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


def test_a_wrong_stored_output_fails_and_its_right_twin_passes():
    done = strict_run(CANARY / "wrong_output.ipynb")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout and "'5\\n' == '4\\n'" in done.stdout
    done = strict_run(CANARY / "right_output.ipynb")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


def test_canaries_are_not_collected_by_the_normal_run():
    done = strict_run("--collect-only", "-q", "--ignore-glob=*/test_*.py", "tests")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


def test_a_stripped_notebook_would_pass_and_so_hygiene_refuses_it(tmp_path):
    stripped = read_notebook(CANARY / "wrong_output.ipynb")
    for cell in stripped.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = tmp_path / "stripped.ipynb"
    write_notebook(stripped, path)
    assert any("execution counts are [None, None]" in problem for problem in check_notebook(path))


def test_durations_and_addresses_may_differ_and_nothing_else(tmp_path):
    source = "import time\nprint(f'{time.time():.2f} s, {time.time():.0f} tokens/s, {id(time):#x}')"
    path = store(tmp_path / "times.ipynb", source.replace("{id(time):#x}", "3 cells"))
    assert strict_run(path).returncode == 0
    notebook = read_notebook(path)
    notebook.cells[0].outputs[0].text = notebook.cells[0].outputs[0].text.replace("3 cells", "4 cells")
    write_notebook(notebook, path)
    assert strict_run(path).returncode == 1


def test_a_kernel_that_dies_fails_soon(tmp_path):
    path = save(tmp_path / "dies.ipynb", "import os\nos._exit(1)")
    done = strict_run(path, "--nbval-cell-timeout=5")
    assert done.returncode == 1, done.stdout


def test_what_an_ended_kernel_leaves_is_removed(tmp_path):
    source = "from tempfile import TemporaryDirectory\nfolder = TemporaryDirectory()"
    path = save(tmp_path / "leaves.ipynb", source, "raise RuntimeError(folder.name)")
    (there := tmp_path / "temporary").mkdir()
    done = strict_run("--nbval-lax", path, TMPDIR=str(there))
    assert "1 failed, 1 passed" in done.stdout and f"{there}{os.sep}course-" in done.stdout
    assert [left.name for left in there.iterdir() if not left.name.startswith("pytest-of-")] == []


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
    assert strict_run(path).returncode == 0


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
