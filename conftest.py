"""What every run of pytest stands on, tests and notebooks alike; set before anything imports torch.

Notebooks run in kernels of their own, which inherit these settings: the embedded model on the CPU, no hub,
and one thread in each of the two processes of `python course.py test`. With `-m variants`, or by their names, lessons,
solved exercises and labs run once more as on another processor: with two threads and nothing newer than AVX2.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import nullcontext
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from tools.repo.forked_kernels import forking
from tools.repo.notebooks import SETTINGS

ROOT = Path(__file__).resolve().parent
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
THREADS = str(max(1, 2 // WORKERS))
SET_HERE = "COURSE_THREADS_SET_BY_CONFTEST"  # workers inherit what their parent, which runs no test, has set

os.environ.update(SETTINGS)
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    if name not in os.environ or name in os.environ.get(SET_HERE, ""):
        os.environ[name] = THREADS
        os.environ[SET_HERE] = f"{os.environ.get(SET_HERE, '')} {name}"
for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS", "DO_NOT_TRACK"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that what we start hears Ctrl-C
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # blocked ones are inherited as well


SCRATCH = pytest.StashKey[Path]()


def pytest_configure(config) -> None:
    """Give nbval its sanitizer by absolute path, and what the run leaves behind a folder of its own."""
    if not config.getoption("nbval_sanitize_with", default=None):
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")
    if not hasattr(config, "workerinput"):  # workers inherit it
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # what failed tests wrote stays there
        config.stash[SCRATCH] = Path(tempfile.mkdtemp(prefix="course-"))
        config.stash[SCRATCH].chmod(0o711)  # a test looks in as another user
        # what kernels left, which nbval ends so suddenly that they can't; after multiprocessing's own folder, at -100
        Finalize(None, shutil.rmtree, args=[config.stash[SCRATCH], True], exitpriority=-200)
        os.environ["TMPDIR"] = tempfile.tempdir = str(config.stash[SCRATCH])
        os.environ["IPYTHONDIR"] = str(config.stash[SCRATCH] / "ipython")  # nobody's own start-up files


OTHER_PROCESSOR = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # other tests run beside it
}
RUN_TWICE = [ROOT / "lessons", ROOT / "exercises" / "solutions", ROOT / "labs"]
# Students' copies compute nothing that their masters don't: one proves that a blank copy runs to its end. Each one
# runs when it is made, and test_exercises.py holds it to its master; who names one here runs it.
RUN_BLANK = "03_build_attention.ipynb"
collect_ignore = [str(path) for path in ROOT.glob("exercises/*.ipynb") if path.name != RUN_BLANK]
# What a learner is to fill in, and its solution: tests/tools/test_capstone.py runs the checks of both.
collect_ignore += [str(ROOT / "exercises" / place / "capstone") for place in ("", "solutions")]


class OnOtherProcessor(IPyNbFile):
    """A notebook whose kernel takes the processor for an older one with two cores."""

    def setup(self) -> None:
        with pytest.MonkeyPatch.context() as patch:  # a kernel inherits what is set while it starts
            for name, value in OTHER_PROCESSOR.items():
                patch.setenv(name, value)
            super().setup()


def pytest_collect_file(file_path, parent):
    """Collect a notebook once more; nbval collects it for its run on the processor as it is."""
    if not parent.config.option.nbval or file_path.suffix != ".ipynb" or file_path.parent not in RUN_TWICE:
        return None
    name = f"{file_path.relative_to(ROOT).as_posix()}[avx2, two threads]"
    again = OnOtherProcessor.from_parent(parent, path=file_path, name=name, nodeid=name)
    again.add_marker("variants")
    return again


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Start a notebook's kernel, which nbval does before its first cell, where large libraries are imported already."""
    with forking() if isinstance(item, IPyNbCell) else nullcontext():
        return (yield)


# Files that take a minute or more on one core: they come first, then notebooks, then all that is short, so that of
# two workers none waits at the end for the other's last file. `python course.py test` keeps this order.
LONG = (
    "tests/tools/test_reach.py",
    "tests/house/test_invitations.py",
    "tests/tools/test_exercises.py",
    "tests/tools/test_capstone.py",
    "tests/labs/test_scale.py",
    "labs/07_climb_the_ladder.ipynb",
    "tests/house/test_browser.py",
    "tests/tools/test_site.py",
    "lessons/14_evaluate_honestly.ipynb",
    "tests/benchmarks/test_benchmarks.py",
    "tests/tools/test_grading.py",
    "lessons/12_fine_tune_gpt2_small.ipynb",
    "labs/05_compare_all_loaders.ipynb",
    "lessons/13_fine_tune_gpt2_medium_with_less.ipynb",
    "lessons/08_quantize_the_whole_model.ipynb",
    "exercises/solutions/00_train_gpt2_small.ipynb",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items) -> None:
    """Let what takes long begin early."""

    def turn(item: pytest.Item) -> int:
        path = item.path.relative_to(ROOT).as_posix() if item.path.is_relative_to(ROOT) else ""
        return LONG.index(path) if path in LONG else len(LONG) + (item.path.suffix != ".ipynb")

    items.sort(key=turn)  # which leaves the tests of one file together, in their order
