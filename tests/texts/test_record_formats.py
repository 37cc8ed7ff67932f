"""Every format gives the same records, and whatever is damaged is reported with its place while the rest is read."""

from __future__ import annotations

import csv
import io
import json
import struct
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_sets import SETS, jsonl_records, load_generator

from utils.errors import CourseError
from utils.files.places import DATA
from utils.texts import readers
from utils.texts.reading import read_documents, read_records, stream_records
from utils.texts.records import ReadReport, fields_of, text_of
from utils.texts.tfrecord import decode_example

MADE = load_generator()
LONG = MADE.encode_example({"a": "b" * 300})

values = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('",\n\t;<&|{}[]'), min_size=1)
tables = st.lists(st.fixed_dictionaries({"a": values, "b": values}), min_size=1, max_size=6)


def write(tmp_path, name: str, content: bytes | str):
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def read(path, errors="strict") -> tuple[list[dict[str, str]], ReadReport]:
    report = ReadReport()
    return [record.fields for record in stream_records(path, report, errors)], report


def to_xml(rows: list[dict[str, str]]) -> bytes:
    root = ElementTree.Element("rows")
    for row in rows:
        element = ElementTree.SubElement(root, "row")
        for name, value in row.items():
            ElementTree.SubElement(element, name).text = value
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8")


def to_csv(rows: list[dict[str, str]], **options) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# The same records


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "xml", "tfrecord", "txt"])
def test_all_formats_hold_the_same_records(name, ending):
    records, report = read(DATA / name / f"{name}.{ending}")
    assert records == jsonl_records(name)
    assert report.skipped == {} and report.notes == {}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"version": 1, "data": rows}])
def test_json_gives_the_same_records_in_one_line_or_many_and_inside_of_an_object(tmp_path, indent, wrap):
    rows = jsonl_records("quiz")
    records, report = read(write(tmp_path, "quiz.json", json.dumps(wrap(rows), indent=indent, ensure_ascii=False)))
    assert records == rows
    assert ("version" in str(report.notes)) == isinstance(wrap(rows), dict)


def test_of_an_object_with_lists_the_longest_is_read_and_all_else_noted(tmp_path):
    rows = [{"title": f"No. {i}", "paragraphs": [{"context": "one"}]} for i in range(3)]
    squad = {"version": "v2.0", "licenses": [{"id": 1}], "data": rows}
    records, report = read(write(tmp_path, "a.json", json.dumps(squad)))
    assert [record["title"] for record in records] == ["No. 0", "No. 1", "No. 2"]
    assert all(word in report.notes["a.json"] for word in ("'data'", "version", "licenses", "'paragraphs'"))
    assert len(report.notes["a.json"]) < 200
    for whole in ({"text": "one", "tags": [{"a": 1}]}, [{"id": "7", "messages": [{"a": 1}]}]):
        [record], _ = read(write(tmp_path, "a.json", json.dumps(whole)))
        assert len(record) == 2, "a record with a list in it is one record"
    for inner in ({"rows": [{"a": 1}]}, ["one", "two"]):
        _, report = read(write(tmp_path, "a.json", json.dumps({"id": "7", "found": inner})))
        assert "'found'" in report.notes["a.json"], "JSON that becomes text is noted"


def test_the_pdf_holds_the_handbook_page_by_page():
    [record], report = read(DATA / "handbook" / "handbook.pdf")
    pages = record["text"].split("\f")
    assert len(pages) == 13 and report.skipped == {}
    assert pages[1].endswith("Page 2 of 13")
    inside = " ".join(" ".join(page.split("\n")[1:-1]) for page in pages)
    assert inside.split() == (DATA / "handbook" / "handbook.txt").read_text(encoding="utf-8").split()


def test_a_folder_of_all_formats_gives_each_record_once_from_each_file():
    report = ReadReport()
    records = read_records(DATA / "letters", report)
    assert len(records) == 5 * 12 and report.skipped == {}
    assert {record.file for record in records} == {f"letters.{e}" for e in ("csv", "jsonl", "tfrecord", "txt", "xml")}
    assert len({tuple(sorted(record.fields.items())) for record in records}) == 12
    assert len({document.text for document in read_documents(DATA / "letters", ReadReport())}) == 12


