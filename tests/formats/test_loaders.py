"""Files of weights: both ways against `transformers`, every damage by name, and memory while loading."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from shapes import TINY, child, lively, loading_peak, random_tokens, same_weights, theirs, tiny_model
from torch.testing import assert_close

from utils.bpe import build_vocab
from utils.config import SIZES, GPT2Config
from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.gguf_writer import save_gguf
from utils.formats.hub_layout import hub_tensors
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import find_model, open_weights
from utils.formats.safetensors import open_safetensors, read_note, write_safetensors
from utils.loaders import load_gpt2, load_with_tokenizer, save_gpt2
from utils.model import GPT2, set_dropout
from utils.sampling import Sampling, generate
from utils.tokenizer import Tokenizer

ONE_MERGE = Tokenizer(build_vocab([("a", "b")]), [("a", "b")])  # 258 tokens
SMALL = replace(TINY, vocab_size=258)


@pytest.fixture(scope="module")
def nano():
    """Return a GPT-2 of `transformers` in nano's shape, with weights that all matter."""
    return theirs(SIZES["nano"], spread=0.02)


@pytest.fixture(scope="module")
def nano_folder(nano, tmp_path_factory):
    """Return a folder that `transformers` wrote."""
    folder = tmp_path_factory.mktemp("nano")
    nano.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a tiny model that we wrote."""
    return save_gpt2(tiny_model(), tmp_path / "tiny")


def written(model: GPT2, folder: Path, kind: str) -> Path:
    """Write a model as one file: safetensors, torch (.bin), gguf F32 or gguf Q4_0."""
    save_gpt2(model, folder)
    if kind == "safetensors":
        return folder / "model.safetensors"
    if kind == "torch":
        torch.save({name: tensor.contiguous() for name, tensor in hub_tensors(model)}, folder / "pytorch_model.bin")
        return folder / "pytorch_model.bin"
    tokenizer = ONE_MERGE if model.config.vocab_size == len(ONE_MERGE.vocab) else None
    return save_gguf(model, folder / "model.gguf", kind.removeprefix("gguf "), tokenizer)


# Both ways, against transformers


def assert_same_model(ours: GPT2, reference, tokens, new: int) -> None:
    with torch.no_grad():
        assert_close(ours(tokens), reference(tokens).logits, atol=1e-4, rtol=0)
    prompt = tokens[:1, :8]
    continued = reference.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=new, eos_token_id=None
    )
    greedy = Sampling(max_new=new, temperature=0, stop=())
    assert generate(ours, prompt.tolist(), greedy) == continued[:, 8:].tolist()


def test_what_transformers_saved_gives_its_logits_and_its_greedy_text(nano, nano_folder):
    model = load_gpt2(nano_folder)
    assert model.config == SIZES["nano"] and not model.training
    assert model.head.weight.data_ptr() == model.token_embedding.weight.data_ptr()
    assert_same_model(model, nano, random_tokens(2, 40, 50257), new=20)


def test_what_we_saved_loads_in_transformers_whole_and_exact(nano_folder, tmp_path):
    import transformers

    ours = load_gpt2(nano_folder)
    lively(ours, seed=1, spread=0.02)  # so that these are not the weights that transformers wrote
    save_gpt2(ours, tmp_path)
    back, report = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.get(kind) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    assert back.dtype == torch.float32 and back.config.activation_function == "gelu_new"
    assert_same_model(ours, back.eval(), random_tokens(2, 40, 50257, seed=1), new=8)


def test_a_model_with_dropout_gives_the_same_logits_both_ways_and_drops_what_transformers_drops(tmp_path):
    import transformers

    ours = set_dropout(tiny_model(), 0.3)
    save_gpt2(ours, tmp_path)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, attn_implementation="sdpa")
    back, tokens = load_gpt2(tmp_path), random_tokens(2, 12)
    assert_same_model(back, theirs.eval(), tokens, new=4)
    assert back.config.dropout == 0 and not torch.equal(ours.train()(tokens), ours(tokens))
    found = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(7)
        with torch.no_grad():
            found.append(getattr(logits := model(tokens), "logits", logits))
    assert_close(*found, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_16_bit_files_load_as_they_are_and_as_float32(tmp_path, dtype, kind):
    model = tiny_model().to(dtype)
    save_gpt2(model, tmp_path)
    if kind.endswith(".bin"):
        torch.save(dict(hub_tensors(model)), tmp_path / kind)
        (tmp_path / "model.safetensors").unlink()
    assert {t.dtype for t in open_weights(tmp_path / kind).values()} == {dtype}
    assert same_weights(load_gpt2(tmp_path, dtype=dtype), model)
    assert same_weights(load_gpt2(tmp_path), model.float())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_files_of_8_bit_floats_load_as_what_they_hold(tmp_path, dtype):
    model = tiny_model()
    save_file({name: weight.to(dtype).contiguous() for name, weight in hub_tensors(model)}, tmp_path / "f8.safetensors")
    for name, weight in load_gpt2(tmp_path / "f8.safetensors").named_parameters():
        assert weight.equal(model.get_parameter(name).to(dtype).float())
    assert f"28 × {str(dtype).removeprefix('torch.')}" in inspect_file(tmp_path / "f8.safetensors")[1]


def test_saving_in_16_bits_leaves_the_model_alone_and_halves_the_file(tmp_path):
    model = tiny_model()
    save_gpt2(model, tmp_path / "half", torch.float16)
    save_gpt2(model, tmp_path / "full")
    sizes = [sum(t.nbytes for t in open_weights(tmp_path / n / "model.safetensors").values()) for n in ("half", "full")]
    assert sizes[1] == 2 * sizes[0] and model.head.weight.dtype == torch.float32
    assert same_weights(load_gpt2(tmp_path / "half"), model.half().float())


def test_shards_of_transformers_load(nano, nano_folder, tmp_path):
    nano.save_pretrained(tmp_path, max_shard_size="20MB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert same_weights(load_gpt2(tmp_path), load_gpt2(nano_folder))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 2020"])
@pytest.mark.parametrize("prefix", ["", "transformer.", "module._orig_mod.transformer."])
def test_an_old_bin_with_masks_and_a_second_head_loads(tmp_path, prefix, zipped):
    model = tiny_model()
    state = {prefix + name: tensor for name, tensor in hub_tensors(model)}
    for i in range(2):
        state[f"{prefix}h.{i}.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.uint8).tril()
        state[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    state["lm_head.weight"] = state[f"{prefix}wte.weight"]  # the same storage, as torch saves a tied model
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    (tmp_path / "config.json").write_text(json.dumps({"n_layer": 2, "n_head": 4, "n_embd": 32}), encoding="utf-8")
    assert same_weights(load_gpt2(tmp_path), model)


def test_a_state_of_transformers_saved_by_torch_loads(nano, nano_folder, tmp_path):
    torch.save(nano.state_dict(), tmp_path / "pytorch_model.bin")
    assert same_weights(load_gpt2(tmp_path), load_gpt2(nano_folder)), "without config.json heads are 64 wide"


def test_a_state_dict_within_a_checkpoint_loads(tmp_path):
    model, other = tiny_model(), {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}
    torch.save({"epoch": 3, "model": dict(hub_tensors(model)), "optimizer": other}, tmp_path / "ckpt.pt")
    assert same_weights(load_gpt2(tmp_path / "ckpt.pt"), model)
    more = {"best_val_loss": torch.tensor(1.5), "rng": torch.get_rng_state(), "hooks": {"seen": torch.ones(2)}}
    torch.save({**more, "model": dict(hub_tensors(model)), "optimizer": other}, tmp_path / "ckpt.pt")
    assert same_weights(load_gpt2(tmp_path / "ckpt.pt"), model), "what a training script keeps beside it is no matrix"
    torch.save({"a": {"x": torch.eye(2)}, "b": {"x": torch.eye(2)}}, tmp_path / "two.pt")
    with pytest.raises(CourseError, match="'a', 'b'"):
        load_gpt2(tmp_path / "two.pt")


def test_what_is_no_plain_tensor_is_named(tmp_path):
    for odd in (torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64)):
        torch.save({"x.weight": odd}, tmp_path / "odd.bin")
        with pytest.raises(CourseError, match=r"'x\.weight'.*(sparse|complex64)"):
            open_weights(tmp_path / "odd.bin")
    torch.save([torch.ones(2)], tmp_path / "odd.bin")
    with pytest.raises(CourseError, match="a list"):
        open_weights(tmp_path / "odd.bin")


def test_a_name_too_long_for_a_path_is_refused_and_a_checkpoint_found_by_tensorflows_name_for_it(tmp_path):
    for work in (load_gpt2, inspect_file):
        with pytest.raises(CourseError, match="'aaaa.* no path"):
            work("a" * 5000)
    (tmp_path / "model-7.index").touch()
    assert find_model(tmp_path / "model-7") == tmp_path / "model-7.index"


def test_a_header_is_parsed_once(folder, monkeypatch):
    opened = []
    monkeypatch.setattr("utils.formats.open_file.open_safetensors", lambda p: opened.append(p) or open_safetensors(p))
    load_with_tokenizer(folder)
    inspect_file(folder)
    assert len(opened) == 2


def test_views_and_transposed_tensors_in_a_bin_are_read_as_they_were(tmp_path):
    whole = torch.arange(60.0).view(3, 20)
    odd = {"row": whole[1], "columns": whole[:, 4:9], "turned": whole.T, "scalar": torch.tensor(7.0)}
    odd |= {"none": torch.empty(0, 4), "many": torch.arange(5), "half": whole.half()[2, ::3]}
    torch.save(odd, tmp_path / "odd.bin")
    for name, stored in open_weights(tmp_path / "odd.bin").items():
        assert stored.shape == odd[name].shape and torch.equal(stored.read(), odd[name]), name


def test_one_file_alone_loads_and_so_does_one_beside_its_config(folder, tmp_path):
    model = load_gpt2(folder)
    assert same_weights(load_gpt2(folder / "model.safetensors"), model)
    torch.save({n: t.contiguous() for n, t in hub_tensors(model)}, tmp_path / "mine.bin")
    alone = load_gpt2(tmp_path / "mine.bin")  # 32 wide: one head is all that can be guessed
    assert same_weights(alone, model) and alone.config.n_head == 1


@pytest.mark.parametrize("kind", ["safetensors", "torch", "gguf F32"])
def test_a_loaded_model_owns_its_weights_and_lets_go_of_the_file(tmp_path, kind):
    file = written(tiny_model(SMALL), tmp_path / kind, kind)
    before, model = file.read_bytes(), load_gpt2(file)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert file.read_bytes() == before
    file.unlink()  # Windows refuses this while a map is open
    assert not model(random_tokens(1, 3)).any()


def test_a_loaded_model_learns_tied(folder):
    model = load_gpt2(folder).train()
    model(random_tokens(1, 8), random_tokens(1, 8, seed=1)).backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert model.head.weight is model.token_embedding.weight


def test_our_file_is_what_safetensors_reads(folder):
    stored = load_file(folder / "model.safetensors")
    assert all(torch.equal(stored[name], tensor) for name, tensor in hub_tensors(tiny_model()))
    assert read_note(folder / "model.safetensors") == {"format": "pt"}


@pytest.mark.parametrize("spaces", [*range(16), 104, 120])
def test_a_header_of_any_length_is_recognized(tmp_path, spaces):
    save_file({"a": torch.arange(3.0)}, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    for target in (length + spaces, 128 + spaces, 0x4B50):  # bytes with which pickles and zips begin too
        header = data[8 : 8 + length].ljust(target)
        (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", target) + header + data[8 + length :])
        assert open_weights(tmp_path / "b.safetensors")["a"].read().tolist() == [0, 1, 2]


def test_nano_comes_with_the_course_and_a_copy_without_it_says_so(monkeypatch, tmp_path):
    assert load_gpt2().config == SIZES["nano"]
    monkeypatch.setattr("utils.formats.open_file.DATA", tmp_path)
    with pytest.raises(CourseError, match="nano"):
        load_gpt2("nano")


# Writing whole files or none


def test_a_file_is_replaced_at_once_and_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file"]
    os.link(path, tmp_path / "second_name")  # goes on being the old file, unless that is written into
    write_whole(path, lambda file: file.write(b"new"))
    assert (path.read_bytes(), (tmp_path / "second_name").read_bytes()) == (b"new", b"old")


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(CourseError, match="taken"):
        save_gpt2(tiny_model(), tmp_path / "taken")


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from utils.errors import CourseError
from utils.formats.safetensors import write_safetensors
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_safetensors(Path(sys.argv[1]), [("a", torch.zeros(10_000))], {})
except CourseError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows can't limit the size of a file")
def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, [("a", torch.ones(3))], {"training": "old"})
    said = child(FULL_DISK, str(path))
    assert str(path) in said and "File too large" in said
    assert open_weights(path)["a"].read().tolist() == [1, 1, 1] and read_note(path)["training"] == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


# Memory


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its own peak")
@pytest.mark.parametrize("kind", ["safetensors", "torch", "gguf F32", "gguf Q4_0"])
def test_loading_peaks_at_little_more_than_the_weights(tmp_path, kind):
    with torch.device("meta"):
        model = GPT2(GPT2Config(n_layer=14, n_head=8, n_embd=384))
    model.to_empty(device="cpu").tie_head()
    for weight in model.parameters():
        weight.data.fill_(0.5)
    path = written(model, tmp_path / "large", kind)
    del model
    assert 0.9 < loading_peak(path, written(tiny_model(SMALL), tmp_path / "small", kind)) <= 1.1
