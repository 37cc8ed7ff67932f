"""int8 and int4 weight-only matmuls of PyTorch, for generation: one new token is one row of input.

PyTorch widens 8-bit and 4-bit weights on their way through the registers, with inputs and sums of bfloat16, so that
reading a weight costs one byte or half a byte. Its operators are private and may move with a new version; they stay
because GPT-2 small writes 3.7 times as many tokens a second with int8 and 10 times as many with int4 as with layers
that are expanded part by part (one thread, AVX-512), the way that all other numbers of bits go.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from utils.model import GPT2
from utils.quantize.quantized_linear import QuantizedLinear, quantized_layers

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
    if layer.is_plain_int8:
        return FastInt8(layer)
    known = grid.group in INT4_GROUPS and not layer.in_features % grid.group and not layer.out_features % INT4_ROWS
    return FastInt4(layer) if grid.bits == 4 and known else layer


@torch.no_grad()
def speed_up(model: GPT2) -> GPT2:
    """Put every quantized layer into its fastest form, in place; for reading only."""
    for name, layer in quantized_layers(model).items():
        model.set_submodule(name, fast_form(layer))  # a token embedding goes on reading the packed head
    return model.eval()