@given(tables)
def test_whatever_stands_in_the_fields_comes_out_of_every_format(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    files = {
        "rows.csv": to_csv(rows),
        "rows.tsv": to_csv(rows, delimiter="\t"),
        "rows.json": json.dumps(rows),
        "rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "rows.tfrecord": MADE.to_tfrecord(rows),
    }
    if not any(bad in value for row in rows for value in row.values() for bad in "\ufffe\uffff"):  # XML has no room
        files["rows.xml"] = to_xml(rows)
    expected = [row for row in rows if any(value.strip() for value in row.values())]
    for name, content in files.items():
        if expected:
            assert read(write(folder, name, content))[0] == expected, name


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("Question: Answer: \n"), max_size=60))
def test_a_text_comes_back_from_its_fields(text):
    assert text_of(fields_of(text)) in (text, "") and (text_of(fields_of(text)) == text or not text.strip())


@pytest.mark.parametrize(
    ("name", "content", "records"),
    [
        (
            "a.jsonl",
            '{"text": "a", "n": 3, "x": 0.5, "yes": true, "none": null, "tags": ["é", 1]}',
            [{"text": "a", "n": "3", "x": "0.5", "yes": "true", "none": "", "tags": '["é", 1]'}],
        ),
        (
            "a.xml",
            '<p><row Id="1" Title="A"/><row><a>x<b>y</b></a><a>z</a></row><row>one <i>two</i> three</row></p>',
            [{"Id": "1", "Title": "A", "text": ""}, {"a": "xy\nz"}, {"text": "one two three"}],
        ),
    ],
)
def test_values_of_every_kind_become_text(tmp_path, name, content, records):
    assert read(write(tmp_path, name, content))[0] == records


def test_tfrecords_of_numbers_are_read(tmp_path):
    def field(number, payload):
        return bytes([number << 3 | 2, len(payload)]) + payload

    floats = field(2, field(1, struct.pack("<2f", 0.1, -3)))
    ints = field(3, field(1, bytes([5]) + b"\xff" * 9 + b"\x01"))  # packed: 5, and -1 in ten bytes
    example = field(1, field(1, field(1, b"f") + field(2, floats)) + field(1, field(1, b"i") + field(2, ints)))
    assert decode_example(example) == {"f": "0.1\n-3.0", "i": "5\n-1"}


@given(
    st.binary(max_size=40) | st.integers(0, 10**6).map(lambda n: MADE.encode_example({"a": "b" * (n % 300)})[: n % 90])
)
def test_no_bytes_make_the_example_reader_stumble(payload):
    try:
        assert isinstance(decode_example(payload), dict)
    except CourseError as error:
        assert "no tf.train.Example" in str(error)


# Damage


def test_damaged_csv_rows_cost_their_own_lines(tmp_path):
    content = (
        "id,text\r\n1,one\r\n2,two,too many\r\n3\r\n"
        '4,"open\r\n5,five\r\n6,"six ""6""\r\nsix"\r\n7,"se" ven\r\n\r\n8,eight\r\n'
    )
    records, report = read(write(tmp_path, "a.csv", content))
    assert [record["id"] for record in records] == ["1", "5", "6", "8"]
    assert records[2]["text"] == 'six "6"\r\nsix'
    assert list(report.skipped) == [f"a.csv, line {i}" for i in (3, 4, 5, 9)]
    assert report.skipped["a.csv, line 3"] == "3 fields, expected 2 as in the first row"
    assert report.skipped["a.csv, line 9"].startswith("',' expected after")


def test_an_open_quote_swallows_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MOST_LINES", 50)
    rows = [f"{i},row {i}\n" for i in range(200)]
    rows[20] = '20,"row 20\n'
    records, report = read(write(tmp_path, "a.csv", "id,text\n" + "".join(rows)))
    assert len(records) == 199 and list(report.skipped) == ["a.csv, line 22"]
    assert "still open" in report.skipped["a.csv, line 22"]
    rows[20], rows[190] = "20,row 20\n", '190,"row 190\n'  # too near to the end
    records, report = read(write(tmp_path, "a.csv", "id,text\n" + "".join(rows)))
    assert len(records) == 199 and list(report.skipped) == ["a.csv, line 192"]


def test_a_csv_with_an_ambiguous_header_is_left_out_with_the_reason(tmp_path):
    for header in ("text,text", "id,,text"):
        with pytest.raises(CourseError, match=r"a\.csv .its first row is .*a name of its own"):
            read(write(tmp_path, "a.csv", header + "\n1,2\n"))


