"""Quantized layers in the form that a CPU multiplies fastest, for generation: one new token is one row of input.

PyTorch has products that widen 8-bit and 4-bit weights on their way through the registers, with inputs and sums of
bfloat16. Reading a weight then costs one byte, or half a byte, of memory traffic; every other number of bits is
expanded part by part, which is slower than it is small.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from utils.model import GPT2
from utils.quantize.quantized_linear import QuantizedLinear, layer_names, put_layer

FEW = 8  # rows of input up to which the product with 8-bit weights is the fastest way


INT4_GROUPS = (32, 64, 128, 256)  # what the product with 4-bit weights knows


INT4_ROWS = 16  # it takes outputs in multiples of so many


class FastInt8(nn.Module):
    """A layer with one scale per row and signed bytes; for use, not for training."""

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__()
        self.layer = layer
        self.in_features, self.out_features = layer.in_features, layer.out_features

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        if x.numel() > FEW * self.in_features:
            return self.layer(x)
        rows = x.reshape(-1, self.in_features).bfloat16()
        plain = torch._weight_int8pack_mm(rows, self.layer.packed.view(torch.int8), rows.new_ones(self.out_features))
        y = plain * self.layer.scales.view(torch.float16).float().view(-1)  # not before, in bfloat16
        if self.layer.bias is not None:
            y += self.layer.bias
        return y.to(x.dtype).view(*x.shape[:-1], self.out_features)


class FastInt4(nn.Module):
    """A layer with 4-bit weights in the product's own order; scales and zeros are rounded to bfloat16."""

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__()
        self.group, self.bias = layer.grid.group, layer.bias
        self.in_features, self.out_features = layer.in_features, layer.out_features
        found = layer.quantized()
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(found.codes.int(), 1)
        scales = found.scales.float()
        middle = layer.grid.middle  # the product takes weights as (code − 8) · scale + shift
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
    whole = grid.group in INT4_GROUPS and layer.in_features % grid.group == 0 and layer.out_features % INT4_ROWS == 0
    return FastInt4(layer) if grid.bits == 4 and whole else layer


@torch.no_grad()
def speed_up(model: GPT2) -> GPT2:
    """Put every quantized layer into its fastest form, in place; for reading only."""
    if isinstance(model.head, QuantizedLinear):
        model.head = fast_form(model.head)  # the token embedding goes on reading the packed one
    for name in layer_names(model):
        if isinstance(layer := model.get_submodule(name), QuantizedLinear):
            put_layer(model, name, fast_form(layer))
    return model.eval()
