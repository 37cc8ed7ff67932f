"""What every test starts from: the same seeds, the same examples, no window."""

from __future__ import annotations

import random
import sys

import hypothesis
import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

hypothesis.settings.register_profile(
    "course",
    derandomize=True,  # the same examples in every run
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("course")


@pytest.fixture(autouse=True)
def same_seeds():
    """Start every test from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
