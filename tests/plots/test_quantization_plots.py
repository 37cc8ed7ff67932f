"""Pictures of fewer bits: they show the numbers that they were given; and the slider of lesson 07."""

from __future__ import annotations

import base64

import ipywidgets
import pytest
import torch

from lessons.figures.number_formats import FORMATS, bit_fields, bit_layout, number_bits
from utils.plots.quantization import (
    chosen_grid,
    code_shares,
    describe_grid,
    error_map,
    grid_controls,
    grid_on_weights,
    grid_values,
    group_sweep,
    layer_map,
    quantization_slider,
    rounding_ruler,
)
from utils.quantize.grids import Grid, quantize

WEIGHT = torch.randn(24, 64, generator=torch.Generator().manual_seed(6))


def lines_of(axes) -> dict[str, list]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}


def test_a_grid_is_drawn_where_its_values_are():
    assert grid_values(Grid(2)) == pytest.approx([-4 / 3, -2 / 3, 0, 2 / 3], rel=1e-3)
    assert grid_values(Grid(4, kind="nf4"))[0] == -1
    axes = grid_on_weights(WEIGHT, [Grid(2), Grid(4, 64, "nf4")]).axes[0]
    assert [len(ticks.get_segments()) for ticks in axes.collections] == [4, 16]
    assert [text.get_text() for text in axes.texts] == ["2 bits, group 64", "nf4, group 64"]


def test_sweeps_and_shares_hold_what_they_were_given():
    axes = group_sweep({"linear": [0.1, 0.2]}, [16, 32], [5, 4.5]).axes[0]
    assert lines_of(axes) == {"linear": [0.1, 0.2]}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["16\n5.000 bits", "32\n4.500 bits"]
    axes = code_shares({"a": torch.tensor([[0, 0], [0, 15]]), "b": torch.tensor([7])}).axes[0]
    first, second = ([bar.get_height() for bar in bars] for bars in axes.containers)
    assert (first[0], first[15], second[7]) == (0.75, 0.25, 1) and sum(first) == sum(second) == 1


def test_each_weight_on_a_ruler_points_to_its_nearest_mark():
    axes = rounding_ruler(torch.tensor([0.1, 0.9, -0.6]), torch.tensor([-1.0, 0.0, 1.0])).axes[0]
    assert [text.xy[0] for text in axes.texts] == [0, 1, -1]


def test_an_error_map_shows_where_the_errors_are():
    weight = torch.zeros(16, 16)
    weight[:8, :8] = torch.randn(8, 8)
    image = error_map(weight, quantize(weight, Grid(2, 8)), most=2).axes[0].images[0].get_array()
    assert image[0, 0] > 0 == image[1, 1] == image[0, 1]
    lower = error_map(weight, quantize(weight, Grid(2, 8)), rows=(8, 12)).axes[0]
    assert not lower.images[0].get_array().any() and lower.get_ylim() == (12, 8)


def test_a_map_of_layers_writes_small_numbers_in_their_power_of_ten():
    names = ["blocks.0.mlp.up", "blocks.1.mlp.up", "blocks.0.mlp.down", "blocks.1.mlp.down"]
    figure = layer_map(dict(zip(names, (0.00031, 0.00008, 0.0, 2e-4), strict=True)), "rise")
    assert [text.get_text() for text in figure.axes[0].texts] == ["3.1", "0.8", "0.0", "2.0"]
    assert figure.axes[1].get_ylabel() == "rise, 10$^{-4}$"
    bits = layer_map(dict(zip(names, range(3, 7), strict=True)), "bits")
    assert [text.get_text() for text in bits.axes[0].texts] == ["3", "4", "5", "6"]
    assert bits.axes[1].get_ylabel() == "bits"


# The slider


class Slider:
    """The parts of the slider by name."""

    def __init__(self) -> None:
        self.box = quantization_slider(WEIGHT)
        *controls, self.picture, self.message = self.box.children
        self.controls = dict(zip(grid_controls(), controls, strict=True))

    def turn(self, **values) -> bytes:
        for name, value in values.items():
            self.controls[name].value = value
        return bytes(self.picture.value)


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        ({}, Grid(4, 64)),
        ({"bits": 3, "group": "row"}, Grid(3, "row")),
        ({"bits": 2, "group": 8, "symmetric": False}, Grid(2, 8, symmetric=False)),
        ({"nf4": True, "group": "tensor"}, Grid(4, "tensor", "nf4")),
        ({"nf4": True, "symmetric": False}, Grid(4, 64, "nf4")),  # NF4 has no zero of its own
        ({"nf4": True, "bits": 8}, Grid(8, 64)),
    ],
)
def test_controls_stand_for_a_grid_that_can_be(values, grid):
    slider = Slider()
    slider.turn(**values)
    assert chosen_grid(slider.controls) == grid
    assert slider.message.value == describe_grid(WEIGHT, grid)


@pytest.mark.parametrize("change", [{"bits": 6}, {"symmetric": False}, {"nf4": True}, {"group": "tensor"}], ids=str)
def test_every_control_redraws_the_picture_and_back_again(change):
    slider = Slider()
    resting = slider.turn()
    assert resting.startswith(b"\x89PNG")
    (name,) = change
    before = slider.controls[name].value
    assert slider.turn(**change) != resting
    assert slider.turn(**{name: before}) == resting


def test_what_can_not_be_chosen_is_greyed():
    slider = Slider()
    slider.turn(nf4=True)
    assert slider.controls["symmetric"].disabled and not slider.controls["nf4"].disabled
    slider.turn(bits=5)
    assert slider.controls["nf4"].disabled and not slider.controls["symmetric"].disabled
    assert not any(isinstance(part, ipywidgets.Output) for part in slider.box.children), "a state to be stored"


def test_a_page_without_a_kernel_shows_the_first_picture_of_a_widget():
    slider = Slider()
    bundle = slider.box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle, "a live notebook draws the widget itself"
    assert base64.b64decode(bundle["image/png"]) == slider.turn()


# Bits


@pytest.mark.parametrize("value", [0.1, -3.75, 1.0, 0.0, 2.0**-20, 65504.0])
@pytest.mark.parametrize(("name", "bias"), [("fp32", 127), ("fp16", 15), ("bf16", 127)])
def test_the_bits_of_a_number_make_the_number(value, name, bias):
    sign, exponent, mantissa = bit_fields(value, name)
    share, small = int(mantissa, 2) / 2 ** len(mantissa), int(exponent, 2) == 0  # small ones have no leading 1
    size = 2.0 ** (1 - bias) * share if small else 2.0 ** (int(exponent, 2) - bias) * (1 + share)
    assert (-size if sign == "1" else size) == float(torch.tensor(value).to(FORMATS[name][0]))
    assert len(sign + exponent + mantissa) == 8 * FORMATS[name][0].itemsize


def test_a_number_is_redrawn_with_a_box_for_each_of_its_64_bits():
    texts = [text.get_text() for text in bit_layout(1e5).axes[0].texts]
    assert len([text for text in texts if text in "01"]) == 64 and "inf, too large for fp16" in texts
    field, picture = (box := number_bits(0.1)).children
    before = picture.value
    field.value = -0.1
    assert picture.value != before and box._repr_mimebundle_()["image/png"]