def test_cells_longer_than_the_csv_modules_limit_are_read(tmp_path):
    long = "word " * 60_000
    assert read(write(tmp_path, "a.csv", f"id,text\n1,{long}\n"))[0] == [{"id": "1", "text": long}]


def test_damaged_jsonl_lines_are_reported_by_line(tmp_path):
    lines = ['{"a": 1}', "{", "", "[1]", "7", '"text"', '{"a": 1, "a": 2}', '{"a": ""}', '{"a": "é"}']
    records, report = read(write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert records == [{"a": "1"}, {"text": "text"}, {"a": "é"}]
    assert list(report.skipped) == [f"a.jsonl, line {i}" for i in (2, 4, 5, 7, 8)]
    assert "'a' stands twice" in report.skipped["a.jsonl, line 7"]


def test_a_damaged_json_list_gives_the_rows_before_the_damage_and_its_line(tmp_path):
    rows = [json.dumps({"id": str(i), "text": f"row {i}"}) for i in range(9)]
    rows[6] = rows[6].replace('"row 6"', '"row 6')
    records, report = read(write(tmp_path, "a.json", "[\n" + ",\n".join(rows) + "\n]"))
    assert [record["id"] for record in records] == list("012345")
    [(where, reason)] = report.skipped.items()
    assert where == "a.json, line 8" and "line 8" in reason and "follows" in reason
    deep = "[" * 100_000
    with pytest.raises(CourseError, match="recursion"):
        read(write(tmp_path, "a.json", deep))


def test_a_json_list_that_was_cut_off_is_noted(tmp_path):
    _, report = read(write(tmp_path, "a.json", '[{"a": "b"},\n'))
    assert report.notes == {"a.json": "the list of line 1 is not closed: the file was cut off"}
    records, report = read(write(tmp_path, "a.json", '[{"a": "b"},\n{"a": "c'))
    assert records == [{"a": "b"}] and list(report.skipped) == ["a.json, line 2"]


XML_DAMAGE = {
    "a crossed field": ("</text></row>", "</row></text>"),
    "an unclosed row": ("</text></row>", "</text>"),
    "a bare sign": ("row 7<", "row & 7<"),
    "a byte that is not UTF-8": ("row 7<", "row \udce9 7<"),
    "a cut": ("</row>", ""),
}


@pytest.mark.parametrize("damage", XML_DAMAGE)
def test_damaged_xml_gives_the_elements_before_the_damage_and_its_line(tmp_path, damage):
    old, new = XML_DAMAGE[damage]
    rows = [f"<row><id>{i}</id><text>row {i}</text></row>\n" for i in range(20)]
    rows[7] = rows[7].replace(old, new)
    head, foot = '<?xml version="1.0"?>\n<!-- <x><y> --><rows a="b">\n', "</rows>"
    content = head + "".join(rows[:8] if damage == "a cut" else rows) + foot * (damage != "a cut")
    records, report = read(write(tmp_path, "a.xml", content.encode(errors="surrogateescape")))
    assert [int(record["id"]) for record in records][:7] == list(range(7))
    [(where, reason)] = report.skipped.items()
    assert "no XML" in reason and int(where.split()[2]) in (10, 11, 23)  # an unclosed row shows at the end of its root
    assert len(records) == (7 if damage != "an unclosed row" else 7)


def test_xml_text_beside_the_elements_and_entities_are_reported(tmp_path):
    _, report = read(write(tmp_path, "a.xml", "<r>\n<x>1</x>\nlost\n<x>2</x></r>"))
    assert report.skipped == {"a.xml, line 4": "text beside the elements, expected none"}
    records, report = read(write(tmp_path, "b.xml", "<r>one<x>1</x><x>2</x>two</r>"))
    assert [record["text"] for record in records] == ["1", "2"] and report.dropped == 2
    laughs = '<!DOCTYPE r [<!ENTITY a "ha">]>\n<r><x>&a;</x></r>'
    with pytest.raises(CourseError, match="defines entities"):
        read(write(tmp_path, "a.xml", laughs))


def test_a_damaged_tfrecord_costs_itself_and_a_damaged_length_all_that_follows(tmp_path):
    rows = [{"id": str(i), "text": f"row {i} " * 9} for i in range(9)]
    frames = [bytearray(MADE.to_tfrecord([row])) for row in rows]
    frames[2][40] ^= 1  # in the payload
    frames[6][3] ^= 1  # in the length
    records, report = read(write(tmp_path, "a.tfrecord", b"".join(frames)))
    assert [int(record["id"]) for record in records] == [0, 1, 3, 4, 5]
    assert list(report.skipped) == ["a.tfrecord, record 3", "a.tfrecord, record 7"]
    assert f"byte {sum(map(len, frames[:6])):,} " in report.skipped["a.tfrecord, record 7"]
    records, report = read(write(tmp_path, "a.tfrecord", b"".join(frames[:2])[:-3]))
    assert len(records) == 1 and "ends in the middle" in report.skipped["a.tfrecord, record 2"]


def test_what_is_no_example_is_reported_by_number(tmp_path):
    payload = b"\x0a\xff"
    frame = MADE.frame(payload) + MADE.to_tfrecord([{"a": "b"}])
    records, report = read(write(tmp_path, "a.tfrecord", frame))
    assert records == [{"a": "b"}]
    assert "no tf.train.Example" in report.skipped["a.tfrecord, record 1"]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.csv", b"id,text\n1,one\n2,caf\xe9\n", "line 3"),
        ("a.jsonl", b'{"id": "1", "text": "one"}\n{"id": "2", "text": "caf\xe9"}\n', "line 2"),
        ("a.json", b'[{"id": "1", "text": "one"},\n{"id": "2", "text": "caf\xe9"}]', "line 2"),
        ("a.xml", b"<r>\n<x><id>1</id><text>one</text></x>\n<x><id>2</id><text>caf\xe9</text></x></r>", "line 3"),
    ],
)
def test_a_row_not_in_utf8_is_left_out_and_reported_or_replaced_and_noted(tmp_path, name, content, place):
    path = write(tmp_path, name, content)
    records, report = read(path)
    assert records == [{"id": "1", "text": "one"}] and list(report.skipped) == [f"{name}, {place}"]
    records, report = read(path, "replace")
    assert records[1] == {"id": "2", "text": "caf\ufffd"} and report.skipped == {}


