"""Text cleaning in counted steps: mojibake, hyphenation, page headers, control characters, blank lines.

What each step finds, what that becomes, and what it can break, is in lesson 10. A step can make work for another,
so all of them run until none finds anything: cleaning twice is cleaning once. Only debris within debris within
debris, as nothing but malice makes it, is given up after some rounds.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence

from utils.errors import CourseError

START = re.compile(r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b[^\n]*\n?", re.MULTILINE)
END = re.compile(r"(?mi)^(?:\*\*\* ?END OF (?:THE|THIS) |End of (?:the )?)PROJECT GUTENBERG(?: EBOOK|'S )")
MOST_ROUNDS = 50
FEWEST_PAGES, REPEATED = 3, 0.6  # a line is a header when so large a part of so many pages begins or ends with it


def _byte_behind() -> dict[str, int]:
    """Return the byte behind each character, for text whose bytes were taken for Windows-1252 or Latin-1."""
    table = {chr(byte): byte for byte in range(0x80, 0x100)}
    for byte in range(0x80, 0xA0):
        shown = bytes([byte]).decode("cp1252", errors="ignore")
        table |= {shown: byte} if shown else {}
    return table


BEHIND = _byte_behind()
NEXT = "".join(re.escape(character) for character, byte in BEHIND.items() if byte < 0xC0)
MOJIBAKE = re.compile(f"[ÂÃ][{NEXT}]|[à-ï][{NEXT}]{{2}}|[ð-ô][{NEXT}]{{3}}")  # UTF-8 of 2, 3 and 4 bytes, misread


def _sub(pattern: str, replacement: str) -> Callable[[str], tuple[str, int]]:
    compiled = re.compile(pattern)
    return lambda text: compiled.subn(replacement, text)


def cut_licence(text: str) -> tuple[str, int]:
    """Keep what stands between Project Gutenberg's marks of start and end, where they are."""
    cuts = 0
    if start := START.search(text):
        text, cuts = text[start.end() :], 1
    if end := END.search(text):
        text, cuts = text[: end.start()], cuts + 1
    return text, cuts


def drop_page_headers(text: str) -> tuple[str, int]:
    """Remove first and last lines that repeat on most pages, whatever their numbers; form feeds part pages.

    >>> drop_page_headers("Ode\\none\\n1\\fOde\\ntwo\\n2\\fOde\\nthree\\n3")
    ('one\\x0ctwo\\x0cthree', 6)
    """
    pages = [page.strip("\n").split("\n") for page in text.split("\f")]
    removed = 0
    for _ in range(MOST_ROUNDS if len(pages) >= FEWEST_PAGES else 0):
        found = 0
        for place in (0, -1):
            shapes = [re.sub(r"\d+", "0", page[place]).strip() for page in pages]
            shape, count = Counter(filter(None, shapes)).most_common(1)[0] if any(shapes) else ("", 0)
            if count < max(FEWEST_PAGES, REPEATED * len(pages)):
                continue
            for page, its in zip(pages, shapes, strict=True):
                if its == shape:
                    page[place:] = page[place + 1 :] if place == 0 else []
                    page[:] = page or [""]
                    found += 1
        if not found:
            break
        removed += found
    return ("\f".join("\n".join(page) for page in pages), removed) if removed else (text, 0)


def mend_encoding(text: str) -> tuple[str, int]:
    """Give back the characters that UTF-8 stood for before somebody read it as Windows-1252.

    >>> mend_encoding("cafÃ© â€“ naÃ¯ve")
    ('café – naïve', 3)
    """
    mended = 0

    def mend(match: re.Match) -> str:
        nonlocal mended
        try:
            found = bytes(BEHIND[character] for character in match[0]).decode("utf-8")
        except UnicodeDecodeError:
            return match[0]
        mended += 1
        return found

    return MOJIBAKE.sub(mend, text), mended


CLEANING: dict[str, Callable[[str], tuple[str, int]]] = {  # in this order: page headers need form feeds
    "licence": cut_licence,
    "page headers": drop_page_headers,
    "cid debris": _sub(r"\(cid:\d+\)|[\ue000-\uf8ff]", ""),
    "encodings": mend_encoding,
    "line endings": _sub(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n"),
    "control characters": _sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]", ""),
    "no-break spaces": _sub(r"[\xa0\u2007\u202f]", " "),
    "trailing spaces": _sub(r"(?<![ \t])[ \t]+(?=\n|\Z)", ""),
    "blank lines": _sub(r"\n{4,}", "\n\n\n"),
    "hyphens": _sub(r"(?<=[^\W\d_])(?:-\n|\xad\n?)(?=[a-zà-öø-ÿ])", ""),
}

GENTLE = ("line endings", "control characters", "no-break spaces", "trailing spaces", "blank lines")  # harm nothing
ALL = tuple(CLEANING)


def clean(text: str, steps: Sequence[str] = GENTLE) -> tuple[str, dict[str, int]]:
    """Tidy text and count each kind of change; cleaning it again changes nothing.

    >>> clean("To be,\\r\\nor not  ")[0]
    'To be,\\nor not'
    """
    if unknown := [step for step in steps if step not in CLEANING]:
        raise CourseError(f"there is no cleaning step {unknown[0]!r}, expected some of {', '.join(CLEANING)}.")
    counts = {name: 0 for name in CLEANING if name in steps}
    for _ in range(MOST_ROUNDS):
        before = text
        for name in counts:
            text, changes = CLEANING[name](text)
            counts[name] += changes
        if text == before:
            break
    return text, counts


def text_key(text: str) -> bytes:
    """Return a hash of 16 bytes that is equal for texts that clean to the same."""
    tidy = clean(text)[0].strip()
    return hashlib.sha256(tidy.encode("utf-8", errors="surrogatepass")).digest()[:16]
