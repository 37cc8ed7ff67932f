"""Files that lie, of every format, in one table: each is refused by its datum, in little memory, and runs no code."""

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
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gptq_codes import quantize_all
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from shapes import Hostile, tiny_model

from labs.shootout.gptq_writer import save_gptq_folder
from utils.bpe import build_vocab
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.formats.gguf import open_gguf
from utils.formats.gguf_writer import save_gguf
from utils.formats.hub_layout import hub_tensors
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import open_model_file, open_weights
from utils.formats.peft_files import save_lora
from utils.formats.quantized_files import save_quantized
from utils.loaders import load_gpt2, load_tokenizer, save_gpt2
from utils.lora import add_lora
from utils.quantize.grids import Grid
from utils.quantize.quantized_linear import quantize_model
from utils.tokenizer import Tokenizer

PACKED = GPT2Config(n_layer=1, n_head=1, n_embd=32, vocab_size=258, context=3)
MERGE = Tokenizer(build_vocab([("a", "b")]), [("a", "b")])  # 258 tokens


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Return a folder of each format with a whole small model."""
    folder, model = tmp_path_factory.mktemp("originals"), tiny_model(PACKED)
    save_gpt2(model, folder / "safetensors")
    save_gpt2(model, folder / "bin")
    (folder / "bin" / "model.safetensors").unlink()
    torch.save(dict(hub_tensors(model)), folder / "bin" / "pytorch_model.bin")
    save_gpt2(model, folder / "shards")
    (folder / "shards" / "model.safetensors").rename(folder / "shards" / "a.safetensors")
    index = {"metadata": {}, "weight_map": {name: "a.safetensors" for name, _ in hub_tensors(model)}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    save_gptq_folder(model, quantize_all(model, 4, 32, True), folder / "gptq")
    save_quantized(quantize_model(tiny_model(PACKED), Grid(4, 16)), folder / "packed")
    save_gguf(model, folder / "gguf" / "model.gguf", "Q8_0", MERGE)
    adapted = add_lora(model, 2)
    adapted.origin = str(folder / "safetensors")
    save_lora(adapted, folder / "lora")
    return folder


FILES = {
    "safetensors": ["model.safetensors", "config.json"],
    "bin": ["pytorch_model.bin"],
    "shards": ["model.safetensors.index.json"],
    "gptq": ["model.safetensors", "config.json"],
    "packed": ["quantized.safetensors", "config.json"],
    "gguf": ["model.gguf"],
    "lora": ["adapter_config.json", "adapter_model.safetensors"],
}


def refusals(path: Path) -> list[str]:
    """Open, load and inspect; let everything but a CourseError through, and return what was said against it."""
    said = []
    for work in (load_gpt2, inspect_file, load_tokenizer):
        try:
            work(path)
        except CourseError as error:
            assert len(str(error)) < 3000
            said.append(str(error))
    return said


@pytest.mark.parametrize("kind", FILES)
def test_the_originals_load(originals, kind):
    assert not refusals(originals / kind)


# The builders of the table: safetensors, .bin, GGUF


def st_file(header: object, data: int = 8) -> bytes:
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def entry(**changes: object) -> dict:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def made_bin(program: bytes, data: bytes = bytes(24), kind: int = zipfile.ZIP_STORED) -> bytes:
    """Return a .bin by hand: a zip with this pickle and one storage."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in {"x/data.pkl": program, "x/version": b"3", "x/data/0": data}.items():
            archive.writestr(name, content)
    return file.getvalue()


def bin_tensor(count: int, offset: int, shape: tuple, stride: tuple, key: str = "0") -> bytes:
    """Return the instructions that build one tensor, as torch writes them."""
    storage = pickle.dumps(("storage", None, key, "cpu", count), 2)[2:-1].replace(b"N", b"ctorch\nFloatStorage\n", 1)
    walk = pickle.dumps((offset, shape, stride), 2)[2:-1]
    walk = walk[: walk.rindex(b"\x87")]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"Q" + walk + b"\x89ccollections\nOrderedDict\n)RtR"


def bin_program(**tensors: bytes) -> bytes:
    items = b"".join(b"X" + struct.pack("<I", len(n)) + n.encode() + body for n, body in tensors.items())
    return b"\x80\x02}(" + items + b"u."


