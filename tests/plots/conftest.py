"""What tests of pictures share."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import pytest


@pytest.fixture
def drawn_without_warnings():
    """A missing letter or a squeezed layout is a warning, which would stand in red above the picture."""
    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert plt.get_fignums() == before, "a figure was left open, a notebook would show it twice"
