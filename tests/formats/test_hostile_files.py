"""Files that lie: each is refused with the byte or key that is wrong, in little memory, and no code of theirs runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from gptq_codes import quantize_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from shapes import tiny_model

from utils.config import GPT2Config
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import read_json
from utils.formats.gptq_folder import save_gptq_folder
from utils.formats.hub_layout import hub_tensors
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import open_weights
from utils.formats.safetensors import read_note
from utils.formats.tf_checkpoint import save_tf_checkpoint
from utils.loaders import load_gpt2, save_gpt2

SMALLEST = GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=5, context=3)


def try_to_load(path: Path) -> bool:
    """Load and inspect; return whether that worked, let everything but a CourseError through."""
    works = []
    for work in (load_gpt2, inspect_file):
        try:
            work(path)
            works.append(True)
        except CourseError as error:
            assert len(str(error)) < 3000
            works.append(False)
    return works[0]


# Mutated files: either they load, or a CourseError says why not


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Return a folder of each format, of the smallest model that it can hold."""
    folder, model = tmp_path_factory.mktemp("originals"), tiny_model(SMALLEST)
    save_gpt2(model, folder / "safetensors")
    save_gpt2(model, folder / "bin")
    (folder / "bin" / "model.safetensors").unlink()
    torch.save(dict(hub_tensors(model)), folder / "bin" / "pytorch_model.bin")
    save_gpt2(model, folder / "shards")
    (folder / "shards" / "model.safetensors").rename(folder / "shards" / "a.safetensors")
    index = {"metadata": {}, "weight_map": {name: "a.safetensors" for name, _ in hub_tensors(model)}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    save_tf_checkpoint(model, folder / "tf")
    small = GPT2Config(n_layer=1, n_head=1, n_embd=32, vocab_size=5, context=3)
    save_gptq_folder(tiny_model(small), quantize_all(tiny_model(small), 4, 32, True), folder / "gptq")
    return folder


FILES = {
    "safetensors": ["safetensors/model.safetensors", "safetensors/config.json"],
    "bin": ["bin/pytorch_model.bin"],
    "shards": ["shards/model.safetensors.index.json"],
    "tf": ["tf/model-0.index", "tf/hparams.json", "tf/checkpoint"],
    "gptq": ["gptq/model.safetensors", "gptq/config.json"],
}
CASES = [(kind, name) for kind, names in FILES.items() for name in names]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "drop", "double"]), st.floats(0, 1), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)


