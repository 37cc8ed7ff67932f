"""Plans: their arithmetic against real modules, their limits under any caps, and what a refusal says."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shapes import on_meta, peak_bytes

from utils.config import SIZES, Workload, estimate_memory
from utils.errors import CourseError
from utils.fit.placement import PLACES, VISITING_ROWS, Caps, Plan, block_bytes, plan_placement, table_bytes

MB, GB = 10**6, 10**9
SHORT = Workload(1, 64)


@pytest.mark.parametrize("size", SIZES)
def test_a_block_and_the_table_take_the_bytes_of_their_modules(size):
    model = on_meta(SIZES[size])
    for dtype, bytes_each in (("float32", 4), ("float16", 2)):
        work = Workload(dtype=dtype)
        assert block_bytes(SIZES[size], work) == bytes_each * sum(p.numel() for p in model.blocks[1].parameters())
        assert table_bytes(SIZES[size], work) == bytes_each * model.head.weight.numel()


@pytest.mark.parametrize("size", SIZES)
def test_with_room_for_all_of_it_everything_stays_with_the_products(size):
    config = SIZES[size]
    for caps, place in ((Caps(cpu=100 * GB), "cpu"), (Caps(cpu=100 * GB, gpu=100 * GB, disk=GB), "gpu")):
        plan = plan_placement(config, caps)
        assert plan.table == place and plan.blocks == (place,) * config.n_layer
        assert plan.needs[place] == sum(estimate_memory(config, plan.work).values())
        assert sum(plan.needs.values()) == plan.needs[place]


def test_the_needs_of_a_plan_over_three_places_add_up_by_hand():
    config, work = SIZES["small"], Workload(2, 128, device="cuda")
    plan = Plan(config, work, "gpu", "cpu", ("gpu",) * 7 + ("cpu",) * 3 + ("disk",) * 2)
    model = on_meta(config)
    block, table = (4 * sum(p.numel() for p in part.parameters()) for part in (model.blocks[0], model.head))
    small = 4 * (1024 * 768 + 2 * 768)
    running = sum(estimate_memory(config, work).values()) - 4 * sum(p.numel() for p in model.parameters())
    assert plan.needs["disk"] == 2 * block
    assert plan.needs["cpu"] == 3 * block + table
    assert plan.needs["gpu"] == 7 * block + small + running + block + 4 * VISITING_ROWS * 768  # and room for visitors


@given(
    st.sampled_from(["nano", "small", "medium"]),
    st.integers(0, 2 * GB),
    st.integers(0, GB),
    st.integers(0, GB),
    st.sampled_from(["float32", "float16"]),
)
def test_no_plan_is_over_any_cap_and_a_refusal_says_what_is_missing(size, cpu, gpu, disk, dtype):
    caps, config = Caps(cpu, gpu, disk), SIZES[size]
    try:
        plan = plan_placement(config, caps, Workload(1, 128, dtype))
    except CourseError as error:
        assert re.search(r"needs [\d.,]+ (\w+) more (on|of) .*Nothing was allocated", str(error))
        return
    assert len(plan.blocks) == config.n_layer and {*plan.blocks, plan.table} <= set(PLACES)
    assert list(plan.blocks) == sorted(plan.blocks, key=PLACES.index), "the first blocks are the nearest"
    for place in PLACES:
        assert plan.needs[place] <= getattr(caps, place)
    assert gpu or "gpu" not in (plan.worker, plan.table, *plan.blocks)


def test_a_tight_plan_uses_no_disk_before_memory_is_full():
    config = SIZES["medium"]
    block = block_bytes(config, Workload())
    plan = plan_placement(config, Caps(cpu=900 * MB, disk=10 * GB))
    assert plan.blocks[0] == "cpu" and plan.blocks[-1] == "disk"
    assert 900 * MB - plan.needs["cpu"] < max(block, table_bytes(config, Workload()))
    more = plan_placement(config, Caps(cpu=900 * MB + 2 * block, disk=10 * GB))
    assert more.visits("disk") < plan.visits("disk")
    beside_a_gpu = plan_placement(config, Caps(cpu=2 * GB, gpu=700 * MB, disk=10 * GB))
    assert beside_a_gpu.worker == "gpu" and "cpu" in beside_a_gpu.blocks and beside_a_gpu.needs["disk"] == 0


def test_a_plan_prints_who_lives_where():
    lines = str(plan_placement(SIZES["xl"], Caps(cpu=2 * GB, gpu=4 * GB, disk=9 * GB))).splitlines()
    assert [line.split()[0] for line in lines] == ["gpu", "cpu", "disk"]
    assert "blocks 0 to" in lines[0] and "cache and all products" in lines[0] and "to 47" in lines[2]
    single = Plan(SIZES["nano"], SHORT, "cpu", "cpu", ("cpu",) * 5 + ("disk",))
    assert str(single).splitlines()[1].endswith("block 5")


@pytest.mark.parametrize(
    ("size", "caps", "work", "data"),
    [
        ("small", Caps(cpu=560 * MB), Workload(4, 1024), r"CPU memory.*batch of 1.*context of \d+"),
        ("small", Caps(cpu=700 * MB), Workload(4, 1024), "4 × 1024.*batch of 1 "),
        ("small", Caps(cpu=400 * MB), Workload(1, 512), "float16"),
        ("xl", Caps(cpu=2 * GB), Workload(), r"4\.\d+ GB.*CPU memory.*medium"),
        ("nano", Caps(cpu=MB), SHORT, "No size"),
        ("small", Caps(cpu=2700 * MB), Workload(1, 1024, training=True), "Training.*context of 512"),
        ("nano", Caps(cpu=MB, gpu=MB), SHORT, r"72 MB.*GPU.*73 MB of 1 MB"),
    ],
)
def test_a_refusal_says_what_is_missing_and_what_would_fit(size, caps, work, data):
    with pytest.raises(CourseError, match=data):
        plan_placement(SIZES[size], caps, work)


def test_what_a_refusal_proposes_is_true():
    work, caps = Workload(8, 1024), Caps(cpu=700 * MB)
    with pytest.raises(CourseError) as refused:
        plan_placement(SIZES["small"], caps, work)
    batch = int(re.search(r"A batch of (\d+) would fit", str(refused.value))[1])
    plan_placement(SIZES["small"], caps, Workload(batch, 1024))
    with pytest.raises(CourseError):
        plan_placement(SIZES["small"], caps, Workload(2 * batch, 1024))


def test_training_never_leaves_the_place_of_the_products():
    plan = plan_placement(SIZES["small"], Caps(cpu=20 * GB, disk=20 * GB), Workload(1, 256, training=True))
    assert set(plan.blocks) == {plan.table} == {"cpu"}
    with pytest.raises(CourseError, match="Training"):
        plan_placement(SIZES["small"], Caps(cpu=GB, disk=20 * GB), Workload(1, 256, training=True))


def test_the_largest_shapes_are_planned_without_allocating_them(tmp_path):
    def plan() -> None:
        plan_placement(SIZES["xl"], Caps(cpu=3 * GB, gpu=2 * GB, disk=9 * GB))
        on_meta(SIZES["xl"])
        torch.empty(10)  # so that there is something to count

    assert peak_bytes(plan, tmp_path) < 1000


def test_a_negative_cap_is_refused():
    with pytest.raises(CourseError, match="disk is -1"):
        Caps(cpu=1, disk=-1)
