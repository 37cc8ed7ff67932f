"""The dial across notebooks: it is turned in one kernel, and asked for in another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from tools.repo.notebooks import ROOT, read_notebook

LESSONS = ROOT / "lessons"
DIAL = "dial = widgets.size_dropdown(course)"


def code_cells(name: str) -> list[str]:
    (path,) = LESSONS.glob(f"{name}_*.ipynb")
    return [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]


@pytest.fixture
def opened(tmp_path) -> Iterator[Callable[[], Callable[[str], str]]]:
    """Start kernels as a learner's notebooks have them, who has set nothing; each runs code and returns its prints."""
    env = {name: value for name, value in os.environ.items() if name != "COURSE_MODEL"}
    env |= {"XDG_CACHE_HOME": str(tmp_path / "own"), "PYTHONPATH": str(ROOT)}
    started = []

    def open_notebook() -> Callable[[str], str]:
        manager, client = start_new_kernel(kernel_name="python3", env=env, cwd=str(LESSONS))
        started.append((manager, client))

        def run(code: str) -> str:
            printed = []
            reply = client.execute_interactive(
                code, timeout=300, output_hook=lambda message: printed.append(message["content"].get("text", ""))
            )
            assert reply["content"]["status"] == "ok", reply["content"]
            return "".join(printed)

        return run

    yield open_notebook
    for manager, client in started:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_what_is_turned_in_lesson_00_is_what_another_notebook_begins_with(opened, tmp_path):
    first, second, *rest = code_cells("00")
    (dial,) = [cell for cell in rest if DIAL in cell]
    lesson_00, lesson_02 = opened(), opened()
    assert lesson_00(first) == "" and lesson_00(second) == "nano on cpu, float32\n"
    lesson_00(dial)
    lesson_00("dial.children[0].value = 'small'")
    asked = code_cells("02")[1]
    said = lesson_02(asked)
    assert said.count("\n") == 1 and said.startswith("small on cpu, float32 (remembered; ") and "size nano" in said
    assert lesson_00(second) == said, "the dial's own notebook, run again"
    lesson_00(f"{dial}\nassert dial.children[0].value == 'small'\ndial.children[0].value = 'nano'")
    assert lesson_02(asked) == "nano on cpu, float32\n"
    assert not any(path.is_file() for path in Path(tmp_path / "own" / "hands-on-gpt2").rglob("*"))
