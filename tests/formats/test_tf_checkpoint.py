"""Checkpoints of gpt-2-simple, both ways: TensorFlow and gpt-2-simple are the judges, in one process of their own."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from shapes import TINY, random_tokens, tiny_model
from torch.testing import assert_close

from utils.bpe import GPT2_FILES
from utils.errors import CourseError
from utils.files.crc32c import crc32c, mask
from utils.formats.hub_layout import hub_shapes, hub_tensors
from utils.formats.tf_checkpoint import hub_name_of, save_tf_checkpoint, variable_name_of
from utils.loaders import load_gpt2

JUDGE = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from gpt_2_simple.src import encoder, model
import gpt_2_simple

tf.compat.v1.disable_eager_execution()
ours, work = Path(sys.argv[1]), Path(sys.argv[2])
tokens = np.load(work / "tokens.npy")
said = {"latest": tf.train.latest_checkpoint(str(ours))}

reader = tf.train.load_checkpoint(str(ours))
said["shapes"] = {name: shape for name, shape in reader.get_variable_to_shape_map().items()}
np.savez(work / "read.npz", **{name.replace("/", "|"): reader.get_tensor(name) for name in said["shapes"]})

hparams = model.default_hparams()
hparams.override_from_dict(json.loads((ours / "hparams.json").read_text(encoding="utf-8")))
said["tokens"] = encoder.get_encoder(str(ours)).encode("Hello my name is")

session = gpt_2_simple.start_tf_sess(threads=1)
context = tf.compat.v1.placeholder(tf.int32, [None, None])
logits = model.model(hparams=hparams, X=context)["logits"]
weights = [v for v in tf.compat.v1.trainable_variables() if "model" in v.name]
loss = tf.reduce_mean(logits ** 2)
train = tf.compat.v1.train.AdamOptimizer(learning_rate=1e-3).minimize(loss, var_list=weights)
session.run(tf.compat.v1.global_variables_initializer())
tf.compat.v1.train.Saver(var_list=weights).restore(session, said["latest"])
np.save(work / "logits_of_ours.npy", session.run(logits, {context: tokens}))

session.run(train, {context: tokens})  # now its slots hold something too
np.save(work / "logits_of_theirs.npy", session.run(logits, {context: tokens}))
theirs = work / "theirs"
theirs.mkdir()
(theirs / "hparams.json").write_text((ours / "hparams.json").read_text(encoding="utf-8"), encoding="utf-8")
tf.compat.v1.train.Saver(max_to_keep=1).save(session, str(theirs / "model"), global_step=7)
np.savez(work / "slots.npz", wte=session.run([v for v in weights if v.name == "model/wte:0"][0]))
large = {f"variable/number/{i:04}": tf.constant(np.full(i % 5 + 1, i, np.float32)) for i in range(900)}
for dtype in ("float16", "bfloat16", "int64", "uint8", "bool"):
    large[dtype] = tf.cast(tf.constant([[0, 1, 1]]), dtype)
names, values = zip(*large.items())
session.run(tf.raw_ops.SaveV2(prefix=str(work / "many"), tensor_names=names, shape_and_slices=[""] * len(names),
                              tensors=values))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Let TensorFlow and gpt-2-simple read what we wrote and write what we read; return what they said and left."""
    work = tmp_path_factory.mktemp("work")
    ours = save_tf_checkpoint(tiny_model(), work / "ours")
    np.save(work / "tokens.npy", random_tokens(2, 20).numpy().astype(np.int32))
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-c", JUDGE, str(ours), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=quiet)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), work


def our_logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(random_tokens(2, 20)).numpy()


# Ours in TensorFlow


def test_tensorflow_finds_and_reads_every_variable_that_we_wrote(judged):
    said, work = judged
    assert Path(said["latest"]) == work / "ours" / "model-0"
    expected = {variable_name_of(name): tensor for name, tensor in hub_tensors(tiny_model())}
    assert said["shapes"].keys() == expected.keys()
    assert said["shapes"]["model/h1/mlp/c_fc/w"] == [1, 32, 128] and said["shapes"]["model/h0/ln_1/g"] == [32]
    with np.load(work / "read.npz") as read:
        for name, tensor in expected.items():
            assert np.array_equal(read[name.replace("/", "|")].reshape(tensor.shape), tensor.numpy()), name


def test_gpt_2_simple_gives_our_logits_from_our_checkpoint(judged):
    assert_close(np.load(judged[1] / "logits_of_ours.npy"), our_logits(tiny_model()), atol=1e-4, rtol=0)


