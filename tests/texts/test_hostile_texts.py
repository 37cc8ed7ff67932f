"""No text takes time that grows faster than it: files made to be slow, at one size and at four times that size."""

from __future__ import annotations

import gc
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c
from utils.texts.cleaning import ALL, clean
from utils.texts.reading import read_documents
from utils.texts.records import ReadReport


def frame(payload: bytes) -> bytes:
    """Return a record of a TFRecord file whose checksums are right."""
    length = struct.pack("<Q", len(payload))
    return length + masked_crc32c(length) + payload + masked_crc32c(payload)


def numbered(pattern: bytes, count: int) -> bytes:
    return b"".join(pattern % number for number in range(count))


# What a file holds, of size n: what is never closed, what is repeated, what each line gets wrong
SLOW: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "tags": (".xml", lambda n: b"<a" * n),
    "tag over lines": (".xml", lambda n: b"<r><x " + b"\n" * n),
    "attributes": (".xml", lambda n: b"<r><a " + numbered(b"b%d='c' ", n) + b"/></r>"),
    "comments": (".xml", lambda n: b"<!--" * n),
    "comment over lines": (".xml", lambda n: b"<!--" + b"a\n" * n),
    "nested": (".xml", lambda n: b"<x>" * n),
    "nested and closed": (".xml", lambda n: b"<x>" * n + b"</x>" * n),
    "stray texts": (".xml", lambda n: b"<r>" + b"<x>a</x>b" * n + b"</r>"),
    "one field": (".xml", lambda n: b"<r><x>" + b"<a>t</a>" * n + b"</x></r>"),
    "equal names": (".json", lambda n: b'{"a": 1' + b', "a": 1' * n + b"}"),
    "other names": (".json", lambda n: b'{"b": 1' + numbered(b', "a%d": 1', n) + b"}"),
    "brackets": (".json", lambda n: b"[" * 8 * n),
    "numbers": (".json", lambda n: b"1," * n),
    "brackets in a line": (".jsonl", lambda n: b"[" * 8 * n),
    "broken lines": (".jsonl", lambda n: b"{\n" * n),
    "open quotes": (".csv", lambda n: b"a,b\n" + b'x,"\n' * n),
    "quotes in quotes": (".csv", lambda n: b'a,b\n"' + b'""\n' * n),
    "columns": (".csv", lambda n: numbered(b"c%d,", n) + b"d\n" + b"x," * n + b"x\n"),
    "ragged rows": (".csv", lambda n: b"a,b\n" + b"x\n" * n),
    "marks": (".txt", lambda n: b"<|endoftext|>\n" * n),
    "old line ends": (".txt", lambda n: b"a\r" * n),
    "fields": (".txt", lambda n: b"Question: a\nAnswer: b\n" * n),
    "no UTF-8": (".txt", lambda n: b"\xff\n" * n),
    "half characters": (".txt", lambda n: b"\xff\xfe" + b"\x00\xd8" * n),
    "an endless number": (".tfrecord", lambda n: frame(b"\x0a" + b"\x80" * n)),
    "features": (".tfrecord", lambda n: frame(b"\x0a\x00" * n)),
}


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that some work takes."""
    gc.disable()  # it would walk through all that the tests before left behind
    start = time.process_time()
    try:
        work()
    finally:
        gc.enable()
    return time.process_time() - start


def read_or_refuse(file: Path) -> None:
    try:
        read_documents(file, ReadReport(), errors="replace")
    except CourseError as error:
        assert file.name in str(error)


@pytest.mark.parametrize("kind", SLOW)
def test_four_times_the_text_takes_about_four_times_as_long(tmp_path, kind):
    ending, make = SLOW[kind]
    files = [tmp_path / f"{size}{ending}" for size in (8_000, 32_000)]
    for file in files:
        file.write_bytes(make(int(file.stem)))
    times = [seconds(lambda file=file: read_or_refuse(file)) for file in files]
    assert times[1] < 9 * max(times[0], 0.03), times  # a quadratic reader takes 16 times as long


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "(cid:" * n + "7" + ")" * n,  # each round removes one of them, in the middle
        lambda n: "\f".join(["ode\n" * n] * 3),  # each round removes a line of each page
        lambda n: "Ã" * n + " " * n + "\r\n" * n + "-\n" * n,
    ],
    ids=["debris in debris", "headers", "debris"],
)
def test_cleaning_takes_as_long_as_the_text(make):
    times = [seconds(lambda size=size: clean(make(size), ALL)) for size in (2_000, 8_000)]
    assert times[1] < 9 * max(times[0], 0.03), times
