"""Reading and splitting text: nothing is lost silently, nothing leaks."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.errors import CourseError
from utils.texts.reading import read_documents, stream_documents
from utils.texts.records import Document, ReadReport
from utils.texts.splitting import split_documents, split_inside

KNOWN = ".csv, .json, .jsonl, .pdf, .tfrecord, .tsv, .txt, .xml"


def write(folder, files: dict[str, bytes | str]):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return folder


def documents(*texts: str) -> list[Document]:
    return [Document(f"{i}.txt", text) for i, text in enumerate(texts)]


def test_a_folder_is_read_in_sorted_order_with_its_folders_and_one_file_as_it_is(tmp_path):
    write(tmp_path, {"b.txt": "B", "a/z.TXT": "Z", "a/y.txt": "Y\r\n", "a.txt": "naïve\r\n東京 \n", "C.txt": "C"})
    found = read_documents(tmp_path, ReadReport())
    assert [d.name for d in found] == ["C.txt", "a.txt", "a/y.txt", "a/z.TXT", "b.txt"]
    assert [d.text for d in found] == ["C", "naïve\r\n東京 \n", "Y\r\n", "Z", "B"]
    assert read_documents(tmp_path / "a.txt") == [found[1]]


UNREAD = {"b.docx": ".docx", "c": "a file without ending"}


def test_everything_left_out_is_in_the_report(tmp_path):
    files = dict.fromkeys(("a.txt", "b.docx", "c", ".f.txt", ".git/g.txt"), "A") | {"d.txt": "", "e.txt": " \n"}
    report = ReadReport()
    assert [d.name for d in read_documents(write(tmp_path, files), report)] == ["a.txt"]
    assert (report.documents, report.characters) == (1, 1)
    reasons = {".f.txt": "hidden", ".git": "hidden", "d.txt": "empty", "e.txt": "empty"}
    reasons |= {
        "b.docx": f"no reader for .docx, only {KNOWN}",
        "c": f"no reader for a file without ending, only {KNOWN}",
    }
    assert report.skipped == reasons and "left out b.docx: no reader" in str(report)


def test_without_a_report_a_warning_names_what_was_left_out(tmp_path):
    write(tmp_path, {"a.txt": "A", "b.docx": "B"})
    with pytest.warns(UserWarning, match="left out b.docx"):
        read_documents(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_links_are_followed_to_files_only_and_a_loop_ends(tmp_path):
    write(tmp_path, {"a/a.txt": "A"})
    (tmp_path / "link.txt").symlink_to(tmp_path / "a" / "a.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "broken.txt").symlink_to(tmp_path / "gone.txt")
    report = ReadReport()
    assert [d.name for d in read_documents(tmp_path, report)] == ["a/a.txt", "link.txt"]
    assert set(report.skipped) == {"a/loop", "broken.txt"}


def test_a_byte_order_mark_is_removed_and_noted(tmp_path):
    write(tmp_path, {"a.txt": b"\xef\xbb\xbfna\xc3\xafve \xef\xbb\xbf"})
    report = ReadReport()
    assert read_documents(tmp_path, report)[0].text == "naïve \ufeff"
    assert report.notes == {"a.txt": "byte order mark removed"}


def test_a_file_not_in_utf8_is_refused_with_its_place(tmp_path):
    write(tmp_path, {"a.txt": b"\xef\xbb\xbfone\ncaf\xe9 two"})
    with pytest.raises(CourseError, match=r"a\.txt is not UTF-8 in line 2 \(it is 0xe9\).*Save it as"):
        read_documents(tmp_path)


WIDE = [codec for name in ("utf-16", "utf-32") for codec in (name, f"{name}-le", f"{name}-be")]
MARKED = {
    "a.txt": "naïve 東京\r\n\U0001f600",
    "a.csv": 'text\n"naïve 東京, \u2028 \U0001f600"\n',
    "a.json": '[{"text": "naïve 東京 \U0001f600"}]',
    "a.jsonl": '{"text": "naïve 東京 \u2028 \U0001f600"}\n',
    "a.xml": '<?xml version="1.0" encoding="UTF-16"?>\n<r><x>naïve 東京</x><x>\U0001f600</x></r>',
}


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("name", MARKED)
def test_a_mark_of_utf_16_or_32_is_believed_and_noted(tmp_path, name, codec):
    mark = b"" if codec[-2:] in ("16", "32") else "\ufeff".encode(codec)
    write(tmp_path, {f"wide/{name}": mark + MARKED[name].encode(codec), f"plain/{name}": MARKED[name]})
    report = ReadReport()
    found, expected = read_documents(tmp_path / "wide", report), read_documents(tmp_path / "plain", ReadReport())
    assert found == expected
    assert codec[:6].upper() in report.notes[name] and not report.skipped


def test_half_a_character_of_utf_16_is_reported_as_of_any_other_text(tmp_path):
    write(tmp_path, {"a.txt": "one\ntwo".encode("utf-16")[:-1]})
    with pytest.raises(CourseError, match=r"a\.txt .* in line 2 .*UTF-16"):
        read_documents(tmp_path)
    report = ReadReport()
    assert read_documents(tmp_path, report, errors="replace")[0].text == "one\ntw\ufffd"
    assert "1 places became U+FFFD, the first in line 2" in report.notes["a.txt"]


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.txt", b"one\rtwo\r", ["one\ntwo\n"]),
        ("a.txt", "one\rtwo".encode("utf-16"), ["one\ntwo"]),
        ("a.txt", b"one\r<|endoftext|>\rtwo", ["one", "two"]),
        ("a.csv", b"id,text\r1,one\r2,two\r", ["one", "two"]),
        ("a.jsonl", b'{"text": "one"}\r{"text": "two"}', ["one", "two"]),
    ],
)
def test_lines_that_end_as_on_old_macs_are_cut_and_noted(tmp_path, name, content, texts):
    report = ReadReport()
    assert [d.text for d in read_documents(write(tmp_path, {name: content}), report)] == texts
    assert "CR" in report.notes[name] and not report.skipped


def test_a_carriage_return_within_a_text_with_other_line_ends_stays(tmp_path):
    report = ReadReport()
    assert read_documents(write(tmp_path, {"a.txt": "a\rb\nc\r\n"}), report)[0].text == "a\rb\nc\r\n"
    assert not report.notes


@pytest.mark.parametrize("name", ["utn-8", "ANSI", "utf8mb4", "base64", "idna", "UTF-16", "x" * 40])
def test_an_encoding_of_no_such_name_is_noted_and_the_xml_read_as_utf_8(tmp_path, name):
    content = f'<?xml version="1.0" encoding="{name}"?>\n<r><x>naïve</x></r>'
    report = ReadReport()
    assert [d.text for d in read_documents(write(tmp_path, {"a.xml": content}), report)] == ["naïve"]
    assert name in report.notes["a.xml"]


@pytest.mark.parametrize("name", ["iso-8859-1", "windows-1252", "gbk", "shift_jis", "koi8-r"])
def test_xml_is_read_in_the_encoding_that_it_declares(tmp_path, name):
    word = {"gbk": "東京", "shift_jis": "東京", "koi8-r": "мир"}.get(name, "naïve")
    content = f'<?xml version="1.0" encoding="{name}"?>\n<r><x>{word}</x></r>'.encode(name)
    report = ReadReport()
    assert [d.text for d in read_documents(write(tmp_path, {"a.xml": content}), report)] == [word]
    assert not report.notes and not report.skipped


def test_replacing_is_a_choice_and_is_reported_with_its_count(tmp_path):
    write(tmp_path, {"a.txt": b"caf\xe9 \xff \xef\xbf\xbd."})
    report = ReadReport()
    assert read_documents(tmp_path, report, errors="replace")[0].text == "caf\ufffd \ufffd \ufffd."
    assert report.notes == {"a.txt": "not UTF-8, 2 places became U+FFFD, the first in line 1"}
    with pytest.raises(CourseError, match="errors='ignore' is unknown"):
        read_documents(tmp_path, report, errors="ignore")


@pytest.mark.parametrize(
    ("files", "path", "named"),
    [
        ({}, "", "holds no text"),
        ({"a.txt": ""}, "", r"holds no text.*a\.txt"),
        ({"a.docx": "A"}, "", r"holds no text.*a\.docx"),
        ({"a.docx": "A"}, "a.docx", r"a\.docx ends in '\.docx', expected \.csv"),
        ({}, "nowhere", "nowhere was not found"),
    ],
)
def test_where_no_text_is_found_the_reason_is_said(tmp_path, files, path, named):
    with pytest.raises(CourseError, match=named):
        read_documents(write(tmp_path, files) / path)


def test_documents_are_streamed_one_at_a_time(tmp_path):
    write(tmp_path, {"a.txt": "A", "b.txt": b"\xff"})
    stream = stream_documents(tmp_path, ReadReport())
    assert next(stream).text == "A"  # b.txt, which is damaged, has not been opened yet
    with pytest.raises(CourseError, match="b.txt"):
        next(stream)


@settings(max_examples=200)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=20), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_loses_nothing_leaks_nothing_and_fills_both_sides(letters, fraction, seed):
    given_documents = documents(*(letter * (ord(letter) - 90) for letter in letters))
    train, validate, _ = split_documents(given_documents, fraction, seed)
    assert train and validate
    assert not {d.text for d in train} & {d.text for d in validate} or len(set(letters)) == 1
    if len(set(letters)) > 1:
        assert Counter(train + validate) == Counter(given_documents)
    else:
        assert train[0].text + validate[0].text == given_documents[0].text


def test_texts_that_differ_in_tidiness_only_stay_together():
    texts = [f"story {i // 2}" + ("\r\n" if i % 2 else " \n") for i in range(40)]
    train, validate, _ = split_documents(documents(*texts), 0.3)
    assert not {d.text.strip() for d in train} & {d.text.strip() for d in validate}


def test_one_huge_document_does_not_become_the_validation_side():
    texts = ["x" * 100_000, *(f"{i} " * 40 for i in range(100))]
    for seed in range(20):
        train, validate, _ = split_documents(documents(*texts), 0.05, seed)
        assert sum(len(d.text) for d in validate) <= 0.05 * sum(map(len, texts))
        assert "0.txt" in {d.name for d in train}
    _, validate, _ = split_documents(documents("x" * 1000, "y" * 10), 0.001)
    assert [d.text for d in validate] == ["y" * 10]


def test_the_asked_share_is_met_when_documents_are_small():
    texts = [f"{i:04d} " * 20 for i in range(1000)]
    train, validate, note = split_documents(documents(*texts), 0.1)
    assert (len(train), len(validate)) == (900, 100)
    assert note == "split by document: 100 of 1000 validate, 10.0% of the characters"


def test_a_split_depends_on_the_seed_and_the_texts_not_on_names_or_order():
    texts = [f"text {i}" for i in range(50)]
    first = {d.text for d in split_documents(documents(*texts), 0.2, 1).validate}
    assert {d.text for d in split_documents(documents(*texts[::-1]), 0.2, 1).validate} == first
    assert {d.text for d in split_documents(documents(*texts), 0.2, 2).validate} != first


def test_a_single_document_is_split_inside_and_says_so():
    train, validate, note = split_documents([Document("all.txt", "abcdefghij")], 0.2)
    assert (train[0].text, validate[0].text) == ("abcdefgh", "ij")
    assert note == "split inside the document, since there is one document: the last 20% validates"
    train, validate, note = split_documents(documents("abcdefghij", "abcdefghij", " "), 0.5)
    assert (train[0].text, validate[0].text) == ("abcde", "fghij")
    assert "2 documents are the same text" in note


@pytest.mark.parametrize("fraction", [0.0001, 0.5, 0.9999])
def test_neither_side_of_a_split_text_is_empty(fraction):
    assert split_inside("ab", fraction) == ("a", "b")


@pytest.mark.parametrize(
    ("texts", "fraction", "named"),
    [
        *((["a", "b"], fraction, "between 0 and 1") for fraction in (0, 1, -0.1, float("nan"))),
        ([" "], 0.1, "no text"),
        (["a"], 0.1, "1 characters can't be split"),
    ],
)
def test_what_cannot_be_split_is_refused(texts, fraction, named):
    with pytest.raises(CourseError, match=named):
        split_documents(documents(*texts), fraction)
