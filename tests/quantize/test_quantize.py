"""Grids, codes and packed bits: bounds that hold for every weight, and bytes that are counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.errors import CourseError
from utils.quantize.bit_packing import pack_bits, unpack_bits
from utils.quantize.grids import Grid, find_scales, nf4_values, normal_values, quantize, relative_error, to_groups

LINEAR = st.builds(
    Grid,
    bits=st.integers(2, 8),
    group=st.sampled_from([1, 5, 16, 64, "row", "tensor"]),
    symmetric=st.booleans(),
)


def normal_weights(rows: int = 64, columns: int = 512, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.02


def step_of_each_weight(weight: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the scale under which each weight was rounded, as a matrix like the weight."""
    scales = quantize(weight, grid).scales.float()
    if grid.group == "tensor":
        return scales.expand_as(weight)
    width = weight.shape[1] if grid.group == "row" else grid.group
    return scales.repeat_interleave(width, dim=1)[:, : weight.shape[1]]


@given(grid=LINEAR, seed=st.integers(0, 1000), size=st.sampled_from([1e-6, 0.02, 30.0]))
def test_no_weight_is_farther_than_half_a_step_from_its_value(grid, seed, size):
    weight = normal_weights(4, 37, seed) / 0.02 * size
    weight[1] = weight[1].abs()  # a row that does not reach below zero
    weight[2] = 0
    error = (quantize(weight, grid).dequantize() - weight).abs()
    assert bool((error <= step_of_each_weight(weight, grid) * 0.500001).all())


@given(grid=LINEAR | st.just(Grid(4, 16, "nf4")), seed=st.integers(0, 1000))
def test_every_weight_takes_the_nearest_value_of_its_grid(grid, seed):
    weight = normal_weights(3, 21, seed)
    found = quantize(weight, grid)
    every = [torch.full_like(found.codes, code) for code in range(2**grid.bits)]
    values = torch.stack([type(found)(codes, found.scales, found.zeros, grid).dequantize() for codes in every])
    nearest = (values - weight).abs().min(0).values
    torch.testing.assert_close((found.dequantize() - weight).abs(), nearest, rtol=1e-4, atol=1e-7)


def test_a_row_by_hand():
    found = quantize(torch.tensor([[-1.5, 0.0, 0.2, 1.5]]), Grid(2, "row"))
    assert found.scales.tolist() == [[1.0]]  # three steps from −1.5 to 1.5
    assert found.codes.tolist() == [[0, 2, 2, 3]]  # −1.5 lies between −2 and −1; 2 stands for zero
    assert found.dequantize().tolist() == [[-2.0, 0.0, 0.0, 1.0]]
    found = quantize(torch.tensor([[-1.0, 0.0, 1.2, 2.0]]), Grid(2, "row", symmetric=False))
    assert (found.scales.item(), found.zeros.item()) == (1.0, 1)
    assert found.dequantize().tolist() == [[-1.0, 0.0, 1.0, 2.0]]


def test_an_asymmetric_grid_uses_the_range_that_is_there():
    weight = normal_weights().abs()
    assert relative_error(weight, quantize(weight, Grid(4, 64, symmetric=False))) < 0.5 * relative_error(
        weight, quantize(weight, Grid(4, 64))
    )


def test_nf4_has_the_values_of_bitsandbytes():
    functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not installed here")
    theirs = functional.get_4bit_type("nf4", device="cpu")
    torch.testing.assert_close(nf4_values(), theirs, rtol=0, atol=1e-6)


def test_normal_values_hold_zero_and_reach_from_minus_one_to_one():
    for bits in range(2, 9):
        values = normal_values(bits)
        assert len(set(values)) == 2**bits == len(values)
        assert values == sorted(values)
        assert (values[0], values[-1], 0.0 in values) == (-1.0, 1.0, True)


@pytest.mark.parametrize("group", [16, 64, "row"])
def test_nf4_errs_less_than_linear_steps_on_normal_weights(group):
    weight = normal_weights()
    nf4, linear = (relative_error(weight, quantize(weight, Grid(4, group, kind))) for kind in ("nf4", "linear"))
    assert nf4 < 0.9 * linear


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_smaller_groups_err_less_and_take_more_bytes(bits, symmetric):
    weight = normal_weights(128, 1024)
    found = [quantize(weight, Grid(bits, group, symmetric=symmetric)) for group in (16, 32, 64, 128, 256, 512)]
    errors, sizes = [relative_error(weight, one) for one in found], [one.nbytes for one in found]
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    if bits < 8:  # and a bit more errs much less
        assert errors[2] > 3 * relative_error(weight, quantize(weight, Grid(bits + 1, 64, symmetric=symmetric)))


