"""Byte-level BPE (byte pair encoding) as in GPT-2, in plain Python: cut text into pieces, learn merges, apply them.

Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
Lesson 01 builds it by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import DATA

END_OF_TEXT = "<|endoftext|>"
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's own
GPT2_TOKENIZER = DATA / "nano" / "tokenizer.json"
GPT2_SHA256 = "37cc2c5c7f374e5a121330302f6b32c7646a85a88e46faddb3a6751aa1f526b6"

Merge = tuple[str, str]


def _byte_symbols() -> dict[int, str]:
    """Give each byte a visible character: printable ones keep theirs, the others start at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


SYMBOLS = _byte_symbols()  # byte -> character, in the order of GPT-2's ids 0 to 255
BYTES = {symbol: byte for byte, symbol in SYMBOLS.items()}


def split_pieces(text: str) -> list[str]:
    """Cut text into GPT-2's pieces, across which nothing is merged.

    >>> split_pieces("It's 10 o'clock")
    ['It', "'s", ' 10', ' o', "'", 'clock']
    """
    import regex  # the standard library's re has no classes for letters and numbers

    check_text(text)
    return regex.findall(PIECES, text)


def train_bpe(text: str, n_merges: int) -> tuple[list[Merge], dict[str, int]]:
    """Learn merges as GPT-2's were learned: again and again, join the most frequent pair of neighbours.

    Ties go to the pair with the smallest ids. It stops early when no pair occurs twice.
    """
    pieces = Counter(split_pieces(text))
    words, times = [_symbols(piece) for piece in pieces], list(pieces.values())
    pairs: Counter[Merge] = Counter()
    places: dict[Merge, set[int]] = defaultdict(set)  # the words in which a pair occurs, or did

    def count(word: int, sign: int) -> None:
        for pair in pairwise(words[word]):
            pairs[pair] += sign * times[word]
            places[pair].add(word)

    for word in range(len(words)):
        count(word, +1)
    merges: list[Merge] = []
    ids = {symbol: i for i, symbol in enumerate(BYTES)}
    while len(merges) < n_merges and (most := max(pairs.values(), default=0)) > 1:
        best = min((ids[a], ids[b], (a, b)) for (a, b), n in pairs.items() if n == most)[-1]
        merges.append(best)
        ids.setdefault("".join(best), len(ids))
        for word in places.pop(best):
            count(word, -1)
            words[word] = _join(words[word], best)
            count(word, +1)
    return merges, build_vocab(merges)


def build_vocab(merges: Iterable[Merge]) -> dict[str, int]:
    """Number the tokens as GPT-2 does: 256 bytes, one token for each merge, end-of-text last."""
    symbols = dict.fromkeys([*BYTES, *(a + b for a, b in merges), END_OF_TEXT])
    return {symbol: token for token, symbol in enumerate(symbols)}


def encode_by_hand(text: str, merges: Iterable[Merge], vocab: dict[str, int]) -> list[int]:
    """Encode in plain Python: within each piece, apply the merge learned first until none applies."""
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    known: dict[str, list[int]] = {}
    pieces = split_pieces(text)
    for piece in dict.fromkeys(pieces):
        word = _symbols(piece)
        while candidates := [pair for pair in pairwise(word) if pair in rank]:
            word = _join(word, min(candidates, key=rank.__getitem__))
        known[piece] = [vocab[symbol] for symbol in word]
    return [token for piece in pieces for token in known[piece]]


def _symbols(piece: str) -> list[str]:
    return [SYMBOLS[byte] for byte in piece.encode("utf-8")]


def _join(word: list[str], pair: Merge) -> list[str]:
    """Join every occurrence of the pair, from left to right.

    >>> _join(["a", "b", "a", "b"], ("a", "b"))
    ['ab', 'ab']
    """
    joined: list[str] = []
    i = 0
    while i < len(word):
        step = 2 if tuple(word[i : i + 2]) == pair else 1
        joined.append("".join(word[i : i + step]))
        i += step
    return joined


def check_text(text: str) -> None:
    """Refuse what is no text, and text that UTF-8 can't hold."""
    if not isinstance(text, str):
        raise CourseError(f"{type(text).__name__} was found where text was expected. Hand in a str.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CourseError(
            f"half a surrogate pair, {text[error.start]!r}, stands at position {error.start:,}, expected "
            "whole characters. Decode the text from its file as UTF-8, or remove it."
        ) from None


def symbol_bytes(symbols: str) -> bytes:
    """Return the bytes that a vocabulary entry stands for; an added entry may stand for its own text."""
    plain = all(symbol in BYTES for symbol in symbols)
    return bytes(BYTES[symbol] for symbol in symbols) if plain else symbols.encode("utf-8")


def read_gpt2_vocabulary(path: Path = GPT2_TOKENIZER) -> tuple[dict[str, int], list[Merge]]:
    """Read GPT-2's vocabulary and merges from a tokenizer.json, held to its SHA-256."""
    raw = path.read_bytes() if path.is_file() else b""
    if (found := hashlib.sha256(raw).hexdigest()) != GPT2_SHA256:
        state = f"has SHA-256 {found[:12]}…, expected {GPT2_SHA256[:12]}…" if raw else "is missing or empty"
        raise CourseError(
            f"GPT-2's vocabulary is damaged: {path} {state}. Run `git checkout {path.name}` in its folder, or get "
            "the course again."
        )
    model = json.loads(raw)["model"]
    return model["vocab"], [(first, second) for first, second in model["merges"]]


def parse_merges(text: str) -> list[Merge]:
    """Read one merge a line; only the first line of the file starts with #version."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#version")]
    if bad := [line for line in lines if len(line.split(" ")) != 2]:
        raise CourseError(f"the merge {bad[0]!r} was found, expected two symbols. Get the merges file again.")
    return [(first, second) for first, _, second in (line.partition(" ") for line in lines)]