def edited(at: str, form: str, value: int, offset: int) -> bytes:
    """Return a good .bin in which one number of the zip's table of contents is another one."""
    data = bytearray(made_bin(bin_program(a=bin_tensor(6, 0, (6,), (1,)))))
    struct.pack_into(form, data, (data.index if at == "first" else data.rindex)(MARKS[at]) + offset, value)
    return bytes(data)


MARKS = {"first": b"PK\1\2", "end": b"PK\5\6"}


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def typed(kind: int, raw: bytes) -> bytes:
    return struct.pack("<I", kind) + raw


def array(kind: int, count: int, raw: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + raw


def tensor(name: str = "t", sizes: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def gguf(keys=(), tensors=(), data: int = 0, version: int = 3, counts: tuple[int, int] | None = None) -> bytes:
    """Return a GGUF file with these keys and tensors, and `data` bytes after them."""
    counts = counts or (len(tensors), len(keys))
    start = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*keys, *tensors])
    return start + bytes(-len(start) % 32) + bytes(data)


def changed_json(name: str, **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(content | changes), encoding="utf-8")

    return change


def changed_tensors(change: Callable[[dict], object], name: str = "model.safetensors") -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name)

    return work


def own_head(folder: Path) -> None:
    """Give a .bin, wrapped by DDP, a head that is not its token table."""
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    state = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save(state | {"module.lm_head.weight": -state["module.wte.weight"]}, folder / "pytorch_model.bin")


def index(**places: object) -> Callable[[Path], None]:
    return changed_json("model.safetensors.index.json", **places)


