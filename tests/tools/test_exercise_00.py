"""Exercise 00 in a process of its own, since gpt-2-simple turns TensorFlow's eager mode off for its whole process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from utils.files.places import ROOT

NO_TENSORFLOW = 77

CHILD = f"""
import sys

try:
    import tensorflow
except ImportError as error:
    print(error)
    sys.exit({NO_TENSORFLOW})

import solved
import test_exercises

name = "00_train_gpt2_small"
names = solved.solved_names(name)
assert not tensorflow.executing_eagerly(), "then a kernel of its own would not be needed"
test_exercises.check_answers(name, names)
"""


def test_the_solution_passes_and_each_typical_mistake_gets_a_message_of_its_own():
    search = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "tools")))
    settings = os.environ | {"PYTHONPATH": search, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=500, env=settings)
    if done.returncode == NO_TENSORFLOW:
        pytest.skip(f"TensorFlow can't be imported here: {done.stdout.strip()}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
