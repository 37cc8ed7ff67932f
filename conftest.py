"""What every run of pytest stands on, tests and notebooks alike; set before anything imports torch.

Notebooks run in kernels of their own, which inherit these settings: the embedded model on the CPU, no hub,
and one thread in each of the two processes of `python course.py test`. tests/test_other_processors.py
runs every notebook once more with two threads and with the processor limited to AVX2.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

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
