"""A class pack and all of its notebooks: the real one only when asked for, the way there always."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_pack import NOWHERE, check_pack, notebooks_of, on_a_laptop, run_all

from tools.learner.copies import FOLDERS, refresh_copies
from tools.repo.notebooks import ROOT

COURSE = """import sys, os
from pathlib import Path
assert os.environ["PIP_INDEX_URL"].startswith("http://127.0.0.1:9") and sys.argv[1] == "run"
if "broken" in Path(sys.argv[2]).name:
    sys.exit("the first cell stopped")
"""


@pytest.mark.whole_pack
def test_every_notebook_of_a_pack_runs_where_no_index_is_in_reach(tmp_path):
    assert check_pack(tmp_path, pages=False) == 0


def test_a_laptop_knows_no_setting_of_the_machine_that_tests(tmp_path, monkeypatch):
    for name in ("PIP_FIND_LINKS", "UV_INDEX", "PYTHONPATH", "COURSE_MODEL", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "ours")
    found = on_a_laptop(tmp_path)
    assert "ours" not in found.values() and found["HOME"] == str(tmp_path)
    assert found["https_proxy"] == NOWHERE and "127.0.0.1" in found["no_proxy"]


def test_every_notebook_of_the_course_is_among_those_that_are_run(tmp_path):
    for folder in FOLDERS:
        (tmp_path / folder).symlink_to(ROOT / folder)
    refresh_copies(tmp_path)
    names = [path.relative_to(tmp_path / "work").as_posix() for path in notebooks_of(tmp_path)]
    expected = [
        path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.ipynb"))
    ]
    assert names == expected and len(names) > 35
    assert names[0].startswith("lessons/00") and names[-1].startswith("labs/07")


def test_a_notebook_that_stops_is_named_with_its_reason_and_the_next_one_runs(tmp_path):
    (tmp_path / "course.py").write_text(COURSE, encoding="utf-8")
    for name in ("lessons/00_fine.ipynb", "exercises/01_broken.ipynb", "labs/02_fine.ipynb"):
        path = Path(tmp_path, "work", name)
        path.parent.mkdir(parents=True)
        path.write_text("{}", encoding="utf-8")
    found = dict(run_all(tmp_path, tmp_path))
    assert list(found) == ["lessons/00_fine.ipynb", "exercises/01_broken.ipynb", "labs/02_fine.ipynb"]
    assert found["lessons/00_fine.ipynb"] == found["labs/02_fine.ipynb"] == ""
    assert "the first cell stopped" in found["exercises/01_broken.ipynb"]
