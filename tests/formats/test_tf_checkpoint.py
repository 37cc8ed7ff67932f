"""Checkpoints of gpt-2-simple, both ways: TensorFlow and gpt-2-simple are the judges, in one process of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from shapes import TINY, random_tokens, tiny_model
from torch.testing import assert_close

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.formats.hub_layout import hub_shapes, hub_tensors
from utils.formats.inspect_model import inspect_file
from utils.formats.tf_checkpoint import hub_name_of, latest_checkpoint, save_tf_checkpoint, variable_name_of
from utils.loaders import load_gpt2, save_gpt2

PUBLISHED = [  # SHA-256 of GPT-2's encoder.json and vocab.bpe as OpenAI published them
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
]
JUDGE = """
import json, shutil, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from gpt_2_simple.src import encoder, model
import gpt_2_simple

# In this process, which has TensorFlow already, ours needs no other one
from utils.errors import CourseError
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import open_weights
from utils.formats.tf_checkpoint import save_tf_checkpoint
from utils.loaders import load_gpt2

tf.compat.v1.disable_eager_execution()
work = Path(sys.argv[1])
ours = save_tf_checkpoint(load_gpt2(work / "model"), work / "ours")
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
for dtype in ("float16", "bfloat16", "int64", "uint8", "bool", "string"):
    large[dtype] = tf.constant([["a"]]) if dtype == "string" else tf.cast(tf.constant([[0, 1, 1]]), dtype)
names, values = zip(*large.items())
(work / "many").mkdir()
session.run(tf.raw_ops.SaveV2(prefix=str(work / "many" / "m"), tensor_names=names,
                              shape_and_slices=[""] * len(names), tensors=values))

said["many"] = [[n, str(t.dtype), list(t.shape)] for n, t in open_weights(work / "many" / "m.index").items()]
said["inspected"] = inspect_file(work / "theirs")
said["refused"] = {}
index, data = "model-0.index", "model-0.data-00000-of-00001"
changes = {f"{name} {at}": (name, at) for name in (data, index) for at in (0, 100, 700, "cut", "none")}
for label, (name, at) in changes.items():
    folder = work / label.replace(" ", "_")
    shutil.copytree(ours, folder)
    content = bytearray((folder / name).read_bytes())
    if at == "none":
        (folder / name).unlink()
    else:
        changed = content[:-4] if at == "cut" else content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]
        (folder / name).write_bytes(changed)
    try:
        load_gpt2(folder / index)
    except CourseError as error:
        said["refused"][label] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Let TensorFlow and gpt-2-simple read what we wrote and write what we read; return what they said and left."""
    work = tmp_path_factory.mktemp("work")
    save_gpt2(tiny_model(), work / "model")
    np.save(work / "tokens.npy", random_tokens(2, 20).numpy().astype(np.int32))
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(work)], cwd=ROOT, capture_output=True, text=True, timeout=500, env=quiet
    )
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
    assert hashes == PUBLISHED


def test_a_process_of_its_own_writes_the_same_bytes_as_one_that_has_tensorflow(judged):
    own = save_tf_checkpoint(tiny_model(), judged[1] / "own")
    data = "model-0.data-00000-of-00001"
    assert (own / data).read_bytes() == (judged[1] / "ours" / data).read_bytes()


# TensorFlow's in ours


def test_a_checkpoint_after_training_loads_without_its_optimizer(judged):
    said, work = judged
    lines = said["inspected"]
    assert any(line.startswith("model/wte/Adam ") for line in lines), "there was nothing to leave out"
    assert lines[1].startswith("TensorFlow checkpoint, ")
    assert "load_gpt2: yes" in lines
    model = load_gpt2(work / "theirs" / "model-7.data-00000-of-00001")
    assert model.config == TINY
    assert_close(our_logits(model), np.load(work / "logits_of_theirs.npy"), atol=1e-4, rtol=0)
    assert np.array_equal(model.token_embedding.weight.detach().numpy(), np.load(work / "slots.npz")["wte"])
    assert np.abs(our_logits(model) - our_logits(tiny_model())).max() > 1e-3, "it was not trained"


def test_variables_of_many_dtypes_are_listed_and_strings_left_out(judged):
    found = {name: (dtype, shape) for name, dtype, shape in judged[0]["many"]}
    assert len(found) == 905 and found["variable/number/0007"] == ("torch.float32", [3])
    for name in ("float16", "bfloat16", "int64", "uint8", "bool"):
        assert found[name] == (f"torch.{name}", [1, 3])


def test_damage_is_refused_and_the_file_named(judged):
    refused = judged[0]["refused"]
    assert len(refused) == 10, refused.keys()
    assert all("model-0.index" in said and len(said) < 1000 for said in refused.values())
    assert "model-0.data-00000-of-00001" in refused["model-0.data-00000-of-00001 none"]


# Names and folders


def test_every_tensor_of_gpt2_has_a_variable_and_back():
    names = list(hub_shapes(TINY))
    variables = [variable_name_of(name) for name in names]
    assert [hub_name_of(variable) for variable in variables] == names and len(set(variables)) == len(names)
    others = ("model/wte/Adam", "beta1_power", "model/h0/ln_1/g/Adam_1", "model/wte/g", "model/h0/attn/c_attn/g", "wte")
    assert not any(hub_name_of(other) for other in others)


def test_the_file_checkpoint_says_which_of_several_is_meant(tmp_path):
    for name in ("model-1", "model-2"):
        (tmp_path / f"{name}.index").touch()
    for line in ('"model-1"', '"/content/drive/run1/model-1"', '"C:\\\\run1\\\\model-1"'):
        (tmp_path / "checkpoint").write_text(f"model_checkpoint_path: {line}\n", encoding="utf-8")
        assert latest_checkpoint(tmp_path) == tmp_path / "model-1.index"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../elsewhere/model-3"\n', encoding="utf-8")
    with pytest.raises(CourseError, match=r"2 checkpoints.*model-2\.index"):
        load_gpt2(tmp_path)
    (tmp_path / "model-2.index").unlink()
    assert latest_checkpoint(tmp_path) == tmp_path / "model-1.index", "one alone needs no choice"


def test_without_tensorflow_or_half_of_a_checkpoint_a_sentence_says_so(tmp_path, monkeypatch):
    (tmp_path / "model-1.index").touch()
    for work in (load_gpt2, inspect_file):
        with pytest.raises(CourseError, match=r"model-1\.data-00000-of-00001"):
            work(tmp_path)
    (tmp_path / "model-1.data-00000-of-00001").touch()
    monkeypatch.setattr("utils.formats.tf_checkpoint.find_spec", lambda name: None)
    with pytest.raises(CourseError, match=r"model-1\.index needs TensorFlow.*pip install tensorflow"):
        load_gpt2(tmp_path)
