"""Calibration data: second moments (Hessian) and mean magnitudes of each layer's inputs, gathered block by block.

What each layer gets to see, as text travels through the model; lesson 08 builds it, GPTQ and AWQ ask it. Only the
states in front of one block are in memory, and the sums for that block's layers. The blocks before it may already be
quantized, so that the next ones are fitted to what they will really get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from utils.batches import Batches, Tokens, largest_context
from utils.errors import CourseError
from utils.files.progress import progress
from utils.model import GPT2, Block
from utils.quantize.grids import Grid, Quantized, quantize
from utils.quantize.quantized_linear import HEAD, LAYERS, QuantizedLinear, plain_layer, plan_for, replace_layer


@dataclass
class Seen:
    """What went into a layer: the mean of x · xᵀ (in, in), and of |x| (in,), over so many tokens."""

    hessian: Tensor
    magnitude: Tensor
    tokens: int

    @classmethod
    def nothing(cls, width: int, device: torch.device) -> Seen:
        return cls(torch.zeros(width, width, device=device), torch.zeros(width, device=device), 0)

    def add(self, x: Tensor) -> None:
        """Add inputs (..., in) to the sums."""
        x = x.detach().reshape(-1, x.shape[-1]).float()
        self.hessian.addmm_(x.T, x)
        self.magnitude += x.abs().sum(0)
        self.tokens += len(x)

    def finish(self) -> Seen:
        """Turn the sums into means."""
        if not self.tokens:
            raise CourseError("No calibration token reached this layer. Give at least one row of tokens.")
        return Seen(self.hessian / self.tokens, self.magnitude / self.tokens, self.tokens)

    def scaled(self, scales: Tensor) -> Seen:
        """Return what the layer would have seen, had each input been divided by its scale (in,)."""
        return Seen(self.hessian / scales / scales[:, None], self.magnitude / scales, self.tokens)


class Calibration:
    """Carries rows of tokens through a model: observe a block, change it, advance to the next."""

    @torch.no_grad()
    def __init__(self, model: GPT2, tokens: Tensor, batch: int = 8) -> None:
        """Embed tokens (rows, time)."""
        model.check_length(tokens.shape[1])
        places = model.position_embedding(torch.arange(tokens.shape[1], device=model.device))
        rows = tokens.to(model.device).split(batch)
        self.states = [model.token_embedding(part) + places for part in rows]  # each (batch, time, width)

    @torch.no_grad()
    def observe(self, block: nn.Module) -> dict[str, Seen]:
        """Run the block and return what its linear layers see, by the names in LAYERS."""
        found = {name: block.get_submodule(name) for name in LAYERS}
        layers = {name: one for name, one in found.items() if isinstance(one, (nn.Linear, QuantizedLinear))}
        seen = {name: Seen.nothing(layer.in_features, self.states[0].device) for name, layer in layers.items()}

        def add_to(name: str):
            return lambda _, inputs: seen[name].add(inputs[0])

        handles = [layer.register_forward_pre_hook(add_to(name)) for name, layer in layers.items()]
        try:
            for states in self.states:
                block(states)
        finally:
            for handle in handles:
                handle.remove()
        return {name: part.finish() for name, part in seen.items()}

    @torch.no_grad()
    def advance(self, block: nn.Module) -> None:
        """Replace the states by what the block makes of them."""
        for number, states in enumerate(self.states):
            self.states[number] = block(states)


QuantizeBlock = Callable[[Block, dict[str, Grid], Calibration], dict[str, Quantized]]  # layers as named in LAYERS


@torch.no_grad()
def quantize_blocks(
    model: GPT2, plan: Grid | Mapping[str, Grid], tokens: Tensor, way: str, quantize_block: QuantizeBlock
) -> GPT2:
    """Quantize the layers of a plan in place, block after block, with calibration tokens; the head is rounded."""
    plan = plan_for(model, plan) if isinstance(plan, Grid) else plan
    calibration = Calibration(model, tokens)
    for number, block in enumerate(progress(model.blocks, way)):
        assert isinstance(block, Block), "blocks that are kept elsewhere can't be calibrated"
        names = {layer: f"blocks.{number}.{layer}" for layer in LAYERS if f"blocks.{number}.{layer}" in plan}
        for name in names.values():
            plain_layer(model, name)  # refuses what is quantized already
        found = quantize_block(block, {layer: plan[name] for layer, name in names.items()}, calibration)
        for layer, quantized in found.items():
            replace_layer(model, names[layer], quantized)
        calibration.advance(block)
    if HEAD in plan:
        replace_layer(model, HEAD, quantize(plain_layer(model, HEAD).weight, plan[HEAD]))
    return model.eval()


def draw_rows(tokens: Tokens, rows: int = 64, context: int = 256, seed: int = 0) -> Tensor:
    """Draw rows (rows, context) from a long text of tokens (time,), the same ones for the same seed."""
    if isinstance(tokens, Tensor):
        tokens = tokens.numpy()
    context = min(context, largest_context(np.asarray(tokens)))
    return Batches(tokens, rows, context, seed).next_batch()[0]


def output_error(weight: Tensor, replacement: Tensor | Quantized, hessian: Tensor) -> float:
    """Return the squared error of a layer's output over its own square, on the inputs behind a hessian."""
    if isinstance(replacement, Quantized):
        replacement = replacement.dequantize()
    weight = weight.detach().float()
    return float(energy(replacement - weight, hessian).sum() / energy(weight, hessian).sum())


def energy(weight: Tensor, hessian: Tensor) -> Tensor:
    """Return the mean square of each output (out,) that a weight (out, in) makes of the inputs: diag(w · H · wᵀ)."""
    return ((weight @ hessian) * weight).sum(-1)
