"""Every loader opens the same model: its logits against ours, its bytes counted, its traps provoked.

The bytes of bitsandbytes, what a forward pass does to it, and what torchao passes by are asserted in lesson 06.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace

import pytest
import torch
from shapes import child, tiny_model
from torch import nn
from torch.testing import assert_close

from labs.alone import run_alone
from labs.shootout.loader_adapters import Llama, held_bytes, quiet_libraries, use_linear_layers
from labs.shootout.loader_zoo import (
    LOADERS,
    WRITERS,
    Loader,
    file_bytes,
    find_loaders,
    open_bitsandbytes,
    open_ours,
    open_transformers,
    write_file,
)
from labs.shootout.measure import Job, measure
from labs.shootout.race import expected_logits, relative_error
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.formats.gptq_folder import PackedMatrix
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import open_model_file
from utils.sampling import Sampling, generate

SHAPE = GPT2Config(n_layer=2, n_head=2, n_embd=64)  # GPT-2's vocabulary, which llama.cpp gets a tokenizer for
PROMPTS = [[464, 2068, 7586], [40, 206, 75, 1000, 3]]
# What each way of storing may cost, as a share of the logits' spread; random weights suffer more than trained ones
LIMITS = {
    "safetensors": 1e-5,
    ".bin": 1e-5,
    "TensorFlow checkpoint": 1e-5,
    "GGUF F16": 1e-5,
    "GGUF Q8_0": 0.03,
    "GGUF Q4_0": 0.4,
    "GPTQ folder": 0.4,
}
LOSSY = {
    "transformers, bfloat16": 0.05,
    "bitsandbytes, 8 bits": 0.1,
    "bitsandbytes, NF4": 0.4,
    "torchao, 8 bits": 0.03,
    "llama.cpp, F16": 3e-3,
    "llama.cpp, Q8_0": 0.05,
    "llama.cpp, Q4_0": 0.4,
}


@pytest.fixture(scope="module")
def model():
    """Return a small model whose weights fit into 16 bits."""
    return tiny_model(SHAPE, seed=1, spread=0.2).half().float()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Return the model in every format."""
    folder = tmp_path_factory.mktemp("files")
    return {name: write_file(model, name, folder) for name in WRITERS}


@pytest.fixture(scope="module", autouse=True)
def quiet():
    quiet_libraries()


def logits_of(opened) -> torch.Tensor:
    return torch.stack([opened.logits(prompt) for prompt in PROMPTS])


def error_of(opened, model) -> float:
    return relative_error(logits_of(opened), expected_logits(model, PROMPTS))


# The same model everywhere


@pytest.mark.parametrize("name", WRITERS)
def test_ours_opens_every_format_and_finds_the_model_in_it(files, model, name):
    opened = open_ours(files[name])
    assert error_of(opened, model) <= LIMITS[name]
    assert opened.nbytes == held_bytes(model) == 4 * sum(weight.numel() for weight in model.parameters())


RUNNABLE = [loader for loader in LOADERS.values() if loader.load and loader.program not in ("ours", "gpt-2-simple")]


@pytest.mark.parametrize("loader", [one for one in RUNNABLE if "GGUF" not in one.name], ids=lambda loader: loader.name)
def test_each_library_says_our_logits_and_writes_our_text(files, model, loader):
    if reason := loader.lacking():
        pytest.skip(reason)
    opened = loader.load(files[loader.file])
    error, limit = error_of(opened, model), LOSSY.get(loader.name, LIMITS[loader.file])
    assert error <= limit and (limit < 1e-4 or error > limit / 200), "was anything rounded at all?"
    written = opened.generate(PROMPTS[0], 6)
    assert len(written) == 6 and all(0 <= token < 50257 for token in written)
    if limit <= 3e-3:
        assert written == generate(model, [PROMPTS[0]], Sampling(max_new=6, temperature=0, stop=()))[0]


def test_llama_cpp_counts_the_bytes_of_the_packed_weights(files, model):
    matrices = sum(w.numel() for name, w in model.named_parameters() if w.dim() == 2 and not name.startswith("pos"))
    others = sum(w.numel() for w in model.parameters()) - matrices
    assert Llama(files["GGUF Q8_0"]).nbytes == matrices * 34 // 32 + 4 * others


def test_the_gptq_folder_holds_codes_of_four_bits_in_every_linear_layer(files):
    parts = open_model_file(files["GPTQ folder"]).stored.values()
    packed = [part for part in parts if isinstance(part, PackedMatrix)]
    assert len(packed) == 8 and {part.bits for part in packed} == {4}


