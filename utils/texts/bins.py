"""Documents to token files on disk: train.bin and validate.bin, made once for each text and tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import CourseError
from utils.texts.corpus import DROPPED, Corpus
from utils.texts.corpus import BinSettings as BinSettings
from utils.texts.records import Document, ReadReport
from utils.texts.splitting import split_inside
from utils.tokenizer import META, CharTokenizer, Tokenizer

LAYOUT = 2  # goes up when the same text would be written differently, so that old files are made again


SIDES = ("train", "validate")


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
    corpus = Corpus(source, settings, out_folder / DROPPED)
    _check(corpus.source, out_folder, tokenizer)
    chosen, note = corpus.plan()
    identity = json.dumps([LAYOUT, corpus.content, tokenizer.describe(), asdict(settings)])
    key = hashlib.sha256(identity.encode("utf-8")).hexdigest()
    meta = _current_meta(out_folder, key)
    cached = meta is not None
    if meta is None:
        with _explain_disk_errors(out_folder):
            sides = _write_bins(corpus, chosen, tokenizer, out_folder)
            meta = {**tokenizer.describe(), "key": key, "note": note, "cleaned": corpus.cleaned, **sides}
            _write_atomic(out_folder / META, json.dumps(meta).encode("utf-8"))
    paths = (out_folder / f"{side}.bin" for side in SIDES)
    counts = (meta[side]["tokens"] for side in SIDES)
    return Bins(*paths, *counts, note, cached, corpus.report, meta["cleaned"])


def _check(source: Path | list[Document], out_folder: Path, tokenizer: Tokenizer | CharTokenizer) -> None:
    if tokenizer.vocab_size > 65_536:
        raise CourseError(
            f"the vocabulary has {tokenizer.vocab_size:,} tokens, expected at most 65,536, as many as two "
            "bytes can number. Use a smaller vocabulary."
        )
    if isinstance(source, Path) and out_folder.resolve().is_relative_to(source.resolve()):
        raise CourseError(f"{out_folder} lies inside {source}, which is read. Choose a folder outside it.")


class _BinWriter:
    """Collects tokens in a file beside its destination, and takes its place only when all went well."""

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, path.with_name(f"{path.name}.{os.getpid()}.tmp")
        self.file = self.temporary.open("wb")
        self.digest, self.count = hashlib.sha256(), 0

    def write(self, values: Sequence[int], kind: str = "<u2") -> None:
        raw = np.asarray(values, dtype=kind).tobytes()
        self.file.write(raw)
        self.digest.update(raw)
        self.count += len(values)

    def close(self) -> str:
        """Have it on disk and return its hash."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return self.digest.hexdigest()


class _Side:
    """One token file, and what is learned of it beside it when there are questions with answers."""

    def __init__(self, path: Path, tokenizer: Tokenizer | CharTokenizer, with_learned: bool) -> None:
        self.tokenizer, self.documents, self.last = tokenizer, 0, ("", 0)
        self.tokens = _BinWriter(path)
        self.learned = _BinWriter(learned_path(path)) if with_learned else None

    @property
    def writers(self) -> list[_BinWriter]:
        return [self.tokens, *([self.learned] if self.learned else [])]

    def add(self, document: Document, text: str) -> None:
        """Write end-of-text between documents and behind answers; a chunk that goes on where one ended needs none."""
        goes_on = document.part and self.last == (document.name, document.part - 1)
        end = [self.tokenizer.end_of_text]
        if self.documents and not self.learned and not goes_on:
            self.tokens.write(end)
        if self.learned:
            for ids in self.tokenizer.encode_parts(document.prompt):
                self._write(ids, 0)
        for ids in self.tokenizer.encode_parts(text):
            self._write(ids, 1)
        if self.learned:
            self._write(end, 1)
        self.documents += not goes_on
        self.last = (document.name, document.part)

    def _write(self, ids: list[int], is_learned: int) -> None:
        self.tokens.write(ids)
        if self.learned:
            self.learned.write([is_learned] * len(ids), "u1")

    def close(self) -> dict[str, Any]:
        found = {"tokens": self.tokens.count, "documents": self.documents, "sha256": self.tokens.close()}
        return found | ({"learned_sha256": self.learned.close()} if self.learned else {})


def _write_bins(
    corpus: Corpus, chosen: set[int], tokenizer: Tokenizer | CharTokenizer, folder: Path
) -> dict[str, dict[str, Any]]:
    """Write all files, or none: on any error the old ones stay and no temporary file does."""
    planned, sides = corpus.content, []
    asked = corpus.settings.instructions
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for side in SIDES:
            sides.append(_Side(folder / f"{side}.bin", tokenizer, asked))
        for index, document in enumerate(corpus.documents()):
            for side, text in _parts(index, document.text, chosen, corpus.settings.fraction):
                _add(sides[side], document, text)
        if corpus.content != planned:
            raise CourseError("the text changed while it was being read. Run this again when it is at rest.")
        found = {name: side.close() for name, side in zip(SIDES, sides, strict=True)}
        for side in sides:
            if not asked:
                learned_path(side.tokens.path).unlink(missing_ok=True)  # of an earlier text
            for writer in side.writers:
                writer.temporary.replace(writer.path)
        return found
    finally:
        for writer in [writer for side in sides for writer in side.writers]:
            with suppress(OSError):  # a full disk is reported once, where writing failed
                writer.file.close()
            writer.temporary.unlink(missing_ok=True)


@contextmanager
def _explain_disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CourseError(
            f"the tokens can't be written to {folder} ({error.strerror}). Free some space there, close what "
            "still uses its files, or choose another folder."
        ) from None


def _add(side: _Side, document: Document, text: str) -> None:
    try:
        side.add(document, text)
    except CourseError as error:
        raise CourseError(f"{document.name}: {error}") from None


def _parts(index: int, text: str, chosen: set[int], fraction: float) -> list[tuple[int, str]]:
    """Say what of a document goes where: side 0 trains, 1 validates; without a choice the first is parted."""
    if chosen:
        return [(int(index in chosen), text)]
    return list(enumerate(split_inside(text, fraction))) if index == 0 else []  # the others are copies


def _write_atomic(path: Path, raw: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(raw)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _current_meta(folder: Path, key: str) -> dict[str, Any] | None:
    """Return meta.json when it has this key and both files still are what it says."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["key"] != key:
            return None
        for side in SIDES:
            path = folder / f"{side}.bin"
            expected = {path: meta[side]["sha256"], learned_path(path): meta[side].get("learned_sha256")}
            if any(_sha256(file) != sha256 for file, sha256 in expected.items()):
                return None
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: made again
        return None
    return meta


def _sha256(path: Path) -> str | None:
    """Return a file's hash, or None where there is no file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def learned_path(path: Path) -> Path:
    """Return the file beside a token file that says of each token whether it is learned."""
    return path.with_name(f"{path.stem}.learned.bin")


def load_learned(path: str | Path) -> np.ndarray | None:
    """Map what is learned of a token file: (tokens,) of 0 and 1, or None where everything is."""
    path = learned_path(Path(path))
    return np.memmap(path, dtype=np.uint8, mode="r") if path.exists() else None


def load_bin(path: str | Path) -> np.ndarray:
    """Map a token file into memory, read-only: (tokens,) of uint16."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"{path} was not found, expected a token file. Make it with tokenize_to_bin.")
    size = path.stat().st_size
    if size == 0 or size % 2:
        raise CourseError(f"{path} has {size:,} bytes, expected two for each token. Make it again.")
    return np.memmap(path, dtype="<u2", mode="r")
