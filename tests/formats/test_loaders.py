"""Files of weights: both ways against `transformers`, every damage by name, and memory while loading."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from shapes import Hostile, child, lively, loading_peak, random_tokens, theirs, tiny_model
from torch.testing import assert_close

from utils.config import SIZES
from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.formats.hub_layout import hub_tensors
from utils.formats.open_file import open_weights
from utils.formats.safetensors import read_note, write_safetensors
from utils.loaders import load_gpt2, save_gpt2
from utils.model import GPT2
from utils.sampling import Sampling, generate

GREEDY = Sampling(max_new=12, temperature=0, stop=())


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


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory):
    """Return random weights of the true small shape as .safetensors and as .bin; 1 GB for a while."""
    folder = tmp_path_factory.mktemp("small")
    with torch.device("meta"):
        model = GPT2(SIZES["small"])
    model.to_empty(device="cpu").tie_head()
    torch.manual_seed(0)
    model.initialize()
    for name, weight in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(weight)
    save_gpt2(model, folder / "safetensors")
    (folder / "bin").mkdir()
    shutil.copy(folder / "safetensors" / "config.json", folder / "bin")
    torch.save({n: t.contiguous() for n, t in hub_tensors(model)}, folder / "bin" / "pytorch_model.bin")
    del model
    yield folder
    shutil.rmtree(folder)


def same_weights(a: GPT2, b: GPT2) -> bool:
    mine, other = dict(a.named_parameters()), dict(b.named_parameters())
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def change_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def change_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


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


def test_the_true_small_shape_gives_the_logits_and_the_greedy_text_of_transformers(small_folder):
    import transformers

    reference = transformers.GPT2LMHeadModel.from_pretrained(small_folder / "safetensors").eval()
    ours = load_gpt2(small_folder / "safetensors")
    assert ours.config == SIZES["small"]
    assert_same_model(ours, reference, random_tokens(1, 16, 50257), new=4)


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


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_an_old_bin_with_masks_and_a_second_head_loads(tmp_path, prefix):
    model = tiny_model()
    state = {prefix + name: tensor for name, tensor in hub_tensors(model)}
    for i in range(2):
        state[f"{prefix}h.{i}.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.uint8).tril()
        state[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    state["lm_head.weight"] = state[f"{prefix}wte.weight"]  # the same storage, as torch saves a tied model
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({"n_layer": 2, "n_head": 4, "n_embd": 32}), encoding="utf-8")
    assert same_weights(load_gpt2(tmp_path), model)


def test_a_state_of_transformers_saved_by_torch_loads(nano, nano_folder, tmp_path):
    torch.save(nano.state_dict(), tmp_path / "pytorch_model.bin")
    assert same_weights(load_gpt2(tmp_path), load_gpt2(nano_folder)), "without config.json heads are 64 wide"


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


def test_a_loaded_model_owns_its_weights(folder):
    before = (folder / "model.safetensors").read_bytes()
    model = load_gpt2(folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert (folder / "model.safetensors").read_bytes() == before
    (folder / "model.safetensors").unlink()  # Windows refuses this while a map is open
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
    with pytest.raises(CourseError, match="nano is neither a file, a folder nor a size"):
        load_gpt2("nano")


# What is wrong, by name


def test_a_name_that_is_nothing_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(CourseError, match=r"neither a file, a folder nor a size.*nano, small, medium, large, xl"):
        load_gpt2(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="smal is neither"):
        load_gpt2("smal")


def test_a_folder_without_weights_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(CourseError, match=r"holds nothing, expected one of model\.safetensors"):
        load_gpt2(tmp_path)
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(CourseError, match=r"holds \['notes\.txt'\], expected one of model\.safetensors"):
        load_gpt2(tmp_path)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:248dfc39\nsize 548105171\n"
NO_WEIGHTS = [
    (b"", "it is empty"),
    (b"<!DOCTYPE html><html><body>404</body></html>", "it is a web page"),
    (b"\n\n  <html><head><title>Log in</title>", "it is a web page"),
    (LFS, "it is a pointer of Git LFS"),
    (b"\x10\x00\x00", r"it begins with b'\\x10"),
]


@pytest.mark.parametrize(("content", "message"), NO_WEIGHTS, ids=["empty", "page", "login", "lfs", "short"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_that_holds_no_weights_is_called_what_it_is(folder, name, content, message):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(CourseError, match=rf"{name} is no file of weights: {message}.*Fetch or save it again"):
        load_gpt2(folder)


@pytest.mark.parametrize("left", [4, 9, 500, -1])
def test_a_truncated_file_is_refused(folder, left):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CourseError, match="model.safetensors.*(no file of weights|damaged|truncated).*again"):
        load_gpt2(folder)


def test_a_truncated_or_longer_file_is_told_with_both_sizes(folder):
    path, data = folder / "model.safetensors", (folder / "model.safetensors").read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(
        CourseError, match=rf"truncated: .* promises {len(data):,} bytes, the file has {len(data) - 100:,}"
    ):
        load_gpt2(folder)
    path.write_bytes(data + bytes(8))
    with pytest.raises(
        CourseError, match=rf"too long: .* promises {len(data):,} bytes, the file has {len(data) + 8:,}"
    ):
        load_gpt2(folder)


def entry(**changes) -> dict:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


HEADERS = [
    (entry(dtype="F99"), "dtype 'F99' is unknown here, expected one of F64, F32"),
    (entry(dtype=["F32"]), "damaged header"),
    (entry(shape=[-2]), "must be whole numbers of at least 0"),
    (entry(shape=[2.0]), "must be whole numbers of at least 0"),
    (entry(shape=[True, 2]), "must be whole numbers of at least 0"),
    (entry(shape=[3]), "takes 12 bytes, found 8"),
    (entry(shape=[2**62, 4]), "no file can hold it"),
    (entry(shape=2), "damaged header"),
    (entry(data_offsets=[8, 0]), "damaged header.*found -8"),
    (entry(data_offsets=[0]), "damaged header"),
    (entry(data_offsets=[8, 16]), "'a' starts at byte .*, expected"),
    (entry() | {"b": entry()["a"]}, "'[ab]' starts at byte .*, expected"),
    (
        entry() | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
        "'b' starts at byte .*, expected",
    ),
    ({"a": {"dtype": "F32"}}, "damaged header"),
    ({"a": 5}, "damaged header"),
]


@pytest.mark.parametrize(("header", "message"), HEADERS)
def test_a_header_that_lies_is_refused(tmp_path, header, message):
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(CourseError, match=f"model.safetensors .*{message}.*[Ff]etch or save it again"):
        open_weights(path)


@pytest.mark.parametrize("length", [0, 10, 10**9, 2**63, 2**64 - 1])
def test_an_absurd_length_or_a_broken_header_is_refused(tmp_path, length):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a": {"dtype": "F32", \xff' + bytes(30))
    with pytest.raises(CourseError, match="model.safetensors (is damaged|has a damaged header).*again"):
        open_weights(path)


def test_a_header_nested_without_end_is_refused(tmp_path):
    text = b'{"a":' * 100_000
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(CourseError, match="damaged header"):
        open_weights(tmp_path / "a.safetensors")


FIELDS = {"n_layer": 3, "n_embd": 64, "vocab_size": 50257, "n_positions": 1024}


@pytest.mark.parametrize("field", FIELDS)
def test_a_config_of_other_weights_is_refused_by_field(folder, field):
    actual = {"n_layer": 2, "n_embd": 32, "vocab_size": 97, "n_positions": 24}[field]
    change_config(folder, **{field: FIELDS[field]})
    with pytest.raises(CourseError, match=rf"{field} is {FIELDS[field]}, the tensors beside it say {actual}\..*fetch"):
        load_gpt2(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_head": 5}, "n_embd 32 can't be shared out among n_head 5"),
        ({"n_head": 0}, "n_head is 0, expected a whole number"),
        ({"n_head": "4"}, "n_head is '4', expected a whole number"),
        ({"model_type": "llama"}, "describes llama with gelu_new, expected gpt2"),
        ({"activation_function": "gelu"}, "describes gpt2 with gelu, expected gpt2 with gelu_new"),
        ({"layer_norm_epsilon": 1e-3}, "layer_norm_epsilon is 0.001, expected 1e-05"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False, expected True"),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx is True, expected False",
        ),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False, expected True"),
    ],
)
def test_a_config_of_another_network_is_refused(folder, change, message):
    change_config(folder, **change)
    with pytest.raises(CourseError, match=message):
        load_gpt2(folder)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\ufeff", "null", '"gpt2"', "[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        CourseError, match=r"config\.json (is not readable as JSON|holds a \w+, expected a JSON object)"
    ):
        load_gpt2(folder)


def test_a_config_that_is_not_utf_8_is_refused(folder):
    (folder / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(CourseError, match=r"config\.json is not readable as JSON"):
        load_gpt2(folder)


@pytest.mark.parametrize("name", ["wte.weight", "wpe.weight", "ln_f.bias", "h.1.mlp.c_proj.weight", "h.0.ln_1.weight"])
def test_a_missing_tensor_is_named(folder, name):
    change_tensors(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(CourseError, match=rf"{name}|n_layer is 2, the tensors beside it say 1"):
        load_gpt2(folder)


@pytest.mark.parametrize("name", ["h.1.mlp.c_proj.weight", "h.0.attn.c_attn.bias", "ln_f.weight"])
def test_a_tensor_of_another_shape_is_named_with_both_shapes(folder, name):
    change_tensors(folder, lambda tensors: tensors.update({name: torch.zeros(5, 7)}))
    with pytest.raises(CourseError, match=rf"{name} has shape \(5, 7\), expected \("):
        load_gpt2(folder)


def test_linear_weights_stored_the_wrong_way_round_are_refused(folder):
    def turn(tensors):
        tensors["h.0.mlp.c_fc.weight"] = tensors["h.0.mlp.c_fc.weight"].T.contiguous()

    change_tensors(folder, turn)
    with pytest.raises(CourseError, match=r"h\.0\.mlp\.c_fc\.weight has shape \(128, 32\), expected \(32, 128\)"):
        load_gpt2(folder)


def test_whole_numbers_are_no_weights(folder):
    change_tensors(folder, lambda t: t.update({"wte.weight": t["wte.weight"].to(torch.int8)}))
    with pytest.raises(CourseError, match=r"wte\.weight holds torch\.int8, expected floating-point"):
        load_gpt2(folder)


def test_other_tensors_are_no_gpt2(tmp_path):
    save_file({"conv.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(CourseError, match=r"holds no GPT-2: the matrix wte\.weight is missing.*conv\.weight"):
        load_gpt2(tmp_path)


# Pickles


@pytest.mark.parametrize("inside", [lambda bad: bad, lambda bad: {"wte.weight": torch.zeros(2, 2), "x": bad}])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path, inside):
    proof, path = tmp_path / "it_ran", tmp_path / "pytorch_model.bin"
    torch.save(inside(Hostile(proof)), path)
    with pytest.raises(CourseError, match=r"is refused: .*could run code.*\.safetensors file from its author"):
        load_gpt2(tmp_path)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the pickle was not hostile, so its refusal shows nothing"


@pytest.mark.parametrize("write", [lambda o, p: torch.save(o, p, _use_new_zipfile_serialization=False), None])
def test_a_pickle_of_the_old_format_is_refused_and_does_not_run(tmp_path, write):
    proof, path = tmp_path / "it_ran", tmp_path / "pytorch_model.bin"
    if write:
        write({"wte.weight": torch.zeros(2, 2), "x": Hostile(proof)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(proof)))
    with pytest.raises(CourseError, match="PyTorch's format of before 2020.*save it again"):
        load_gpt2(tmp_path)
    assert not proof.exists()


def rewrite_zip(path: Path, change) -> None:
    """Write a zip anew, each entry by `change(archive, name, content)`."""
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            change(archive, name, content)


def test_a_compressed_bin_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"wte.weight": torch.zeros(20, 20)}, path)
    rewrite_zip(path, lambda archive, name, content: archive.writestr(name, content, zipfile.ZIP_DEFLATED))
    with pytest.raises(CourseError, match="is damaged: .*compressed, which PyTorch never does.*again"):
        open_weights(path)


def test_a_bin_that_was_zipped_anew_is_read_right_or_refused(tmp_path):
    path, tensors = tmp_path / "pytorch_model.bin", {"a": torch.arange(20.0), "b": torch.arange(9.0)}
    torch.save(tensors, path)
    rewrite_zip(path, lambda archive, name, content: archive.writestr(name, content))
    try:
        found = {name: stored.read().clone() for name, stored in open_weights(path).items()}
    except CourseError:
        return
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("left", [100, 0.5, 0.99])
def test_a_truncated_bin_is_refused(tmp_path, left):
    path = tmp_path / "pytorch_model.bin"
    torch.save(dict(hub_tensors(tiny_model())), path)
    data = path.read_bytes()
    path.write_bytes(data[: left if left > 1 else int(left * len(data))])
    with pytest.raises(CourseError, match=r"pytorch_model\.bin is damaged: .*again"):
        load_gpt2(tmp_path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with pytest.raises(CourseError, match=r"pytorch_model\.bin is damaged: .*again"):
        load_gpt2(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "holds a list, expected tensors by name"),
        (
            {"model": {"wte.weight": torch.zeros(2, 2)}},
            "holds 'model', expected a plain state dict",
        ),
        (
            {"wte.weight": torch.eye(3).to_sparse()},
            "'wte.weight' is made by .*_rebuild_sparse_tensor, expected plain tensors",
        ),
        ({"step": 5}, "holds no GPT-2.*start with nothing"),
        ({5: torch.zeros(2)}, "holds no GPT-2.*start with '5'"),
    ],
)
def test_a_bin_that_is_no_plain_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(CourseError, match=message):
        load_gpt2(tmp_path)


# Shards


def write_index(folder: Path, places) -> None:
    text = json.dumps({"weight_map": places})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "", ".", ".."])
def test_an_index_that_points_elsewhere_is_refused(tmp_path, shard):
    save_file({"wte.weight": torch.zeros(2, 2)}, tmp_path / "secret.safetensors")
    (tmp_path / "model").mkdir()
    write_index(tmp_path / "model", {"wte.weight": shard})
    with pytest.raises(CourseError, match=r"index\.json names the shard .*, expected a plain file name"):
        load_gpt2(tmp_path / "model")


def test_an_index_that_names_itself_is_refused(tmp_path):
    write_index(tmp_path, {"wte.weight": "model.safetensors.index.json"})
    with pytest.raises(CourseError, match=r"names the shard 'model\.safetensors\.index\.json', expected"):
        load_gpt2(tmp_path)


@pytest.mark.parametrize("places", [None, [], "x", {"wte.weight": 5}])
def test_an_index_without_places_is_refused(tmp_path, places):
    write_index(tmp_path, places)
    with pytest.raises(CourseError, match="has no weight_map from tensor names to file names"):
        load_gpt2(tmp_path)


def test_an_index_that_promises_more_than_its_shards_hold_is_refused(tmp_path):
    save_file({"wte.weight": torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    write_index(tmp_path, {"wte.weight": "a.safetensors", "wpe.weight": "a.safetensors", "x": "a.safetensors"})
    with pytest.raises(CourseError, match=r"promises 'wpe\.weight' \(and 1 more\), the shards don't hold it"):
        load_gpt2(tmp_path)
    write_index(tmp_path, {"wte.weight": "a.safetensors", "wpe.weight": "b.safetensors"})
    with pytest.raises(CourseError, match=r"b\.safetensors is not there"):
        load_gpt2(tmp_path)


# Writing whole files or none


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file"]
    write_whole(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_new_file_takes_the_place_of_the_old_one_at_once(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.link(path, tmp_path / "second_name")  # goes on being the old file, unless that is written into
    write_whole(path, lambda file: file.write(b"new"))
    assert (path.read_bytes(), (tmp_path / "second_name").read_bytes()) == (b"new", b"old")


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(CourseError, match=r"could not be written: .*choose another folder"):
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
    assert "could not be written: File too large" in said and "untouched; make room" in said
    assert open_weights(path)["a"].read().tolist() == [1, 1, 1] and read_note(path)["training"] == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


# Memory


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its own peak")
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_loading_small_peaks_at_little_more_than_its_weights(small_folder, kind):
    assert 0.95 < loading_peak(small_folder / kind) <= 1.1
