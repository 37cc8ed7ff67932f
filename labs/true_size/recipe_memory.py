"""What a recipe takes before it runs: the bytes of each kind of memory, worked out from its settings."""

from __future__ import annotations

from dataclasses import replace

from utils.config import BYTES, SIZES, GPT2Config, Workload, estimate_memory
from utils.training.recipes import Recipe


def recipe_memory(recipe: Recipe, dtype: str) -> dict[str, int]:
    """Estimate the bytes that a recipe needs on a device whose products are in `dtype`.

    Frozen layers have no gradients, no moments and keep nothing; recomputed blocks keep only what went into them.
    """
    config = recipe_shape(recipe)
    work = Workload(recipe.batch_size, recipe.context, dtype, training=True)
    whole = estimate_memory(config, work)
    layers = recipe.train_layers or config.n_layer
    active = 1 if recipe.gradient_checkpointing else layers
    activations = estimate_memory(replace(config, n_layer=active), work)["activations"]
    if recipe.gradient_checkpointing:
        activations += layers * recipe.batch_size * recipe.context * config.n_embd * 4  # the residual stream, float32
        activations += (layers - 1) * 12 * config.n_embd**2 * BYTES[dtype] if BYTES[dtype] < 4 else 0  # 16-bit copies
    learning = learning_parameters(config, recipe.train_layers) or whole["gradients"] // 4
    return {**whole, "gradients": 4 * learning, "optimizer": 8 * learning, "activations": int(activations)}


def learning_parameters(config: GPT2Config, layers: int) -> int:
    """Return how many parameters the last so many blocks and the final norm have; 0 for 0."""
    width = config.n_embd
    return layers * (12 * width * width + 13 * width) + 2 * width if layers else 0


def recipe_shape(recipe: Recipe) -> GPT2Config:
    """Return the shape that a recipe trains, if its weights are one of the known sizes."""
    shape = {name: getattr(recipe, name) for name in ("n_layer", "n_head", "n_embd") if getattr(recipe, name)}
    return replace(SIZES[recipe.weights or recipe.size], **shape)