@given(grid=LINEAR, rows=st.integers(1, 5), columns=st.integers(1, 70))
def test_bytes_are_those_of_the_packed_tensors(grid, rows, columns):
    found = quantize(normal_weights(rows, columns), grid)
    tensors = [pack_bits(found.codes, grid.bits), found.scales] + ([] if found.zeros is None else [found.zeros])
    assert found.nbytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_bits_per_weight_by_hand():
    by_hand = {Grid(4, 128): 4.125, Grid(3, 64): 3.25, Grid(4, 32, symmetric=False): 4.75, Grid(4, 64, "nf4"): 4.25}
    assert {grid: grid.nbytes(768, 3072) * 8 / (768 * 3072) for grid in by_hand} == by_hand


def test_groups_need_not_divide_the_width():
    """The widest GPT-2 has 1600 columns, twelve and a half groups of 128."""
    weight = normal_weights(3, 1600)
    found = quantize(weight, Grid(4, 128))
    assert found.scales.shape == (3, 13)
    last = quantize(weight[:, 12 * 128 :], Grid(4, "row"))
    assert torch.equal(found.codes[:, 12 * 128 :], last.codes)
    assert torch.equal(found.scales[:, 12:], last.scales)


def test_clipping_gives_up_the_largest_weights_for_finer_steps():
    weight = torch.tensor([[1.0, *([0.05] * 15)]])
    clipped = quantize(weight, Grid(4, "row"), shrink=0.5).dequantize()
    plain = quantize(weight, Grid(4, "row")).dequantize()
    assert clipped[0, 0] < 0.6 < plain[0, 0]
    assert abs(clipped[0, 1] - 0.05) < abs(plain[0, 1] - 0.05)


def test_a_scale_is_never_rounded_down():
    groups = normal_weights(1000, 16)
    for grid in (Grid(4, 16), Grid(4, 16, "nf4"), Grid(4, 16, symmetric=False)):
        scales, _ = find_scales(groups, grid)
        low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
        reach = groups.abs().amax(-1) if grid.symmetric else high - low
        exact = reach if grid.kind == "nf4" else reach * (1 if not grid.symmetric else 2) / 15
        assert bool((scales.float() >= exact).all())
        assert bool((scales.float() <= exact * 1.001).all())


@settings(max_examples=30)
@given(bits=st.integers(2, 8), rows=st.integers(1, 4), columns=st.integers(1, 50), seed=st.integers(0, 99))
def test_packed_codes_come_back(bits, rows, columns, seed):
    codes = torch.randint(2**bits, (rows, columns), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    packed = pack_bits(codes, bits)
    assert packed.shape == (rows, -(-columns // 8) * bits)
    assert torch.equal(unpack_bits(packed, bits, columns), codes)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_eight_codes_lie_one_behind_the_other_in_their_bytes(bits):
    codes = torch.tensor([[3, 1, 0, 2, 3, 3, 1, 2]], dtype=torch.uint8) * 2 ** (bits - 2)
    number = sum(code << (bits * place) for place, code in enumerate(codes[0].tolist()))
    assert bytes(pack_bits(codes, bits)[0].tolist()) == number.to_bytes(bits, "little")
    signed = pack_bits(torch.tensor([[0, 127, 128, 255]], dtype=torch.uint8), 8).view(torch.int8)
    assert signed[0, :4].tolist() == [-128, -1, 0, 127]


def test_groups_of_a_matrix_are_its_neighbors_within_a_row():
    matrix = torch.arange(12.0).view(2, 6)
    assert to_groups(matrix, Grid(4, 3)).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert to_groups(matrix, Grid(4, 4))[0].tolist() == [[0, 1, 2, 3], [4, 5, 0, 0]]


@pytest.mark.parametrize(
    ("make", "datum"),
    [
        (lambda: Grid(1), "bits is 1"),
        (lambda: Grid(9), "bits is 9"),
        (lambda: Grid(4.5), "bits is 4.5"),
        (lambda: Grid(4, 0), "group is 0"),
        (lambda: Grid(4, "column"), "'column'"),
        (lambda: Grid(3, 64, "nf4"), "nf4 with 4 bits"),
        (lambda: Grid(4, 64, "nf4", symmetric=False), "symmetric=False"),
        (lambda: Grid(4, 64, "cubic"), "'cubic'"),
        (lambda: quantize(torch.ones(3), Grid()), "(3,)"),
        (lambda: quantize(torch.full((2, 2), torch.nan), Grid()), "nan"),
        (lambda: quantize(torch.full((2, 2), 1e7), Grid()), "65504"),
    ],
)
def test_a_mistake_names_what_was_found(make, datum):
    with pytest.raises(CourseError) as error:
        make()
    assert datum in str(error.value)
