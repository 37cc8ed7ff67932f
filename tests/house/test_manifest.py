"""The course's own texts: the manifest, one set of records in five formats, the PDF, and the poems."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pypdf
import pytest
from record_sets import SETS, jsonl_records, load_generator

from tools.repo.manifest import check_manifest, read_manifest, write_manifest
from utils.errors import CourseError
from utils.files.places import DATA

READ_WITH_TENSORFLOW = """
import json, sys
import tensorflow as tf
for path in sys.argv[1:]:
    records = []
    for payload in tf.data.TFRecordDataset(path):
        features = tf.train.Example.FromString(payload.numpy()).features.feature
        records.append({name: value.bytes_list.value[0].decode() for name, value in features.items()})
        assert all(len(value.bytes_list.value) == 1 for value in features.values())
    print(json.dumps(records))
"""


def read(path: str) -> str:
    return (DATA / path).read_text(encoding="utf-8")


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def one_line(text: str) -> str:
    return " ".join(text.split())


POEMS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((DATA / "poems").glob("*.txt"))}


def poem(title: str) -> list[str]:
    """The lines of a poem that are not empty, without its title."""
    [text] = [text for text in POEMS.values() if text.startswith(f"{title}\n")]
    return [line for line in text.splitlines()[1:] if line.strip()]


# The manifest


def test_the_manifest_is_what_lies_in_data():
    assert check_manifest() == []
    assert {"poems/003_suppose.txt", "handbook/handbook.pdf"} <= {e["path"] for e in read_manifest()["files"]}


def test_every_file_has_a_licence_and_an_origin():
    for entry in read_manifest()["files"]:
        assert entry["licence"] in {"CC-BY-4.0", "MIT"}, entry
        assert entry["origin"].endswith("."), entry


def test_tiny_shakespeare_is_pinned_and_never_committed():
    manifest = read_manifest()
    [entry] = [entry for entry in manifest["downloads"] if entry["name"] == "tinyshakespeare"]
    assert entry["bytes"] == 1_115_394
    assert entry["sha256"] == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert entry["url"].startswith("https://")
    assert entry["sha256"] not in {file["sha256"] for file in manifest["files"]}


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """A data folder of two poems with its manifest."""
    (tmp_path / "poems").mkdir()
    for name in ("one.txt", "two.txt"):
        (tmp_path / "poems" / name).write_text(f"{name}\n", encoding="utf-8")
    write_manifest(tmp_path)
    return tmp_path


def test_a_true_manifest_has_the_length_and_hash_of_each_file(small_data):
    assert check_manifest(small_data) == []
    first = read_manifest(small_data)["files"][0]
    content = (small_data / "poems" / "one.txt").read_bytes()
    assert (first["path"], first["bytes"]) == ("poems/one.txt", len(content))
    assert first["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_changed_a_lost_and_a_new_file_are_named(small_data):
    (small_data / "poems" / "one.txt").write_text("One.txt\n", encoding="utf-8")  # same length
    (small_data / "poems" / "two.txt").rename(small_data / "poems" / "three.txt")
    changed, new, lost = check_manifest(small_data)
    assert "poems/one.txt has sha256" in changed and "poems/three.txt is there" in new
    assert "poems/two.txt is listed" in lost


def test_caches_of_the_machine_are_not_data(small_data):
    (small_data / "poems" / ".ipynb_checkpoints").mkdir()
    (small_data / "poems" / ".ipynb_checkpoints" / "one-checkpoint.txt").touch()
    assert check_manifest(small_data) == []


def test_a_file_of_unknown_origin_is_refused(small_data):
    (small_data / "found.txt").touch()
    with pytest.raises(CourseError, match=r"found\.txt.*no known licence"):
        write_manifest(small_data)


@pytest.mark.parametrize("content", ['{"files": [', None], ids=["damaged", "lost"])
def test_a_lost_or_damaged_manifest_says_what_to_run(small_data, content):
    path = small_data / "MANIFEST.json"
    path.write_text(content, encoding="utf-8") if content else path.unlink()
    with pytest.raises(CourseError, match=r"MANIFEST\.json.*python -m tools manifest"):
        check_manifest(small_data)


# Records


def test_the_derived_files_follow_from_the_texts():
    generator = load_generator()
    assert generator.stale(generator.make_records()) == []


@pytest.mark.parametrize(("name", "count"), SETS.items())
def test_a_set_is_whole_and_the_same_in_every_format(name, count):
    records = jsonl_records(name)
    with (DATA / name / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == records
    root = ElementTree.parse(DATA / name / f"{name}.xml").getroot()
    assert [{field.tag: field.text for field in record} for record in root] == records
    form = "Question: {question}\nAnswer: {answer}\nSource: {source}" if name == "quiz" else "{title}\n\n{text}"
    documents = read(f"{name}/{name}.txt").rstrip("\n").split("\n<|endoftext|>\n")
    assert documents == [form.format(**record) for record in records]
    fields = ["id", "question", "answer", "source"] if name == "quiz" else ["id", "title", "text"]
    for record in records:
        assert list(record) == fields
        assert all(value and value == value.strip() for value in record.values()), record["id"]
    for values in ({record["id"] for record in records}, {tuple(list(record.values())[1:]) for record in records}):
        assert len(values) == count == len(records)


def test_tensorflow_reads_the_same_records_from_the_tfrecords():
    paths = [str(DATA / name / f"{name}.tfrecord") for name in SETS]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", READ_WITH_TENSORFLOW, *paths]
    run = subprocess.run(command, env=quiet, capture_output=True, text=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert [json.loads(line) for line in run.stdout.splitlines()] == [jsonl_records(name) for name in SETS]


@pytest.mark.parametrize("name", SETS)
def test_the_records_hold_what_trips_readers(name):
    values = [value for record in jsonl_records(name) for value in record.values()]
    for trouble in (",", '"', "\n"):
        assert any(trouble in value for value in values), f"no {trouble!r} in {name}"
    assert any(not value.isascii() for value in values)
    assert any(ord(letter) > 255 for value in values for letter in value)  # beyond Latin-1


def test_the_example_is_as_by_hand():
    long = load_generator().encode_example({"a": "x" * 200})  # 200 needs two bytes of length: 200 = 1 * 128 + 72
    assert long[-203:-200] == bytes([0x0A, 72 | 128, 1])


def test_a_text_that_is_no_record_is_refused_by_number(tmp_path):
    path = tmp_path / "quiz.txt"
    path.write_text("Question: a\nAnswer: b\nSource: c\n<|endoftext|>\nQuestion: d\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"Record 2 of quiz\.txt has id, text, expected question"):
        load_generator().read_set(path, ("question", "answer", "source"))


def test_quiz_answers_quote_their_source_word_for_word():
    quoted = 0
    for record in jsonl_records("quiz"):
        source = one_line(read(record["source"]))
        for quotation in re.findall(r'"([^"]+)"', record["answer"]):
            quoted += 1
            assert one_line(quotation).rstrip(".").lower() in source.lower(), record["id"]
    assert quoted >= 8


def test_numbers_in_quiz_answers_about_the_handbook_stand_in_the_handbook():
    computed = {"quiz-09", "quiz-18"}  # a sum, and three metres of stall at 4 crowns
    handbook = set(words(read("handbook/handbook.txt")))
    for record in jsonl_records("quiz"):
        if record["source"].startswith("handbook") and record["id"] not in computed:
            numbers = set(re.findall(r"\d+", re.sub(r"(?m)^\d\. ", "", record["answer"])))
            assert numbers <= handbook | {n for w in handbook for n in re.findall(r"\d+", w)}, record["id"]


# The handbook on paper


def pdf_pages() -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(DATA / "handbook" / "handbook.pdf").pages]


def test_every_page_of_the_pdf_has_its_header_and_number():
    pages = pdf_pages()
    assert len(pages) >= 3
    for number, page in enumerate(pages, 1):
        assert page.startswith("Brindlemouth Town Handbook Third edition\n")
        assert page.rstrip().endswith(f"\nPage {number} of {len(pages)}")


def test_the_pdf_without_headers_and_numbers_is_the_handbook():
    pages = ["\n".join(page.strip().split("\n")[1:-1]) for page in pdf_pages()]
    assert one_line("\n".join(pages)) == one_line(read("handbook/handbook.txt"))


def test_the_pdf_follows_from_the_text_and_is_the_same_each_time():
    pytest.importorskip("fpdf", reason="fpdf2 sets the PDF; it isn't installed")
    generator = load_generator()
    assert generator.stale(generator.make_handbook()) == []


# The poems


def test_there_are_81_poems_each_with_a_title_of_its_own_and_six_to_twenty_lines():
    titles = [text.split("\n")[0] for text in POEMS.values()]
    assert len(titles) == len(set(titles)) == 81
    assert [int(name[:3]) for name in POEMS] == list(range(1, 82))
    for text in POEMS.values():
        assert text.split("\n")[1] == "" and text.split("\n")[2] and text.endswith("\n")
        lines = [line for line in text.split("\n")[1:] if line.strip()]
        assert 6 <= len(lines) <= 20
        assert all(line == line.rstrip() and "\t" not in line for line in lines)


def test_no_two_poems_share_six_words_in_a_row():
    seen: dict[tuple[str, ...], str] = {}
    for name, text in POEMS.items():
        run = words(text)
        for start in range(len(run) - 5):
            six = tuple(run[start : start + 6])
            assert seen.setdefault(six, name) == name, f"{name} and {seen[six]} share {' '.join(six)!r}"


def test_poems_under_a_rule_keep_it():
    pi = "31415926535897932384626433832795"
    assert [len(word) for word in words(" ".join(poem("Pie, to Thirty-One Places")))] == [int(d) for d in pi]
    assert set("aiouy").isdisjoint("".join(poem("The Beekeeper, with One Vowel")).lower())
    lines = [words(line) for line in poem("Equinox, Either Way")]
    assert lines == lines[::-1]
    initials = re.findall(r"\b[A-Z]", " ".join(poem("Harbour Alphabet")))
    assert [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in initials] == []