def test_gpt_2_simple_reads_our_tokenizer_files(judged):
    assert judged[0]["tokens"] == [15496, 616, 1438, 318]
    folder = judged[1] / "ours"
    hashes = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("encoder.json", "vocab.bpe")]
    assert hashes == list(GPT2_FILES.values())


# TensorFlow's in ours


def test_a_checkpoint_after_training_loads_without_its_optimizer(judged):
    work = judged[1]
    names = read_bundle(work / "theirs" / "model-7.index").keys()
    assert {"model/wte/Adam", "model/wte/Adam_1", "beta1_power"} <= names, "there was nothing to leave out"
    model = load_gpt2(work / "theirs")
    assert model.config == TINY
    assert_close(our_logits(model), np.load(work / "logits_of_theirs.npy"), atol=1e-4, rtol=0)
    assert np.array_equal(model.token_embedding.weight.detach().numpy(), np.load(work / "slots.npz")["wte"])
    assert np.abs(our_logits(model) - our_logits(tiny_model())).max() > 1e-3, "it was not trained"


def test_many_variables_of_many_dtypes_are_read_as_tensorflow_wrote_them(judged):
    found = read_bundle(judged[1] / "many.index")
    assert len(found) == 905
    for i in range(900):
        assert found[f"variable/number/{i:04}"].read().tolist() == [i] * (i % 5 + 1)
    for name in ("float16", "bfloat16", "int64", "uint8", "bool"):
        assert found[name].dtype == getattr(torch, name) and found[name].read().tolist() == [[0, 1, 1]]


def test_what_was_written_loads_back_exactly(tmp_path):
    model = tiny_model()
    save_tf_checkpoint(model, tmp_path, name="model-12")
    for path in (tmp_path, tmp_path / "model-12.index", tmp_path / "model-12.data-00000-of-00001"):
        back = load_gpt2(path)
        assert back.config == TINY
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), back.parameters(), strict=True))


def test_the_logits_are_those_of_transformers(tmp_path):
    from shapes import theirs

    from utils.loaders import save_gpt2

    reference = theirs(TINY, spread=0.15)
    reference.save_pretrained(tmp_path / "theirs")
    save_tf_checkpoint(load_gpt2(tmp_path / "theirs"), tmp_path / "tf")
    model = load_gpt2(tmp_path / "tf")
    with torch.no_grad():
        assert_close(model(random_tokens(2, 20)), reference(random_tokens(2, 20)).logits, atol=1e-4, rtol=0)
    save_gpt2(model, tmp_path / "back")
    assert load_gpt2(tmp_path / "back").config == TINY


# Names and folders


def test_every_tensor_of_gpt2_has_a_variable_and_back():
    names = [name for name, _ in hub_shapes(TINY)]
    variables = [variable_name_of(name) for name in names]
    assert [hub_name_of(variable) for variable in variables] == names and len(set(variables)) == len(names)
    others = ("model/wte/Adam", "beta1_power", "model/h0/ln_1/g/Adam_1", "model/wte/g", "model/h0/attn/c_attn/g", "wte")
    assert not any(hub_name_of(other) for other in others)


def test_the_file_checkpoint_says_which_of_several_is_meant(tmp_path):
    save_tf_checkpoint(tiny_model(seed=1), tmp_path, "model-1")
    save_tf_checkpoint(tiny_model(seed=2), tmp_path, "model-2")
    wanted = tiny_model(seed=1).position_embedding.weight
    for line in ('"model-1"', '"/content/drive/run1/model-1"', '"C:\\\\run1\\\\model-1"'):
        (tmp_path / "checkpoint").write_text(f"model_checkpoint_path: {line}\n", encoding="utf-8")
        assert torch.equal(load_gpt2(tmp_path).position_embedding.weight, wanted)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../elsewhere/model-3"\n', encoding="utf-8")
    with pytest.raises(CourseError, match=r"holds 2 checkpoints, and its file `checkpoint` names none"):
        load_gpt2(tmp_path)
    (tmp_path / "model-2.index").unlink()
    assert torch.equal(load_gpt2(tmp_path).position_embedding.weight, wanted), "one alone needs no choice"


def test_hparams_of_other_weights_are_refused_by_their_own_names(tmp_path):
    save_tf_checkpoint(tiny_model(), tmp_path)
    text = (tmp_path / "hparams.json").read_text(encoding="utf-8")
    (tmp_path / "hparams.json").write_text(text.replace('"n_ctx": 24', '"n_ctx": 1024'), encoding="utf-8")
    with pytest.raises(CourseError, match=r"hparams\.json says n_ctx is 1024, the tensors beside it say 24"):
        load_gpt2(tmp_path)


