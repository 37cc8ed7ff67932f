"""Tokenized datasets on disk: train.bin and validate.bin (uint16), cached by content, tokenizer and settings.

Lesson 10 writes one by hand. All files come whole, or the old ones stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from utils.errors import CourseError
from utils.files.whole_files import sha256_of, write_whole
from utils.texts.corpus import BinSettings, Corpus
from utils.texts.records import Document, ReadReport
from utils.texts.splitting import split_inside
from utils.tokenizer import META, CharTokenizer, Tokenizer

LAYOUT = 2  # goes up when the same text would be written differently, so that old files are made again
SIDES = ("train", "validate")
DROPPED = "dropped.csv"  # what was left out, beside the token files


@dataclass(frozen=True)
class Bins:
    """Two token files, how many tokens each holds, how they were parted, and what became of the text."""

    train: Path
    validate: Path
    train_tokens: int
    validate_tokens: int
    note: str
    cached: bool  # True when the files were there and fit: nothing was tokenized
    report: ReadReport
    cleaned: dict[str, int]  # changes by kind, empty without cleaning


def tokenize_to_bin(
    source: str | Path | Iterable[Document],
    out_folder: str | Path,
    tokenizer: Tokenizer | CharTokenizer,
    settings: BinSettings = BinSettings(),
) -> Bins:
    """Write train.bin and validate.bin (uint16, little-endian) with end-of-text between documents.

    meta.json beside them holds a key of texts, tokenizer and settings: when it fits, nothing is done again.
    """
    out_folder = Path(out_folder)
    corpus = Corpus(source, settings)
    _check(corpus.source, out_folder, tokenizer)
    try:
        chosen, note = corpus.plan()
    finally:
        corpus.report.save(out_folder / DROPPED)
    identity = json.dumps([LAYOUT, corpus.content, tokenizer.describe(), asdict(settings)])
    key = hashlib.sha256(identity.encode("utf-8")).hexdigest()
    found = _current_meta(out_folder, key)
    meta = found or _write_bins(corpus, chosen, tokenizer, out_folder)
    if not found:
        meta = {**tokenizer.describe(), "key": key, "note": note, "cleaned": corpus.cleaned, **meta}
        meta |= {"texts": corpus.report.names()}
        write_whole(out_folder / META, lambda file: file.write(json.dumps(meta).encode("utf-8")))
    train, validate = (out_folder / f"{side}.bin" for side in SIDES)
    counts = meta["train"]["tokens"], meta["validate"]["tokens"]
    return Bins(train, validate, *counts, note, found is not None, corpus.report, meta["cleaned"])


def _check(source: Path | list[Document], out_folder: Path, tokenizer: Tokenizer | CharTokenizer) -> None:
    if tokenizer.vocab_size > 65_536:
        raise CourseError(
            f"the vocabulary has {tokenizer.vocab_size:,} tokens, expected at most 65,536, as many as two "
            "bytes can number. Use a smaller vocabulary."
        )
    if isinstance(source, Path) and out_folder.resolve().is_relative_to(source.resolve()):
        raise CourseError(f"{out_folder} lies inside {source}, which is read. Choose a folder outside it.")


class _Side:
    """One token file, and what is learned of it beside it when there are questions with answers."""

    def __init__(self, tokenizer: Tokenizer | CharTokenizer, tokens: IO[bytes], learned: IO[bytes] | None) -> None:
        self.tokenizer, self.tokens, self.learned = tokenizer, tokens, learned
        self.documents, self.last = 0, ("", 0)

    def add(self, document: Document, text: str) -> None:
        """Write end-of-text between documents and behind answers; a chunk that goes on where one ended needs none."""
        goes_on = document.part and self.last == (document.name, document.part - 1)
        end = [self.tokenizer.end_of_text]
        if self.documents and not self.learned and not goes_on:
            self._write(end, True)
        try:
            for ids in self.tokenizer.encode_parts(document.prompt if self.learned else ""):
                self._write(ids, False)
            for ids in self.tokenizer.encode_parts(text):
                self._write(ids, True)
        except CourseError as error:
            raise CourseError(f"{document.name}: {error}") from None
        if self.learned:
            self._write(end, True)
        self.documents += not goes_on
        self.last = (document.name, document.part)

    def _write(self, ids: Sequence[int], is_learned: bool) -> None:
        self.tokens.write(np.asarray(ids, dtype="<u2").tobytes())
        if self.learned:
            self.learned.write(bytes([is_learned]) * len(ids))


def _write_bins(
    corpus: Corpus, chosen: set[int], tokenizer: Tokenizer | CharTokenizer, folder: Path
) -> dict[str, dict[str, Any]]:
    """Write all files, and return for each side how much is in it, and the hash of each file."""
    planned, asked = corpus.content, corpus.settings.instructions
    bins = [folder / f"{side}.bin" for side in SIDES]
    learned = [learned_path(path) for path in bins]
    found: dict[str, dict[str, Any]] = {}

    def write(*files: IO[bytes]) -> None:
        sides = [_Side(tokenizer, file, files[2 + index] if asked else None) for index, file in enumerate(files[:2])]
        for index, document in enumerate(corpus.documents("tokenizing, documents")):
            for number, text in _parts(index, document.text, chosen, corpus.settings.fraction):
                sides[number].add(document, text)
        if corpus.content != planned:
            raise CourseError("the text changed while it was being read. Run this again when it is at rest.")
        for name, side in zip(SIDES, sides, strict=True):
            found[name] = {"tokens": side.tokens.tell() // 2, "documents": side.documents}

    _write_together([*bins, *learned] if asked else bins, write)
    for marks in () if asked else learned:
        marks.unlink(missing_ok=True)  # of an earlier text
    return {**found, "files": _hashes(folder)}


def _write_together(paths: Sequence[Path], write: Callable[..., None], *files: IO[bytes]) -> None:
    """Write several files as one: none takes its place before all of them are on disk."""
    if not paths:
        write(*files)
    else:
        write_whole(paths[0], lambda file: _write_together(paths[1:], write, *files, file))


def _parts(index: int, text: str, chosen: set[int], fraction: float) -> list[tuple[int, str]]:
    """Say what of a document goes where: side 0 trains, 1 validates; without a choice the first is parted."""
    if chosen:
        return [(int(index in chosen), text)]
    return list(enumerate(split_inside(text, fraction))) if index == 0 else []  # the others are copies


def _current_meta(folder: Path, key: str) -> dict[str, Any] | None:
    """Return meta.json when it has this key and all files still are what it says."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        return meta if meta["key"] == key and meta["files"] == _hashes(folder) else None
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: made again
        return None


