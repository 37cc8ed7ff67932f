"""Train and validation split by document, seeded, without leakage: no text is on both sides (lesson 10)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from utils.errors import CourseError
from utils.texts.cleaning import text_key
from utils.texts.records import Document


class Split(NamedTuple):
    """Documents to train on, documents to validate on, and one sentence on how they were parted."""

    train: list[Document]
    validate: list[Document]
    note: str


def split_documents(documents: Sequence[Document], fraction: float = 0.1, seed: int = 0) -> Split:
    """Part documents so that about `fraction` of the characters validate, never the same text as trains.

    A single text (or copies of one) is parted inside: its beginning trains, its end validates.
    """
    documents = [document for document in documents if document.text.strip()]
    keys, sizes = [text_key(d.text) for d in documents], [len(d.text) for d in documents]
    chosen, note = plan_split(keys, sizes, fraction, seed)
    if not chosen:
        name, text = documents[0].name, documents[0].text
        first, last = split_inside(text, fraction)
        return Split([Document(name, first)], [Document(name, last)], note)
    sides: tuple[list[Document], list[Document]] = ([], [])
    for index, document in enumerate(documents):
        sides[index in chosen].append(document)
    return Split(*sides, note)


def plan_split(keys: Sequence[bytes], sizes: Sequence[int], fraction: float, seed: int) -> tuple[set[int], str]:
    """Choose the documents that validate, by their keys and sizes; none when all are the same text.

    Equal keys stay together. The choice depends on the texts and the seed, not on names or order.
    """
    if not 0 < fraction < 1:
        raise CourseError(f"fraction is {fraction!r}, expected a number between 0 and 1, such as 0.1.")
    groups: dict[bytes, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    if not groups:
        raise CourseError("no text was found to split, expected at least one document that is not empty.")
    if len(groups) == 1:
        copies = f"the {len(keys)} documents are the same text" if len(keys) > 1 else "there is one document"
        return set(), f"split inside the document, since {copies}: the last {fraction:.0%} validates"
    weight = {key: sum(sizes[index] for index in members) for key, members in groups.items()}
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    chosen, taken, wanted = [], 0, fraction * sum(sizes)
    for key in order:
        if taken + weight[key] <= wanted:
            chosen.append(key)
            taken += weight[key]
    chosen = chosen or [min(order, key=weight.__getitem__)]  # every text is larger than wanted: the smallest
    members = {index for key in chosen for index in groups[key]}
    share = sum(sizes[index] for index in members) / sum(sizes)
    note = f"split by document: {len(members)} of {len(keys)} validate, {share:.1%} of the characters"
    return members, note


def split_inside(text: str, fraction: float) -> tuple[str, str]:
    """Part one text by position: the beginning, and the last `fraction` of its characters."""
    if len(text) < 2:
        raise CourseError(f"a text of {len(text)} characters can't be split, expected 2 or more. Add text.")
    place = min(max(int(len(text) * (1 - fraction)), 1), len(text) - 1)
    return text[:place], text[place:]


def chunks(document: Document, size: int) -> Iterator[Document]:
    """Yield a document in chunks of about `size` characters, cut at empty lines, else at line ends or spaces.

    >>> [chunk.text for chunk in chunks(Document("a", "one two\\nthree four"), 8)]
    ['one two\\n', 'three ', 'four']
    """
    if size < 1:
        raise CourseError(f"a chunk of {size} characters can't be, expected 1 or more.")
    text, begin, part = document.text, 0, 0
    while begin < len(text):
        end = _cut(text, begin, size)
        yield replace(document, text=text[begin:end], part=part)
        begin, part = end, part + 1


def _cut(text: str, begin: int, size: int) -> int:
    """Return where the chunk ends that begins here: the last good place in its second half."""
    if len(text) - begin <= size:
        return len(text)
    for pattern in (r"\n\s*\n", r"\n", r"\s+"):
        ends = [match.end() for match in re.compile(pattern).finditer(text, begin + size // 2, begin + size)]
        if ends:
            return ends[-1]
    return begin + size
