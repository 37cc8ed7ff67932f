"""GGUF both ways: against the gguf library, transformers and llama.cpp, and against files that lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from gguf import quants
from shapes import random_tokens, same_weights, tiny_model
from torch.testing import assert_close

from tools.__main__ import main
from utils.bpe import build_vocab, train_bpe
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.formats.ggml_blocks import FORMATS, find_format
from utils.formats.gguf import open_gguf
from utils.formats.gguf_gpt2 import gguf_name
from utils.formats.gguf_writer import save_gguf
from utils.formats.hub_layout import hub_name
from utils.formats.inspect_model import inspect_file
from utils.loaders import load_gpt2, load_tokenizer
from utils.model import GPT2
from utils.sampling import Sampling, generate
from utils.serve.chat import Conversation
from utils.serve.llama_cpp import LlamaCpp
from utils.tokenizer import CharTokenizer, Tokenizer

LONG = GPT2Config(n_layer=2, n_head=2, n_embd=64, vocab_size=258)  # the context that transformers expects
ONE_MERGE = Tokenizer(build_vocab([("a", "b")]), [("a", "b")])  # 258 tokens
TINY = GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=258, context=8)


@pytest.fixture(scope="module")
def model():
    """Return a small model whose logits spread widely."""
    return tiny_model(LONG, seed=3, spread=0.2)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Return one file of each kind that we write, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("gguf")
    return {kind: save_gguf(model, folder / kind / "model.gguf", kind, ONE_MERGE) for kind in FORMATS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a file with GPT-2's vocabulary."""
    model = tiny_model(GPT2Config(n_layer=2, n_head=2, n_embd=64), seed=3, spread=0.2)
    return save_gguf(model, tmp_path_factory.mktemp("whole") / "model.gguf", "F32")


@pytest.fixture
def tiny(tmp_path):
    """Return a tiny file and the model in it."""
    model = tiny_model(TINY)
    return save_gguf(model, tmp_path / "tiny.gguf", "F32", ONE_MERGE), model