def mutate(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Overwrite, cut off, remove or repeat pieces of `data`, most of them where headers are."""
    for kind, share, piece in changes:
        at = int(share**2 * len(data))
        if kind == "set":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[at + len(piece) :]
        else:
            data = data[:at] + data[at : at + 40] + data[at:]
    return data


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[name for _, name in CASES])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=CHANGES)
def test_a_mutated_file_loads_or_is_refused_in_words(originals, tmp_path, kind, name, changes):
    folder = tmp_path / kind
    if not folder.exists():
        shutil.copytree(originals / kind, folder)
    (tmp_path / name).write_bytes(mutate((originals / name).read_bytes(), changes))
    try_to_load(folder)


@pytest.mark.parametrize("kind", FILES)
def test_the_originals_load(originals, kind):
    assert try_to_load(originals / kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=JSON, name=st.sampled_from(["dtype", "shape", "data_offsets", None]))
def test_any_json_in_a_header_is_read_or_refused(tmp_path, content, name):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": {**entry, name: content} if name else content}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with suppress(CourseError):
        open_weights(path)
        read_note(path)


KEYS = ["n_layer", "n_head", "n_embd", "vocab_size", "n_positions", "model_type", "activation_function"]
KEYS += ["layer_norm_epsilon", "tie_word_embeddings", "quantization_config"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(KEYS), value=JSON | st.just(10**12) | st.just(float("nan")) | st.just(float("inf")))
def test_any_value_in_a_config_is_read_or_refused(originals, tmp_path, key, value):
    folder = tmp_path / "model"
    if not folder.exists():
        shutil.copytree(originals / "safetensors", folder)
    config = json.loads((originals / "safetensors" / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {key: value}), encoding="utf-8")
    try_to_load(folder)


@given(program=st.binary(max_size=60))
def test_any_bytes_are_a_program_that_builds_or_is_refused(program):
    with suppress(Damaged, Unsafe):
        PickleMachine(program).run()
    list(pickle_requests(program))


# The same machine on what Python itself wrote: harmless values come back, everything else is refused

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.sampled_from([2, 3, 4]))
def test_the_machine_builds_what_pickle_would_build(value, protocol):
    assert PickleMachine(pickle.dumps(value, protocol=protocol)).run() == value


CODE = [
    (b"cposix\nsystem\n(S'true'\ntR.", r"Byte 0 asks for 'posix\.system'"),
    (b"cbuiltins\neval\n.", r"Byte 0 asks for 'builtins\.eval'"),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"Byte 14 asks for 'os\.system'"),
    (b"ctorch\nload\n.", r"Byte 0 asks for 'torch\.load'"),
    (b"ctorch\nFloatStorage.mro\n.", r"asks for 'torch\.FloatStorage\.mro'"),
    (b"(S'true'\nios\nsystem\n.", r"is the instruction STRING, which no file of weights needs"),
    (b"\x80\x02]\x82\x01.", r"is the instruction EXT1"),
    (b"\x80\x02}N\x81.", r"is the instruction NEWOBJ"),
    (b"\x80\x02X\x01\x00\x00\x00a)R.", r"Byte 9 calls something that is no builder"),
    (b"\x80\x02}q\x00h\x00)R.", r"calls something that is no builder"),
    (b"\x80\x05\x96" + struct.pack("<Q", 1) + b"a.", r"is the instruction BYTEARRAY8"),
]


@pytest.mark.parametrize(("program", "message"), CODE)
def test_a_program_that_wants_more_than_weights_is_refused_by_its_byte(program, message):
    with pytest.raises(Unsafe, match=message):
        PickleMachine(program).run()


NONSENSE = [
    (b"", "exhausted"),
    (b"\x80\x02}", "exhausted"),
    (b"\x80\x02.", "byte 2 fails"),
    (b"\x80\x02h\x07.", "byte 2 fails"),
    (b"\x80\x02Nq\xffr\xff\xff\xff\x7f}}s.", "byte 12 fails .*a NoneType was found, expected a dict"),
    (b"\x80\x02}(]Nu.", "byte 6 fails .*a list is used as a name"),
    (b"\x80\x02}(K\x01u.", "byte 6 fails"),
    (b"\x80\x02](K\x01u.", "a list was found, expected a dict"),
    (b"\x80\x02X\xff\xff\xff\x7fabc.", "byte 2 fails"),
    (b"\x80\x02}" + b"\x85" * 100_000 + b"}\x86\x86h\x00.", "fails"),
]


@pytest.mark.parametrize(("program", "message"), NONSENSE)
def test_a_program_of_nonsense_is_refused_by_its_byte(program, message):
    with pytest.raises(Damaged, match=message):
        PickleMachine(program).run()


def test_a_name_nested_without_end_is_never_hashed():
    program = b"\x80\x02})" + b"\x85" * 50_000 + b"Ns."
    with pytest.raises(Damaged, match="a tuple is used as a name"):
        PickleMachine(program).run()


# .bin files made by hand


def make_bin(path: Path, program: bytes, data: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", program)
        archive.writestr("x/version", "3")
        for key, content in data.items():
            archive.writestr(f"x/data/{key}", content)
    return path


def tensor(count: int, offset: int, shape: tuple, stride: tuple, key: str = "0", kind: str = "FloatStorage") -> bytes:
    """Return the instructions that build one tensor, as torch writes them."""
    storage = pickle.dumps(("storage", None, key, "cpu", count), 2)[2:-1].replace(b"N", f"ctorch\n{kind}\n".encode(), 1)
    walk = pickle.dumps((offset, shape, stride), 2)[2:-1]
    numbers = walk[: walk.rindex(b"\x87")]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"Q" + numbers + b"\x89ccollections\nOrderedDict\n)RtR"


def program(**tensors: bytes) -> bytes:
    items = b"".join(b"X" + struct.pack("<I", len(n)) + n.encode() + body for n, body in tensors.items())
    return b"\x80\x02}(" + items + b"u."


def test_the_tensors_that_these_tests_build_are_as_torch_builds_them(tmp_path):
    path = make_bin(tmp_path / "a.bin", program(a=tensor(6, 1, (2, 2), (3, 1))), {"0": struct.pack("<6f", *range(6))})
    assert torch.load(path, weights_only=True)["a"].tolist() == [[1, 2], [4, 5]]
    assert open_weights(path)["a"].read().tolist() == [[1, 2], [4, 5]]


WALKS = [
    (tensor(6, 0, (7,), (1,)), r"a tensor of shape \(7,\) at 0 leaves its storage of 6 values"),
    (tensor(6, 5, (2,), (1,)), r"leaves its storage"),
    (tensor(6, 0, (2, 2), (5, 1)), r"leaves its storage"),
    (tensor(6, 0, (10**12, 10**6), (0, 0)), r"leaves its storage of 6 values"),
    (tensor(6, 0, (2**70,), (0,)), r"sizes must be whole numbers"),
    (tensor(6, -1, (2,), (1,)), r"sizes must be whole numbers"),
    (tensor(6, 0, (2,), (-1,)), r"sizes must be whole numbers"),
    (tensor(6, 0, (2.0,), (1,)), r"sizes must be whole numbers"),
    (tensor(6, 0, (True,), (1,)), r"sizes must be whole numbers"),
    (tensor(6, 0, (2, 2), (1,)), r"different lengths"),
    (tensor(6, 0, (1,) * 9, (1,) * 9), r"of more than 8"),
    (tensor(7, 0, (2,), (1,)), r"storage 0 counts 7 values, its record has 24 bytes"),
    (tensor(10**15, 0, (2,), (1,)), r"counts 1,000,000,000,000,000 values"),
    (tensor(-1, 0, (0,), (1,)), r"counts -1 values"),
    (tensor(4, 0, (2,), (1,), kind="DoubleStorage"), r"storage 0 counts 4 values, its record has 24 bytes"),
    (tensor(6, 0, (2,), (1,), key="1"), r"'1'"),
    (tensor(6, 0, (2,), (1,), key="../data.pkl"), r"data\.pkl"),
]


@pytest.mark.parametrize(("body", "message"), WALKS)
def test_a_tensor_that_leaves_its_bytes_is_refused(tmp_path, body, message):
    path = make_bin(tmp_path / "a.bin", program(a=body), {"0": bytes(24)})
    with pytest.raises(CourseError, match=rf"a\.bin is damaged: the instruction at byte [\d,]+ fails \(.*{message}"):
        open_weights(path)


def test_many_names_for_the_same_bytes_are_refused(tmp_path):
    body = tensor(1000, 0, (1000,), (1,))
    path = make_bin(tmp_path / "a.bin", program(**{f"n{i}": body for i in range(200)}), {"0": bytes(4000)})
    with pytest.raises(CourseError, match=r"200 tensors share their bytes and would take 800,000 in memory"):
        open_weights(path)


def edited_zip(path: Path, change) -> Path:
    """Write a good .bin and change bytes of its table of contents."""
    make_bin(path, program(a=tensor(6, 0, (6,), (1,))), {"0": bytes(24)})
    data = bytearray(path.read_bytes())
    change(data, data.index(b"PK\1\2"), data.rindex(b"PK\5\6"))
    path.write_bytes(data)
    return path


def put(data: bytearray, at: int, form: str, value: int) -> None:
    struct.pack_into(form, data, at, value)


ZIPS = [
    (lambda d, first, end: put(d, first + 24, "<I", 2**31), "is compressed"),
    (lambda d, first, end: (put(d, first + 24, "<I", 2**31), put(d, first + 20, "<I", 2**31)), "would end at byte"),
    (lambda d, first, end: put(d, first + 10, "<H", 8), "is compressed, which PyTorch never does"),
    (lambda d, first, end: put(d, first + 8, "<H", 1), "is compressed"),
    (lambda d, first, end: put(d, first + 42, "<I", 77), "byte 77 does not begin the entry"),
    (lambda d, first, end: put(d, end + 12, "<I", 10**7), "table of contents takes 10,000,000 bytes"),
    (lambda d, first, end: put(d, first + 6, "<H", 64), "table of contents .* can't be read .*zip file version 6.4"),
    (lambda d, first, end: put(d, first + 8, "<H", 2048) or put(d, first + 46, "<B", 0x85), "can't be read .*utf-8"),
    (lambda d, first, end: put(d, end, "<I", 0), "does not begin the end of a zip"),
    (lambda d, first, end: d.extend(b"tail"), "does not begin the end of a zip"),
]


@pytest.mark.parametrize(("change", "message"), ZIPS)
def test_a_zip_that_lies_is_refused(tmp_path, change, message):
    with pytest.raises(CourseError, match=rf"a\.bin is damaged: .*{message}"):
        open_weights(edited_zip(tmp_path / "a.bin", change))


def test_entries_that_overlap_or_share_a_name_are_refused(tmp_path):
    def overlap(data, first, end):
        second = data.index(b"PK\1\2", first + 4)
        put(data, second + 42, "<I", struct.unpack_from("<I", data, first + 42)[0])

    with pytest.raises(CourseError, match=r"a second time or too early|does not begin"):
        open_weights(edited_zip(tmp_path / "a.bin", overlap))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "b.bin", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/data.pkl", b"\x80\x02}.")
    with pytest.raises(CourseError, match=r"begins 'x/data\.pkl' a second time"):
        open_weights(tmp_path / "b.bin")


def test_a_bomb_of_zeros_is_refused_before_it_is_unpacked(tmp_path):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(50_000_000))
    (tmp_path / "a.bin").write_bytes(bomb.getvalue())
    tracemalloc.start()
    with pytest.raises(CourseError, match="is compressed, which PyTorch never does"):
        open_weights(tmp_path / "a.bin")
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_pickle_of_megabytes_and_big_endian_numbers_are_refused(tmp_path):
    path = make_bin(tmp_path / "a.bin", b"\x80\x02" + b"}" * 3_000_000 + b".", {})
    with pytest.raises(CourseError, match=r"the pickle at byte 40 takes 3,000,003 bytes, expected 2,000,000"):
        open_weights(path)
    with zipfile.ZipFile(tmp_path / "b.bin", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/byteorder", b"big")
    with pytest.raises(CourseError, match="its numbers are not little-endian"):
        open_weights(tmp_path / "b.bin")
    with pytest.raises(CourseError, match="holds 0 entries named data.pkl"):
        open_weights(_zip_of(tmp_path / "c.bin", "x/other.pkl"))


def _zip_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02}.")
    return path


# safetensors, shards and configs


def write_header(path: Path, header: str, data: int = 8) -> Path:
    path.write_bytes(struct.pack("<Q", len(header.encode())) + header.encode() + bytes(data))
    return path


ENTRY = '{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'
HEADERS = [
    (f'{{"a": {ENTRY}, "a": {ENTRY}}}', "the key 'a' stands there twice"),
    (f'{{"a": {ENTRY[:-1]}, "shape": [2]}}}}', "the key 'shape' stands there twice"),
    (ENTRY.replace("[2]", "[" + "2," * 100_000 + "2]").join(['{"a": ', "}"]), "a shape of 100001 dimensions"),
    (ENTRY.replace("[2]", "[0, 9223372036854775807, 9]").join(['{"a": ', "}"]), "no file can hold it"),
    (ENTRY.replace("[2]", "[1" + "0" * 5000 + "]").join(['{"a": ', "}"]), "damaged header at byte 8"),
    (ENTRY.replace("[2]", "[NaN]").join(['{"a": ', "}"]), "must be whole numbers"),
    (ENTRY.replace("[2]", "[Infinity]").join(['{"a": ', "}"]), "must be whole numbers"),
    (ENTRY.replace("[2]", '"2"').join(['{"a": ', "}"]), "must be whole numbers"),
    ('{"\\ud800": 5}', "its entry '.ud800' is wrong"),
    ("[1, 2]", "it begins with|damaged header at byte 8"),
    ('{"a": ' * 100_000, "damaged header at byte 8"),
]


@pytest.mark.parametrize(("header", "message"), HEADERS)
def test_a_header_that_is_no_honest_table_is_refused(tmp_path, header, message):
    with pytest.raises(CourseError, match=message) as caught:
        open_weights(write_header(tmp_path / "a.safetensors", header))
    assert len(str(caught.value)) < 1000


def test_a_model_of_a_million_empty_layers_is_refused_before_it_is_built(tmp_path):
    names = ["wte.weight", "wpe.weight", *(f"h.{i}.ln_1.weight" for i in range(20_000))]
    entries = {
        name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)
    }
    write_header(tmp_path / "model.safetensors", json.dumps(entries), 4 * len(names))
    with pytest.raises(CourseError, match="holds tensors of 20,000 layers, expected at most 1,000"):
        load_gpt2(tmp_path)


def test_a_name_with_and_without_its_prefix_is_refused(tmp_path):
    save_file({"wte.weight": torch.zeros(2), "transformer.wte.weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CourseError, match="'wte.weight' with and without the prefix transformer"):
        load_gpt2(tmp_path / "a.safetensors")


@pytest.mark.parametrize("shard", ["..\\a.safetensors", "C:a.safetensors", "a\0.safetensors", "a.gguf", "x.index"])
def test_a_shard_with_a_tricky_name_is_refused(tmp_path, shard):
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    (tmp_path / "m.index.json").write_text(json.dumps({"weight_map": {"a": shard}}), encoding="utf-8")
    with pytest.raises(CourseError, match="names the shard .*, expected a plain file name beside the index"):
        open_weights(tmp_path / "m.index.json")


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    for name in ("a", "b"):
        save_file({"x": torch.zeros(2), name: torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    places = {"x": "a.safetensors", "b": "b.safetensors"}
    (tmp_path / "m.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    with pytest.raises(CourseError, match=r"'x' is in b\.safetensors and in a shard before it"):
        open_weights(tmp_path / "m.index.json")


def test_json_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)
    with pytest.raises(CourseError, match="it has 2,000,000,000 bytes, expected at most 100,000,000"):
        read_json(path)


# All of it under a cap on memory: what a file claims is never what is allocated

CAPPED = """
import resource, sys
from pathlib import Path
import torch
from utils.errors import CourseError
from utils.formats.inspect_model import inspect_file
from utils.loaders import load_gpt2
from utils.formats import gptq_folder, tf_checkpoint, torch_files
used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
for name in sys.argv[1:]:
    for work in (load_gpt2, inspect_file):
        try:
            work(name)
            print("opened", name)
        except CourseError as error:
            print("refused", name)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux caps the memory of a process")
def test_no_claim_of_a_file_is_allocated(tmp_path):
    """Open claims of 4 TB in a process that may take 300 MB more."""
    size, paths = 4 * 10**12, []
    claim = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    paths.append(write_header(tmp_path / "a.safetensors", json.dumps({"wte.weight": claim, "wpe.weight": claim})))
    paths.append(make_bin(tmp_path / "b.bin", program(a=tensor(size // 4, 0, (size // 4,), (1,))), {"0": bytes(8)}))
    paths.append(make_bin(tmp_path / "c.bin", program(a=tensor(2, 0, (size, size), (0, 0))), {"0": bytes(8)}))
    paths.append(make_bin(tmp_path / "d.bin", b"\x80\x02Nr\xff\xff\xff\xff.", {}))  # a memo of 2**32 places
    paths.append(make_bin(tmp_path / "e.bin", b"\x80\x05\x96" + struct.pack("<Q", size) + b".", {}))
    paths.append(make_bin(tmp_path / "f.bin", b"ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.", {}))
    paths.append(make_bin(tmp_path / "g.bin", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".", {}))
    (tmp_path / "h.index").write_bytes(write_table([(b"", b"\x08\xff\xff\xff\x7f")]))
    paths.append(tmp_path / "h.index")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CAPPED, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"refused {path}" for path in paths for _ in range(2)]


def test_the_table_of_a_tensorflow_index_may_not_be_huge(tmp_path):
    with (tmp_path / "a.index").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(CourseError, match="has 1,000,000,000 bytes, expected a table of 48 to 64,000,000 bytes"):
        read_table(tmp_path / "a.index")


def test_what_is_read_of_a_zip_is_its_table_alone(tmp_path):
    torch.save({"a": torch.zeros(3_000_000)}, tmp_path / "a.bin")
    tracemalloc.start()
    assert any(record.size == 12_000_000 for record in read_zip(tmp_path / "a.bin").values())
    open_weights(tmp_path / "a.bin")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
