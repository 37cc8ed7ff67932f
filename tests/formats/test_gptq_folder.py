"""GPTQ folders: packing against bits laid out by hand, and both ways against gptqmodel where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from gptq_codes import CONFIG, quantize_all, round_to_codes
from safetensors.torch import load_file, save_file
from shapes import random_tokens, tiny_model
from torch.testing import assert_close

from benchmarks.gptqmodel_peer import with_tokenizer
from labs.shootout.gptq_writer import LayerCodes, pack_words, save_gptq_folder
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.formats.gptq_folder import BITS, unpack_words
from utils.loaders import load_gpt2, save_gpt2


def meant_by(codes: LayerCodes) -> torch.Tensor:
    """Return the matrix (outputs, inputs) that codes stand for."""
    groups = codes.groups.long()
    zeros = torch.full(codes.scales.shape, 2.0 ** (codes.bits - 1)) if codes.zeros is None else codes.zeros.float()
    return (codes.codes.float() - zeros[:, groups]) * codes.scales.float()[:, groups]


# Packing


@pytest.mark.parametrize("bits", BITS)
def test_codes_lie_side_by_side_from_the_lowest_bit(bits):
    codes = np.random.default_rng(bits).integers(0, 2**bits, (64, 3), dtype=np.uint8)
    words = pack_words(codes, bits)
    assert words.shape == (64 * bits // 32, 3) and words.dtype == np.int32
    for column in range(3):
        row = sum(int(code) << bits * place for place, code in enumerate(codes[:, column]))  # one long number
        assert row.to_bytes(64 * bits // 8, "little") == words[:, column].astype("<i4").tobytes()
    assert np.array_equal(unpack_words(words, bits), codes)


GRIDS = [
    *((bits, group, symmetric, False) for bits in BITS for group, symmetric in ((-1, True), (32, False))),
    *((4, 64, True, False), (4, 32, False, True), (3, 32, True, True), (8, 32, True, True)),
]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_folder_gives_back_what_its_codes_mean(tmp_path, grid):
    model = tiny_model(CONFIG)
    layers = quantize_all(model, *grid)
    save_gptq_folder(model, layers, tmp_path)
    back = load_gpt2(tmp_path)
    assert back.config == CONFIG
    for name, weight in back.named_parameters():
        layer = layers.get(name.removesuffix(".weight"))
        expected = model.get_parameter(name).half().float() if layer is None else meant_by(layer)
        assert torch.equal(weight, expected), name


def by_hand(format_name: str, zero: int) -> tuple[dict, dict]:
    """Return the tensors and the config of one layer of 32 × 32 at 4 bits whose codes are all 9 and scales 0.5."""
    layer = {
        "qweight": torch.full((4, 32), int.from_bytes(b"\x99" * 4, "little", signed=True), dtype=torch.int32),
        "qzeros": torch.full((1, 4), int.from_bytes(bytes([zero * 17]) * 4, "little", signed=True), dtype=torch.int32),
        "scales": torch.full((1, 32), 0.5, dtype=torch.float16),
        "g_idx": torch.zeros(32, dtype=torch.int32),
    }
    described = {"quant_method": "gptq", "bits": 4, "group_size": -1, "checkpoint_format": format_name}
    return layer, described


@pytest.mark.parametrize(("kind", "zero", "weight"), [("gptq", 7, 0.5), ("gptq_v2", 7, 1.0), ("gptq_v2", 0, 4.5)])
def test_the_first_format_stores_each_zero_less_one(tmp_path, kind, zero, weight):
    config = GPT2Config(n_layer=1, n_head=1, n_embd=32, vocab_size=97, context=24)
    save_gpt2(tiny_model(config), tmp_path)
    tensors, (layer, described) = load_file(tmp_path / "model.safetensors"), by_hand(kind, zero)
    del tensors["h.0.attn.c_proj.weight"]
    tensors |= {f"h.0.attn.c_proj.{part}": value for part, value in layer.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "quantize_config.json").write_text(json.dumps(described), encoding="utf-8")
    assert load_gpt2(tmp_path).blocks[0].attention.out.weight.unique().tolist() == [weight]


# What the folder says of itself


def described(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["quantization_config"]


def test_symmetric_layers_are_written_in_the_format_that_every_reader_knows(tmp_path):
    model = tiny_model(CONFIG)
    save_gptq_folder(model, quantize_all(model, 4, 32, True), tmp_path)
    assert described(tmp_path) == json.loads((tmp_path / "quantize_config.json").read_text(encoding="utf-8"))
    expected = {"bits": 4, "group_size": 32, "sym": True, "desc_act": False, "format": "gptq"}
    assert expected.items() <= described(tmp_path).items() and "dynamic" not in described(tmp_path)
    save_gptq_folder(model, quantize_all(model, 4, 32, False, True), tmp_path)
    expected = {"sym": False, "desc_act": True, "format": "gptq_v2"}
    assert expected.items() <= described(tmp_path).items()


def test_layers_that_differ_or_stay_plain_are_named(tmp_path):
    model = tiny_model(CONFIG)
    layers = quantize_all(model, 4, 32, True)
    layers["blocks.1.mlp.up"] = round_to_codes(model.blocks[1].mlp.up.weight.detach(), 8, -1, True)
    del layers["blocks.0.attention.out"]
    save_gptq_folder(model, layers, tmp_path)
    assert described(tmp_path)["dynamic"] == {
        r"-:^transformer\.h\.0\.attn\.c_proj$": {},
        r"+:^transformer\.h\.1\.mlp\.c_fc$": {"bits": 8, "group_size": -1},
    }
    back = load_gpt2(tmp_path)
    assert torch.equal(back.blocks[1].mlp.up.weight, meant_by(layers["blocks.1.mlp.up"]))
    assert torch.equal(back.blocks[0].attention.out.weight, model.blocks[0].attention.out.weight.half().float())


# What is wrong, by name


def test_codes_that_the_format_can_not_hold_are_refused(tmp_path):
    model = tiny_model(CONFIG)
    good = round_to_codes(model.blocks[0].mlp.up.weight.detach(), 4, 32, True)
    for change, message in [
        ({"bits": 5}, "has 5 bits and 64 × 256 weights, a GPTQ folder holds 2, 3, 4, 8 bits"),
        ({"codes": good.codes[:, :40]}, "multiples of 32"),
        ({"codes": good.codes + 16}, "has codes up to .*, expected 4 bits"),
        ({"scales": good.scales[:, :1]}, r"has scales \(256, 1\) .*, expected \(256, 2\)"),
        ({"zeros": torch.full(good.scales.shape, 99)}, "expected 4 bits"),
    ]:
        with pytest.raises(CourseError, match=message):
            save_gptq_folder(model, {"blocks.0.mlp.up": LayerCodes(**{**good.__dict__, **change})}, tmp_path)
    with pytest.raises(CourseError, match="No quantized layer was given"):
        save_gptq_folder(model, {}, tmp_path)
    assert not list(tmp_path.iterdir())


# gptqmodel, in a process of its own; GPTQMODEL_PYTHON may name another environment that has it

PYTHON = os.environ.get("GPTQMODEL_PYTHON") or (sys.executable if find_spec("gptqmodel") else None)
needs_gptqmodel = pytest.mark.skipif(not PYTHON, reason="gptqmodel (requirements/gptqmodel.txt) is not installed")

READ = """
import sys, torch
from gptqmodel import BACKEND, GPTQModel
loaded = GPTQModel.load(sys.argv[1], device="cpu", dtype=torch.float16, backend=BACKEND.TORCH).model
layers = {n: m.dequantize_weight().float() for n, m in loaded.named_modules() if hasattr(m, "qweight")}
with torch.no_grad():
    torch.save({"layers": layers, "logits": loaded(torch.load(sys.argv[2])).logits.float()}, sys.argv[3])