def test_a_text_not_in_utf8_can_be_left_out(tmp_path):
    write(tmp_path, "a.txt", b"caf\xe9")
    write(tmp_path, "b.txt", "b")
    records, report = read(tmp_path, "skip")
    assert [record["text"] for record in records] == ["b"]
    assert report.skipped == {"a.txt, line 1": "1 bytes from here on are not UTF-8 (it is 0xe9)"}


def test_documents_of_one_text_file_are_parted_by_marks_alone_on_their_lines(tmp_path):
    content = "one\n<|endoftext|> in a line\n<|endoftext|>\r\n\n<|endoftext|>\nTitle\n\ntwo\n"
    report = ReadReport()
    found = list(stream_records(write(tmp_path, "a.txt", content), report))
    assert [(record.name, text_of(record.fields)) for record in found] == [
        ("a.txt, line 1", "one\n<|endoftext|> in a line"),
        ("a.txt, line 6", "Title\n\ntwo"),
    ]
    assert report.skipped == {"a.txt, line 4": "empty"}


# PDF


@pytest.fixture
def pdf(tmp_path):
    fpdf = pytest.importorskip("fpdf", reason="fpdf2 sets the PDF; it isn't installed")

    def make(*pages: str):
        made = fpdf.FPDF()
        made.set_font("Times")
        for page in pages:
            made.add_page()
            if page:
                made.multi_cell(0, 6, page)
        return write(tmp_path, "a.pdf", bytes(made.output()))

    return make


def test_empty_pages_and_debris_of_a_pdf_are_reported_by_page(pdf):
    [record], report = read(pdf("one (cid:12) word", "", "(cid:3)(cid:12) (cid:7)", "last"))
    assert record["text"] == "one (cid:12) word\flast"
    assert report.skipped == {
        "a.pdf, page 2": "no text: it is empty or a picture",
        "a.pdf, page 3": "3 glyphs without letters",
    }
    assert report.notes == {"a.pdf": "1 glyphs without letters, such as (cid:12), stand in its text"}


def test_what_is_no_pdf_or_cut_off_is_reported(tmp_path, pdf):
    content = pdf("one", "two").read_bytes()
    write(tmp_path, "b.txt", "b")
    for damaged in (b"<html>404</html>", content[: len(content) // 2], b"", content[:20]):
        write(tmp_path, "a.pdf", damaged)
        records, report = read(tmp_path)
        lost = any(where.startswith("a.pdf") for where in report.skipped)
        assert lost or any("one" in record["text"] and "two" in record["text"] for record in records), damaged[:9]
