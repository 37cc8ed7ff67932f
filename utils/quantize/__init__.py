"""Quantization: linear and NF4 grids, GPTQ, AWQ, mixed bits, packed layers; lessons 07 and 08 build it."""

from __future__ import annotations

from utils.quantize.calibration import Calibration, draw_rows, output_error
from utils.quantize.grids import Grid, half_upwards, quantize, relative_error, to_groups
from utils.quantize.quantized_linear import computed_bytes, plan_for, plan_of, quantize_model
from utils.quantize.recipe import HELD_OUT_SEED, QuantizationRecipe, apply_recipe, story_tokens