A = text("a")
MAX = 2**64 - 1
C_FC = "transformer.h.0.mlp.c_fc"
ENTRY = '{"a": {"dtype": "F32", "shape": %s, "data_offsets": [0, 8]}}'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:248dfc39\nsize 548105171\n"
MILLION = {
    name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * i, 4 * i + 4]}
    for i, name in enumerate(["wte.weight", "wpe.weight", *(f"h.{i}.ln_1.weight" for i in range(20_000))])
}
# What is in a file, and what must be named when it is opened: the byte, the key, the name or the number that is wrong.
# fmt: off
LIES: dict[str, list[tuple[bytes, tuple[str, ...]]]] = {
    "model.safetensors": [
        (b"", ("empty",)),
        (b"\n\n <!DOCTYPE html><html><body>404</body></html>", ("web page",)),
        (LFS, ("548 MB", "248dfc39")),
        (b"\x10\x00\x00", (r"b'\x10\x00\x00'",)),
        (b"%PDF-1.7", ("PDF",)),
        (b"\x08\x08\x12\x07pytorch", ("ONNX",)),
        (struct.pack("<Q", 10) + b'{"a": {"d\xff' + bytes(30), ("byte 8",)),
        *((struct.pack("<Q", n) + b'{"a": ' + bytes(30), ("byte 0", f"{n:,}", "44")) for n in (10**9, 2**63, MAX)),
        (st_file("{" + '"a": {' * 100_000), ("byte 8",)),
        (st_file("[1, 2]"), ("b'",)),
        (st_file(entry())[:-1], ("77", "76")),
        (st_file(entry(), 16), ("77", "85")),
        (st_file(entry(dtype="F99")), ("'a'", "'F99'", "F64")),
        (st_file(entry(dtype=["F32"])), ("'a'", "F32")),
        *((st_file(entry(shape=shape)), ("'a'", "whole numbers")) for shape in ([-2], [2.0], [True, 2], "2")),
        *((st_file(ENTRY % shape), ("'a'", "whole numbers")) for shape in ("[NaN]", "[Infinity]")),
        (st_file(ENTRY % ("[" + "2," * 100_000 + "2]")), ("'a'", "100001")),
        (st_file(ENTRY % "[0, 9223372036854775807, 9]"), ("'a'", "9,223,372,036,854,775,807")),
        (st_file(ENTRY % ("[1" + "0" * 5000 + "]")), ("byte 8",)),
        (st_file(entry(shape=[3])), ("'a'", "12", "8")),
        (st_file(entry(shape=[2**62, 4])), ("'a'", f"{2**62:,}")),
        (st_file(entry(shape=2)), ("'a'",)),
        (st_file(entry(data_offsets=[8, 0])), ("'a'", "-8")),
        (st_file(entry(data_offsets=[0])), ("'a'",)),
        (st_file(entry(data_offsets=[8, 16])), ("'a'", "byte 78", "70")),
        (st_file(entry() | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}), ("'b'", "starts at byte")),
        (st_file({"a": {"dtype": "F32"}}), ("'a'", "shape")),
        (st_file({"a": 5}), ("'a'", "5")),
        (st_file('{"a": 1, "a": 1}'), ("'a'", "twice")),
        (st_file('{"\\ud800": 5}'), (r"\ud800",)),
        (st_file(MILLION, 4 * len(MILLION)), ("20,000", "1,000")),
        (st_file({"conv.weight": entry()["a"]}), ("wte.weight", "'conv.weight'")),
    ],
    "pytorch_model.bin": [
        (b"cposix\nsystem\n(S'true'\ntR.", ("b'cposix",)),
        *((made_bin(code), ("refused", name)) for code, name in [
            (b"cposix\nsystem\n(S'true'\ntR.", "posix.system"),
            (b"cbuiltins\neval\n.", "'eval'"),
            (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "instruction 140"),
            (b"ctorch\nload\n.", "torch.load"),
            (b"ctorch\nFloatStorage.mro\n.", "torch.FloatStorage.mro"),
            (b"(S'true'\nios\nsystem\n.", "instruction 83"), (b"\x80\x02]\x82\x01.", "instruction 130"),
            (b"\x80\x05\x96" + struct.pack("<Q", 4 * 10**12) + b".", "instruction 150"),
        ]),
        *((made_bin(code), ("damaged",)) for code in [
            b"", b"\x80\x02}", b"\x80\x02.", b"\x80\x02h\x07.", b"\x80\x02](K\x01u.", b"\x80\x02}(]Nu.",
            b"\x80\x02}N\x81.", b"\x80\x02}q\x00h\x00)R.", b"\x80\x02X\xff\xff\xff\x7fabc.",
            b"\x80\x02}" + b"\x85" * 100_000 + b"}\x86\x86h\x00.",
        ]),
        *((made_bin(bin_program(a=bin_tensor(*walk))), ("damaged",)) for walk in [
            (6, 0, (7,), (1,)), (6, 5, (2,), (1,)), (6, 0, (2, 2), (5, 1)), (6, 0, (2**70,), (0,)), (6, -1, (2,), (1,)),
            (6, 0, (2,), (-1,)), (6, 0, (2.0,), (1,)), (6, 0, (2, 2), (1,)), (6, 0, (2,), (1,), "1"),
            (6, 0, (2,), (1,), "../data.pkl"), (10**15, 0, (10**15,), (1,)),
        ]),
        (made_bin(bin_program(a=bin_tensor(6, 0, (10**12, 10**6), (0, 0)))), ("refused", f"{4 * 10**18:,}")),
        (made_bin(bin_program(**{f"n{i}": bin_tensor(1000, 0, (1000,), (1,)) for i in range(200)}), bytes(4000)),
         ("refused", "200", "800,000")),
        (edited("first", "<I", 77, 42), ("damaged",)),
        (edited("first", "<H", 1, 8), ("damaged",)),
        (edited("end", "<I", 10**7, 12), ("damaged",)),
        (edited("end", "<I", 0, 0), ("damaged",)),
        (made_bin(bytes(50_000_000), kind=zipfile.ZIP_DEFLATED), ("x/data.pkl", "compressed")),
        (made_bin(bin_program(a=bin_tensor(6, 0, (6,), (1,)))), ("wte.weight", "'a'")),
    ],
    "model.gguf": [
        (b"GGUF", ("byte 4", "4 bytes")),
        (gguf(version=1), ("byte 4", "version is 1")),
        (gguf(version=3 << 24), ("byte 4", "50331648", "big-endian")),
        (b"GGUF" + struct.pack("<II", 3, 0), ("byte 8", "8 bytes")),
        (gguf(counts=(MAX, 0)), ("byte 8", f"{MAX:,}")),
        (gguf(counts=(0, 2**40)), ("byte 16", f"{2**40:,}")),
        (gguf(counts=(0, 9)), ("byte",)),
        (gguf(counts=(9, 0)), ("byte",)),
        (gguf([struct.pack("<Q", MAX)]), ("byte 24", f"{MAX:,}")),
        (gguf([struct.pack("<Q", 60_000) + b"key"]), ("byte 32", "60,000")),
        (gguf([text(b"a\xff") + typed(7, b"\1")]), ("byte 33", "UTF-8")),
        (gguf([A + typed(7, b"\1")] * 2), ("byte 38", "'a'")),
        (gguf([A + typed(13, bytes(8))]), ("byte 37", "type 13", "'a'")),
        (gguf([A + typed(12, b"")])[:40], ("byte 37", "8 bytes")),
        (gguf([A + typed(8, struct.pack("<Q", MAX))]), ("byte 37", "string 1 of 1")),
        (gguf([A + typed(9, array(13, 1))]), ("byte 37", "type 13")),
        (gguf([A + typed(9, array(12, 2**61))]), ("byte 49", f"{2**61:,} float64")),
        (gguf([A + typed(9, array(8, 2**40))]), (f"{2**40:,} string",)),
        (gguf([A + typed(9, array(8, 5, text("b" * 50)))]), ("string 3 of 5",)),
        (gguf([A + typed(9, array(8, 2, struct.pack("<Q", MAX)))], data=64), ("string 1 of 2",)),
        (gguf([A + typed(9, array(9, 1, array(0, 0)))]), ("byte 37", "type 9", "'a'")),
        (gguf([text("general.alignment") + typed(8, text("8"))]), ("general.alignment", "string")),
        *((gguf([text("general.alignment") + typed(4, struct.pack("<I", n))]), (f"alignment is {n}",))
          for n in (0, 24)),
        (gguf([text("general.alignment") + typed(4, b"\0\0\0\x80")], [tensor()], 32), ("'t'", "2,147,483,680")),
        (gguf(tensors=[tensor(), tensor(offset=32)], data=64), ("'t'", "second")),
        (gguf(tensors=[tensor("n" * 65)], data=32), ("byte 24", "65")),
        (gguf(tensors=[tensor(sizes=(1,) * 5)], data=32), ("'t'", "5 dimensions")),
        (gguf(tensors=[text("t") + struct.pack("<I", 2**32 - 1)]), ("4,294,967,295",)),
        (gguf(tensors=[tensor(sizes=(8, 0))]), ("'t'", "[8, 0]")),
        (gguf(tensors=[tensor(sizes=(2**32, 2**32, 16))], data=32), ("'t'", "2⁶³")),
        *((gguf(tensors=[tensor(kind=kind)], data=32), ("'t'", what))
          for kind, what in [(4, "Q4_2"), (33, "Q4_0_8_8"), (99, "type 99")]),
        (gguf(tensors=[tensor(sizes=(33,), kind=8)], data=64), ("33", "Q8_0", "32")),
        (gguf(tensors=[tensor(offset=8)], data=64), ("'t'", "8 of the data")),
        (gguf(tensors=[tensor(offset=2**40)], data=64), ("'t'", "1,099,511,627,")),
        (gguf(tensors=[tensor(offset=2**64 - 32)], data=64), ("'t'", "18,446,744,")),
        (gguf(tensors=[tensor(sizes=(9,)), tensor("u", offset=32)], data=96), ("'u'", "'t'")),
        (gguf(tensors=[tensor()], data=31), ("'t'", "96", "95")),
        (gguf(tensors=[tensor(sizes=(2**40,))], data=32), ("'t'", "4,398,046,511,")),
    ],
}
# A whole model in which one thing is wrong: which kind, what is done to its folder, and what must be named.
SPOILED: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    *(("safetensors", changed_json("config.json", **{name: value}), (name, str(value), str(actual)))
      for name, value, actual in [("n_layer", 3, 1), ("n_embd", 64, 32), ("vocab_size", 9, 258),
                                  ("n_positions", 9, 3)]),
    *(("safetensors", changed_json("config.json", **{name: value}), (name, repr(value))) for name, value in [
        ("n_head", 5), ("n_head", 0), ("n_head", "4"), ("layer_norm_epsilon", 1e-3), ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True), ("tie_word_embeddings", False)]),
    ("safetensors", changed_json("config.json", model_type="llama"), ("llama",)),
    ("safetensors", changed_json("config.json", activation_function="gelu"), ("gelu", "gelu_new")),
    *(("safetensors", lambda f, t=t: (f / "config.json").write_bytes(t), ("config.json",))
      for t in (b"", b"{", b"[1, 2]", b"null", b"[" * 100_000, b"\xff\xfe{}")),
    *(("safetensors", changed_tensors(lambda t, n=n: t.pop(n)), (n,)) for n in ("wte.weight", "h.0.mlp.c_fc.weight")),
    ("safetensors", changed_tensors(lambda t: t.update({"ln_f.bias": torch.zeros(5, 7)})),
     ("ln_f.bias", "(5, 7)", "(32,)")),
    ("safetensors", changed_tensors(lambda t: t.update({n: t[n].T.contiguous() for n in t if "c_attn.w" in n})),
     ("c_attn", "nanoGPT")),
    ("safetensors", changed_tensors(lambda t: t.update({"wte.weight": t["wte.weight"].to(torch.int8)})),
     ("wte.weight", "int8")),
    ("safetensors", changed_tensors(lambda t: t.update({"transformer.wte.weight": t["wte.weight"].clone()})),
     ("'wte.weight'",)),
    *((kind, changed_tensors(lambda t: t.update({"lm_head.weight": next(t[n] for n in t if "wte" in n) + 1}), file),
       ("lm_head.weight", "wte.weight", "row 0"))
      for kind, file in [("safetensors", "model.safetensors"), ("shards", "a.safetensors"),
                         ("gptq", "model.safetensors")]),
    ("bin", own_head, ("lm_head.weight", "wte.weight", "row 0")),
    ("safetensors", changed_tensors(lambda t: t.update({"lm_head.weight": torch.zeros(3, 32)})),
     ("(3, 32)", "(258, 32)")),
    *(("shards", index(weight_map={"wte.weight": name}), (repr(name),)) for name in [
        "../a.safetensors", "/etc/passwd", "..\\a.safetensors", "C:a.safetensors", "", "..", "a.gguf", "x.index",
        "model.safetensors.index.json"]),
    *(("shards", index(weight_map=places), ("weight_map",)) for places in (None, [], "x", {"wte.weight": 5})),
    ("shards", index(weight_map={"x": "a.safetensors", "y": "a.safetensors"}), ("'x'", "1 more")),
    ("shards", index(weight_map={"wte.weight": "b.safetensors"}), ("b.safetensors",)),
    ("shards", lambda f: (shutil.copy(f / "a.safetensors", f / "b.safetensors"),
                          index(weight_map={"x": "a.safetensors", "y": "b.safetensors"})(f)),
     ("'h.0.", "b.safetensors")),
    ("gptq", changed_tensors(lambda t: t.pop(f"{C_FC}.g_idx")), ("h.0.mlp.c_fc.g_idx",)),
    ("gptq", changed_tensors(lambda t: t.update({f"{C_FC}.weight": torch.zeros(32, 128)})), ("h.0.mlp.c_fc",)),
    ("gptq", changed_tensors(lambda t: t.update({f"{C_FC}.qweight": t[f"{C_FC}.qweight"][:-1]})),
     ("h.0.mlp.c_fc", "(3, 128)")),
    ("gptq", changed_tensors(lambda t: t.update({f"{C_FC}.qzeros": t[f"{C_FC}.qzeros"].float()})), ("h.0.mlp.c_fc",)),
    ("gptq", changed_tensors(lambda t: t.update({f"{C_FC}.scales": t[f"{C_FC}.scales"].int()})), ("h.0.mlp.c_fc",)),
    *(("gptq", changed_tensors(lambda t, n=n: t[f"{C_FC}.g_idx"].fill_(n)), ("c_fc.g_idx", str(n))) for n in (2, -1)),
    *(("gptq", changed_json("config.json", quantization_config={"quant_method": method}), (str(method),))
      for method in ("spqr", ["gptq"])),
    ("gptq", changed_json("config.json", quantization_config={"quant_method": "awq"}), ("AWQ", "CUDA")),
    ("gptq", changed_json("config.json", quantization_config={"checkpoint_format": "marlin"}), ("'marlin'", "gptq_v2")),
    ("gptq", lambda f: (changed_json("config.json", quantization_config=None)(f),
                        (f / "quantize_config.json").unlink()),
     ("quantization_config",)),
    *(("packed", changed_json("config.json", **{name: value}), (name, repr(value))) for name, value in [
        ("n_layer", 10**8), ("n_layer", "1"), ("n_embd", "x"), ("vocab_size", 10**9), ("n_positions", None)]),
    ("packed", changed_json("config.json", n_layer=4000), ("4,000", "1,000")),
    ("packed", changed_tensors(lambda t: t.pop("blocks.0.norm1.bias"), "quantized.safetensors"), ("grids",)),
    ("lora", changed_json("adapter_config.json", r=10**8), ("r is 100000000", "(2, 32)")),
    ("lora", changed_json("adapter_config.json", r="2"), ("r '2'",)),
    ("lora", changed_json("adapter_config.json", base_model_name_or_path=["x"]), ("['x']",)),
    ("lora", lambda f: changed_json("adapter_config.json", base_model_name_or_path=str(f))(f), ("adapter", "lora")),
    ("lora", changed_json("adapter_config.json", use_dora=True), ("use_dora", "True")),
]
# fmt: on