def test_a_checkpoint_of_something_else_is_no_gpt2(tmp_path):
    write_bundle(tmp_path / "model-1", [("dense/kernel", torch.ones(2, 3))])
    with pytest.raises(CourseError, match=r"holds no GPT-2: none of its variables has a name such as model/wte"):
        load_gpt2(tmp_path)


# Damage


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_changed_byte_of_the_weights_is_noticed(tmp_path, place):
    save_tf_checkpoint(tiny_model(), tmp_path)
    path = tmp_path / "model-0.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CourseError, match=r"is damaged: model/\S+ \(bytes [\d,]+ to [\d,]+\) does not match its check"):
        load_gpt2(tmp_path)


@pytest.mark.parametrize("place", [i / 16 for i in range(15)])
def test_one_changed_byte_of_the_index_is_noticed(tmp_path, place):
    save_tf_checkpoint(tiny_model(), tmp_path)
    path = tmp_path / "model-0.index"
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 100))] ^= 0x10  # the last bytes point to an empty block that nobody reads
    path.write_bytes(data)
    with pytest.raises(CourseError, match=r"model-0\.index is damaged: byte [\d,]+ "):
        load_gpt2(tmp_path)


def test_files_that_are_cut_or_missing_are_named(tmp_path):
    save_tf_checkpoint(tiny_model(), tmp_path)
    path = tmp_path / "model-0.data-00000-of-00001"
    data = path.read_bytes()
    path.write_bytes(data[:-4])
    with pytest.raises(CourseError, match=rf"is truncated: 'model/\S+' ends at byte {len(data):,}, the file has"):
        load_gpt2(tmp_path)
    path.unlink()
    with pytest.raises(CourseError, match=r"data-00000-of-00001 is not there: an \.index needs its \.data files"):
        load_gpt2(tmp_path)


def make_bundle(folder: Path, entries: dict[bytes, bytes], data: bytes = bytes(64)) -> Path:
    (folder / "x.data-00000-of-00001").write_bytes(data)
    (folder / "x.index").write_bytes(write_table(sorted(entries.items())))
    return folder / "x.index"


HEADER = b"\x08\x01\x1a\x02\x08\x01"
FLOATS = b"\x08\x01\x12\x04\x12\x02\x08\x02"  # float32, shape [2]
LIES = [
    ({b"a": FLOATS}, "no header under the empty key"),
    ({b"": b"\x08\x00"}, "counts 0 data files"),
    ({b"": b"\x08\xff\xff\xff\xff\x7f"}, r"counts 34,359,738,367 data files"),
    ({b"": b"\x08\x01\x10\x01"}, "big-endian"),
    ({b"": b"\x08"}, "the header: byte 1 begins a number that does not end"),
    ({b"": b"\x0b"}, "the header: byte 0 begins a field that is not protobuf's"),
    ({b"": HEADER, b"a": b"\x08\x01\x12\x7f"}, "the entry of 'a': byte 2 begins a field"),
    ({b"": HEADER, b"a": FLOATS + b"\x28\x09"}, "'a' takes 8 bytes, found 9"),
    ({b"": HEADER, b"a": FLOATS + b"\x28\x08\x18\x01"}, "'a' lies in data file 1, there are 1"),
    ({b"": HEADER, b"a": FLOATS + b"\x28\x08\x3a\x00"}, "'a' is cut into slices"),
    ({b"": HEADER, b"a": b"\x08\x01\x12\x0d\x12\x0b\x08" + b"\xff" * 9 + b"\x01"}, "expected a whole number of at"),
    ({b"": HEADER, b"a": b"\x08\x01\x12" + bytes([72]) + b"\x12\x06\x08\xff\xff\xff\xff\x0f" * 9}, "9 dimensions"),
    ({b"": HEADER, b"a": b"\x08\x01\x12" + bytes([32]) + b"\x12\x06\x08\xff\xff\xff\xff\x0f" * 4}, "no file can hold"),
    ({b"": HEADER, b"a": FLOATS + b"\x28\x08\x20\x3c"}, "is truncated: 'a' ends at byte 68, the file has 64"),
    ({b"": HEADER, b"a": FLOATS + b"\x28\x08", b"b": FLOATS + b"\x28\x08\x20\x04"}, "'b' starts at byte 4 of .*inside"),
]


