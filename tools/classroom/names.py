"""Names and texts from strangers, made safe: for a table, a page, a file's name.

File names are bytes to the system, and a learner's name may be anything that a platform lets through.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from utils.run_log import no_formula

LONGEST_NAME, LONGEST_NOTE, LONGEST_TEXT = 80, 1_000, 500  # a check shows values before it asks


def readable(name: str) -> str:
    """Return a file name as text: one that isn't UTF-8 comes from an old Windows, mostly, and is read as that does.

    >>> readable("M\\udcfcller")
    'Müller'
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(name).decode("cp1252", errors="replace") if os.name != "nt" else name
    return name


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """Return one short line without control characters, terminal escapes, lone surrogates or turned directions.

    >>> clean("red \\x1b[31m and \\ud800 half\\n\\tof it", 40)
    'red [31m and � half of it'
    """
    kept = (" " if char.isspace() else "�" if _is_lone(char) else char for char in str(text)[: 4 * longest])
    line = " ".join("".join(char for char in kept if unicodedata.category(char) not in ("Cc", "Cf", "Co")).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _is_lone(char: str) -> bool:
    return unicodedata.category(char) == "Cs"


def short_id(name: str) -> str:
    """Return x and six hexadecimal digits that belong to a name; digits alone could be a number to a spreadsheet.

    >>> short_id("A B") != short_id("A_B")
    True
    """
    return "x" + hashlib.sha256(name.encode("utf-8", errors="surrogatepass")).hexdigest()[:6]


def file_name(name: str, ident: str) -> str:
    """Return the beginning of a file name that every system takes, and that no other learner has."""
    plain = re.sub(r"[^\w.-]+", "_", clean(name, 40)).strip("._") or "nameless"
    return f"{plain}_{ident}"


def as_csv(head: Iterable[str], rows: Iterable[dict], mark: bool = True) -> bytes:
    """Return a table, with the mark (BOM) that spreadsheets look for and that learning platforms may not expect."""
    text, names = StringIO(), list(head)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_number(no_formula(row.get(name, ""))) for name in names])
    return text.getvalue().encode("utf-8-sig" if mark else "utf-8", errors="replace")


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table in UTF-8, with or without a spreadsheet's mark; a quoted cell may hold line ends."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _number(cell: object) -> object:
    return f"{cell:g}" if isinstance(cell, float) else cell
