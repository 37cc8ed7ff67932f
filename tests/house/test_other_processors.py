"""Every notebook prints what is stored in it on another kind of processor, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from strict_run import strict_run

from tools.repo.notebooks import ROOT, find_notebooks

# Two threads where the run that stands beside this one has one, and nothing newer than AVX2.
OTHER_PROCESSOR = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # other tests run beside it
}


def notebooks_in(*folder: str) -> pytest.MarkDecorator:
    """Return the notebooks of one folder as parameters; students' copies compute nothing that masters don't."""
    paths = [path for path in find_notebooks() if path.parent == ROOT.joinpath(*folder)]
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def holds(path: Path) -> None:
    """Run a notebook strictly as another processor would."""
    done = strict_run(path, **OTHER_PROCESSOR)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


# Three classes, so that two workers can share them: each class runs whole on one.
@pytest.mark.variants
class TestAvx2AndTwoThreads:
    """The lessons."""

    @notebooks_in("lessons")
    def test_lesson_prints_the_same(self, path):
        holds(path)


@pytest.mark.variants
class TestAvx2AndTwoThreadsInExercises:
    """The solved exercises."""

    @notebooks_in("exercises", "solutions")
    def test_exercise_prints_the_same(self, path):
        holds(path)


@pytest.mark.variants
class TestAvx2AndTwoThreadsInLabs:
    """The labs."""

    @notebooks_in("labs")
    def test_lab_prints_the_same(self, path):
        holds(path)