def assert_refused(path: Path, *data: str) -> None:
    """Loading must fail by naming `data`, and inspecting may fail only in words; neither may take much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(CourseError) as caught:
            load_gpt2(path)
        refusals(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(datum in str(caught.value) for datum in data), f"{data} not all in: {str(caught.value)[:500]}"
    assert len(str(caught.value)) < 3000 and peak < 40_000_000


@pytest.mark.parametrize("name", LIES)
def test_every_lie_is_refused_by_its_datum(tmp_path, name):
    for number, (content, data) in enumerate(LIES[name]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_bytes(content)
        assert_refused(tmp_path / str(number), *data)


@pytest.mark.parametrize("kind", FILES)
def test_a_model_in_which_one_thing_is_wrong_is_refused_by_it(originals, tmp_path, kind):
    for number, (_, spoil, data) in enumerate(each for each in SPOILED if each[0] == kind):
        folder = tmp_path / f"lora{number}"
        shutil.copytree(originals / kind, folder)
        spoil(folder)
        assert_refused(folder, *data)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_cut_anywhere_is_refused(originals, tmp_path, kind):
    for name in FILES[kind]:
        shutil.copytree(originals / kind, tmp_path / name)
        data = (originals / kind / name).read_bytes()
        for left in (4, 9, 100, len(data) // 2, len(data) - 2):
            (tmp_path / name / name).write_bytes(data[:left])
            assert refusals(tmp_path / name), (name, left)


def test_a_name_that_is_nothing_is_refused_with_what_there_is(tmp_path):
    for path, data in [
        (tmp_path / "nowhere", ("nano, small, medium, large, xl",)),
        ("smal", ("smal", "small")),
        (tmp_path, ("nothing", "model.safetensors", ".gguf")),
    ]:
        assert_refused(path, *data)
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    assert_refused(tmp_path, "['notes.txt']")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_device_and_a_pipe_are_no_weights(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", "/dev/zero", tmp_path / "pipe"):
        assert_refused(path, str(path))
        with pytest.raises(CourseError, match=str(path)):
            inspect_file(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_by_name_and_does_not_run(tmp_path, zipped):
    proof, path = tmp_path / "it_ran", tmp_path / "pytorch_model.bin"
    for content in (Hostile(proof), {"wte.weight": torch.zeros(2, 2), "x": Hostile(proof)}):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        assert_refused(tmp_path, "refused", "'getattr'")
        assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the pickle was not hostile, so its refusal shows nothing"


def test_the_lies_are_told_in_the_language_of_the_formats(tmp_path):
    """What the builders write is read right when it does not lie, so that refusals have no other reason."""
    (tmp_path / "a.bin").write_bytes(
        made_bin(bin_program(a=bin_tensor(6, 1, (2, 2), (3, 1))), struct.pack("<6f", *range(6)))
    )
    assert torch.load(tmp_path / "a.bin", weights_only=True)["a"].tolist() == [[1, 2], [4, 5]]
    assert open_weights(tmp_path / "a.bin")["a"].read().tolist() == [[1, 2], [4, 5]]
    (tmp_path / "a.safetensors").write_bytes(st_file(entry()))
    assert load_file(tmp_path / "a.safetensors")["a"].tolist() == [0, 0]
    keys = [A + typed(9, array(0, 2, b"\1\2")), text("general.alignment") + typed(4, b"\x40\0\0\0")]
    for version in (2, 3):
        (tmp_path / "a.gguf").write_bytes(gguf(keys, version=version))
        assert open_gguf(tmp_path / "a.gguf").get("a") == [1, 2]
    (tmp_path / "a.gguf").write_bytes(gguf(tensors=[tensor(), tensor("u", (2, 3), offset=64)], data=88))
    assert [list(t.shape) for t in open_gguf(tmp_path / "a.gguf").tensors.values()] == [[8], [3, 2]]


# Fuzzing: whatever is changed, a file loads or is refused in words

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "drop", "double"]), st.floats(0, 1), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)
CASES = [(kind, name) for kind, names in FILES.items() for name in names]


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


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}-{name}" for kind, name in CASES])
@settings(max_examples=60, suppress_health_check=QUIET)
@given(changes=CHANGES)
def test_a_mutated_file_loads_or_is_refused_in_words(originals, tmp_path, kind, name, changes):
    folder = tmp_path / kind
    if not folder.exists():
        shutil.copytree(originals / kind, folder)
    (folder / name).write_bytes(mutate((originals / kind / name).read_bytes(), changes))
    refusals(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)
KEYS = {
    "safetensors": ["n_layer", "n_head", "n_embd", "vocab_size", "n_positions", "model_type", "quantization_config"],
    "packed": ["n_layer", "n_head", "n_embd", "vocab_size", "n_positions", "tie_word_embeddings"],
    "lora": ["r", "lora_alpha", "base_model_name_or_path", "target_modules", "peft_type"],
}


@pytest.mark.parametrize("kind", KEYS)
@settings(suppress_health_check=QUIET)
@given(data=st.data())
def test_any_value_in_a_config_is_read_or_refused(originals, tmp_path, kind, data):
    folder, name = tmp_path / "model", "adapter_config.json" if kind == "lora" else "config.json"
    if not folder.exists():
        shutil.copytree(originals / kind, folder)
    shutil.copy(originals / kind / name, folder / name)
    value = data.draw(JSON | st.sampled_from([10**12, float("nan"), float("inf"), "nano/"]))
    changed_json(name, **{data.draw(st.sampled_from(KEYS[kind])): value})(folder)
    refusals(folder)


@settings(max_examples=200, suppress_health_check=QUIET)
@given(content=st.binary(max_size=200), start=st.sampled_from([b"GGUF\3\0\0\0", b"\x80\x02", b"PK\3\4", b""]))
@example(b"", b"")
def test_anything_after_the_first_bytes_is_read_or_refused(tmp_path, content, start):
    (tmp_path / "any.bin").write_bytes(start + content)
    refusals(tmp_path / "any.bin")
    (tmp_path / "b.bin").write_bytes(made_bin(b"\x80\x02" + content))
    refusals(tmp_path / "b.bin")


# All of it under a cap on memory: what a file claims is never what is allocated

CAPPED = """
import resource, sys
from pathlib import Path
import torch
from utils.errors import CourseError
from utils.formats.inspect_model import inspect_file
from utils.loaders import load_gpt2
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
    size = 4 * 10**12
    claim = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    claims = {
        "a.safetensors": st_file({"wte.weight": claim, "wpe.weight": claim}),
        "b.bin": made_bin(bin_program(a=bin_tensor(size // 4, 0, (size // 4,), (1,)))),
        "c.bin": made_bin(bin_program(a=bin_tensor(2, 0, (size, size), (0, 0)))),
        "d.bin": made_bin(b"\x80\x02Nr\xff\xff\xff\xff."),  # a memo of 2**32 places
        "e.bin": made_bin(b"ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R."),
        "f.bin": made_bin(b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"."),
        "g.gguf": gguf(tensors=[tensor(sizes=(size,))], data=32),
    }
    for name, content in claims.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-c", CAPPED, *(str(tmp_path / name) for name in claims)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"refused {tmp_path / name}" for name in claims for _ in range(2)]


def test_what_is_opened_is_a_header_alone(tmp_path):
    torch.save({"wte.weight": torch.zeros(3_000_000)}, tmp_path / "a.bin")
    save_file({"wte.weight": torch.zeros(3_000_000)}, tmp_path / "a.safetensors")
    for name in ("a.bin", "a.safetensors"):
        open_model_file(tmp_path / name)  # imports what it needs
        tracemalloc.start()
        assert open_model_file(tmp_path / name).tensors["wte.weight"].nbytes == 12_000_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()
