"""The first cell, the device, the machine, and what pictures and widgets hold."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import psutil
import pytest
import torch
from matplotlib.colors import to_hex

from tools.__main__ import main
from utils import machine as devices
from utils import start
from utils.config import BYTES, SIZES, Workload, estimate_memory, format_bytes
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.machine import (
    describe_machine,
    has_real_bf16,
    machine_memory,
    parse_dtype,
    pick_device,
    small_dtype,
    training_dtype,
    usable_cores,
)
from utils.plots import basic as plots
from utils.plots import widgets
from utils.session import AS_CHOSEN, choice_file, choose_size, remember_size


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_MODEL", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))  # nobody's own choice is read or changed
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture
def no_gpu(monkeypatch):
    """Pretend that PyTorch finds no GPU of any kind."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def bf16(request, monkeypatch):
    """Pretend that this CPU's features, or the capability of its GPU, are as the parameter says."""
    capability, features = request.param
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    has_real_bf16.cache_clear()
    yield
    has_real_bf16.cache_clear()


def draw(figure) -> None:
    """Really draw, so that a text which can't be laid out fails here."""
    figure.canvas.draw()


# The first cell


def test_start_says_one_line_and_seeds_every_source_of_chance(capsys):
    draws = []
    for seed in (6, 6, 7):
        course = start(seed=seed)
        draws.append((random.random(), np.random.rand(), float(torch.rand(()))))
        assert capsys.readouterr().out == "nano on cpu, float32\n" and course.seed == seed
    assert draws[0] == draws[1] and all(a != b for a, b in zip(draws[0], draws[2], strict=True))


def test_a_size_in_the_cell_comes_before_the_environment_and_that_before_what_is_remembered(monkeypatch, capsys):
    remember_size("large")
    assert start().size == "large" and start().config == SIZES["large"]
    monkeypatch.setenv("COURSE_MODEL", " Medium ")
    assert start().size == start(size=AS_CHOSEN).size == start(size="").size == "medium"
    assert start(size="small").size == "small" and start().size == "medium", "one cell speaks for itself only"
    assert os.environ["COURSE_MODEL"] == " Medium "
    monkeypatch.setenv("COURSE_MODEL", "nano")  # as in tests and in CI
    capsys.readouterr()
    start()
    assert capsys.readouterr().out == "nano on cpu, float32\n"


def test_a_size_other_than_nano_says_in_its_line_where_it_comes_from_and_how_to_undo_it(monkeypatch, capsys):
    remember_size("medium")
    start()
    words_in_one_line(capsys, "medium on cpu", "remembered", "course.py size nano")
    monkeypatch.setenv("COURSE_MODEL", "small")
    start()
    words_in_one_line(capsys, "small on cpu", "COURSE_MODEL", "unset")
    start(size="xl")
    words_in_one_line(capsys, "xl on cpu", "in this cell")


def words_in_one_line(capsys, *words: str) -> None:
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and all(word in said for word in words), said


def test_what_is_remembered_is_a_line_in_a_file_and_nano_leaves_none():
    said = remember_size("small")
    assert choice_file().read_bytes() == b"small\n" and "prefetch small" in said and "548 MB" in said
    assert choose_size().size == "small"
    remember_size("nano")
    assert list(choice_file().parent.iterdir()) == [] and choose_size().size == "nano"
    remember_size("nano")  # with nothing to forget


