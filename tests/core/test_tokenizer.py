"""Tokenizers against OpenAI's own encoder, golden ids, the `tokenizers` trainer and arithmetic by hand."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import tiny_model

from utils.bpe import (
    GPT2_SHA256,
    GPT2_TOKENIZER,
    build_vocab,
    encode_by_hand,
    read_gpt2_vocabulary,
    split_pieces,
    train_bpe,
)
from utils.config import GPT2Config
from utils.errors import CourseError, guarded
from utils.files.places import DATA, ROOT
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_tokenizer, save_gpt2
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import quantize_model
from utils.tokenizer import CharTokenizer, StreamDecoder, Tokenizer, visible

SHAKESPEARE = Path(os.environ.get("COURSE_SHAKESPEARE", ROOT.parent / "shared/data/tinyshakespeare.txt"))
GPT2 = Tokenizer.gpt2()
MIXED = (
    "It's 10 o'clock,  we'll\r\n\tgo  \n\n home… naïve Ünïcode 東京 ١٢٣ 👩‍🚀"
    " <|endoftext|> \u00a0x\u2003y½²\x00\x1c\x85z"
)
# Characters without a category yet are classed differently by libraries of different years.
assigned = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40)
spaced = st.text(st.sampled_from("ab1's !\n\r\t \u00a0\u2003\x1c\x85é東"), max_size=40)
quick = settings(max_examples=100, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def openai_encoder():
    """OpenAI's own encoder.py as gpt-2-simple ships it, loaded alone: the package would import TensorFlow."""
    package = importlib.util.find_spec("gpt_2_simple")
    if package is None:
        pytest.skip("gpt-2-simple is not installed")
    path = Path(package.submodule_search_locations[0]) / "src" / "encoder.py"
    spec = importlib.util.spec_from_file_location("openai_encoder", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Encoder(*read_gpt2_vocabulary())


def test_golden_ids_and_sizes():
    assert GPT2.encode("Hello world") == [15496, 995]
    assert GPT2.encode("Hello my name is") == [15496, 616, 1438, 318]
    assert (GPT2.vocab_size, GPT2.end_of_text, len(GPT2.merges)) == (50257, 50256, 50000)
    assert GPT2.pieces("Hello world") == ["Hello", " world"]
    assert GPT2.encode("") == [] and GPT2.decode([]) == ""


def test_tiny_shakespeare_has_its_known_number_of_tokens_by_both_encoders():
    if not SHAKESPEARE.exists():
        pytest.skip("Tiny Shakespeare is not here")
    text = SHAKESPEARE.read_text(encoding="utf-8")
    ids = GPT2.encode(text)
    assert len(ids) == 338_025
    assert encode_by_hand(text, GPT2.merges, GPT2.vocab) == ids
    assert [token for part in GPT2.encode_parts(text) for token in part] == ids
    cut = int(len(text) * 0.9)
    assert [len(ids) for ids in GPT2.encode_batch([text[:cut], text[cut:]])] == [301_966, 36_059]


@quick
@given(st.text())
def test_decode_undoes_encode_for_all_unicode(text):
    assert GPT2.decode(GPT2.encode(text)) == text
    assert GPT2.decode(GPT2.encode(text, allow_special=True)) == text
    assert GPT2.decode_bytes(GPT2.encode(text)) == text.encode("utf-8")


@quick
@given(st.one_of(assigned, spaced))
def test_fast_and_by_hand_give_openais_ids(openai_encoder, text):
    expected = openai_encoder.encode(text)
    assert GPT2.encode(text) == expected
    assert encode_by_hand(text, GPT2.merges, GPT2.vocab) == expected


def test_mixed_text_gives_openais_ids(openai_encoder):
    assert GPT2.encode(MIXED) == openai_encoder.encode(MIXED)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(spaced.filter(bool))
def test_a_long_text_cut_in_parts_gives_the_ids_of_the_whole(text):
    long = text * (40_000 // len(text) + 1)
    assert GPT2.encode(long) == encode_by_hand(long, GPT2.merges, GPT2.vocab)


def test_a_very_long_text_in_parts_gives_the_ids_of_the_whole():
    long = "word  \n\n two\u00a0 \n" * 80_000
    parts = list(GPT2.encode_parts(long))
    assert len(parts) > 1
    assert [token for part in parts for token in part] == GPT2.encode(long)


def test_vocabulary_and_merges_are_openais_to_the_byte():
    """tokenizer.json gives back encoder.json (1,042,301 bytes) and vocab.bpe (456,318), as the hub has them."""
    vocab, merges = read_gpt2_vocabulary()
    lines = "".join(f"{first} {second}\n" for first, second in merges)
    found = [hashlib.sha256(text.encode()).hexdigest() for text in (json.dumps(vocab), f"#version: 0.2\n{lines}")]
    assert found == [
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    ]
    assert build_vocab(merges) == vocab


def test_end_of_text_is_ordinary_text_unless_allowed():
    text = "one<|endoftext|>two<|endoftext|>"
    plain, special = GPT2.encode(text), GPT2.encode(text, allow_special=True)
    assert 50256 not in plain
    assert special == [*GPT2.encode("one"), 50256, *GPT2.encode("two"), 50256]
    assert GPT2.decode(plain) == GPT2.decode(special) == text
    assert GPT2.encode_batch([text, "one"], allow_special=True) == [special, GPT2.encode("one")]


@pytest.mark.parametrize("tokenizer", [GPT2, CharTokenizer.from_text("ab")], ids=["gpt2", "characters"])
def test_what_is_no_text_is_refused(tokenizer):
    with pytest.raises(CourseError, match="surrogate pair.*position 2"):
        tokenizer.encode("ab\ud800")
    with pytest.raises(CourseError, match="bytes was found where text was expected"):
        tokenizer.encode(b"ab")


@pytest.mark.parametrize("bad", [50257, -1, [15496], 1.5, "a", None])
def test_an_unknown_id_is_refused_with_its_position(bad):
    with pytest.raises(CourseError, match=r"at position 1 is no token.*0 to 50256"):
        GPT2.decode([15496, bad])


def test_arrays_tensors_and_single_ids_decode():
    import numpy as np
    import torch

    assert GPT2.decode(np.array([15496, 995], dtype=np.uint16)) == "Hello world"
    assert GPT2.decode(torch.tensor([15496, 995])) == "Hello world"
    assert GPT2.decode([np.int64(15496), np.int64(995)]) == "Hello world"
    assert GPT2.decode(15496) == GPT2.decode(torch.tensor(15496)) == "Hello"


@quick
@given(st.lists(st.integers(0, 50256), max_size=30))
def test_a_stream_says_what_decode_says(ids):
    decoder = StreamDecoder(GPT2)
    assert "".join(decoder.feed(token) for token in ids) + decoder.end() == GPT2.decode(ids)


@quick
@given(st.text(max_size=30).filter(lambda text: "\ufffd" not in text))
def test_a_stream_of_whole_text_never_shows_half_a_character(text):
    decoder = StreamDecoder(GPT2)
    parts = [decoder.feed(token) for token in GPT2.encode(text)]
    assert "".join(parts) == text and decoder.end() == ""


def test_part_of_a_character_keeps_its_bytes_and_is_shown_as_the_replacement():
    ids, decoder = GPT2.encode("👩"), StreamDecoder(GPT2)
    assert len(ids) > 1 and GPT2.decode(ids[:1]) == "\ufffd"
    assert b"".join(GPT2.decode_bytes([token]) for token in ids) == "👩".encode()
    assert (decoder.feed(ids[0]), decoder.end()) == ("", "\ufffd")


TALE = "The miller's 3 sons went out, and the sons' sons went on: aaaa aaa, ababab! 東京と京都。\n" * 3


@pytest.mark.parametrize("n_merges", [1, 5, 40, 1000])
def test_training_by_hand_learns_the_merges_that_the_tokenizers_library_learns(n_merges):
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, pre_tokenizers, trainers

    merges, vocab = train_bpe(TALE, n_merges)
    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = [symbol for symbol, token in vocab.items() if token < 256]
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merges, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    fast.train_from_iterator([TALE], trainer)
    theirs = json.loads(fast.to_str())["model"]["merges"]
    assert merges == [tuple(merge) for merge in theirs]
    assert len(merges) <= n_merges


def test_training_counts_ties_and_early_stop_as_worked_out_by_hand():
    # pieces "ab" twice and " ab" once: pair (a, b) 3 times, (space, ab) once, which is too rare to learn
    assert split_pieces("ab.ab ab") == ["ab", ".", "ab", " ab"]
    merges, vocab = train_bpe("ab.ab ab", 10)
    assert merges == [("a", "b")]
    assert vocab["ab"] == 256 and vocab["<|endoftext|>"] == 257
    # (b, c) and (a, d) both occur twice: the smaller first id wins
    assert train_bpe("bc.bc.ad.ad", 2)[0] == [("a", "d"), ("b", "c")]
    assert train_bpe("", 5)[0] == [] and train_bpe("aaaa", 0)[0] == []


def test_a_trained_tokenizer_encodes_alike_by_hand_and_fast():
    merges, vocab = train_bpe(TALE, 40)
    tokenizer = Tokenizer(vocab, merges)
    ids = encode_by_hand(MIXED, merges, vocab)
    assert tokenizer.encode(MIXED) == ids and max(ids) < tokenizer.end_of_text
    assert len(tokenizer.encode(TALE)) < len(TALE.encode())
    assert pickle.loads(pickle.dumps(tokenizer)).encode(MIXED) == ids


def test_what_is_invisible_in_a_token_is_shown():
    assert [visible(raw) for raw in (b" b", b"\n\t", "東".encode()[:2])] == ["·b", "↵⇥", r"\xe6\x9d"]
    assert visible("a\u202eb\u200d\x00".encode()) == "a\\u202eb\\u200d\\x00"


@quick
@given(st.text(min_size=1))
def test_characters_decode_to_what_was_encoded(text):
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and len(ids) == len(text)
    assert tokenizer.vocab_size == len(set(text)) + 1 == tokenizer.end_of_text + 1
    assert pickle.loads(pickle.dumps(tokenizer)).encode(text) == ids


def test_an_unknown_character_is_named_with_its_position():
    tokenizer = CharTokenizer.from_text("to be")
    with pytest.raises(CourseError, match=r"'ö' \(U\+00F6\) at position 3 is none of the 5"):
        tokenizer.encode("to ö")
    long = "to be " * 300_000
    with pytest.raises(CourseError, match=r"'!' .* at position 1,800,000 "):
        list(tokenizer.encode_parts(long + "!"))


def test_characters_have_an_end_of_text_too():
    tokenizer = CharTokenizer.from_text("ab")
    assert tokenizer.encode("a<|endoftext|>b", allow_special=True) == [0, 2, 1]
    assert tokenizer.decode([0, 2, 1]) == "a<|endoftext|>b"
    with pytest.raises(CourseError, match="empty text"):
        CharTokenizer.from_text("")


def test_a_folder_without_a_tokenizer_means_gpt2s(tmp_path):
    assert load_tokenizer(tmp_path) is GPT2
    GPT2.save(tmp_path)
    assert load_tokenizer(tmp_path) is GPT2


def test_a_folders_own_vocabulary_is_used(tmp_path):
    merges, vocab = train_bpe(TALE, 20)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges), ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    assert load_tokenizer(tmp_path).encode(TALE) == encode_by_hand(TALE, merges, vocab)
    (tmp_path / "merges.txt").write_text("\n".join([*lines, "ab c"]), encoding="utf-8")
    with pytest.raises(CourseError, match="the vocabulary lacks"):
        load_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("a b c", encoding="utf-8")
    with pytest.raises(CourseError, match="expected two symbols"):
        load_tokenizer(tmp_path)


BAD_META = ["{", "[]", '{"tokenizer": "other"}', '{"tokenizer": "characters"}']


@pytest.mark.parametrize("content", BAD_META)
def test_a_damaged_meta_file_and_a_missing_folder_are_named(tmp_path, content):
    (tmp_path / "meta.json").write_text(content, encoding="utf-8")
    with pytest.raises(CourseError, match=r"meta\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(CourseError, match="nowhere is not a folder"):
        load_tokenizer(tmp_path / "nowhere")


MERGES = "#version: 0.2\na b\n"
VOCAB = build_vocab([("a", "b")])
DEEP = "[" * 200_000
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False}


def model_of(**changes: object) -> dict:
    """Return the content of a tokenizer.json of one merge."""
    return {"model": {"type": "BPE", "vocab": VOCAB, "merges": ["a b"]} | changes, "pre_tokenizer": BYTE_LEVEL}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"vocab.json": VOCAB, "merges.txt": f"{MERGES}ä b".encode("latin-1")}, ("merges.txt", "byte 18", "0xe4")),
        ({"vocab.json": VOCAB, "merges.txt": MERGES.encode("utf-16")}, ("merges.txt", "byte 0", "0xff")),
        ({"vocab.json": VOCAB, "merges.txt": "a b c"}, ("merges.txt", "'a b c'")),
        ({"vocab.json": DEEP, "merges.txt": MERGES}, ("vocab.json", "recursion")),
        *(({"vocab.json": VOCAB | {"ab": odd}, "merges.txt": MERGES}, ("vocab.json", repr(odd)))
          for odd in ("x", 1.5, None, [1], True, -1, 10**12)),
        *(({name: DEEP}, (name, "recursion")) for name in ("meta.json", "tokenizer.json")),
        ({"meta.json": {"tokenizer": "bpe", "vocab": VOCAB, "merges": [5]}}, ("meta.json",)),
        ({"meta.json": {"tokenizer": "bpe", "vocab": VOCAB, "merges": [["a", 5]]}}, ("meta.json", "['a', 5]")),
        ({"meta.json": {"tokenizer": "characters", "characters": "\ud800"}}, ("meta.json", "d800")),
        ({"tokenizer.json": model_of(merges=[5])}, ("tokenizer.json",)),
        ({"tokenizer.json": model_of(vocab=VOCAB | {"ab": {}})}, ("tokenizer.json", "{}")),
        ({"tokenizer.json": model_of() | {"added_tokens": [{"id": 7}]}}, ("tokenizer.json", "content")),
        ({"tokenizer.json": model_of() | {"added_tokens": 7}}, ("tokenizer.json",)),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_tokenizers_files_is_refused_with_the_file(tmp_path, files, named):
    for name, content in files.items():
        text = json.dumps(content) if isinstance(content, dict) else content
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CourseError) as caught:
        load_tokenizer(tmp_path)
    assert all(datum in str(caught.value) for datum in named), caught.value


