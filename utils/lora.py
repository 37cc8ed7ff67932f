"""LoRA adapters (Hu et al. 2021, arXiv:2106.09685): beside weights that stay, learn a product of two thin matrices.

Lesson 13 builds them by hand.
y = W·x + (alpha/rank) · B·(A·x), with A (rank, in) drawn by chance and B (out, rank) zero at the start, so that
the model starts as it was. W may be packed to 4 bits, which makes it QLoRA (Dettmers et al. 2023, arXiv:2305.14314):
its bytes never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.config import GPT2Config, Workload, estimate_memory
from utils.errors import CourseError
from utils.model import GPT2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import (
    LAYERS,
    QuantizedLinear,
    computed_bytes,
    layer_names,
    plan_for,
    put_layer,
    quantize_model,
)


class LoRALinear(nn.Module):
    """A frozen layer and what is learned beside it; merged, the product stands in the layer's own weights."""

    def __init__(self, base: nn.Linear | QuantizedLinear, rank: int, alpha: float) -> None:
        super().__init__()
        device = [*base.buffers(), *base.parameters()][0].device
        self.base, self.rank, self.alpha, self.merged = base, rank, alpha, False
        self.in_features, self.out_features = base.in_features, base.out_features
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, device=device)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, device=device)
        nn.init.zeros_(self.lora_B.weight)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    @property
    def weight(self) -> Tensor:
        """What the layer multiplies with in all, (out, in): a copy, unless it is merged."""
        return self.base.weight if self.merged else self.base.weight + self.product()

    def product(self) -> Tensor:
        """Return what is added to the weights, (out, in)."""
        return self.scale * self.lora_B.weight @ self.lora_A.weight

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        y = self.base(x)
        if self.merged:
            return y
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.lora_A.weight.dtype)  # A and B stay in float32 beside a base of 16 bits
        return y + self.lora_B(self.scale * self.lora_A(x)).to(y.dtype)

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha:g}, merged={self.merged}"


def add_lora(model: GPT2, rank: int = 8, alpha: float = 16, layers: Sequence[str] = LAYERS) -> GPT2:
    """Freeze a model in place and put an adapter beside each layer named, in every block or in one of them.

    `layers` holds kinds such as "attention.qkv", or whole names such as "blocks.3.mlp.up".
    """
    if type(rank) is not int or rank < 1:
        raise CourseError(f"rank is {rank!r}, expected a whole number of at least 1.")
    if not 0 < alpha < float("inf"):
        raise CourseError(f"alpha is {alpha!r}, expected a number above 0, often twice the rank.")
    if adapters(model):
        raise CourseError("This model has adapters already. Train those, or take them off first with remove_lora.")
    found: dict[str, nn.Linear | QuantizedLinear] = {}
    for name in chosen_layers(model, layers):
        layer = model.get_submodule(name)
        if not isinstance(layer, nn.Linear | QuantizedLinear):
            raise CourseError(
                f"{name} is a {type(layer).__name__}, which can't be trained through. Load the model again."
            )
        found[name] = layer
    model.requires_grad_(False)
    for name, layer in found.items():
        put_layer(model, name, LoRALinear(layer, rank, alpha))
    return model


def base_grid(bits: int) -> Grid:
    """Return how QLoRA packs the weights under its adapters: NF4 at 4 bits, else linear, in groups of 64."""
    return Grid(bits, 64, "nf4" if bits == 4 else "linear")


def pack_base(model: GPT2, bits: int = 4) -> GPT2:
    """Pack the linear layers of all blocks, in place, before adapters are added."""
    return quantize_model(model, base_grid(bits))


def chosen_layers(model: GPT2, layers: Sequence[str]) -> list[str]:
    """Return the full names of the layers meant, in the order in which a token meets them."""
    known = layer_names(model)
    for wish in [layers] if isinstance(layers, str) else layers:
        if wish not in known and wish not in LAYERS:
            raise CourseError(f"There is no layer {wish!r}, expected some of {', '.join(LAYERS)}, or {known[0]} alone.")
    chosen = [name for name in known if name in layers or name.split(".", 2)[2] in layers]
    if not chosen:
        raise CourseError(f"No layer is named, so nothing would be trained. Name some of {', '.join(LAYERS)}.")
    return chosen