def _hashes(folder: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file that may be there, None where it is not."""
    bins = [folder / f"{side}.bin" for side in SIDES]
    return {path.name: sha256_of(path) if path.exists() else None for path in (*bins, *map(learned_path, bins))}


def learned_path(path: Path) -> Path:
    """Return the file beside a token file that says of each token whether it is learned."""
    return path.with_name(f"{path.stem}.learned.bin")


def load_learned(path: str | Path) -> np.ndarray | None:
    """Map what is learned of a token file: (tokens,) of 0 and 1, or None where everything is."""
    path = learned_path(Path(path))
    return np.memmap(path, dtype=np.uint8, mode="r") if path.exists() else None


def names_of_texts(folder: str | Path) -> str:
    """Return the names of the files that a folder of token files was made of, or the folder's own."""
    try:
        return json.loads((Path(folder) / META).read_text(encoding="utf-8")).get("texts") or Path(folder).name
    except (OSError, ValueError, AttributeError):
        return Path(folder).name


def load_bin(path: str | Path) -> np.ndarray:
    """Map a token file into memory, read-only: (tokens,) of uint16."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"{path} was not found, expected a token file. Make it with tokenize_to_bin.")
    size = path.stat().st_size
    if size == 0 or size % 2:
        raise CourseError(f"{path} has {size:,} bytes, expected two for each token. Make it again.")
    return np.memmap(path, dtype="<u2", mode="r")
