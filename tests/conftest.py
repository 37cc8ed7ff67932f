"""What every test starts from: the same seeds, the same examples, no window."""

from __future__ import annotations

import random
import signal
import sys
import warnings
from pathlib import Path

import hypothesis
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.browsers import Visit, open_browser

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


# What a change to the core needs most: `python course.py test quick`, a minute on two cores.
QUICK = {
    "core": "batches checks config document_batches evaluate model run_log sampling scale_plan session",
    "files": "settings",
    "fit": "placement",
    "formats": "gptq_folder inspect_model",
    "house": "house terms",
    "quantize": "awq gptq mixed_bits quantize quantized_linear",
    "texts": "cleaning memorization reading",
    "training": "advice optimizers training",
}
# Each of these starts Python and torch anew, in 5 to 15 seconds.
NOT_QUICK = (
    "test_no_library_fetches_code_from_the_hub",
    "test_the_first_run_of_a_process_leaves_no_optimizer_in_memory",
    "test_ipython_shows_the_sentence_and_the_map_and_keeps_the_place_for_the_debugger",
    "test_an_empty_model_costs_no_compiler",
)


def pytest_addoption(parser) -> None:
    parser.addoption("--kills", type=int, default=10, help="how often the training run of test_reliability is killed")


def pytest_collection_modifyitems(config, items) -> None:
    """Mark the tests of the core; leave out those that take long, unless they are asked for."""
    whole = {Path(place).name for place in config.args} == set(config.getini("testpaths"))
    once = ("variants",) if whole else ()  # who names a notebook wants all that it can show
    for name in ("true_shape", "all_pages", "whole_pack", *once):
        if name not in config.option.markexpr:
            long = [item for item in items if item.get_closest_marker(name)]
            config.hook.pytest_deselected(items=long)
            items[:] = [item for item in items if item not in long]
    quick = {(folder, f"test_{name}") for folder, names in QUICK.items() for name in names.split()}
    for item in items:
        if (item.path.parent.name, item.path.stem) in quick and item.name not in NOT_QUICK:
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def same_seeds():
    """Start every test from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def same_signals():
    """Let no test change what Ctrl-C does: processes that later ones start would inherit it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    if after is not before:
        signal.signal(signal.SIGINT, before)
    assert after is before, f"Ctrl-C does something else after this test: {after}"


@pytest.fixture(scope="module")  # no longer: its event loop is in the way of other tests
def browser():
    """A Chromium without a window."""
    with open_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser):
    """A page in Chromium that may ask nothing of another machine."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    yield Visit(page).watch()
    page.close()


@pytest.fixture
def drawn_without_warnings():
    """A missing letter or a squeezed layout is a warning, which would stand in red above the picture."""
    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert plt.get_fignums() == before, "a figure was left open, a notebook would show it twice"
