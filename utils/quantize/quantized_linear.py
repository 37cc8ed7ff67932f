"""Weight-only quantized linear layers: packed codes in memory, dequantized on the fly, frozen for QLoRA.

Layers keep their weights packed and expand only a part of them at a time, for as long as they need it, as 4-bit bases
do under adapters (Dettmers et al. 2023, arXiv:2305.14314). Lesson 08 builds it; lesson 13 trains adapters on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from utils.config import total_parameters
from utils.errors import CourseError
from utils.machine import Embedding, is_imitated
from utils.model import GPT2
from utils.quantize.bit_packing import pack_bits, unpack_bits
from utils.quantize.grids import Grid, Quantized, from_codes, from_groups, quantize, to_groups

LAYERS = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")  # of each block
HEAD = "head"  # tied to the token embedding: both are quantized or none
CHUNK = 2**18  # weights that are expanded at a time: 1 MB of float32, which a core's cache can hold


class QuantizedLinear(nn.Module):
    """A linear layer with packed weights: gradients flow through it to its input, its own weights stay as they are."""

    packed: Tensor
    scales: Tensor
    zeros: Tensor | None

    def __init__(self, grid: Grid, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.grid, self.in_features, self.out_features = grid, in_features, out_features
        groups = grid.scale_shape(out_features, in_features)
        width = -(-in_features // 8) * grid.bits
        self.register_buffer("packed", torch.empty(out_features, width, dtype=torch.uint8))
        # float16 seen as int16, so that model.to(dtype) leaves it alone
        self.register_buffer("scales", torch.empty(groups, dtype=torch.int16))
        self.register_buffer("zeros", None if grid.symmetric else torch.empty(groups, dtype=torch.uint8))
        self.bias = nn.Parameter(torch.empty(out_features), requires_grad=False) if bias else None

    @classmethod
    def of(cls, quantized: Quantized, bias: Tensor | None = None) -> QuantizedLinear:
        """Pack a quantized matrix (out, in)."""
        out_features, in_features = quantized.codes.shape
        with torch.device("meta"):
            layer = cls(quantized.grid, in_features, out_features, bias is not None)
        layer.packed = pack_bits(quantized.codes, quantized.grid.bits)
        layer.scales, layer.zeros = quantized.scales.view(torch.int16), quantized.zeros
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        return layer

    @property
    def weight(self) -> Tensor:
        """A float32 copy (out, in) of all weights; for a look, and for matmuls that ask for all of them."""
        return self.expand(slice(None))

    def quantized(self) -> Quantized:
        """Return codes, scales and zeros, unpacked."""
        codes = unpack_bits(self.packed, self.grid.bits, self.in_features)
        return Quantized(codes, self.scales.view(torch.float16), self.zeros, self.grid)

    def expand(self, rows: slice | Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return some rows of the weights, (rows, in)."""
        pick = slice(None) if len(self.scales) < self.out_features else rows  # one scale may serve them all
        scales = self.scales[pick].view(torch.float16)[..., None]
        zeros = None if self.zeros is None else self.zeros[pick][..., None]
        codes = unpack_bits(self.packed[rows], self.grid.bits, self.in_features)
        values = from_codes(to_groups(codes, self.grid), scales, zeros, self.grid)
        return from_groups(values, codes.shape).to(dtype)

    def parts(self) -> Iterator[slice]:
        """Yield slices of rows that together are the whole matrix, each of about CHUNK weights."""
        size = max(1, CHUNK // self.in_features)
        return (slice(at, at + size) for at in range(0, self.out_features, size))

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        rows = x.reshape(-1, self.in_features)
        rows = rows.float() if is_imitated(rows) else rows
        needs_gradient = torch.is_grad_enabled() and rows.requires_grad
        y = _PackedMatmul.apply(rows, self) if needs_gradient else self.multiply(rows)
        y = y.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias.to(x.dtype)

    def multiply(self, x: Tensor) -> Tensor:
        """Return x (rows, in) · weightᵀ, part by part."""
        y = x.new_empty(len(x), self.out_features)
        for part in self.parts():
            y[:, part] = x @ self.expand(part, x.dtype).T
        return y

    def multiply_back(self, y: Tensor) -> Tensor:
        """Return y (rows, out) · weight, part by part: the way of a gradient."""
        x = y.new_zeros(len(y), self.in_features)
        for part in self.parts():
            x.addmm_(y[:, part], self.expand(part, y.dtype))
        return x

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.grid}"


class _PackedMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return layer.multiply(x)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return ctx.layer.multiply_back(grad), None


