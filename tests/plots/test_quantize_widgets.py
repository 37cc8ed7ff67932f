"""The slider of lesson 06: which grid its controls stand for, what it draws and what it says."""

from __future__ import annotations

import ipywidgets
import pytest
import torch

from utils.plots.quantization_widgets import chosen_grid, describe_grid, grid_controls, quantization_slider
from utils.quantize.grids import Grid, quantize, relative_error

WEIGHT = torch.randn(24, 64, generator=torch.Generator().manual_seed(6))


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


def test_the_message_holds_bytes_bits_and_error():
    grid = Grid(4, 16)
    error = relative_error(WEIGHT, quantize(WEIGHT, grid))
    # 24 · 64 / 2 bytes of codes and 24 · 4 scales of two bytes
    assert describe_grid(WEIGHT, grid) == (
        f"4 bits, group 16: 960 bytes, 5.00 bits a weight, relative squared error {error:.4f}"
    )


def test_nothing_in_it_needs_the_state_of_widgets_to_be_stored():
    assert not any(isinstance(part, ipywidgets.Output) for part in Slider().box.children)