def their_file(path: Path, model: GPT2, kinds=lambda name: "F32", **changes) -> Path:
    """Write a model with the gguf library; `changes` replace keys, or leave them out when None."""
    writer, config = gguf.GGUFWriter(path, changes.pop("architecture", "gpt2")), model.config
    for key, value in {
        "block_count": config.n_layer,
        "context_length": config.context,
        "embedding_length": config.n_embd,
        "attention.head_count": config.n_head,
        "split_count": None,
    }.items():
        if (value := changes.pop(key, value)) is not None:
            writer.add_uint32(f"gpt2.{key}" if key != "split_count" else "split.count", value)
    writer.add_float32("gpt2.attention.layer_norm_epsilon", changes.pop("epsilon", 1e-5))
    tensors = {gguf_name(hub_name(name)): w.detach().numpy() for name, w in model.named_parameters()}
    for name, value in (tensors | changes).items():
        if value is not None:
            kind = Type[kinds(name)] if value.ndim > 1 and value.dtype != np.uint8 else Type.F32
            data = value if value.dtype == np.uint8 else quants.quantize(value, kind)
            writer.add_tensor(name, data, raw_dtype=Type[kinds(name)] if value.dtype == np.uint8 else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# Blocks, against the gguf library bit for bit


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_number_and_the_sizes_of_the_library(name):
    kind = FORMATS[name]
    assert (kind.values, kind.nbytes) == gguf.GGML_QUANT_SIZES[Type[name]] and kind.number == Type[name]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # random bytes hold scales that are no numbers
@pytest.mark.parametrize("name", FORMATS)
def test_dequantized_bytes_are_those_of_the_library(name):
    raw = np.random.default_rng(0).integers(0, 256, (48, 8 * FORMATS[name].nbytes), dtype=np.uint8)
    expected = quants.dequantize(raw, Type[name])
    found = FORMATS[name].dequantize(torch.from_numpy(raw)).numpy()
    assert np.isfinite(expected).mean() > 0.8 and len(np.unique(expected)) > 100
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", FORMATS)
def test_quantized_values_are_those_of_the_library(name):
    values = np.random.default_rng(1).normal(size=(64, 96)).astype(np.float32)
    values[0], values[1], values[2] = 0, 1e-30, 1e-7
    values[3, ::2], values[3, 1::2] = 1, -1  # which of the two is the farthest from 0?
    values[4], values[5], values[6] = 2.5, np.arange(96) / 8, -np.abs(values[6])
    values[7] *= 1000
    values[8], values[8, ::32] = np.arange(96) / 2, 127  # at a scale of 1 every other one lies between two codes
    found = FORMATS[name].quantize(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(found, quants.quantize(values, Type[name]).view(np.uint8))


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_values_too_small_for_any_scale_are_packed_like_zeros(name):
    tiny = torch.tensor([1e-40, -1e-40] * 16)  # 1 over their scale is infinite
    assert torch.equal(FORMATS[name].quantize(tiny), FORMATS[name].quantize(torch.zeros(32)))


def test_a_block_by_hand():
    values = torch.linspace(-8, 7.5, 32)  # the farthest from 0 is −8, so d is 1 and codes are values + 8, rounded
    raw = FORMATS["Q4_0"].quantize(values)
    assert raw[:2].tolist() == [0x00, 0x3C]  # 1.0 in float16, little-endian
    assert raw[2] == 0 | 8 << 4 and raw[17] == 8 | 15 << 4  # values 0 and 16, then 15 (−0.5, rounded up) and 31
    assert FORMATS["Q4_0"].dequantize(raw)[:3].tolist() == [-8, -7, -7]


@pytest.mark.parametrize(("name", "width", "value", "message"), [
    ("Q8_0", 40, 1.0, "blocks of 32 values, these rows have 40.*Choose F32, F16 or BF16"),
    ("F16", 32, 70_000.0, "70000 was found .*F16 holds finite ones up to 65504"),
    ("Q4_0", 32, float("nan"), "nan was found among the values"),
    ("F32", 32, float("-inf"), "inf was found among the values"),
    ("Q6_K", 256, 1.0, "Q6_K can't be written here, only F32, F16, BF16, Q4_0, Q8_0"),
])  # fmt: skip
def test_what_a_format_cannot_hold_is_refused(name, width, value, message):
    with pytest.raises(CourseError, match=message):
        find_format(Type[name]).quantize(torch.full((2, width), value))


# Our file in other hands


@pytest.mark.parametrize("kind", FORMATS)
def test_the_gguf_library_reads_our_file(files, model, kind):
    reader = gguf.GGUFReader(files[kind])
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert len(tensors) == 12 * 2 + 4 and "output.weight" not in tensors, "the tied head is stored once"
    for name, weight in model.named_parameters():
        stored, expected = tensors[gguf_name(hub_name(name))], weight.detach().numpy()
        packed = expected.ndim == 2 and not name.startswith("position")
        assert stored.tensor_type == (Type[kind] if packed else Type.F32)
        assert stored.shape.tolist() == list(expected.shape)[::-1] and stored.data_offset % 32 == 0
        again = quants.dequantize(quants.quantize(expected, stored.tensor_type), stored.tensor_type)
        np.testing.assert_array_equal(quants.dequantize(stored.data, stored.tensor_type), again)
    file_type = gguf.LlamaFileType[f"MOSTLY_{kind}" if kind != "F32" else "ALL_F32"]
    assert reader.fields["general.file_type"].contents() == file_type


def test_our_file_carries_every_key_that_llama_cpp_looks_for(files):
    fields = gguf.GGUFReader(files["Q8_0"]).fields
    values = {key: field.contents() for key, field in fields.items() if not key.startswith("GGUF.")}
    tokens, merges = values.pop("tokenizer.ggml.tokens"), values.pop("tokenizer.ggml.merges")
    assert (len(tokens), tokens[256:], merges) == (258, ["ab", "<|endoftext|>"], ["a b"])
    assert values.pop("tokenizer.ggml.token_type") == [1] * 257 + [3]
    assert values.pop("gpt2.attention.layer_norm_epsilon") == pytest.approx(1e-5)
    assert values == {
        "general.architecture": "gpt2",
        "general.name": "GPT-2",
        "general.file_type": 7,
        "general.quantization_version": 2,
        "gpt2.block_count": 2,
        "gpt2.context_length": 1024,
        "gpt2.embedding_length": 64,
        "gpt2.attention.head_count": 2,
        "gpt2.feed_forward_length": 256,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 257,
        "tokenizer.ggml.eos_token_id": 257,
        "tokenizer.ggml.add_bos_token": False,
    }
    assert int(fields["GGUF.version"].parts[-1][0]) == 3
    assert fields["gpt2.block_count"].types == [gguf.GGUFValueType.UINT32]


ERRORS = {"F32": 1e-6, "F16": 1e-3, "BF16": 8e-3, "Q8_0": 0.03, "Q4_0": 0.4}  # relative, of logits


@pytest.mark.parametrize("kind", FORMATS)
def test_transformers_gets_the_same_logits_from_our_file_as_we_do(files, model, kind):
    import transformers

    reference = transformers.GPT2LMHeadModel.from_pretrained(files[kind].parent, gguf_file="model.gguf").eval()
    ours, tokens = load_gpt2(files[kind]), random_tokens(2, 24, 257)
    with torch.no_grad():
        found, before = ours(tokens), model(tokens)
        assert_close(found, reference(tokens).logits, atol=1e-4, rtol=0)
    error = float((found - before).norm() / before.norm())
    assert error <= ERRORS[kind], "further from the model that was packed than facts of this format allow"
    assert kind == "F32" or error > ERRORS[kind] / 50, "was anything packed at all?"


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_llama_cpp_continues_a_text_from_our_file_as_we_do(whole, tmp_path, kind):
    path = save_gguf(load_gpt2(whole), tmp_path / "a.gguf", kind)
    prompt = [464, 2068, 7586]
    expected = generate(load_gpt2(path), [prompt], Sampling(max_new=12, temperature=0, stop=()))[0]
    assert LlamaCpp(path, threads=1, context=64).tokens(prompt, 12) == expected
    assert len(set(expected)) > 3


@pytest.mark.parametrize("kind", FORMATS)
def test_llama_cpp_expects_what_we_expect_of_every_token(files, kind):
    ours, theirs, prompt = load_gpt2(files[kind]), LlamaCpp(files[kind], threads=1, context=64), [40, 206, 75]
    answer = theirs.server.handle_completions({"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 258})
    found = torch.full((258,), float("nan"))
    for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
        found[entry["id"]] = entry["logprob"]
    with torch.no_grad():
        expected = ours(torch.tensor([prompt]))[0, -1].log_softmax(-1)
    error = float((found - expected).square().mean().sqrt() / expected.std())
    assert error < {"F32": 2e-3, "F16": 2e-3, "BF16": 1e-2}.get(kind, 0.05)  # to packed weights it rounds its inputs


def test_llama_cpp_cuts_text_into_our_tokens(whole):
    text = "It's 10 o'clock,  we'll\n go… naïve 東京 <|endoftext|>x"
    theirs = LlamaCpp(whole, threads=1, context=64)
    answer = theirs.server.handle_completions({"prompt": text, "max_tokens": 1, "temperature": 0})
    expected = Tokenizer.gpt2().encode(text, allow_special=True)
    assert answer["usage"]["prompt_tokens"] == len(expected)


def test_transformers_gets_our_tokenizer_from_the_file(whole):
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(whole.parent, gguf_file="model.gguf")
    text = "It's 10 o'clock,  we'll\n go… naïve 東京"
    assert theirs(text)["input_ids"] == Tokenizer.gpt2().encode(text)


# Other hands' files


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_what_the_gguf_library_wrote_loads_as_what_it_reads(tmp_path, kind):
    model = tiny_model(TINY)
    loaded = load_gpt2(their_file(tmp_path / "a.gguf", model, lambda name: kind))
    for weight in model.parameters():
        if weight.ndim == 2:
            packed = quants.quantize(weight.detach().numpy(), Type[kind])
            weight.data = torch.from_numpy(np.array(quants.dequantize(packed, Type[kind]), dtype=np.float32))
    assert same_weights(loaded, model) and loaded.config == TINY and not loaded.training
    assert loaded.head.weight is loaded.token_embedding.weight


@pytest.mark.parametrize("head", ["F32", "Q8_0"])
def test_a_head_that_is_stored_again_is_the_table_and_the_better_copy_wins(tmp_path, head):
    model = tiny_model(TINY)
    table = model.token_embedding.weight.detach().numpy()
    kinds = {"output.weight": head, "token_embd.weight": "Q4_0"}
    path = their_file(tmp_path / "a.gguf", model, lambda key: kinds.get(key, "F32"), **{"output.weight": table})
    expected = quants.dequantize(quants.quantize(table, Type[head]), Type[head])
    np.testing.assert_array_equal(load_gpt2(path).head.weight.detach().numpy(), expected)


def test_every_type_of_value_is_read_as_the_library_wrote_it(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "any")
    expected = {"general.architecture": "any", "text": "naïve 東京", "yes": True, "no": False, "many": ["a", "", "é"]}
    writer.add_string("text", expected["text"])
    writer.add_array("many", expected["many"])
    writer.add_bool("yes", True)
    writer.add_bool("no", False)
    for kind, value in {"uint8": 255, "int8": -128, "uint16": 65535, "int16": -3, "uint32": 2**32 - 1, "int32": -7,
                        "uint64": 2**64 - 1, "int64": -(2**63), "float32": 0.5, "float64": 0.1}.items():  # fmt: skip
        getattr(writer, f"add_{kind}")(kind, value)
        expected[kind] = value
    for name, items in {"ints": [1, -2, 3], "floats": [0.5, 0.25], "bools": [True, False]}.items():
        writer.add_array(name, items)
        expected[name] = items
    writer.add_custom_alignment(64)
    writer.add_tensor("one", np.arange(3, dtype=np.float32))
    writer.add_tensor("two", np.arange(8, dtype=np.float16).reshape(2, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(tmp_path / "a.gguf")
    expected["general.alignment"] = 64
    assert {key: file.get(key) for key in file.metadata} == expected
    assert file.tensors["one"].read().tolist() == [0, 1, 2]
    assert file.tensors["two"].read().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]] and file.tensors["two"].offset % 64 == 0


# Our file in our hands


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_comes_back_in_any_dtype_when_each_tensor_goes_in_hundreds_of_parts(tmp_path, monkeypatch, dtype):
    for module in ("utils.formats.gguf", "utils.formats.gguf_writer"):
        monkeypatch.setattr(f"{module}.CHUNK", 40)  # one row of 32 at a time
    model = tiny_model(TINY).to(dtype)
    path = save_gguf(model, tmp_path / "a.gguf", "F32", ONE_MERGE)
    assert same_weights(load_gpt2(path, dtype=dtype), model)
    assert same_weights(load_gpt2(path), model.float())
    assert torch.equal(open_gguf(path).tensors["blk.1.ffn_up.weight"].read(), model.blocks[1].mlp.up.weight)


def test_a_folder_with_one_file_loads_and_with_two_does_not(tiny):
    path, model = tiny
    assert same_weights(load_gpt2(path.parent), model)
    assert load_tokenizer(path.parent).vocab == ONE_MERGE.vocab
    shutil.copy(path, path.with_name("other.gguf"))
    with pytest.raises(CourseError, match=r"holds \['other\.gguf', 'tiny\.gguf'\], expected one of .* \.gguf file"):
        load_gpt2(path.parent)


def test_the_first_bytes_decide_and_not_the_name(tiny):
    path, model = tiny
    path = path.rename(path.with_name("model.safetensors"))
    assert same_weights(load_gpt2(path), model) and load_tokenizer(path).vocab == ONE_MERGE.vocab


def test_the_tokenizer_comes_back(whole, tmp_path):
    assert load_tokenizer(whole) is Tokenizer.gpt2()
    merges, vocab = train_bpe("the miller's sons and the miller's daughters, " * 3, 40)
    tokenizer = Tokenizer(vocab, merges)
    model = tiny_model(GPT2Config(1, 1, 8, vocab_size=len(vocab), context=4))
    back = load_tokenizer(save_gguf(model, tmp_path / "a.gguf", "F16", tokenizer))
    assert (back.vocab, back.merges) == (vocab, merges)
    assert back.encode("the sons") == tokenizer.encode("the sons")


def test_a_chat_speaks_in_the_tokens_of_the_file(tiny):
    path, _ = tiny
    assert Conversation.open(str(path), [], "chat_log.csv").tokenizer.vocab == ONE_MERGE.vocab


@pytest.mark.parametrize(("kind", "tokenizer", "message"), [
    ("Q2_K", ONE_MERGE, "kind 'Q2_K' can't be written, expected one of F32, F16, BF16, Q4_0, Q8_0"),
    ("q8_0", ONE_MERGE, "kind 'q8_0' can't be written"),
    ("F16", None, r"the tokenizer has 50,257 tokens, the model 258\. Hand in the tokenizer"),
    ("F16", CharTokenizer.from_text("abc"), "CharTokenizer was found, GGUF takes byte-level BPE"),
])  # fmt: skip
def test_what_cannot_be_written_is_refused_before_a_file_appears(tmp_path, kind, tokenizer, message):
    with pytest.raises(CourseError, match=message):
        save_gguf(tiny_model(TINY), tmp_path / "a.gguf", kind, tokenizer)
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_when_a_weight_cannot_be_packed(tiny):
    path, model = tiny
    before = path.read_bytes()
    with torch.no_grad():
        model.blocks[1].mlp.down.weight[3, 5] = torch.nan
    with pytest.raises(CourseError, match=r"blk\.1\.ffn_down\.weight: nan was found among the values"):
        save_gguf(model, path, "Q8_0", ONE_MERGE)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["tiny.gguf"]


# What is inspected is not loaded


def test_inspect_says_what_the_file_is_and_what_opens_it(files, capsys):
    assert main(["inspect", str(files["Q8_0"])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == inspect_file(files["Q8_0"]) == inspect_file(files["Q8_0"].parent)
    total = sum(tensor.nbytes for tensor in open_gguf(files["Q8_0"]).tensors.values())
    weights = sum(p.numel() for p in load_gpt2(files["Q8_0"]).parameters())
    assert lines[:4] == [
        f"model.gguf: 28 tensors, {total / 1e3:.0f} kB",
        "GGUF version 3, 19 × F32, 9 × Q8_0",
        f"{weights:,} parameters, {8 * total / weights:.2f} bits per weight",
        "quantization: 9 × Q8_0",
    ]
    assert {"load_gpt2: yes", "llama.cpp: yes", "transformers: yes, with gguf_file="} <= {*lines}
    assert {"gpt2.context_length: 1024", "tokenizer.ggml.tokens: 258 × string"} <= {*lines}
    last = next(line for line in lines if line.startswith("blk.1.ffn_up.weight"))
    assert last.split() == ["blk.1.ffn_up.weight", "Q8_0", "[256,", "64]", f"{256 * 64 // 32 * 34:,}", "bytes"]


def test_inspect_of_what_we_cannot_load_says_why(tmp_path):
    for changes, named in [({"architecture": "llama"}, "'llama'"), ({"block_count": None}, "gpt2.block_count")]:
        lines = inspect_file(their_file(tmp_path / "a.gguf", tiny_model(TINY), **changes))
        assert any(line.startswith("load_gpt2: no, ") and named in line for line in lines)
        assert "llama.cpp: no, it holds no tokens" in lines


# What is no GPT-2, by name


@pytest.mark.parametrize(("changes", "message"), [
    ({"architecture": "llama"}, r"a\.gguf holds the architecture 'llama', expected 'gpt2'\. llama\.cpp may run it"),
    ({"block_count": 3}, "n_layer is 3, the tensors beside it say 2"),
    ({"block_count": 1}, "n_layer is 1, the tensors beside it say 2"),
    ({"block_count": None}, r"gpt2\.block_count is missing, expected int"),
    ({"context_length": 16}, "n_positions is 16, the tensors beside it say 8"),
    ({"embedding_length": 64}, "n_embd is 64, the tensors beside it say 32"),
    ({"attention.head_count": 5}, "n_embd 32 can't be shared out among n_head 5"),
    ({"attention.head_count": 0}, "n_head is 0, expected a whole number"),
    ({"attention.head_count": None}, r"gpt2\.attention\.head_count is missing"),
    ({"epsilon": 1e-6}, "layer_norm_epsilon is 1e-06, expected 1e-05"),
    ({"split_count": 3}, "is one of 3 parts.*gguf-split --merge"),
    ({"blk.1.ffn_up.weight": np.zeros((32, 128), np.float32)}, r"h\.1\.mlp\.c_fc\.weight is F32 of shape \(128, 32\)"),
    ({"token_embd.weight": None, "x": np.zeros(2, np.float32)}, r"no GPT-2: the matrix wte\.weight is missing"),
    ({"output_norm.bias": None, "x": np.zeros(2, np.float32)}, r"lacks ln_f\.bias and 0 other tensors"),
    ({"output.weight": np.ones((258, 32), np.float32)}, r"row 0 of lm_head\.weight .*wte\.weight"),
    ({"output.weight": np.zeros((5, 32), np.float32)}, r"lm_head\.weight has shape \(5, 32\)"),
])  # fmt: skip
def test_a_file_of_another_model_is_refused(tmp_path, changes, message):
    with pytest.raises(CourseError, match=message):
        load_gpt2(their_file(tmp_path / "a.gguf", tiny_model(TINY), **changes))


def test_a_tensor_that_we_do_not_unpack_is_named(tmp_path):
    model = tiny_model(TINY)
    packed = {"blk.0.ffn_up.weight": np.zeros((128, 40), np.uint8)}
    path = their_file(tmp_path / "a.gguf", model, lambda key: "Q8_1" if key in packed else "F32", **packed)
    with pytest.raises(CourseError, match=r"'blk\.0\.ffn_up\.weight' as Q8_1"):
        load_gpt2(path)


@pytest.mark.parametrize(("change", "message"), [
    ((b"\x04\0\0\0\0\0\0\0gpt2\x12", b"\x04\0\0\0\0\0\0\0bert\x12"), "tokenizer of the kind 'bert'.*expected 'gpt2'"),
    ((b"gpt-2", b"smoll"), "cuts text like 'smoll', expected"),
    ((b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenz"), r"tokenizer\.ggml\.tokens is missing, expected an array"),
    ((b"\x01\0\0\0\0\0\0\0b\x01", b"\x01\0\0\0\0\0\0\0a\x01"), r"tokenizer\.ggml\.tokens holds 1 twice"),
    ((b"a b", b"aab"), r"tokenizer\.ggml\.merges holds 'aab', expected two symbols"),
    ((b"a b", b"b a"), "the vocabulary lacks 1 symbols, such as 'ba'"),
])  # fmt: skip
def test_a_tokenizer_that_we_do_not_speak_is_refused(tmp_path, change, message):
    vocab = build_vocab([("a", "b")])
    model = tiny_model(GPT2Config(1, 1, 8, vocab_size=len(vocab), context=4))
    path = save_gguf(model, tmp_path / "a.gguf", "F16", Tokenizer(vocab, [("a", "b")]))
    old, new = change
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(CourseError, match=message):
        load_tokenizer(path)