class QuantizedEmbedding(nn.Module):
    """A table of rows that are expanded when they are looked up: the packed weights of the head, used once more."""

    like: Tensor

    def __init__(self, head: QuantizedLinear) -> None:
        super().__init__()
        self.tables = (head,)  # in a tuple, so that its tensors are counted and saved once
        # follows model.to(dtype), and so do the rows
        self.register_buffer("like", torch.empty(0, device="cpu"), persistent=False)

    @property
    def weight(self) -> Tensor:
        return self.tables[0].weight

    def forward(self, tokens: Tensor) -> Tensor:  # (...) → (..., width)
        return self.tables[0].expand(tokens.reshape(-1), self.like.dtype).view(*tokens.shape, -1)


def layer_names(model: GPT2) -> list[str]:
    """Return the names of the linear layers of all blocks, in the order in which a token meets them."""
    return [f"blocks.{block}.{layer}" for block in range(model.config.n_layer) for layer in LAYERS]


def plan_for(model: GPT2, grid: Grid, head: Grid | None = None) -> dict[str, Grid]:
    """Return a plan: one grid for the linear layers of all blocks, and maybe one for head and token embedding."""
    return dict.fromkeys(layer_names(model), grid) | ({HEAD: head} if head else {})


def quantize_model(model: GPT2, plan: Grid | Mapping[str, Grid]) -> GPT2:
    """Round the layers that a plan names to the nearest values of their grids, in place, one after the other."""
    plan = plan_for(model, plan) if isinstance(plan, Grid) else plan
    for name, grid in plan.items():
        replace_layer(model, name, quantize(plain_layer(model, name).weight, grid))
    return model.eval()


def plain_layer(module: nn.Module, name: str) -> nn.Linear:
    """Return a layer of a model or block that is not quantized yet, or say what is there instead."""
    layer = dict(module.named_modules()).get(name)
    if layer is None:
        raise CourseError(f"{name} is no layer of this model, expected {HEAD} or one like blocks.0.{LAYERS[0]}.")
    if not isinstance(layer, nn.Linear):
        raise CourseError(f"{name} is a {type(layer).__name__}, expected plain weights. Load the original model again.")
    return layer


def replace_layer(model: GPT2, name: str, quantized: Quantized) -> None:
    """Put packed weights in the place of a linear layer; its bias moves over."""
    put_layer(model, name, QuantizedLinear.of(quantized, plain_layer(model, name).bias))


def put_layer(model: GPT2, name: str, layer: nn.Module) -> None:
    """Set a layer by its dotted name; the token embedding goes with the head."""
    model.set_submodule(name, layer)
    if name == HEAD and isinstance(layer, QuantizedLinear):
        model.set_submodule("token_embedding", QuantizedEmbedding(layer))
    elif name == HEAD and isinstance(layer, nn.Linear):
        embedding = Embedding(layer.out_features, layer.in_features, device="meta")
        embedding.weight = layer.weight
        model.set_submodule("token_embedding", embedding)


@torch.no_grad()
def dequantize_model(model: GPT2) -> GPT2:
    """Expand every quantized layer in place to the plain float32 weights that its codes stand for."""
    for name, packed in quantized_layers(model).items():
        layer = nn.Linear(packed.in_features, packed.out_features, packed.bias is not None, device="meta")
        layer.weight = nn.Parameter(packed.weight)
        if packed.bias is not None:
            layer.bias = nn.Parameter(packed.bias.detach().clone())
        put_layer(model, name, layer)
    return model


def quantized_layers(model: GPT2) -> dict[str, QuantizedLinear]:
    """Return the layers that are quantized, by name."""
    layers = {name: model.get_submodule(name) for name in (*layer_names(model), HEAD)}
    return {name: layer for name, layer in layers.items() if isinstance(layer, QuantizedLinear)}


def plan_of(model: GPT2) -> dict[str, Grid]:
    """Return the grids of the layers that are quantized, by name."""
    return {name: layer.grid for name, layer in quantized_layers(model).items()}


def layer_shapes(model: GPT2) -> dict[str, tuple[int, int]]:
    """Return the shapes (out, in) of all layers that can be quantized, from the model's sizes alone."""
    width = model.config.n_embd
    of_block = ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width))
    shapes = dict(zip(layer_names(model), of_block * model.config.n_layer, strict=True))
    return shapes | {HEAD: (model.config.vocab_size, width)}


def computed_bytes(model: GPT2, plan: Mapping[str, Grid], dtype: torch.dtype = torch.float32) -> int:
    """Compute the bytes of a model under a plan from its shape alone; what is not quantized has this dtype."""
    shapes = {name: shape for name, shape in layer_shapes(model).items() if name in plan}
    plain = total_parameters(model.config) - sum(rows * columns for rows, columns in shapes.values())
    return plain * dtype.itemsize + sum(plan[name].nbytes(*shape) for name, shape in shapes.items())


def bits_per_weight(plan: Mapping[str, Grid], shapes: Mapping[str, tuple[int, int]]) -> float:
    """Return the bits of a quantized weight on average, scales and zeros included."""
    stored = sum(grid.nbytes(*shapes[name]) for name, grid in plan.items())
    return 8 * stored / sum(rows * columns for rows, columns in (shapes[name] for name in plan))
