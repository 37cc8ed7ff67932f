"""What `inspect` says of every kind of file, and that it reads headers only."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from gptq_codes import CONFIG, quantize_all
from safetensors.torch import load_file, save_file
from shapes import TINY, Hostile, tiny_model

from labs.shootout.gptq_writer import save_gptq_folder
from tools.__main__ import main
from utils.config import total_parameters
from utils.errors import CourseError
from utils.formats.hub_layout import hub_tensors
from utils.formats.inspect_model import LOADERS, inspect_file
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2, save_gpt2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import computed_bytes, plan_for, plan_of, quantize_model

COUNT = total_parameters(TINY)


@pytest.fixture
def folder(tmp_path):
    return save_gpt2(tiny_model(), tmp_path / "tiny")


def answers(lines: list[str]) -> dict[str, str]:
    """Return what is said of each loader, yes or no, without the reasons."""
    found = dict(line.split(": ", 1) for line in lines if line.split(": ", 1)[0] in LOADERS)
    return {name: answer.partition(",")[0] for name, answer in found.items()}


def opened_by(*names: str) -> dict[str, str]:
    return {name: "yes" if name in names else "no" for name in LOADERS}


# Files of weights


def test_safetensors_are_told_with_every_tensor_and_its_bytes(folder):
    lines = inspect_file(folder)
    assert lines == inspect_file(folder / "model.safetensors")
    tensors = hub_tensors(tiny_model())
    assert lines[:4] == [
        f"model.safetensors: {len(tensors)} tensors, 117 kB",
        f"safetensors, {len(tensors)} × float32",
        f"{COUNT:,} parameters, 32.00 bits per weight",
        "quantization: none",
    ]
    assert answers(lines) == opened_by("load_gpt2", "transformers")
    by_name = {line.split()[0]: line for line in lines[4 + len(LOADERS) :]}
    assert by_name.keys() == {name for name, _ in tensors}
    found = by_name["h.1.mlp.c_fc.weight"].split()
    assert found == ["h.1.mlp.c_fc.weight", "float32", "[32,", "128]", "16,384", "bytes"]


def test_a_bin_with_masks_and_a_second_head_counts_its_parameters_once(tmp_path):
    state = {f"transformer.{name}": tensor for name, tensor in hub_tensors(tiny_model())}
    state |= {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 24, 24) for i in range(2)}
    state["lm_head.weight"] = state["transformer.wte.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    lines = inspect_file(tmp_path)
    assert lines[1].startswith("file of torch.save, ")
    assert lines[2] == f"{COUNT:,} parameters, 32.00 bits per weight; 3 tensors beside them"
    assert "transformers: no, config.json is missing beside it" in lines
    assert answers(lines) == opened_by("load_gpt2")


def test_shards_are_told_as_one_model(folder):
    tensors = load_file(folder / "model.safetensors")
    places = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(sorted(tensors))}
    for shard in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == shard}, folder / shard)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    lines = inspect_file(folder)
    assert lines[1].startswith("index of 2 shards, ") and lines[2] == f"{COUNT:,} parameters, 32.00 bits per weight"
    assert answers(lines) == opened_by("load_gpt2", "transformers")


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_gptq_folder_is_told_with_its_bits_and_groups(tmp_path, bits):
    save_gptq_folder(tiny_model(CONFIG), quantize_all(tiny_model(CONFIG), bits, 32, True), tmp_path)
    lines, count = inspect_file(tmp_path), total_parameters(CONFIG)
    assert lines[3] == f"quantization: GPTQ, 8 × {bits} bits, groups of 32, format gptq"
    assert answers(lines) == opened_by("load_gpt2", "transformers", "gptqmodel")
    linear = 2 * 12 * 64 * 64
    packed = linear * bits / 8 + linear / 32 * (2 + bits / 8) + 4 * 2 * (3 * 64 + 256)  # codes, groups, g_idx
    used = packed + 2 * (count - linear)
    assert lines[2] == f"{count:,} parameters, {8 * used / count:.2f} bits per weight"


@pytest.mark.parametrize("head", [None, Grid(8, "row")], ids=["plain head", "8-bit head"])
def test_a_folder_of_packed_codes_is_told_with_its_grids(tmp_path, head):
    config = replace(CONFIG, n_embd=60)  # no multiple of eight: rows of codes end in the middle of a byte
    model, grid = tiny_model(config), Grid(3, 16)
    quantize_model(model, plan_for(model, grid, head))
    lines, count = inspect_file(save_quantized(model, tmp_path)), total_parameters(config)
    used = computed_bytes(model, plan_of(model), torch.float16)
    assert lines[2] == f"{count:,} parameters, {8 * used / count:.2f} bits per weight"
    assert lines[3].startswith(f"quantization: 8 × {grid}; " + (f"1 × {head}; " if head else "packed by"))
    assert answers(lines) == opened_by("load_gpt2")


def test_packed_codes_that_can_not_be_opened_are_told_with_the_reason(tmp_path):
    folder = save_quantized(quantize_model(tiny_model(CONFIG), Grid(4, 16)), tmp_path)
    (folder / "config.json").unlink()
    lines = inspect_file(folder)
    assert lines[2] == "parameters: can't be told from the header alone"
    assert any(line.startswith("load_gpt2: no, ") and "config.json" in line for line in lines)


def test_weights_of_awq_are_told_and_not_opened(folder):
    tensors = {k: v for k, v in load_file(folder / "model.safetensors").items() if k != "h.0.mlp.c_fc.weight"}
    tensors["h.0.mlp.c_fc.qweight"] = torch.zeros(32, 16, dtype=torch.int32)  # 32 × 128 codes of 4 bits
    tensors["h.0.mlp.c_fc.qzeros"] = torch.zeros(1, 16, dtype=torch.int32)
    tensors["h.0.mlp.c_fc.scales"] = torch.zeros(1, 128, dtype=torch.float16)
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    lines = inspect_file(folder)
    assert "quantization: awq, 4 bits: weights scaled, rounded and packed" in lines
    assert lines[2].startswith(f"{COUNT:,} parameters, 28.")
    assert any(line.startswith("load_gpt2: no, ") and "AWQ; its kernels want CUDA" in line for line in lines)
    assert "gptqmodel: yes, on a GPU with CUDA" in lines


def test_weights_of_exl2_are_told_with_their_average_bits(tmp_path):
    layer = {
        "q_weight": torch.zeros(12, 64, dtype=torch.int32),  # 6 bits each
        "q_invperm": torch.zeros(64, dtype=torch.int32),
        "q_scale": torch.zeros(2, 8, dtype=torch.int32),
        "q_scale_max": torch.zeros(2, dtype=torch.float16),
    }
    save_file({f"h.0.attn.c_proj.{part}": value for part, value in layer.items()}, tmp_path / "output.safetensors")
    lines = inspect_file(tmp_path)
    assert "quantization: EXL2, 6.00 bits on average, more where a layer is sensitive" in lines
    assert lines[2].startswith("4,096 parameters, ") and answers(lines) == opened_by("exllamav2")
    assert "load_gpt2: no, its weights are packed by EXL2: open it with exllamav2" in lines


def test_what_load_gpt2_would_refuse_is_told_with_its_reason(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["h.1.ln_2.bias"]
    save_file(tensors, folder / "model.safetensors")
    assert any(line.startswith("load_gpt2: no, ") and "h.1.ln_2.bias" in line for line in inspect_file(folder))


# Other files


def test_a_pickle_is_told_by_what_it_asks_for_and_does_not_run(tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": 1, "bad": Hostile(tmp_path / "it_ran")}))
    lines = inspect_file(tmp_path / "model.pkl")
    assert lines[1] == "a pickle" and lines[2].startswith("load_gpt2: no, ")
    assert not (tmp_path / "it_ran").exists()


def test_the_format_of_before_2020_is_told_like_the_new_one(folder, tmp_path):
    state = load_file(folder / "model.safetensors")
    torch.save(state, tmp_path / "new.bin")
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    old, new = inspect_file(tmp_path / "old.bin"), inspect_file(tmp_path / "new.bin")
    assert old[1:] == new[1:] and f"{COUNT:,} parameters, 32.00 bits per weight" in old


def test_what_is_left_off_around_the_weights_is_told(folder, tmp_path):
    state = load_file(folder / "model.safetensors")
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "last.ckpt")
    lines = inspect_file(tmp_path / "last.ckpt")
    assert "left off: 'state_dict' around them, 'module._orig_mod.' before their names" in lines
    assert "load_gpt2: yes" in lines and not any("left off" in line for line in inspect_file(folder))
    with pytest.warns(UserWarning, match=r"'state_dict' around them, 'module._orig_mod.'"):
        load_gpt2(tmp_path / "last.ckpt")


def test_what_transformers_writes_before_names_is_no_news(folder, tmp_path, recwarn):
    state = load_file(folder / "model.safetensors")
    torch.save({f"transformer.{name}": tensor for name, tensor in state.items()}, tmp_path / "pytorch_model.bin")
    load_gpt2(tmp_path / "pytorch_model.bin")
    assert not [each for each in recwarn if "left off" in str(each.message)]


def test_a_saved_model_of_tensorflow_is_called_what_it_is(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(CourseError, match="SavedModel"):
        inspect_file(tmp_path)


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.ones(3), b=np.zeros(2))
    return file.getvalue()


def keras() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"2d" * 32 + b"\nsize 548105171\n"
OTHER = [
    (LFS, "a pointer of Git LFS to 548 MB with SHA-256 2d2d"),
    (npz(), "a zip of 2 arrays of NumPy"),
    (b"\x93NUMPY\x01\x00", "one array of NumPy"),
    (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5, in which Keras saved weights"),
    (b"lmgg\x01\x00\x00\x00" + bytes(40), "GGML, the format before GGUF"),
    (b"\x1f\x8b\x08" + bytes(40), "compressed by gzip"),
    (b"\x08\x08\x12\x07pytorch", "ONNX"),
    (b"\x1c\x00\x00\x00TFL3" + bytes(40), "TFLite"),
    (b"\x81\xabtransformer\x84\xa4h", "msgpack, in which Flax"),
    (keras(), "a model of Keras"),
]


@pytest.mark.parametrize(("content", "message"), OTHER, ids=[message[:12] for _, message in OTHER])
def test_a_file_that_is_something_else_is_called_what_it_is(tmp_path, content, message):
    (tmp_path / "model.safetensors").write_bytes(content)
    lines = inspect_file(tmp_path)
    assert lines[0] == f"model.safetensors: {len(content):,} bytes" and lines[1].startswith(message)


def test_names_can_not_move_the_cursor_of_a_terminal(tmp_path):
    save_file({"\x1b[2Jgone": torch.zeros(2), "é": torch.zeros(1)}, tmp_path / "a.safetensors")
    lines = inspect_file(tmp_path / "a.safetensors")
    assert all(line.isprintable() for line in lines) and any(line.startswith("é ") for line in lines)
    assert any(r"'\x1b[2Jgone'" in line for line in lines)


# The command


def test_the_command_prints_the_description_or_what_is_wrong(folder, capsys):
    assert main(["inspect", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == inspect_file(folder)
    (folder / "model.safetensors").write_bytes(b"")
    assert main(["inspect", str(folder)]) == 1
    assert "empty" in capsys.readouterr().err