def adapters(model: GPT2) -> dict[str, LoRALinear]:
    """Return the adapted layers by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def need_adapters(model: GPT2) -> dict[str, LoRALinear]:
    """Return the adapted layers by name, or say that there are none."""
    if not (found := adapters(model)):
        raise CourseError("This model has no adapters. Add new ones with add_lora, or saved ones with load_lora.")
    return found


@torch.no_grad()
def merge_lora(model: GPT2) -> GPT2:
    """Add every product into the weights beside it, in place: the same logits at the speed of the plain model."""
    found = need_adapters(model)
    for name, layer in found.items():
        if isinstance(layer.base, QuantizedLinear):
            raise CourseError(
                f"{name} is packed to {layer.base.grid.bits} bits, and adding to it would mean rounding it again. "
                "Save the adapter with save_lora, load it on the unquantized model with load_lora, and merge there."
            )
    for layer in found.values():
        if not layer.merged:
            layer.base.weight.add_(layer.product().to(layer.base.weight.dtype))
            layer.merged = True
    return model


@torch.no_grad()
def unmerge_lora(model: GPT2) -> GPT2:
    """Take merged products out of the weights again, in place; sums round, so the last digit may differ."""
    for layer in need_adapters(model).values():
        if layer.merged:
            layer.base.weight.sub_(layer.product().to(layer.base.weight.dtype))
            layer.merged = False
    return model


def remove_lora(model: GPT2) -> GPT2:
    """Take the adapters off in place: after merge_lora a plain model that keeps what was learned, else the old one."""
    for name, layer in need_adapters(model).items():
        put_layer(model, name, layer.base)
    for module in model.modules():
        module.requires_grad_(not isinstance(module, QuantizedLinear))  # parents come first
    return model


def trained_parameters(model: nn.Module) -> int:
    """Return how many parameters will be trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def lora_parameters(config: GPT2Config, rank: int, layers: Sequence[str] = LAYERS) -> int:
    """Compute how many parameters the adapters of all blocks have: rank · (in + out) for each layer.

    >>> from utils.config import SIZES
    >>> lora_parameters(SIZES["small"], 8, ["attention.qkv"])
    294912
    """
    sums = {"attention.qkv": 4, "attention.out": 2, "mlp.up": 5, "mlp.down": 5}  # in + out, in widths
    return config.n_layer * rank * config.n_embd * sum(sums[layer] for layer in layers)


def estimate_lora_memory(
    config: GPT2Config, work: Workload, rank: int = 8, layers: Sequence[str] = LAYERS, base_bits: int = 0
) -> dict[str, int]:
    """Estimate the bytes of a training step with adapters, as `estimate_memory` does for all weights."""
    with torch.device("meta"):
        shape = GPT2(config)
    plan = plan_for(shape, base_grid(base_bits)) if base_bits else {}
    learned = lora_parameters(config, rank, layers)
    activations = estimate_memory(config, work)["activations"]
    head_gradient = 4 * config.vocab_size * config.n_embd  # nobody asks for it here
    return {
        "weights": computed_bytes(shape, plan) + 4 * learned,
        "gradients": 4 * learned,
        "optimizer": 8 * learned,
        "activations": int(activations - head_gradient),
    }


@dataclass(frozen=True)
class LoRASettings:
    """Everything about a model's adapters but their numbers."""

    rank: int
    alpha: float
    layers: tuple[str, ...]  # full names


def lora_settings(model: GPT2) -> LoRASettings:
    """Return the settings of a model's adapters."""
    found = need_adapters(model)
    first = next(iter(found.values()))
    return LoRASettings(first.rank, first.alpha, tuple(found))