"""
WRITE = """
import json, sys, torch
from gptqmodel import GPTQModel, QuantizeConfig
grid = json.loads(sys.argv[3])
chance = torch.Generator().manual_seed(0)
rows = [{"input_ids": torch.randint(50257, (24,), generator=chance).tolist(), "attention_mask": [1] * 24}
        for _ in range(8)]
model = GPTQModel.load(sys.argv[1], QuantizeConfig(**grid), device="cpu", dtype=torch.float32)
model.quantize(rows, batch_size=4)
model.save(sys.argv[2])
"""


def ask_gptqmodel(code: str, *words) -> None:
    quiet = os.environ | {"GPTQMODEL_CPU_WORKERS": "2", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [PYTHON, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=quiet)
    assert done.returncode == 0, done.stderr[-3000:]


def compare(folder: Path, work: Path) -> None:
    """Hold every matrix and the logits of a folder to those of gptqmodel, which computes in 16 bits."""
    tokens = random_tokens(2, 20, 50257)
    torch.save(tokens, work / "tokens.pt")
    ask_gptqmodel(READ, folder, work / "tokens.pt", work / "said.pt")
    said, ours = torch.load(work / "said.pt"), load_gpt2(folder)
    names = {"attn.c_attn": "attention.qkv", "attn.c_proj": "attention.out", "mlp.c_fc": "mlp.up"}
    for module, weight in said["layers"].items():
        _, _, layer, part = module.split(".", 3)
        mine = ours.get_parameter(f"blocks.{layer}.{names.get(part, 'mlp.down')}.weight")
        assert torch.equal(mine.T.half().float(), weight), module
    with torch.no_grad():
        assert_close(ours(tokens), said["logits"], atol=0.02, rtol=0)


LARGER = GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=50257, context=24)


@needs_gptqmodel
@pytest.mark.parametrize("grid", [(4, 32, True), (4, 32, False), (3, 32, True, True), (8, -1, True)], ids=str)
def test_gptqmodel_reads_what_we_wrote(tmp_path, grid):
    model = tiny_model(LARGER, spread=0.08)
    layers = quantize_all(model, *grid)
    if grid == (4, 32, True):  # with layers of other bits, and a plain one
        layers["blocks.1.mlp.up"] = round_to_codes(model.blocks[1].mlp.up.weight.detach(), 8, 64, True)
        del layers["blocks.0.attention.out"]
    compare(with_tokenizer(save_gptq_folder(model, layers, tmp_path / "ours")), tmp_path)


@needs_gptqmodel
@pytest.mark.parametrize(
    "grid",
    [
        {"bits": 4, "group_size": 64, "sym": True},
        {"bits": 4, "group_size": 32, "sym": False, "desc_act": True, "act_group_aware": False},
        {"bits": 3, "group_size": 32, "sym": False, "format": "gptq_v2"},
        {"bits": 8, "group_size": -1, "sym": True, "act_group_aware": False},
    ],
    ids=str,
)
def test_we_read_what_gptqmodel_wrote(tmp_path, grid):
    with_tokenizer(save_gpt2(tiny_model(LARGER, spread=0.08), tmp_path / "plain"))
    ask_gptqmodel(WRITE, tmp_path / "plain", tmp_path / "theirs", json.dumps(grid))
    compare(tmp_path / "theirs", tmp_path)
