"""True size in ten minutes, at a tiny shape on a CPU: every measure's figures are right, and nothing found is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from labs.shootout.loader_zoo import LOADERS
from labs.true_size.bench import POEM_TOKENS, TINY, Bench, found_in
from labs.true_size.parts import dtypes, generation, kernels, mfu, shakespeare
from labs.true_size.step_child import first_tokens
from labs.true_size.ten_minutes import PARTS, Part, Settings, place_for, run_parts, shares
from tools.__main__ import main
from utils.batches import Batches
from utils.config import flops_per_token
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.settings import read_settings
from utils.model import GPT2
from utils.run_log import RunLog
from utils.sampling import Sampling, generate
from utils.training.config import TrainConfig
from utils.training.data import TrainingData
from utils.training.loop import train
from utils.training.recipes import TrainingRecipe

CPU = torch.device("cpu")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a limit of its memory")


@cache
def found_by(name: str) -> dict:
    """Run one part by the command, and return what it wrote."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        assert main(["true-size", "--tiny", "--device", "cpu", "--out", str(path), "--only", name]) == 0
        report = json.loads(path.read_text(encoding="utf-8"))
    assert report["machine"]["device"] == "cpu" and report["shape"] == "tiny"
    assert [*report["parts"]] == [name]
    assert not any("failed" in one for one in report["parts"][name].values())
    return report["parts"][name]


def losses_of_train(config: TrainConfig, folder: Path) -> list[float]:
    """Return the losses of the same steps as `train` takes them."""
    torch.manual_seed(0)
    tokens = first_tokens(POEM_TOKENS)[0] % TINY.vocab_size
    log = RunLog(folder, show=lambda line: None)
    train(GPT2(TINY), TrainingData(Batches(tokens, config.batch_size, config.context)), config, log)
    return [record.loss for record in log.history]


# What the parts find


def test_float16_with_a_scaler_and_bfloat16_learn_as_float32_does(tmp_path):
    found = found_by("dtypes")
    config = dtypes.settings(Bench(CPU, tmp_path, tiny=True), "float32")
    assert found["float32"]["losses"] == pytest.approx(losses_of_train(config, tmp_path), abs=1e-5)
    assert found["float32"]["losses"][-1] < found["float32"]["losses"][0] - 0.05
    for dtype in ("float16", "bfloat16"):
        one = found[dtype]
        far = max(abs(a - b) for a, b in zip(one["losses"], found["float32"]["losses"], strict=True))
        assert one["largest difference"] == pytest.approx(far, abs=1e-6) and one["agrees"] is (far <= dtypes.TOLERANCE)
        assert one["agrees"] and one["losses"] != found["float32"]["losses"]
    assert found["float16"]["loss scale"] == 2**16 and found["float16"]["skipped steps"] == 0
    assert "loss scale" not in found["bfloat16"]
    # so small a step may fit into what the process already holds: then its peak is nothing more
    assert all(one["tokens/s"] > 0 and one["peak bytes"] >= 0 for one in found.values())


def test_mfu_is_of_the_batch_that_was_fastest_and_compiled_blocks_learn_the_same():
    found = found_by("mfu")
    best, peak = found["best batch"], found["matrix peak"]["FLOP/s"]
    tried = best["tried"]
    assert [row["batch"] for row in tried] == [2**power for power in range(len(tried))]
    assert best["tokens/s"] == max(row["tokens/s"] for row in tried)
    assert best["ended"] == "a batch of 4 is the largest that was to be tried" or "hardly faster" in best["ended"]
    for one in (best, found["compiled"]):
        useful = one["tokens/s"] * flops_per_token(TINY, best["context"])
        assert one["MFU of the measured peak"] == pytest.approx(useful / peak, abs=1e-4)
    assert found["compiled"]["batch"] == best["batch"]
    assert found["compiled"]["largest difference"] < 1e-2  # bfloat16, where the processor has it
    assert "MFU of --peak" not in best and "MFU of the maker's peak" not in best