@pytest.mark.parametrize(("entries", "message"), LIES)
def test_an_index_that_lies_is_refused(tmp_path, entries, message):
    with pytest.raises(CourseError, match=message):
        read_bundle(make_bundle(tmp_path, entries))


# The table and its checksum


def slow_crc32c(data: bytes) -> int:
    """Return the checksum bit by bit, as its definition says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(bytes([255]) * 32) == 0x62A8AB43  # RFC 3720, B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_the_checksum_of_any_length_is_that_of_its_bits():
    data = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    for length in [*range(12), 63, 64, 65, 1023, 4099]:
        assert crc32c(data[:length]) == slow_crc32c(data[:length]), length


def test_chunks_of_the_checksum_join(monkeypatch):
    data = np.random.default_rng(0).integers(0, 256, 1000, dtype=np.uint8).tobytes()
    monkeypatch.setattr("utils.files.crc32c.CHUNK", 6)
    assert crc32c(data) == slow_crc32c(data) and crc32c(data[:960]) == slow_crc32c(data[:960])


def test_a_table_of_many_blocks_gives_back_what_it_was_given(tmp_path):
    entries = [(f"key {i:05} {'x' * (i % 7)}".encode(), os.urandom(i % 90)) for i in range(2000)]
    (tmp_path / "t.index").write_bytes(write_table(entries))
    assert read_table(tmp_path / "t.index") == dict(entries)


def block_with(content: bytes, kind: int = 0) -> bytes:
    body = content + bytes([kind])
    return body + mask(crc32c(body))


def table_of(content: bytes, kind: int = 0, offset: int = 0, size: int | None = None) -> bytes:
    """Return a table of one block with these bytes; the checksums are right."""
    from utils.formats.sstable import MAGIC, _pack_block, write_varint

    block = block_with(content, kind)
    handle = write_varint(offset) + write_varint(len(content) if size is None else size)
    index = _pack_block([(b"\xff", handle)], 1)
    handles = write_varint(0) * 2 + write_varint(len(block)) + write_varint(len(index))
    return block + block_with(index) + handles.ljust(40, b"\0") + MAGIC


NO_RESTARTS = struct.pack("<I", 0)
TABLES = [
    (table_of(b"\x00\x01\x00a" + NO_RESTARTS, kind=1), r"compressed \(kind 1\), which TensorFlow's index never is"),
    (table_of(b"\x05\x01\x00a" + NO_RESTARTS), r"begins an entry of 5 \+ 1 \+ 0 bytes, which does not fit"),
    (table_of(b"\x00\x7f\x00a" + NO_RESTARTS), r"begins an entry of 0 \+ 127 \+ 0 bytes, which does not fit"),
    (table_of(b"\x00\x01\x00b\x00\x01\x00a" + NO_RESTARTS), r"belongs to the key b'a', which is not behind b'b'"),
    (table_of(b"\x00\x01\x00b\x01\x00\x00" + NO_RESTARTS), r"belongs to the key b'b', which is not behind b'b'"),
    (table_of(b"\x00\x01\x00a" + struct.pack("<I", 10**6)), r"counts 1,000,000 places to restart"),
    (table_of(b"\xff" * 12 + NO_RESTARTS), r"byte 0 begins a number that does not end"),
    (table_of(b"\x00\x01\x00a" + NO_RESTARTS, size=2**40), r"should begin a block of 1,099,511,627,776 bytes"),
    (table_of(b"\x00\x01\x00a" + NO_RESTARTS, offset=2**63), r"should begin a block of 8 bytes"),
    (bytes(60), r"byte 52 holds 0000000000000000, expected the mark of a table"),
    (b"", r"has 0 bytes, expected a table"),
]


@pytest.mark.parametrize(("data", "message"), TABLES)
def test_a_damaged_table_is_refused_by_its_byte(tmp_path, data, message):
    (tmp_path / "t.index").write_bytes(data)
    with pytest.raises(CourseError, match=rf"t\.index .*{message}"):
        read_table(tmp_path / "t.index")


def test_keys_that_repeat_each_other_can_not_fill_the_memory(tmp_path):
    long = b"\x00\x80\x20\x00" + b"a" * 4096  # then each key of 4,096 letters and more takes four bytes
    content = long + b"".join(b"\x80\x20" + b"\x01\x00" + bytes([i]) for i in range(1, 255)) + NO_RESTARTS
    (tmp_path / "t.index").write_bytes(table_of(content))
    with pytest.raises(CourseError, match="keys that take eight times as many bytes as the file"):
        read_table(tmp_path / "t.index")
