"""Fast layers for generation on CPUs: FBGEMM's prepacked fp16 matmul, PyTorch's int8 and int4 weight-only matmuls.

One new token is one row of input: it costs one pass over all weights, and half the bytes take half the time. FBGEMM
lays 16-bit weights out the way in which most CPUs read them fastest: GPT-2 small writes 81 to 98 tokens a second where
plain float32 writes 23 and plain bfloat16 38 (two cores with AVX-512, no AMX); only CPUs with AMX read plain bfloat16
faster. 8-bit and 4-bit weights are widened on their way through the registers, with inputs and sums of bfloat16. These
operators are private and may move with a new version; they stay because small writes 3.7 times as many tokens a second
with int8 and 10 times as many with int4 as with layers that are expanded part by part (one thread, AVX-512), the way
that all other numbers of bits go.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.machine import has_amx, prepare_for_speed, small_dtype
from utils.model import GPT2
from utils.quantize.grids import ROW, Grid
from utils.quantize.quantized_linear import QuantizedLinear

FEW = 8  # rows of input up to which the matmul with 8-bit weights is the fastest way
INT4_GROUPS = (32, 64, 128, 256)  # what the matmul with 4-bit weights knows
INT4_ROWS = 16  # it takes outputs in multiples of so many


class FastInt8(nn.Module):
    """A layer with one scale per row and signed bytes; for use, not for training."""

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__()
        self.layer = layer

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        layer = self.layer
        if x.numel() > FEW * layer.in_features:
            return layer(x)
        rows = x.reshape(-1, layer.in_features).bfloat16()
        y = torch._weight_int8pack_mm(rows, layer.packed.view(torch.int8), rows.new_ones(layer.out_features))
        y = y * layer.scales.view(torch.float16).float().view(-1)  # not before, in bfloat16
        y = y if layer.bias is None else y + layer.bias
        return y.to(x.dtype).view(*x.shape[:-1], layer.out_features)


class FastInt4(nn.Module):
    """A layer with 4-bit weights in the matmul's own order; scales and zeros are rounded to bfloat16."""

    packed: Tensor
    table: Tensor

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__()
        self.group, self.bias = layer.grid.group, layer.bias
        self.in_features, self.out_features = layer.in_features, layer.out_features
        found = layer.quantized()
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(found.codes.int(), 1)
        scales = found.scales.float()
        middle = layer.grid.middle  # the matmul takes weights as (code − 8) · scale + shift
        shifts = torch.zeros_like(scales) if found.zeros is None else (middle - found.zeros.float()) * scales
        table = torch.stack([scales, shifts], -1).transpose(0, 1).contiguous()  # (groups, out, 2)
        self.register_buffer("packed", packed, persistent=False)
        # bfloat16 seen as int16, so that model.to(dtype) leaves it alone
        self.register_buffer("table", table.bfloat16().view(torch.int16), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        rows = x.reshape(-1, self.in_features).bfloat16()
        table = self.table.view(torch.bfloat16)
        y = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.packed, self.group, table)
        y = y.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias.to(x.dtype)


def fast_form(layer: QuantizedLinear) -> nn.Module:
    """Return the fastest form of a layer that this version of PyTorch has on a CPU, or the layer itself."""
    grid = layer.grid
    if layer.packed.device.type != "cpu" or grid.kind != "linear":
        return layer
    if grid == Grid(8, ROW) and layer.in_features % 8 == 0:  # a signed byte times the scale of its row
        return FastInt8(layer)
    known = grid.group in INT4_GROUPS and not layer.in_features % grid.group and not layer.out_features % INT4_ROWS
    return FastInt4(layer) if grid.bits == 4 and known else layer


def can_pack() -> bool:
    """Say whether this build of PyTorch has FBGEMM's 16-bit weights: on x86 it has, on ARM it has not."""
    there = {"fbgemm", "x86"} & set(torch.backends.quantized.supported_engines)
    return bool(there) and torch.backends.quantized.engine in ("fbgemm", "x86")


class PackedLinear(nn.Module):
    """A linear layer with packed float16 weights; for use, not for training."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bias = linear.bias.detach().float() if linear.bias is not None else None
        self.packed = torch.ops.quantized.linear_prepack_fp16(linear.weight.detach().float(), bias)

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        return torch.ops.quantized.linear_dynamic_fp16.default(x, self.packed)

    @property
    def weight(self) -> Tensor:
        """A float32 copy (out, in) of the weights."""
        return torch.ops.quantized.linear_unpack_fp16(self.packed)[0]


class HalfEmbedding(nn.Module):
    """A table of float16 rows that are widened to float32 when they are looked up."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = nn.Parameter(embedding.weight.detach().half(), requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:  # (...) → (..., width)
        return F.embedding(tokens, self.weight).float()


def for_generation(model: GPT2) -> GPT2:
    """Turn `model` in place into the form that generates fastest on its device, with 16-bit weights.

    Layers that are quantized keep their bits. The result is for reading only: it can't be trained or saved.
    """
    if model.device.type == "cpu" and not has_amx() and can_pack():
        return swap_layers(model, pack=True)
    return prepare_for_speed(swap_layers(model, pack=False).to(small_dtype(model.device)))


@torch.no_grad()
def swap_layers(model: GPT2, pack: bool) -> GPT2:
    """Put quantized layers into their fastest form, in place, and with `pack` the other weights into 16 bits.

    One at a time, the head first: it needs the most room, and packed it becomes a copy of its own.
    """
    names = [name for name, _ in model.named_modules() if name]  # alone, so that packed layers are freed one by one
    for name in reversed(names):
        module = model.get_submodule(name)
        if isinstance(module, QuantizedLinear):
            model.set_submodule(name, fast_form(module))  # a token embedding goes on reading the packed head
        elif pack and isinstance(module, nn.Linear):
            model.set_submodule(name, PackedLinear(module))
        elif pack and isinstance(module, nn.Embedding):  # and not quantized together with the head
            model.set_submodule(name, HalfEmbedding(module))
        elif pack and isinstance(module, nn.LayerNorm):
            module.float()
    return model.eval()