def test_an_error_is_a_share_of_the_spread_and_knows_no_constant():
    true = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)) * 5
    assert relative_error(true + 3, true) < 1e-6
    assert abs(relative_error(true * 1.02, true) - 0.02) < 1e-4
    with pytest.raises(CourseError, match="can't be compared"):
        relative_error(true[:1], true)


# Bytes


def test_what_is_shared_counts_once_and_a_folder_has_the_bytes_of_its_files(tmp_path):
    table, head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
    head.weight = table.weight
    assert held_bytes(nn.ModuleList([table, head])) == 10 * 4 * 4
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    assert file_bytes(tmp_path) == 8 and file_bytes(tmp_path / "a") == 5


# Traps


def test_linear_layers_compute_what_conv1d_did(files):
    theirs = open_transformers(files["safetensors"])
    before = logits_of(theirs)
    use_linear_layers(theirs.model)
    assert_close(logits_of(theirs), before, atol=1e-4, rtol=1e-4)
    with pytest.raises(CourseError, match="has no Conv1D"):
        use_linear_layers(theirs.model)


# What is missing


def test_what_is_missing_is_named_with_the_way_to_get_it():
    said = Loader("x", "x", "GPTQ folder", open_ours, ("gptqmodel", "no_such_package")).lacking()
    assert "no_such_package" in said
    assert "C compiler" in said or importlib.util.find_spec("gptqmodel")
    said = LOADERS["exllamav2, EXL2"].lacking()
    assert "EXL2" in said and ("CUDA" in said or torch.cuda.is_available())
    assert LOADERS["ours, safetensors"].lacking() is None


def test_unknown_names_are_refused(model, tmp_path):
    with pytest.raises(CourseError, match="'llama'.*ours, safetensors"):
        find_loaders(["llama"])
    with pytest.raises(CourseError, match="'GGML'.*safetensors"):
        write_file(model, "GGML", tmp_path)


# Processes of their own


def test_a_process_of_its_own_measures_and_says_the_logits(files, model, tmp_path):
    job = Job("ours, GGUF F16", str(files["GGUF F16"]), PROMPTS, new_tokens=3)
    measured, logits = run_alone(job.loader, measure, job)
    assert measured.weight_bytes == held_bytes(model)
    assert measured.memory_bytes > measured.weight_bytes / 2 and measured.tokens_per_second > 0
    assert relative_error(torch.from_numpy(logits), expected_logits(model, PROMPTS)) < 1e-5
    with pytest.raises(CourseError, match="nowhere"):
        run_alone("x", measure, replace(job, path=str(tmp_path / "nowhere.gguf")))
    with pytest.raises(CourseError, match="x failed: ZeroDivisionError"):
        run_alone("x", divmod, 1, 0)
    with pytest.raises(CourseError, match="x failed: its process ended"):  # as one does when memory runs out
        run_alone("x", os._exit, 9)


SIMPLE = """
import sys
from pathlib import Path
import torch
from labs.alone import run_alone
from labs.shootout.loader_adapters import Simple
opened = Simple(Path(sys.argv[1]))
import tensorflow
torch.save(torch.stack([opened.logits(prompt) for prompt in %r]), sys.argv[2])
print(tensorflow.executing_eagerly(), opened.nbytes, len(opened.generate([1, 2], 2)))
"""


def test_gpt_2_simple_turns_eager_mode_off_and_reads_our_checkpoint(files, model, tmp_path):
    said = child(SIMPLE % PROMPTS, str(files["TensorFlow checkpoint"]), str(tmp_path / "logits.pt"))
    assert said.split()[-3:] == ["False", str(held_bytes(model)), "2"]
    assert relative_error(torch.load(tmp_path / "logits.pt"), expected_logits(model, PROMPTS)) < 1e-5


# inspect, on the files of the zoo


def test_inspect_knows_every_file_of_the_zoo(files):
    marks = {"GGUF Q4_0": "Q4_0", "GPTQ folder": "GPTQ, 8 × 4 bits", "TensorFlow checkpoint": "TensorFlow checkpoint"}
    for name, path in files.items():
        said = inspect_file(path)
        assert any(line == "load_gpt2: yes" for line in said), name
        assert marks.get(name, "") in "\n".join(said), name


def test_inspect_tells_weights_of_bitsandbytes_by_their_scales(files, tmp_path):
    for bits, words in {8: "bitsandbytes, 8 bits", 4: "bitsandbytes, 4 bits"}.items():
        open_bitsandbytes(files["safetensors"], bits).model.save_pretrained(tmp_path / str(bits))
        said = "\n".join(inspect_file(tmp_path / str(bits)))
        assert words in said and "transformers: yes, with bitsandbytes" in said
        assert "load_gpt2: no, its weights are packed by bitsandbytes" in said
