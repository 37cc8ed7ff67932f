"""Mixed precision per layer, the idea of EXL2 (exllamav2): bits by sensitivity, as a knapsack over layers.

Layers that hurt get more bits, the others fewer, and the average is as asked. Lesson 08 builds it. How much a layer
hurts is measured on calibration text. Rounding changes its output by ΔW · x; the loss rises by about half of what the
squared gradient at that output says about such a change: the Fisher information in the place of the Hessian of optimal
brain damage (LeCun et al. 1989). Which bits each layer gets is then solved exactly: the least rise of the loss for a
given number of bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from utils.errors import CourseError
from utils.files.progress import progress
from utils.model import GPT2
from utils.quantize.calibration import Calibration, energy
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import LAYERS, layer_names, plain_layer

CHOICES = (2, 3, 4, 5, 6, 7, 8)
ROWS_AT_A_TIME = 2  # of calibration text, while gradients are taken
Sensitivity = Mapping[str, Mapping[int, float]]  # of each layer at each number of bits: by how much the loss rises


def measure_sensitivity(model: GPT2, tokens: Tensor, grid: Grid = Grid(), choices: tuple = CHOICES) -> Sensitivity:
    """Estimate by how much the loss on tokens (rows, time) rises when one layer alone is rounded to so many bits."""
    slopes = output_gradients(model, tokens)
    calibration = Calibration(model, tokens)
    found: dict[str, dict[int, float]] = {}
    for number, block in enumerate(progress(model.blocks, "bits that each block needs")):
        seen = calibration.observe(block)
        for layer in LAYERS:
            name, weight = f"blocks.{number}.{layer}", plain_layer(block, layer).weight.detach().float()
            found[name] = {}
            for bits in choices:
                error = quantize(weight, replace(grid, bits=bits)).dequantize() - weight
                found[name][bits] = float((energy(error, seen[layer].hessian) * slopes[name]).sum() / 2)
        calibration.advance(block)
    return found


def output_gradients(model: GPT2, tokens: Tensor) -> dict[str, Tensor]:
    """Return for each layer the mean square (out,) of the gradient, of all tokens' loss, at its outputs."""
    sums = {name: torch.zeros((), device=model.device) for name in layer_names(model)}

    def keep(name: str):
        def hook(module, inputs, output: Tensor) -> None:
            output.requires_grad_() if output.is_leaf else None
            output.register_hook(lambda grad: sums.update({name: sums[name] + grad.float().square().sum((0, 1))}))

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in sums]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in trained:  # only gradients of outputs are wanted
            weight.requires_grad_(False)
        parts = tokens.to(model.device).split(ROWS_AT_A_TIME)
        for rows in progress(parts, "gradients of all layers, parts of the text", after=2.0):
            targets = rows[:, 1:]
            (model(rows[:, :-1], targets) * targets.numel()).backward()  # the sum over tokens, not their mean
    finally:
        for handle in handles:
            handle.remove()
        for weight in trained:
            weight.requires_grad_(True)
    return {name: total / (tokens.shape[0] * (tokens.shape[1] - 1)) for name, total in sums.items()}


def choose_bits(sensitivity: Sensitivity, sizes: Mapping[str, int], average: float) -> dict[str, int]:
    """Return the bits of each layer that keep the loss lowest, with this average over all weights (sizes: of a layer).

    >>> choose_bits({"a": {2: 5.0, 4: 1.0}, "b": {2: 0.5, 4: 0.1}}, {"a": 10, "b": 10}, 3)
    {'a': 4, 'b': 2}
    """
    names = list(sensitivity)
    low, high = (max(pick(sensitivity[name]) for name in names) for pick in (min, max))
    if not low <= average <= high:
        raise CourseError(f"An average of {average} bits was asked for, expected one from {low} to {high}.")
    unit = int(np.gcd.reduce([sizes[name] for name in names]))
    units = {name: sizes[name] // unit for name in names}
    room = round(average * sum(units.values()))
    least = np.array([0.0] + room * [np.inf])  # the lowest rise of the loss for each number of bits spent so far
    picks, chosen = {}, {}
    for name, count in units.items():
        bits = np.array(list(sensitivity[name]))
        options = np.stack([_shift(least, count * b) + sensitivity[name][b] for b in bits.tolist()])
        picks[name], least = bits[options.argmin(0)], options.min(0)
    spent = int(np.flatnonzero(np.isfinite(least))[-1])  # all of the room, or the most that can be spent
    for name in reversed(names):
        chosen[name] = int(picks[name][spent])
        spent -= units[name] * chosen[name]
    return {name: chosen[name] for name in names}


def _shift(values: np.ndarray, places: int) -> np.ndarray:
    shifted = np.full_like(values, np.inf)
    shifted[places:] = values[: max(0, len(values) - places)]
    return shifted


def mixed_plan(model: GPT2, tokens: Tensor, average: float, grid: Grid = Grid()) -> dict[str, Grid]:
    """Return a plan whose bits per layer follow the measured sensitivity and have this average."""
    sensitivity = measure_sensitivity(model, tokens, grid)
    sizes = {name: plain_layer(model, name).weight.numel() for name in sensitivity}
    return {name: replace(grid, bits=bits) for name, bits in choose_bits(sensitivity, sizes, average).items()}
