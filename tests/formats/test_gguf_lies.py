"""GGUF files that lie, and fuzzing: whatever the bytes, a file loads or is refused by its byte or key."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapes import tiny_model

from utils.bpe import build_vocab
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.formats.gguf import open_gguf
from utils.formats.gguf_gpt2 import describe_gguf
from utils.formats.gguf_writer import save_gguf
from utils.formats.inspect_model import inspect_file
from utils.formats.open_file import open_weights
from utils.loaders import load_gpt2, load_tokenizer
from utils.tokenizer import Tokenizer

TINY = GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=257, context=8)


@pytest.fixture
def tiny(tmp_path):
    """Return a whole tiny file."""
    return save_gguf(tiny_model(TINY), tmp_path / "tiny.gguf", "F32", Tokenizer(build_vocab([]), []))


# Files that lie, each refused by its byte or key


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def typed(kind: int, raw: bytes) -> bytes:
    return struct.pack("<I", kind) + raw


def array(kind: int, count: int, raw: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + raw


def tensor(name: str = "t", sizes: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def header(keys=(), tensors=(), data: int = 0, version: int = 3, counts: tuple[int, int] | None = None) -> bytes:
    """Return a file with these keys and tensors, and `data` bytes after them."""
    counts = counts or (len(tensors), len(keys))
    start = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*keys, *tensors])
    return start + bytes(-len(start) % 32) + bytes(data)


def deep(levels: int) -> bytes:
    return typed(9, b"".join(array(9, 1) for _ in range(levels - 1)) + array(0, 0))


LONGEST = 2**64 - 1
LIES = {
    "nothing": (b"", r"byte 0: it begins with b''"),
    "another word": (b"GGML" + bytes(40), "byte 0: it begins with b'GGML', expected b'GGUF'"),
    "the word alone": (b"GGUF", "byte 4: the version takes 4 bytes, the file ends after 0"),
    "version 1": (header(version=1), "byte 4: the version is 1, expected 2 or 3"),
    "version 4": (header(version=4), "byte 4: the version is 4, expected 2 or 3"),
    "big-endian": (header(version=3 << 24), "byte 4: the version is 50331648 .*big-endian"),
    "half a count": (b"GGUF" + struct.pack("<II", 3, 0), "byte 8: the number of tensors takes 8 bytes"),
    "absurd tensors": (header(counts=(LONGEST, 0)), "byte 8: it promises 18,446,744,073,709,551,615 tensors"),
    "absurd keys": (header(counts=(0, 2**40)), "byte 16: it promises 1,099,511,627,776 keys"),
    "more keys than bytes": (header(counts=(0, 9)), "the type of|is damaged at byte"),
    "more tensors than bytes": (header(counts=(9, 0)), "is damaged at byte"),
    "a long key": (header([struct.pack("<Q", LONGEST)]), "byte 24: a key has 18,446,744,073,709,551,615 bytes"),
    "a key beyond the end": (header([struct.pack("<Q", 60_000) + b"key"]), "byte 32: a key takes 60,000 bytes"),
    "a key of no text": (header([text(b"a\xff") + typed(7, b"\1")]), r"byte 33: a key is not UTF-8"),
    "a key twice": (header([text("a") + typed(7, b"\1")] * 2), "byte 38: the key 'a' stands there a second time"),
    "type 13": (header([text("a") + typed(13, bytes(8))]), "byte 37: the value has type 13.*The key is 'a'"),
    "half a number": (header([text("a") + typed(12, b"")])[:40], "byte 37: a number takes 8 bytes"),
    "a bool of 2": (header([text("a") + typed(7, b"\2")]), "byte 37: a bool is 2, expected 0 or 1"),
    "a long string": (header([text("a") + typed(8, struct.pack("<Q", LONGEST))]), "byte 37: the last of 1 strings"),
    "an array of type 13": (header([text("a") + typed(9, array(13, 1))]), "byte 37: an array holds type 13"),
    "an array of numbers beyond the end": (
        header([text("a") + typed(9, array(12, 2**61))]), "byte 49: an array of 2,305,843,009,213,693,952 float64",
    ),
    "an array of strings beyond the end": (header([text("a") + typed(9, array(8, 2**40))]), "string takes .* bytes"),
    "strings that run out": (header([text("a") + typed(9, array(8, 5, text("b" * 50)))]), "string 3 of 5 reaches"),
    "a long string in an array": (
        header([text("a") + typed(9, array(8, 2, struct.pack("<Q", LONGEST)))], data=64), "string 1 of 2 reaches",
    ),
    "arrays without end": (header([text("a") + deep(5)]), "arrays lie 5 deep.*The key is 'a'"),
    "arrays very deep": (header([text("a") + deep(50_000)]), "arrays lie 5 deep"),
    "very many arrays": (
        header([text("a") + typed(9, array(9, 40_000, array(0, 0) * 40_000))]), "32,769th of them; expected",
    ),
    "a bad bool in an array": (header([text("a") + typed(9, array(7, 3, b"\1\0\7"))]), "byte 51: a bool is 7"),
    "an alignment of text": (header([text("general.alignment") + typed(8, text("8"))]), "general.alignment is string"),
    "an alignment of 0": (header([text("general.alignment") + typed(4, bytes(4))]), "general.alignment is 0"),
    "an alignment of 24": (header([text("general.alignment") + typed(4, b"\x18\0\0\0")]), "alignment is 24, expected"),
    "an alignment beyond the end": (
        header([text("general.alignment") + typed(4, b"\0\0\0\x80")], [tensor()], 32), "'t' ends at byte 2,147,483,680",
    ),
    "a name twice": (header(tensors=[tensor(), tensor(offset=32)], data=64), "tensor 't' stands there a second time"),
    "a long name": (header(tensors=[tensor("n" * 65)], data=32), "byte 24: a tensor's name has 65 bytes, expected"),
    "five dimensions": (header(tensors=[tensor(sizes=(1,) * 5)], data=32), "'t' has 5 dimensions, expected at most 4"),
    "absurd dimensions": (header(tensors=[text("t") + struct.pack("<I", 2**32 - 1)]), "has 4,294,967,295 dimensions"),
    "a dimension of 0": (header(tensors=[tensor(sizes=(8, 0))]), r"'t' has dimensions \[8, 0\], expected none of 0"),
    "sizes that overflow": (header(tensors=[tensor(sizes=(2**32, 2**32, 16))], data=32), "under 2⁶³ values"),
    "an unknown type": (header(tensors=[tensor(kind=99)], data=32), "'t' has the unknown type 99"),
    "a removed type": (header(tensors=[tensor(kind=4)], data=32), "'t' has the unknown type 4"),
    "half a block": (header(tensors=[tensor(sizes=(33,), kind=8)], data=64), "have 33 values, Q8_0 packs 32"),
    "a place between": (header(tensors=[tensor(offset=8)], data=64), "'t' lies at 8 of the data, no multiple of 32"),
    "a place beyond the end": (header(tensors=[tensor(offset=2**40)], data=64), "'t' ends at byte 1,099,511,627,"),
    "a place that wraps": (header(tensors=[tensor(offset=2**64 - 32)], data=64), "'t' ends at byte 18,446,744,"),
    "tensors over each other": (
        header(tensors=[tensor(sizes=(9,)), tensor("u", offset=32)], data=96), "'u' begins at byte .*, within 't'",
    ),
    "one byte too few": (header(tensors=[tensor()], data=31), r"'t' ends at byte 96, the file is truncated at 95"),
    "a huge tensor": (header(tensors=[tensor(sizes=(2**40,))], data=32), "'t' ends at byte 4,398,046,511,"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_by_its_byte_and_costs_no_memory(tmp_path, name):
    content, message = LIES[name]
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CourseError) as caught:
            open_gguf(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    caught.match(message)
    assert str(path) in str(caught.value) and "Get the file again" in str(caught.value)
    assert peak < 2 * len(content) + 200_000


def test_a_file_that_lies_a_little_less_opens(tmp_path):
    path = tmp_path / "a.gguf"
    keys = [text("a") + deep(4), text("general.alignment") + typed(4, b"\x40\0\0\0")]
    for version in (2, 3):
        path.write_bytes(header(keys, version=version))
        assert open_gguf(path).get("a") == [[[[]]]]
    path.write_bytes(header(tensors=[tensor(), tensor("u", (2, 3), offset=64)], data=88))  # a gap between
    assert [list(t.shape) for t in open_gguf(path).tensors.values()] == [[8], [3, 2]]


def test_inspect_shows_no_control_characters(tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(header(keys=[text("a\x1b[2J") + typed(8, text("b\x07" * 100))]))
    assert describe_gguf(path)[-1].startswith(r"'a\x1b[2J': 'b\x07b") and len(describe_gguf(path)[-1]) < 100


def test_a_missing_file_and_a_damaged_model_are_named(tmp_path, tiny):
    path = tiny
    with pytest.raises(CourseError, match=r"nothing\.gguf is not there"):
        open_gguf(tmp_path / "nothing.gguf")
    data = path.read_bytes()
    for left in (4, 20, 100, 5000, len(data) - 1000):
        path.write_bytes(data[:left])
        for use in (load_gpt2, load_tokenizer, inspect_file):
            with pytest.raises(CourseError, match=r"tiny\.gguf is damaged at byte [\d,]+: .*Get the file again"):
                use(path)


def test_open_weights_leaves_gguf_to_its_reader(tiny):
    with pytest.raises(CourseError, match="begins with b'GGUF"):
        open_weights(tiny)


def test_many_blocks_of_nothing_are_refused_before_a_model_is_built(tmp_path):
    names = [tensor(f"blk.{i}.attn_norm.weight", (32,), offset=128 * i) for i in range(30_000)]
    tables = [tensor(f"{name}.weight", (32,), offset=128 * 30_000) for name in ("token_embd",)]
    keys = [text("general.architecture") + typed(8, text("gpt2"))]
    keys += [text("gpt2.block_count") + typed(4, struct.pack("<I", 30_000))]
    (tmp_path / "a.gguf").write_bytes(header(keys, names + tables, 128 * 30_001))
    with pytest.raises(CourseError, match="holds 30,001 tensors, .*30,000 blocks, which take 360,004"):
        load_gpt2(tmp_path / "a.gguf")


# Fuzzing: any change of any byte either loads or is refused

SMALLEST = GPT2Config(n_layer=1, n_head=1, n_embd=32, vocab_size=258, context=2)
NUMBERS = [0, 1, 2, 3, 7, 8, 9, 13, 32, 255, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    """Return the bytes of a whole small model, and where its header ends."""
    tokenizer = Tokenizer(build_vocab([("a", "b")]), [("a", "b")])
    path = tmp_path_factory.mktemp("fuzz") / "a.gguf"
    save_gguf(tiny_model(SMALLEST), path, "Q8_0", tokenizer)
    return path, path.read_bytes(), min(t.offset for t in open_gguf(path).tensors.values())


def use_or_refuse(path: Path) -> None:
    """Everything that reads a GGUF file either works or raises a CourseError."""
    for use in (describe_gguf, load_tokenizer, load_gpt2):
        try:
            use(path)
        except CourseError as error:
            assert str(error)


place = st.floats(0, 1, exclude_max=True)
change = st.one_of(
    st.tuples(st.just("byte"), place, st.integers(0, 255)),
    st.tuples(st.just("number"), place, st.sampled_from(NUMBERS)),
    st.tuples(st.just("cut"), place, st.just(0)),
    st.tuples(st.just("remove"), place, st.integers(1, 9)),
    st.tuples(st.just("repeat"), place, st.integers(1, 64)),
)


def changed(data: bytes, end: int, what: str, where: float, much: int) -> bytes:
    at = int(where * end)
    return {
        "byte": lambda: data[:at] + bytes([much % 256]) + data[at + 1 :],
        "number": lambda: data[:at] + struct.pack("<Q", much) + data[at + 8 :],
        "cut": lambda: data[:at],
        "remove": lambda: data[:at] + data[at + much :],
        "repeat": lambda: data[: at + much] + data[at:],
    }[what]()


@settings(max_examples=400)
@given(st.lists(change, min_size=1, max_size=3))
def test_any_change_of_the_header_loads_or_is_refused(smallest, changes):
    path, data, end = smallest
    for what, where, much in changes:
        data = changed(data, end, what, where, much)
    path.write_bytes(data)
    use_or_refuse(path)


def test_every_byte_of_the_header_that_matters_may_be_anything(smallest):
    path, data, end = smallest
    tokens = data.index(b"tokenizer.ggml.tokens")
    tensors = data.index(b"token_embd.weight")
    for at in [*range(0, tokens + 80, 3), *range(tensors - 200, end, 5)]:
        for value in (0, 255):
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            use_or_refuse(path)


@settings(max_examples=100)
@given(st.binary(max_size=200))
@example(b"")
def test_anything_after_the_word_loads_or_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + content)
    use_or_refuse(path)
