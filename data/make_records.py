"""Write what follows from the texts: three sets of records in four formats each, and the handbook as PDF.

`python data/make_records.py` writes the files, `--check` only says which of them are stale.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import struct
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

from utils.errors import CourseError
from utils.files.crc32c import masked_crc32c
from utils.texts.reading import read_records

DATA = Path(__file__).resolve().parent
ROW = 4.6  # millimetres from one line of a table to the next

Record = dict[str, str]


# Text in


def read_set(path: Path, fields: tuple[str, ...]) -> list[Record]:
    """Read the documents of a text file as records, each of which must have these fields and an id."""
    records = [record.fields for record in read_records(path)]
    for i, record in enumerate(records, 1):
        if tuple(record) != ("id", *fields):
            raise CourseError(f"Record {i} of {path.name} has {', '.join(record)}, expected {', '.join(fields)}.")
    return records


# Records out


def to_csv(records: list[Record]) -> bytes:
    """Write a header and one row per record; what holds a comma, a quote or a newline stands in quotes."""
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows(records)
    return text.getvalue().encode()


def to_jsonl(records: list[Record]) -> bytes:
    """Write one JSON object a line, with every letter as itself."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def to_xml(records: list[Record]) -> bytes:
    """Write `<records>` of `<record>`, with one element per field."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<records>"]
    for record in records:
        fields = [f"    <{name}>{escape(value)}</{name}>" for name, value in record.items()]
        lines += ["  <record>", *fields, "  </record>"]
    return "\n".join([*lines, "</records>", ""]).encode()


def to_tfrecord(records: list[Record]) -> bytes:
    """Frame each record as length, checksum of the length, tf.train.Example, checksum of the Example."""
    return b"".join(frame(encode_example(record)) for record in records)


def frame(payload: bytes) -> bytes:
    """Put a payload between its length and the checksums of both."""
    length = struct.pack("<Q", len(payload))
    return b"".join([length, masked_crc32c(length), payload, masked_crc32c(payload)])


def encode_example(record: Record) -> bytes:
    """Encode a record as the protocol buffer tf.train.Example, each field a list of one byte string.

    >>> encode_example({"a": "bc"}).hex(" ")
    '0a 0d 0a 0b 0a 01 61 12 06 0a 04 0a 02 62 63'
    """
    features = b""
    for name, value in sorted(record.items()):
        feature = _field(1, _field(1, value.encode()))  # Feature{bytes_list: BytesList{value}}
        features += _field(1, _field(1, name.encode()) + _field(2, feature))  # map entry {key, value}
    return _field(1, features)


def _field(number: int, payload: bytes) -> bytes:
    """One length-delimited field: tag, length in groups of 7 bits with the lowest first, bytes."""
    length, size = b"", len(payload)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


# The handbook on paper


def to_pdf(text: str) -> bytes:
    """Set the handbook in A5, a header and a number on each page; the same text gives the same bytes."""
    pdf = _empty_booklet()
    title, subtitle, *blocks = text.strip().split("\n\n")
    pdf.set_font("Helvetica", "B", 18)
    _paragraph(pdf, title, height=9)
    pdf.set_font("Times", "I", 10)
    _paragraph(pdf, subtitle)
    for block, following in zip(blocks, [*blocks[1:], ""], strict=True):
        _set_block(pdf, block, following)
    return bytes(pdf.output())


def _empty_booklet():
    from fpdf import FPDF  # only the PDF needs it

    class Booklet(FPDF):
        def header(self) -> None:
            self.set_font("Helvetica", "", 8)
            self.cell(58, 6, "Brindlemouth Town Handbook")
            self.cell(58, 6, "Third edition", align="R", new_x="LMARGIN", new_y="NEXT")
            self.ln(4)

        def footer(self) -> None:
            self.set_y(-14)
            self.set_font("Helvetica", "", 8)
            self.cell(0, 6, f"Page {self.page_no()} of {{nb}}", align="C")

    pdf = Booklet(format=(148, 210))  # A5, whose name stands for other sizes in older releases
    pdf.set_margins(16, 12)
    pdf.set_auto_page_break(True, margin=18)
    pdf.set_compression(False)  # compressors differ between machines, and so would the bytes
    pdf.set_creation_date(datetime(2000, 1, 1, tzinfo=UTC))
    pdf.set_producer("data/make_records.py")
    pdf.set_title("The Brindlemouth Town Handbook")
    pdf.add_page()
    return pdf


def _set_block(pdf, block: str, following: str) -> None:
    if re.fullmatch(r"\d+\. .{,40}", block):  # a section's title
        pdf.ln(3)
        _need(pdf, 15 + _table_height(following))
        pdf.set_font("Helvetica", "B", 12)
        _paragraph(pdf, block, height=6)
    elif block.startswith("    "):
        _need(pdf, _table_height(block))
        pdf.set_font("Helvetica", "", 8.5)
        for row in block.splitlines():
            _set_row(pdf, row[4:])
        pdf.ln(2)
    else:
        pdf.set_font("Times", "", 10.5)
        _paragraph(pdf, block)


def _table_height(block: str) -> float:
    """Millimetres that a table takes, with two rows to spare for long lines; for other text, a few lines."""
    return ROW * (block.count("\n") + 3) if block.startswith("    ") else 15


def _need(pdf, height: float) -> None:
    if pdf.will_page_break(height):
        pdf.add_page()


def _set_row(pdf, row: str) -> None:
    """Set one row of a table or list; a column starts where it starts in the text."""
    *cells, last = re.finditer(r"\S+(?: {1,2}\S+)*", row)
    for cell in cells:
        pdf.set_x(20 + cell.start() * 1.6)
        pdf.cell(h=ROW, text=cell.group())
    pdf.set_x(20 + last.start() * 1.6)
    pdf.multi_cell(0, ROW, last.group(), align="L", new_x="LMARGIN", new_y="NEXT")


def _paragraph(pdf, text: str, height: float = 4.8) -> None:
    pdf.multi_cell(0, height, text, align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


# All of it

SETS = {"letters": ("title", "text"), "recipes": ("title", "text"), "quiz": ("question", "answer", "source")}
FORMATS = {"csv": to_csv, "jsonl": to_jsonl, "xml": to_xml, "tfrecord": to_tfrecord}


def make_records(folder: Path = DATA) -> dict[Path, bytes]:
    """Return each record file that follows from the texts in `folder`, with the bytes it must have."""
    made: dict[Path, bytes] = {}
    for name, fields in SETS.items():
        records = read_set(folder / name / f"{name}.txt", fields)
        made |= {folder / name / f"{name}.{suffix}": write(records) for suffix, write in FORMATS.items()}
    return made


def make_handbook(folder: Path = DATA) -> dict[Path, bytes]:
    """Return the handbook's PDF with its bytes."""
    text = (folder / "handbook" / "handbook.txt").read_text(encoding="utf-8")
    return {folder / "handbook" / "handbook.pdf": to_pdf(text)}


def stale(made: dict[Path, bytes]) -> list[Path]:
    """List the files that are missing or hold other bytes than they should."""
    return [path for path, content in made.items() if not path.is_file() or path.read_bytes() != content]


def main(arguments: Iterable[str] | None = None) -> int:
    """Write every derived file, or with --check print the stale ones and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, list what is stale")
    check = parser.parse_args(arguments).check
    made = make_records() | make_handbook()
    old = stale(made)
    for path in old:
        if not check:
            path.write_bytes(made[path])
        print(f"{'stale' if check else 'written'}: {path.relative_to(DATA).as_posix()}")
    if check and old:
        print("Run `python data/make_records.py`, then `python -m tools manifest`.")
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