def test_a_choice_that_the_environment_overrules_says_so(monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", "medium")
    assert "COURSE_MODEL=medium" in remember_size("small") and "COURSE_MODEL=medium" in remember_size("nano")


@pytest.mark.parametrize("content", [b"", b"smal", b"\xff\x00", b"small\nmedium", b"x" * 10**6])
def test_a_damaged_choice_is_ignored_with_a_sentence_that_names_the_file(content, capsys):
    choice_file().parent.mkdir(parents=True)
    choice_file().write_bytes(content)
    assert start().size == "nano"
    said = capsys.readouterr()
    assert said.out == "nano on cpu, float32\n"
    assert str(choice_file()) in said.err and len(said.err) < 500
    remember_size("small")
    assert choose_size().size == "small"


def test_a_choice_that_cannot_be_read_or_kept_is_told_by_its_file(capsys):
    choice_file().mkdir(parents=True)  # a folder of that name
    assert start().size == "nano" and str(choice_file()) in capsys.readouterr().err
    with pytest.raises(CourseError, match="size.txt"):
        remember_size("small")
    with pytest.raises(CourseError, match="size.txt"):
        remember_size("nano")


def test_the_command_chooses_says_and_forgets(capsys):
    assert main(["size"]) == 0 and capsys.readouterr().out == "nano\n"
    assert main(["size", "small"]) == 0 and "small is remembered" in capsys.readouterr().out
    assert main(["size"]) == 0 and capsys.readouterr().out.startswith("small (remembered")
    assert main(["size", "smal"]) == 1 and "Did you mean small?" in capsys.readouterr().err
    assert main(["size", "nano"]) == 0 and choose_size().size == "nano"


@pytest.mark.parametrize(("wrong", "hint"), [("smal", " Did you mean small?"), ("gpt5", ""), ("lrage", "large")])
def test_a_size_that_is_none_is_refused_with_the_nearest(monkeypatch, wrong, hint):
    with pytest.raises(CourseError, match=rf"^size is '{wrong}', expected one of nano, .*{hint.strip()}"):
        start(size=wrong)
    with pytest.raises(CourseError, match=f"^size is '{wrong}'"):
        remember_size(wrong)
    assert not choice_file().exists(), "a refused size is remembered"
    monkeypatch.setenv("COURSE_MODEL", wrong)
    with pytest.raises(CourseError, match=rf"^COURSE_MODEL is '{wrong}', expected one of nano, small"):
        choose_size()


def test_model_and_tokenizer_are_loaded_once_and_only_when_used():
    course = start()
    assert "model" not in course.__dict__ and "tokenizer" not in course.__dict__
    assert course.model is course.model and course.model.config == SIZES["nano"]
    assert course.model.device.type == "cpu" and course.model.head.weight.dtype == torch.float32
    assert course.tokenizer is course.tokenizer and course.tokenizer.encode("Hello world") == [15496, 995]


def test_import_utils_is_ours_and_brings_nothing_heavy(tmp_path):
    code = (
        "import json, sys, utils; before = set(sys.modules); from utils import start;"
        "print(json.dumps([utils.__file__, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    file, modules = json.loads(done.stdout)
    assert Path(file).resolve() == ROOT / "utils" / "__init__.py" and done.stderr == ""
    heavy = {"torch", "numpy", "transformers", "tensorflow", "matplotlib", "pandas", "ipywidgets", "psutil"}
    assert not heavy & set(modules)


def test_utils_has_no_attribute_by_accident():
    import utils

    with pytest.raises(AttributeError, match="no attribute 'strat'"):
        utils.strat  # noqa: B018


# Devices


def test_the_best_device_is_chosen_and_a_wish_comes_first(monkeypatch, no_gpu):
    assert pick_device() == torch.device("cpu") == pick_device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device().type == "cuda" and pick_device("cpu").type == "cpu" and pick_device("cuda:1").index == 1


@pytest.mark.parametrize("wish", ["cuda", "cuda:0", "mps", "tpu", "gpu", "", "CPU "])
def test_a_device_that_is_not_here_is_refused_with_what_is(no_gpu, wish):
    with pytest.raises(CourseError, match=rf"The device '{wish}' is not here, expected one of cpu\."):
        pick_device(wish)


def test_a_refused_device_reaches_the_first_cell(monkeypatch, no_gpu):
    for wish in ("cuda", "cpu:x"):
        monkeypatch.setenv("COURSE_DEVICE", wish)
        with pytest.raises(CourseError, match=wish):
            start()


T4, A100 = ((7, 5), {}), ((8, 0), {})
OLD_CPU, AMX_CPU, ARM_CPU = ((0, 0), {"avx2": True}), ((0, 0), {"amx_bf16": True}), ((0, 0), {"bf16": True})


@pytest.mark.parametrize(
    ("bf16", "device", "trains", "small"),
    [
        (T4, "cuda", torch.float16, torch.float16),  # says that it can, and only imitates
        (A100, "cuda", torch.bfloat16, torch.bfloat16),
        (OLD_CPU, "cpu", torch.float32, torch.float16),
        (AMX_CPU, "cpu", torch.bfloat16, torch.bfloat16),
        (ARM_CPU, "cpu", torch.bfloat16, torch.bfloat16),
        (AMX_CPU, "mps", torch.float32, torch.float16),
    ],
    indirect=["bf16"],
)
def test_bfloat16_is_used_only_where_it_is_real(bf16, device, trains, small):
    place = torch.device(device)
    assert has_real_bf16(device) is (trains == torch.bfloat16)
    assert (training_dtype(place), small_dtype(place)) == (trains, small)


def test_dtypes_have_names():
    assert [parse_dtype(n) for n in ("float32", "bfloat16", "float16")] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
    ]
    with pytest.raises(CourseError, match="'fp16' is unknown, expected one of float32, bfloat16, float16"):
        parse_dtype("fp16")


# The machine


def test_the_machine_is_described_by_what_the_system_says(no_gpu):
    assert machine_memory() == {"this machine": psutil.virtual_memory().total}
    said = describe_machine()
    assert set(said) == {"system", "Python", "processor", "memory", "device", "bfloat16"}
    assert said["Python"] == ".".join(map(str, sys.version_info[:3])) and said["device"] == "cpu"
    assert said["memory"].startswith(format_bytes(psutil.virtual_memory().total))
    assert said["processor"].startswith(f"{usable_cores()} cores")
    assert 1 <= usable_cores() <= os.cpu_count()
    assert has_real_bf16("cpu") in (True, False) and devices.device_name(torch.device("cpu")) == "cpu"


# Pictures


def bars(figure) -> list[tuple[float, float]]:
    """Return where each bar begins and how wide it is."""
    return [(patch.get_x(), patch.get_width()) for patch in figure.axes[0].patches]


def lines(figure) -> list[float]:
    return [line.get_xdata()[0] for line in figure.axes[0].lines]


def labels(figure) -> list[str]:
    (legend,) = figure.legends or [figure.axes[0].get_legend()]
    return [text.get_text() for text in legend.get_texts()]


def test_the_memory_bar_is_as_wide_as_its_bytes():
    parts = {"weights": 300e6, "gradients": 200e6, "optimizer": 500e6}
    figure = plots.memory_bar(parts, {"this machine": 8e9, "its GPU": 16e9}, "title")
    draw(figure)
    assert bars(figure) == [(0, 300e6), (300e6, 200e6), (500e6, 500e6)] and lines(figure) == [8e9, 16e9]
    in_words = {"weights 300 MB", "gradients 200 MB", "optimizer 500 MB"}
    assert set(labels(figure)) == in_words | {"this machine 8 GB", "its GPU 16 GB"}
    assert figure.axes[0].get_xlim()[1] >= 16e9 and figure.axes[0].get_title() == "title"


def test_no_part_and_no_limit_is_left_out_of_the_memory_bar():
    assert plots.memory_bar({"weights": 9e9}, {"this machine": 8e9}).axes[0].get_xlim()[1] > 9e9
    figure = plots.memory_bar({str(i): 1.0 for i in range(12)}, {f"limit {i}": 9.0 for i in range(5)})
    draw(figure)
    assert len(bars(figure)) == 12 and len(lines(figure)) == 5 and len(labels(figure)) == 17
    assert plots.memory_bar({"weights": 5.0}, {}).axes[0].get_xlim()[1] >= 5


def test_next_tokens_are_bars_with_the_likeliest_on_top():
    figure = plots.next_token_chart([" the", "\n", "Ġ"], [0.5, 0.25, 0.125], "after …")
    draw(figure)
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.25, 0.125]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["' the'", r"'\n'", "'Ġ'"]
    assert [text.get_text() for text in axes.texts] == ["50.0%", "25.0%", "12.5%"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first bar is not at the top"
    figure = plots.next_token_chart(["$$", "$x_$", r"\frac$$"], [0.5, 0.3, 0.2], r"after 'cost $5^$, $\bad$'")
    draw(figure)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "'$$'", "no formula"


def test_neighboring_parts_have_different_colors_and_no_figure_is_left_open():
    before = plt.get_fignums()
    figure = plots.memory_bar({str(i): 1.0 for i in range(12)}, {"limit": 9.0})
    colors = [to_hex(patch.get_facecolor()) for patch in figure.axes[0].patches]
    assert all(a != b for a, b in zip(colors, colors[1:], strict=False)) and len(set(colors)) == len(plots.COLORS)
    plots.next_token_chart(["a"], [1.0])
    assert plt.get_fignums() == before
    assert matplotlib.get_backend().lower() == "agg"


# Widgets


def test_the_memory_picture_is_the_estimate():
    for work in (Workload(4, 512, "float16"), Workload(2, 128, "float32", True)):
        figure, estimate = widgets.memory_picture("small", work), estimate_memory(SIZES["small"], work)
        assert [width for _, width in bars(figure)] == list(estimate.values())
        assert lines(figure) == list(machine_memory().values())
        title = f"{work.dtype}, {work.batch} × {work.context} tokens: {format_bytes(sum(estimate.values()))}"
        does = "trains" if work.training else "runs"
        assert figure.axes[0].get_title() == f"small {does} in {title}"


def test_the_calculator_shows_the_picture_of_its_controls_after_every_turn():
    box = widgets.memory_calculator("nano")
    controls = {child.description: child for child in box.children[:-1]}
    assert list(controls) == ["size", "dtype", "batch", "context", "training"]

    def shown() -> bool:
        values = {name: control.value for name, control in controls.items()}
        expected = widgets.memory_picture(values.pop("size"), Workload(**values))
        return box.children[-1].value == plots.as_png(expected)

    pictures = [bytes(box.children[-1].value)]
    assert shown() and pictures[0].startswith(b"\x89PNG")
    turns = {"size": "xl", "dtype": "int4", "batch": 8, "context": 256, "training": True}
    for name, value in turns.items():
        controls[name].value = value
        assert shown(), name
        pictures.append(bytes(box.children[-1].value))
    assert len(set(pictures)) == 6, "a turn did not change the picture"
    assert controls["context"].max <= min(config.context for config in SIZES.values())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", BYTES)
def test_every_dtype_of_the_calculator_can_be_drawn(dtype, training):
    draw(widgets.memory_picture("medium", Workload(dtype=dtype, training=training)))


def test_the_dial_turns_the_course_and_the_notebooks_that_follow(monkeypatch):
    course = start()
    first = course.model
    dial, said = widgets.size_dropdown(course).children
    assert dial.value == "nano" and list(dial.options.values()) == list(SIZES) and said.value == ""
    assert list(dial.options)[1] == "small: 498 MB"
    dial.value = "small"
    assert (course.size, course.config, start().size) == ("small", SIZES["small"], "small")
    assert "small is remembered" in said.value and "prefetch small" in said.value
    assert "model" not in course.__dict__, "the old size would go on being used"
    dial.value = "nano"
    assert course.model is not first and course.model.config == SIZES["nano"]
    assert not choice_file().exists() and "small" not in said.value


def test_a_dial_that_cannot_be_kept_says_why_and_turns_its_own_course():
    choice_file().mkdir(parents=True)
    course = start()
    dial, said = widgets.size_dropdown(course).children
    dial.value = "small"
    assert course.size == "small" and "size.txt" in said.value


def test_no_library_fetches_code_from_the_hub(tmp_path):
    """bitsandbytes asks the package `kernels` for native code as soon as it is imported."""
    (tmp_path / "kernels.py").write_text("def get_kernel(*names, **more): print('fetched', names)", encoding="utf-8")
    code = (
        "from utils.session import start; start(); import bitsandbytes\n"
        "try:\n    from kernels import get_kernel\nexcept ImportError:\n    print('refused')"
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": paths, "COURSE_MODEL": "nano"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout and "fetched" not in done.stdout
    assert "kernels" not in done.stderr
