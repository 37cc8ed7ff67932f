"""Sizes and arithmetic, against real modules, real tensors and measured memory."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest
import torch
from shapes import LargestTensor, on_meta, peak_bytes, random_tokens
from torch.utils.flop_counter import FlopCounterMode

from utils.config import (
    PEAK_FLOPS,
    SIZES,
    GPT2Config,
    Workload,
    count_parameters,
    estimate_memory,
    flops_per_token,
    format_bytes,
    peak_flops,
    total_parameters,
)
from utils.errors import CourseError
from utils.machine import prepare_for_speed
from utils.model import GPT2, KeyValueCache
from utils.sampling import Sampling, generate
from utils.training.config import TrainConfig
from utils.training.optimizers import make_optimizer, parameter_groups

GOLDEN = {"nano": 17_867_008, "small": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}


@pytest.mark.parametrize("size", GOLDEN)
def test_parameters_are_the_published_numbers_and_those_of_the_real_modules(size):
    model = on_meta(SIZES[size])
    assert total_parameters(SIZES[size]) == GOLDEN[size] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("size", GOLDEN)
def test_each_part_has_the_parameters_of_its_modules(size):
    found = dict.fromkeys(count_parameters(SIZES[size]), 0)
    for name, weight in on_meta(SIZES[size]).named_parameters():
        parts = [part for part in found if part.replace(" ", "_") in name] + ["norms"] * ("norm" in name)
        assert len(parts) == 1, name
        found[parts[0]] += weight.numel()
    assert found == count_parameters(SIZES[size])


def test_the_dial_has_the_shapes_of_the_paper():
    shapes = {name: (c.n_layer, c.n_head, c.n_embd, c.head_width) for name, c in SIZES.items()}
    assert shapes == {
        "nano": (6, 4, 256, 64),
        "small": (12, 12, 768, 64),
        "medium": (24, 16, 1024, 64),
        "large": (36, 20, 1280, 64),
        "xl": (48, 25, 1600, 64),
    }
    assert all((c.vocab_size, c.context) == (50257, 1024) for c in SIZES.values())


def test_small_has_50_decayed_and_98_undecayed_tensors():
    decayed, plain = parameter_groups(on_meta(SIZES["small"]), 0.1)
    assert (len(decayed["params"]), decayed["weight_decay"]) == (50, 0.1)
    assert (len(plain["params"]), plain["weight_decay"]) == (98, 0.0)
    assert sum(p.numel() for group in (decayed, plain) for p in group["params"]) == GOLDEN["small"]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(GPT2Config)][:-1])
@pytest.mark.parametrize("value", [0, -1, 1.5, "12", None, True])
def test_a_shape_that_cannot_be_is_refused_by_name(field, value):
    with pytest.raises(CourseError, match=rf"{field} is {value!r}, expected a whole number of at least 1"):
        GPT2Config(**{field: value})


@pytest.mark.parametrize("rate", [-0.1, 1.0, "0.1", None])
def test_a_dropout_that_is_no_share_or_would_leave_nothing_is_refused(rate):
    with pytest.raises(CourseError, match=f"dropout is {rate!r}, expected"):
        GPT2Config(dropout=rate)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(CourseError, match="n_embd 256 .* n_head 5 .*divides 256"):
        GPT2Config(6, 5, 256)


def test_flops_follow_the_formula_by_hand():
    by_hand = 6 * 124_439_808 + 12 * 12 * 12 * 64 * 256
    assert flops_per_token(SIZES["small"], 256) == by_hand == 774_950_400
    assert flops_per_token(SIZES["small"]) == 6 * 124_439_808 + 12 * 12 * 12 * 64 * 1024


def test_flops_are_those_that_pytorch_counts():
    config = GPT2Config(3, 4, 128, vocab_size=4000, context=256)
    model, tokens = on_meta(config), torch.empty(2, 256, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    counted = counter.get_total_flops() / tokens.numel()
    lookups = 6 * config.context * config.n_embd  # positions are read, not multiplied; the formula counts them
    assert flops_per_token(config) - lookups == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", ["nano", "small"])
def test_weights_and_cache_take_exactly_the_estimated_bytes(size, dtype):
    model = on_meta(SIZES[size]).to(dtype)
    work = Workload(batch=3, context=100, dtype=str(dtype)[6:], device="cuda")
    estimate = estimate_memory(SIZES[size], work)
    assert estimate["weights"] == sum(p.nbytes for p in model.parameters())
    assert estimate["key/value cache"] == model.new_cache(3, 100).store.nbytes  # on the meta device as on a GPU
    on_cpu = KeyValueCache(SIZES["nano"], 3, 100, torch.empty(0)).store.nbytes  # loading sets float32 there
    assert estimate_memory(SIZES["nano"], replace(work, device="cpu"))["key/value cache"] == on_cpu


def test_eight_and_four_bits_shrink_the_weights_and_not_the_cache():
    half, eight, four = (
        estimate_memory(SIZES["small"], Workload(context=64, dtype=d)) for d in ("float16", "int8", "int4")
    )
    assert half["weights"] == 2 * eight["weights"] == 4 * four["weights"]
    assert half["key/value cache"] == eight["key/value cache"] == four["key/value cache"]


TRAINED = [
    (GPT2Config(3, 4, 128, 2000, 128), Workload(6, 96, "float32", True), 1),
    (GPT2Config(3, 4, 128, 2000, 128), Workload(6, 96, "float32", True), 3),
    (GPT2Config(2, 4, 64, 12000, 64), Workload(4, 64, "float32", True), 1),
    (GPT2Config(3, 12, 384, 1000, 64), Workload(2, 64, "float32", True), 2),
    (GPT2Config(4, 2, 64, 1000, 64), Workload(8, 64, "bfloat16", True), 1),
]


@pytest.mark.parametrize(("config", "work", "parts"), TRAINED)
def test_training_memory_is_within_a_fifth_of_the_measured_peak(config, work, parts, tmp_path):
    tokens = random_tokens(work.batch, work.context, config.vocab_size)
    sizes = {}

    def train_two_steps() -> None:
        model = GPT2(config)
        optimizer = make_optimizer(model, TrainConfig())
        for _ in range(2):
            for _ in range(parts):
                with torch.autocast("cpu", torch.bfloat16, enabled=work.dtype == "bfloat16"):
                    loss = model(tokens, tokens)
                loss.backward()
                del loss
            sizes["weights"] = sum(p.nbytes for p in model.parameters())
            sizes["gradients"] = sum(p.grad.nbytes for p in model.parameters())
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        moments = [t for state in optimizer.state.values() for name, t in state.items() if name != "step"]
        sizes["optimizer"] = sum(moment.nbytes for moment in moments)

    peak, estimate = peak_bytes(train_two_steps, tmp_path), estimate_memory(config, work)
    assert {name: estimate[name] for name in sizes} == sizes
    assert sum(estimate.values()) == pytest.approx(peak, rel=0.2)


GENERATED = [
    (GPT2Config(3, 4, 128, 2000, 128), Workload(6, 96)),
    (GPT2Config(3, 4, 128, 2000, 128), Workload(1, 96)),
    (GPT2Config(2, 4, 64, 12000, 64), Workload(16, 64)),
    (GPT2Config(2, 4, 64, 400, 512), Workload(16, 512)),
    (GPT2Config(2, 4, 64, 400, 512), Workload(16, 512, "float16")),
    (GPT2Config(2, 12, 384, 1000, 64), Workload(2, 64, "float16")),
    (GPT2Config(2, 4, 64, 12000, 64), Workload(16, 64, "float16")),
    (GPT2Config(2, 4, 64, 12000, 64), Workload(1, 64, "float16")),
]


@pytest.mark.parametrize(("config", "work"), GENERATED)
def test_memory_for_generation_is_within_a_fifth_of_the_measured_peak(config, work, tmp_path):
    prompts = random_tokens(work.batch, work.context - 2, 400).tolist()

    model = prepare_for_speed(GPT2(config).to(getattr(torch, work.dtype)).eval())
    settings = Sampling(max_new=3, temperature=0, stop=())
    weights = sum(weight.nbytes for weight in model.parameters())
    peak = weights + peak_bytes(lambda: generate(model, prompts, settings), tmp_path)
    assert sum(estimate_memory(config, work).values()) == pytest.approx(peak, rel=0.2)


def test_reading_a_prompt_makes_no_matrix_of_every_token_with_every_other():
    config = GPT2Config(1, 4, 32, 50, 512)
    model, tokens = GPT2(config).eval(), random_tokens(1, 512, 50)
    with torch.inference_mode(), LargestTensor() as largest:
        model(tokens, cache=model.new_cache(1))
    assert largest.values < 512 * 512


def test_what_blocks_keep_for_the_backward_pass_is_what_autograd_saves():
    shape, tokens = ({"n_head": 4, "n_embd": 128, "vocab_size": 500, "context": 128}, random_tokens(4, 128, 500))

    def saved_bytes(n_layer: int) -> int:
        model, saved = GPT2(GPT2Config(n_layer, **shape)), {}
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}

        def pack(tensor):
            saved[tensor.untyped_storage().data_ptr()] = tensor  # kept alive, so that no address comes back
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(tokens, tokens)
        return sum(t.untyped_storage().nbytes() for at, t in saved.items() if at not in own)

    work = Workload(4, 128, "float32", True)
    estimates = [estimate_memory(GPT2Config(n, **shape), work)["activations"] for n in (2, 4)]
    assert estimates[1] - estimates[0] == pytest.approx(saved_bytes(4) - saved_bytes(2), rel=0.05)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (Workload(dtype="float8"), "'float8' is unknown, expected one of float32"),
        (Workload(context=1025), "context from 1 to 1024"),
        (Workload(context=0), "context from 1 to 1024"),
        (Workload(batch=0), "batch of at least 1"),
    ],
)
def test_a_workload_that_cannot_be_is_refused(work, message):
    with pytest.raises(CourseError, match=message):
        estimate_memory(SIZES["small"], work)


@pytest.mark.parametrize(
    ("device", "dtype", "teraflops"),
    [
        ("NVIDIA H200", "bfloat16", 989),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312),
        ("NVIDIA A100-PCIE-40GB", "float32", 19.5),
        ("Tesla T4", "float16", 65),
        ("tesla t4", "float16", 65),
        ("NVIDIA L4", "bfloat16", 121),
        ("NVIDIA L40S", "bfloat16", 362),
        ("Tesla V100-SXM2-16GB", "float16", 125),
        ("NVIDIA L40", "bfloat16", None),  # no L4
        ("NVIDIA T400 4GB", "float16", None),  # no T4
        ("NVIDIA A1000", "float16", None),
        ("NVIDIA GH200 480GB", "bfloat16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bfloat16", None),  # a seventh of an A100
        ("Tesla T4", "bfloat16", None),  # imitated there
        *((device, "float32", None) for device in ("cpu", "mps", "")),
        ("NVIDIA H100", "float64", None),
    ],
)
def test_known_devices_have_their_dense_peak_and_others_none(device, dtype, teraflops):
    assert peak_flops(device, dtype) == (teraflops and teraflops * 1e12)


def test_16_bits_are_never_slower_than_32_in_the_table():
    for peaks in PEAK_FLOPS.values():
        assert peaks["float16"] >= peaks["float32"] and peaks.get("bfloat16", math.inf) >= peaks["float16"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (71_468_032, "71.5 MB"),
        (497_759_232, "498 MB"),
        (999_700_000, "1,000 MB"),
        (6_230_444_800, "6.23 GB"),
        (1_234_000_000_000, "1,234 GB"),
    ],
)
def test_bytes_are_written_for_people(count, text):
    assert format_bytes(count) == text
