"""Packed layers and whole packed models: the same numbers as the expanded ones, in the bytes that were computed."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from shapes import LargestTensor, random_tokens, tiny_model
from torch.testing import assert_close
from trained import trained_model

from utils.config import SIZES, GPT2Config
from utils.errors import CourseError
from utils.evaluate import Protocol, measure_loss
from utils.formats.quantized_files import FILE, save_quantized
from utils.formats.safetensors import read_note
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2, weight_bytes
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import (
    CHUNK,
    QuantizedEmbedding,
    QuantizedLinear,
    bits_per_weight,
    computed_bytes,
    dequantize_model,
    layer_shapes,
    plan_for,
    plan_of,
    quantize_model,
)

GRIDS = [
    Grid(8, "row"),
    Grid(4, 16),
    Grid(4, 16, "nf4"),
    Grid(3, 12, symmetric=False),
    Grid(5, "tensor"),
    Grid(2, "row", symmetric=False),
    Grid(6, 16),
]
SHAPE = GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=97, context=24)
HEAD = Grid(8, "row")


def packed_layer(grid: Grid, out: int = 40, width: int = 48) -> tuple[QuantizedLinear, torch.Tensor, torch.Tensor]:
    """Return a packed layer, its weights expanded and its bias."""
    found = quantize(torch.randn(out, width), grid)
    bias = torch.randn(out)
    return QuantizedLinear.of(found, bias), found.dequantize(), bias


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("rows", [1, 30])
def test_a_packed_layer_multiplies_like_its_expanded_weights(grid, rows, monkeypatch):
    monkeypatch.setattr("utils.quantize.quantized_linear.CHUNK", 7 * 48)  # several parts, the last one shorter
    layer, weight, bias = packed_layer(grid)
    x = torch.randn(rows, 2, 48, requires_grad=True)
    expected = torch.nn.functional.linear(x, weight, bias)
    assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert_close(layer(x.detach()), expected.detach(), rtol=1e-4, atol=1e-4)
    (theirs,) = torch.autograd.grad(expected.square().sum(), x)
    (ours,) = torch.autograd.grad(layer(x).square().sum(), x)
    assert_close(ours, theirs, rtol=1e-3, atol=1e-2)
    assert not any(tensor.requires_grad for tensor in (*layer.parameters(), *layer.buffers()))


def test_no_more_than_a_part_of_the_weights_is_ever_expanded():
    layer, _, _ = packed_layer(Grid(4, 64), out=3 * CHUNK // 256, width=256)
    x = torch.randn(2, 256, requires_grad=True)
    with LargestTensor() as watched:
        layer(x).sum().backward()
    assert watched.values <= CHUNK < layer.in_features * layer.out_features


def test_autocast_and_16_bit_inputs_are_followed_and_codes_and_scales_left_alone():
    layer, weight, bias = packed_layer(Grid(4, 16, symmetric=False))
    x = torch.randn(3, 48)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x.bfloat16()).dtype == torch.bfloat16
    assert_close(layer(x.half()).float(), torch.nn.functional.linear(x, weight, bias), rtol=0.02, atol=0.05)
    assert torch.equal(layer.to(torch.bfloat16).float().weight, weight)


@pytest.mark.parametrize("head", [None, HEAD])
@pytest.mark.parametrize("grid", GRIDS[:4], ids=str)
def test_every_linear_layer_is_packed_and_takes_the_computed_bytes(grid, head):
    model = tiny_model(SHAPE)
    plan = plan_for(model, grid, head)
    quantize_model(model, plan)
    assert plan_of(model) == plan
    assert not [
        name
        for name, module in model.named_modules()
        if name.endswith(("qkv", "out", "up", "down")) and not isinstance(module, QuantizedLinear)
    ]
    assert weight_bytes(model) == computed_bytes(model, plan)


@pytest.mark.parametrize("size", SIZES)
def test_bytes_of_every_size_follow_from_its_shape(size):
    with torch.device("meta"):
        model = GPT2(SIZES[size])
    plan, shapes = plan_for(model, Grid(4, 64)), layer_shapes(model)
    assert all(tuple(model.get_submodule(name).weight.shape) == shape for name, shape in shapes.items())
    assert bits_per_weight(plan, shapes) == 4.25
    assert computed_bytes(model, {}) == sum(4 * weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("head", [None, HEAD])
def test_a_packed_model_gives_the_logits_of_its_expanded_weights(head):
    model = tiny_model(SHAPE)
    tokens = random_tokens(2, 20)
    quantize_model(model, plan_for(model, Grid(4, 16), head))
    plain = dequantize_model(copy.deepcopy(model))
    assert plan_of(plain) == {}
    assert_close(model(tokens), plain(tokens), rtol=1e-4, atol=1e-4)
    targets = random_tokens(2, 20, seed=1)
    assert_close(model(tokens, targets), plain(tokens, targets), rtol=1e-4, atol=1e-4)
    if head:
        assert isinstance(model.token_embedding, QuantizedEmbedding)
        assert plain.head.weight is plain.token_embedding.weight


def test_eight_bits_change_the_perplexity_by_less_than_half_a_percent():
    trained = trained_model()
    protocol = Protocol(32, 32, 64)
    before = measure_loss(trained.model, trained.held_out, protocol).perplexity
    model = copy.deepcopy(trained.model)
    quantize_model(model, plan_for(model, Grid(8, "row"), HEAD))
    assert abs(measure_loss(model, trained.held_out, protocol).perplexity / before - 1) < 0.005


@pytest.mark.parametrize("head", [None, HEAD])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_saved_model_loads_with_the_same_logits_and_still_packed(grid, head, tmp_path):
    model = tiny_model(SHAPE)
    plan = plan_for(model, grid, head)
    quantize_model(model, plan)
    folder = save_quantized(model, tmp_path, dtype=None)
    for path in (folder, folder / FILE):
        loaded = load_gpt2(path)
        assert plan_of(loaded) == plan
        assert torch.equal(loaded(random_tokens(1, 9)), model(random_tokens(1, 9)))
        assert weight_bytes(loaded) == weight_bytes(model)
    assert (folder / FILE).stat().st_size < computed_bytes(model, plan) + 12_000  # a header


def test_the_file_says_on_which_grids_its_layers_lie(tmp_path):
    folder = save_quantized(quantize_model(tiny_model(SHAPE), Grid(3, 16)), tmp_path)
    assert json.loads(read_note(folder / FILE)["grids"])["blocks.1.mlp.up"] == {
        "bits": 3, "group": 16, "kind": "linear", "symmetric": True
    }  # fmt: skip
    assert load_file(folder / FILE)["blocks.0.mlp.up.packed"].shape == (256, 24)  # 64 columns of 3 bits
    assert load_gpt2(folder, torch.float32).position_embedding.weight.dtype == torch.float32


UP = "blocks.0.mlp.up"
DAMAGES = {
    "no note": (lambda tensors, note: note.clear(), FILE),
    "a broken note": (lambda tensors, note: note.update(grids="{"), FILE),
    "a grid that is none": (lambda tensors, note: note.update(grids='{"head": {"bits": 99}}'), "99"),
    "a layer that is none": (lambda tensors, note: note.update(grids='{"blocks.9.mlp.up": {}}'), "blocks.9.mlp.up"),
    "a missing tensor": (lambda tensors, note: tensors.pop(f"{UP}.scales"), f"{UP}.scales"),
    "a tensor too many": (lambda tensors, note: tensors.update(more=torch.ones(1)), "more"),
    "another shape": (lambda tensors, note: tensors.update({f"{UP}.packed": torch.ones(2, 2).byte()}), "(2, 2)"),
    "another dtype": (lambda tensors, note: tensors.update({f"{UP}.packed": torch.ones(256, 32)}), "torch.uint8"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(damage, tmp_path):
    change, datum = DAMAGES[damage]
    folder = save_quantized(quantize_model(tiny_model(SHAPE), Grid(4, 16)), tmp_path)
    tensors, note = load_file(folder / FILE), read_note(folder / FILE)
    change(tensors, note)
    save_file(tensors, folder / FILE, note or None)
    with pytest.raises(CourseError) as error:
        load_gpt2(folder)
    assert datum in str(error.value)


def test_what_is_packed_is_neither_saved_as_plain_nor_packed_twice(tmp_path):
    model = quantize_model(tiny_model(SHAPE), Grid(4, 16))
    with pytest.raises(CourseError, match="packed"):
        save_gpt2(model, tmp_path)
    with pytest.raises(CourseError, match="blocks.0.attention.qkv is a QuantizedLinear"):
        quantize_model(model, Grid(4, 16))
    with pytest.raises(CourseError, match="quantized"):
        save_quantized(tiny_model(SHAPE), tmp_path)
    with pytest.raises(CourseError, match="blocks.7.mlp.up"):
        quantize_model(tiny_model(SHAPE), {"blocks.7.mlp.up": Grid()})