@pytest.mark.parametrize(
    "raised", [KeyError("x"), TypeError("x"), RecursionError("x"), struct.error("x"), OSError(5, "x")]
)
def test_the_guard_turns_what_a_reader_raises_into_a_sentence_with_the_file_and_what_was_met(raised):
    with pytest.raises(CourseError, match=r"a\.bin.*x") as caught, guarded("a.bin"):
        raise raised
    assert caught.value.__cause__ is raised
    with pytest.raises(CourseError, match=r"^a\.bin: no path$"), guarded("a.bin"):
        raise CourseError("no path")
    with pytest.raises(CourseError, match="^/b/c.txt is"), guarded("/b/a.bin"):  # a neighbor of it
        raise CourseError("/b/c.txt is another")
    with pytest.raises(MemoryError), guarded("a.bin"):  # this tells of the machine
        raise MemoryError


def test_a_missing_or_damaged_vocabulary_is_named_with_both_hashes(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(CourseError, match=r"tokenizer\.json is missing"):
        read_gpt2_vocabulary(path)
    path.write_bytes(GPT2_TOKENIZER.read_bytes() + b"!")
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with pytest.raises(CourseError, match=f"tokenizer.json has SHA-256 {found}…, expected {GPT2_SHA256[:12]}"):
        read_gpt2_vocabulary(path)


# What `transformers` finds in a folder

OWN = CharTokenizer.from_text("naïve 東京\n👩"), Tokenizer(*reversed(train_bpe(TALE, 40)))


def in_transformers(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_transformers_finds_gpt2s_tokenizer_beside_nano_and_beside_every_model_with_its_vocabulary(tmp_path):
    model = tiny_model(GPT2Config(1, 2, 16, vocab_size=50257, context=8))
    quantized = quantize_model(tiny_model(GPT2Config(1, 2, 64, vocab_size=50257, context=8)), Grid(8, 32))
    folders = [save_gpt2(model, tmp_path / "plain"), save_quantized(quantized, tmp_path / "packed")]
    for folder in (DATA / "nano", *folders):
        theirs = in_transformers(folder)
        assert theirs(MIXED)["input_ids"] == GPT2.encode(MIXED, allow_special=True), folder
        assert theirs.decode(theirs(MIXED)["input_ids"]) == MIXED
        assert (len(theirs), theirs.eos_token_id) == (50257, 50256)
        assert load_tokenizer(folder) is GPT2
    assert not (save_gpt2(tiny_model(), tmp_path / "small") / "tokenizer.json").exists()  # its ids are others


@quick
@given(st.one_of(assigned, spaced))
def test_the_tokenizers_library_reads_our_file_as_we_do(text):
    assert library().encode(text).ids == GPT2.encode(text, allow_special=True)


@cache
def library():
    from tokenizers import Tokenizer as Fast

    return Fast.from_file(str(GPT2_TOKENIZER))


@pytest.mark.parametrize("tokenizer", OWN, ids=["characters", "bpe"])
def test_a_tokenizer_of_our_own_is_saved_for_us_and_for_transformers(tokenizer, tmp_path):
    text = "東京\n naïve<|endoftext|>👩"
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).vocab == tokenizer.vocab
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    theirs = in_transformers(tmp_path)
    assert theirs(text)["input_ids"] == tokenizer.encode(text, allow_special=True)
    assert theirs.decode(theirs(text)["input_ids"]) == text


def test_what_transformers_saved_is_read_and_other_kinds_of_tokenizers_are_refused(tmp_path):
    OWN[1].save_for_transformers(tmp_path / "ours")
    theirs = in_transformers(tmp_path / "ours")
    theirs.add_tokens(["<|pad|>"])
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_tokenizer(tmp_path / "theirs")
    assert again.encode(MIXED) == OWN[1].encode(MIXED)
    assert again.decode([again.vocab_size - 1]) == "<|pad|>"
    path = tmp_path / "theirs" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for change in ({"pre_tokenizer": {"type": "Whitespace"}}, {"normalizer": {"type": "Lowercase"}}, {"model": {}}):
        path.write_text(json.dumps(content | change), encoding="utf-8")
        with pytest.raises(CourseError, match=r"theirs.tokenizer\.json"):
            load_tokenizer(tmp_path / "theirs")


def test_gpt2s_tokenizer_is_built_once_and_pickles_to_itself():
    assert Tokenizer.gpt2() is GPT2
    assert pickle.loads(pickle.dumps(GPT2)) is GPT2
    assert len(pickle.dumps(GPT2)) < 200


def test_threads_get_the_ids_that_one_thread_gets():
    texts = [f"{MIXED} {i} " * 50 for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(GPT2.encode, texts)) == GPT2.encode_batch(texts)


def test_importing_the_module_loads_nothing_heavy_and_the_vocabulary_only_when_it_is_used():
    code = (
        "import sys; from utils.tokenizer import Tokenizer\n"
        "assert not {'torch', 'tokenizers', 'transformers', 'regex'} & set(sys.modules)\n"
        "assert Tokenizer.gpt2().encode('Hello world') == [15496, 995]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