def test_without_time_the_search_ends_after_a_batch_and_a_few_steps(tmp_path):
    found = mfu.search_batch(Bench(CPU, tmp_path, tiny=True, until=time.monotonic()), {})
    assert [row["batch"] for row in found["tried"]] == [1] and len(found["losses"]) == 2
    assert found["ended"] == "there was no time for a batch of 2"


SEARCH = """
import json, sys
from pathlib import Path
import torch
from labs.true_size.bench import Bench
from labs.true_size.parts import mfu
from utils.machine import cpu_memory_cap
bench = Bench(torch.device("cpu"), Path(sys.argv[1]), tiny=True)
mfu.speed_at(bench, 1)  # what is imported and allocated once
with cpu_memory_cap(20 * 10**6):  # the batch takes more than 70 MB
    large = mfu.speed_or_none(bench, 256)
print(json.dumps([large, mfu.speed_or_none(bench, 1)["batch"]]))
"""


def test_a_step_that_the_scaler_skips_may_set_a_curve_back_by_one_step_and_no_further():
    whole = [6.0, 5.5, 5.25, 5.125]
    one_late = [6.0, 6.0, 5.5, 5.25]
    far = max(abs(a - b) for a, b in zip(whole, one_late, strict=True))
    assert dtypes.allowed(whole, 0) == dtypes.TOLERANCE < far <= dtypes.allowed(whole, 1) < 2 * far


@on_linux
def test_a_batch_for_which_memory_runs_out_ends_the_search_and_not_the_run(tmp_path):
    done = subprocess.run([sys.executable, "-c", SEARCH, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert json.loads(done.stdout) == [None, 1], done.stderr


def test_a_peak_that_is_named_counts_beside_the_measured_one(tmp_path):
    bench = Bench(CPU, tmp_path, tiny=True, peak=1e12)
    shares_found = mfu.shares_of_peak(bench, {"matrix peak": {"FLOP/s": 2e12}}, 1e6)
    useful = 1e6 * flops_per_token(TINY, mfu.context_of(bench))
    expected = {"MFU of the measured peak": useful / 2e12, "MFU of --peak": useful / 1e12}
    assert shares_found == pytest.approx(expected, abs=1e-4)


def test_generation_writes_what_generate_writes_with_a_cache_without_and_compiled(tmp_path):
    found, bench = found_by("generation"), Bench(CPU, tmp_path, tiny=True)
    prompt, max_new, batch = generation.lengths(bench)
    settings = Sampling(max_new=max_new, temperature=0, stop=())
    expected = generate(generation.restless_model(bench), [list(range(prompt))], settings)[0]
    assert found["float32"]["tokens"] == expected and len(set(expected)) > 2
    for name in ("without KV cache", "compiled"):
        assert found[name]["share of the same tokens"] == 1
    late = Bench(CPU, tmp_path, tiny=True, until=time.monotonic())
    assert generation.both(late, generation.restless_model(late))["tokens"] == expected[:2]
    assert found["16-bit"]["dtype"] in ("float16", "bfloat16")
    for name in ("float32", "16-bit"):
        assert found[name]["one text"]["decode tokens/s"] > 0 and found[name][f"{batch} texts"]["all tokens/s"] > 0


def test_a_process_group_of_one_adds_up_right_and_ddp_steps_as_a_plain_loop_does():
    found = found_by("one_device")
    assert found["process group"]["all_reduce and all_gather are right"] is True
    assert {one["backend"] for one in found.values()} == {"gloo"}
    assert found["DDP step"]["largest difference of losses"] < 1e-5
    assert found["DDP step"]["largest difference of weights"] < 1e-5
    assert len(found["DDP step"]["losses"]) == 3 and not torch.distributed.is_initialized()


@on_linux
def test_under_a_cap_the_ladder_steps_down_and_the_losses_stay():
    found = found_by("memory")["training under a cap"]
    assert "Memory ran out with batch 16, context 64" in found["ladder"][0]
    assert "Going on with batch 8, context 64" in found["ladder"][0]
    assert found["largest difference"] < 1e-4 and len(found["losses"]) == 3
    assert found["cap beyond the weights, bytes"] < found["peak bytes without a cap"]


@on_linux
def test_what_is_placed_elsewhere_gives_the_same_logits():
    found = found_by("memory")["placement"]
    assert found["equal to the last bit"] is True and found["largest difference of logits"] == 0
    assert found["bytes by place"]["disk"] > 0 and found["bytes by place"]["cpu"] <= found["cap, bytes"]
    assert any(line.startswith("disk") for line in found["plan"])


def test_the_recipe_of_a_tenth_runs_and_tells_each_epoch_until_its_target_its_last_step_or_the_end_of_time(tmp_path):
    found = found_by("shakespeare")["by heart"]
    losses = [loss for _, loss in found["losses of epochs"]]
    assert len(losses) > 2 and losses[-1] < losses[0] and found["lowest loss of an epoch"] == min(losses)
    assert found["target over an epoch"] == 0.099999 and found["reached"] is False
    assert found["steps"] == 40 and "max_steps 40" in found["ended"]
    assert found["tokens"] == 40 * 8 * 32  # micro-batches of the recipe are one batch
    late = Bench(CPU, tmp_path, tiny=True, until=time.monotonic())
    cut = shakespeare.by_heart(late, {})
    assert cut["steps"] == 0 and "time is used up" in cut["ended"]


def test_the_recipe_for_true_size_is_the_labs_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "prepared" / "shakespeare"
    folder.mkdir(parents=True)
    (folder / "train.bin").touch()
    recipe = shakespeare.recipe_for(Bench(CPU, tmp_path))
    own = read_settings(TrainingRecipe, [f"recipe={ROOT / 'labs' / 'recipes' / 'shakespeare.yaml'}"])
    assert recipe.size == "small" and recipe.max_steps == own.max_steps and recipe.optimizer == own.optimizer
    assert recipe.batch_size == own.batch_size * own.accumulate and recipe.accumulate == 1
    assert recipe.target_epoch_loss == (own.target_epoch_loss or own.target_loss) > 0 and recipe.target_loss == 0


def test_a_quantized_program_is_measured_or_its_absence_is_told(tmp_path):
    bench = Bench(CPU, tmp_path, tiny=True)
    measured = kernels.MEASURES["torchao, 8 bits"](bench, {})
    assert 0 < measured["error"] < 0.05 and measured["tokens_per_second"] > 0 and measured["device"]
    for name in ("gptqmodel, AWQ", "exllamav2, EXL2"):
        if not torch.cuda.is_available():
            assert "needs" in kernels.MEASURES[name](bench, {})["skipped"]
    assert set(kernels.PROGRAMS) <= set(LOADERS)


# The frame: nothing found is lost


def run(parts: list[Part], path: Path, minutes: float = 10.0, only: tuple[str, ...] = ()) -> dict:
    run_parts(Settings("cpu", True, minutes, only), path, lambda line: None, parts)
    return json.loads(path.read_text(encoding="utf-8"))["parts"]


def counts_to(calls: list[str], name: str, bench: Bench, found) -> dict:
    calls.append(name)
    return {"figure": len(calls)}


def breaks(error: BaseException, bench: Bench, found) -> dict:
    raise error


def test_a_measure_that_fails_is_told_in_its_sentence_and_the_others_go_on(tmp_path):
    calls: list[str] = []
    kind = partial(breaks, CourseError("The text is missing. Prepare it."))
    rude = partial(breaks, RuntimeError("expected a scalar"))
    last = Part("last", 10, 0, {"good": partial(counts_to, calls, "good")})
    parts = run([Part("first", 10, 0, {"kind": kind, "rude": rude}), last], tmp_path / "found.json")
    assert parts["first"]["kind"] == {"failed": "The text is missing. Prepare it."}
    assert parts["first"]["rude"] == {"failed": "RuntimeError: expected a scalar"}
    assert parts["last"]["good"]["figure"] == 1


def test_what_was_found_before_an_interruption_stays_and_the_next_call_does_the_rest(tmp_path):
    calls: list[str] = []
    one, two = (partial(counts_to, calls, name) for name in ("one", "two"))
    stopped = Part("part", 10, 0, {"one": one, "two": partial(breaks, KeyboardInterrupt())})
    path = tmp_path / "found.json"
    with pytest.raises(KeyboardInterrupt):
        run([stopped], path)
    assert [*json.loads(path.read_text(encoding="utf-8"))["parts"]["part"]] == ["one"]
    parts = run([Part("part", 10, 0, {"one": one, "two": two})], path)
    assert calls == ["one", "two"] and parts["part"]["one"]["figure"] == 1 and parts["part"]["two"]["figure"] == 2


def test_a_failed_measure_is_tried_again_and_later_ones_see_what_earlier_ones_found(tmp_path):
    path, calls = tmp_path / "found.json", []
    run([Part("part", 10, 0, {"one": partial(breaks, CourseError("not today"))})], path)

    def looks_back(bench: Bench, found) -> dict:
        return {"seen": found_in(found, "one", "figure")}

    parts = run([Part("part", 10, 0, {"one": partial(counts_to, calls, "one"), "two": looks_back})], path)
    assert parts["part"]["two"]["seen"] == 1
    with pytest.raises(CourseError, match="'figure' of the measure 'one'"):
        looks_back(Bench(CPU, tmp_path), {"one": {"failed": "not today"}})


def test_without_time_every_measure_is_skipped_with_the_reason_until_there_is_time(tmp_path):
    path, calls = tmp_path / "found.json", []
    parts = [Part("part", 10, 100, {name: partial(counts_to, calls, name) for name in ("one", "two")})]
    skipped = run(parts, path, minutes=0)["part"]
    assert not calls and all("0.0 s were left for part" in skipped[name]["skipped"] for name in ("one", "two"))
    assert [one["figure"] for one in run(parts, path)["part"].values()] == [1, 2]


def test_a_part_that_takes_all_the_time_leaves_the_later_ones_skipped(tmp_path):
    calls: list[str] = []

    def waits(bench: Bench, found) -> dict:
        while bench.left > 0:
            time.sleep(0.01)
        return {"waited": True}

    greedy = Part("greedy", 10, 0, {"waits": waits, "late": partial(counts_to, calls, "late")})
    parts = run([Part(greedy.name, 10, 1, greedy.measures)], tmp_path / "found.json", minutes=0.01)
    assert parts["greedy"]["waits"]["waited"] and "skipped" in parts["greedy"]["late"] and not calls


def test_each_part_gets_its_share_of_the_time_that_is_left():
    parts = [Part("a", 1, 0, {}), Part("b", 1, 0, {}), Part("c", 2, 0, {})]
    now = time.monotonic()
    ends = [until - now for _, until in shares(parts, now + 4e6)]  # the parts themselves take no time here
    assert ends == pytest.approx([1e6, 4e6 / 3, 4e6], rel=1e-3)


def test_the_parts_take_ten_minutes_together_at_most():
    assert sum(part.share for part in PARTS) <= 600
    assert len({part.name for part in PARTS}) == len(PARTS) and all(part.measures for part in PARTS)


def test_figures_of_two_machines_or_shapes_do_not_mix(tmp_path):
    path, part = tmp_path / "found.json", Part("part", 10, 0, {"one": partial(counts_to, [], "one")})
    run([part], path)
    report = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**report, "shape": "small"}), encoding="utf-8")
    with pytest.raises(CourseError, match="shape: small, now tiny.*--out"):
        run([part], path)
    other = {**report, "machine": {**report["machine"], "device": "NVIDIA H200"}}
    path.write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(CourseError, match="device: NVIDIA H200, now cpu"):
        run([part], path)


def test_an_unknown_part_is_refused_before_anything_runs(tmp_path, capsys):
    path = tmp_path / "found.json"
    assert main(["true-size", "--tiny", "--only", "dtypes,speed", "--out", str(path)]) == 1
    assert "There is no part 'speed', expected one of dtypes" in capsys.readouterr().err
    assert not path.exists()


def test_tiny_figures_go_where_no_lesson_reads_them():
    assert place_for(tiny=False).parent.name == "results" and place_for(tiny=True).parent.name == "build"
