"""Documents to token files on disk: train.bin and validate.bin, made once for each text and tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from utils.errors import CourseError
from utils.text import Document, ReadReport, clean, plan_split, split_inside, stream_documents, text_key
from utils.tokenizer import META, CharTokenizer, Tokenizer

LAYOUT = 1  # goes up when the same text would be written differently, so that old files are made again
SIDES = ("train", "validate")


@dataclass(frozen=True)
class BinSettings:
    """How documents become token files: the part that validates, cleaning, and what to do if not UTF-8."""

    fraction: float = 0.1
    seed: int = 0
    clean: bool = False
    errors: Literal["strict", "replace"] = "strict"


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
    out_folder, job = Path(out_folder), _Job(source, settings)
    _check(job.source, out_folder, tokenizer)
    chosen, note, content = job.plan()
    identity = json.dumps([LAYOUT, content, tokenizer.describe(), asdict(settings)])
    key = hashlib.sha256(identity.encode("utf-8")).hexdigest()
    meta = _current_meta(out_folder, key)
    cached = meta is not None
    if meta is None:
        with _explain_disk_errors(out_folder):
            sides = _write_bins(job, chosen, tokenizer, out_folder)
            meta = {**tokenizer.describe(), "key": key, "note": note, "cleaned": job.cleaned, **sides}
            _write_atomic(out_folder / META, json.dumps(meta).encode("utf-8"))
    paths = (out_folder / f"{side}.bin" for side in SIDES)
    counts = (meta[side]["tokens"] for side in SIDES)
    return Bins(*paths, *counts, note, cached, job.report, meta["cleaned"])


def _check(source: Path | list[Document], out_folder: Path, tokenizer: Tokenizer | CharTokenizer) -> None:
    if tokenizer.vocab_size > 65_536:
        raise CourseError(
            f"the vocabulary has {tokenizer.vocab_size:,} tokens, expected at most 65,536, as many as two "
            "bytes can number. Use a smaller vocabulary."
        )
    if isinstance(source, Path) and out_folder.resolve().is_relative_to(source.resolve()):
        raise CourseError(f"{out_folder} lies inside {source}, which is read. Choose a folder outside it.")


class _Job:
    """One source of documents, streamed twice: once to plan, once to write."""

    def __init__(self, source: str | Path | Iterable[Document], settings: BinSettings) -> None:
        self.source = Path(source) if isinstance(source, (str, Path)) else list(source)
        self.settings = settings
        self.report, self.cleaned, self.content = ReadReport(), {}, ""

    def plan(self) -> tuple[set[int], str, str]:
        """Return the documents that validate, a note on it, and the hash of all texts in order."""
        keys, sizes = [], []
        for document in self.documents():
            keys.append(text_key(document.text))
            sizes.append(len(document.text))
        chosen, note = plan_split(keys, sizes, self.settings.fraction, self.settings.seed)
        return chosen, note, self.content

    def documents(self) -> Iterator[Document]:
        """Yield the documents, cleaned if asked; afterwards report, cleaned and content describe them."""
        files, self.cleaned, digest = ReadReport(), {}, hashlib.sha256()
        self.report = ReadReport(skipped=files.skipped, notes=files.notes)
        is_path = isinstance(self.source, Path)
        found = stream_documents(self.source, files, self.settings.errors) if is_path else self.source
        for document in found:
            raw = document.text.encode("utf-8", errors="surrogatepass")
            digest.update(f"{len(raw)}:".encode() + raw)
            if self.settings.clean:
                text, counts = clean(document.text)
                document = Document(document.name, text)
                self.cleaned = {name: self.cleaned.get(name, 0) + n for name, n in counts.items()}
            if document.text.strip():
                self.report.documents += 1
                self.report.characters += len(document.text)
                yield document
            else:
                self.report.skipped[document.name] = "empty"
        self.content = digest.hexdigest()


class _BinWriter:
    """Collects tokens in a file beside its destination, and takes its place only when all went well."""

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, path.with_name(f"{path.name}.{os.getpid()}.tmp")
        self.file = self.temporary.open("wb")
        self.digest, self.tokens, self.documents = hashlib.sha256(), 0, 0

    def add(self, text: str, tokenizer: Tokenizer | CharTokenizer) -> None:
        if self.documents:
            self._write([tokenizer.end_of_text])
        for ids in tokenizer.encode_parts(text):
            self._write(ids)
        self.documents += 1

    def _write(self, ids: list[int]) -> None:
        raw = np.asarray(ids, dtype="<u2").tobytes()
        self.file.write(raw)
        self.digest.update(raw)
        self.tokens += len(ids)

    def close(self) -> dict[str, Any]:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return {"tokens": self.tokens, "documents": self.documents, "sha256": self.digest.hexdigest()}


def _write_bins(
    job: _Job, chosen: set[int], tokenizer: Tokenizer | CharTokenizer, folder: Path
) -> dict[str, dict[str, Any]]:
    """Write both files, or neither: on any error the old ones stay and no temporary file does."""
    planned, writers = job.content, []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for side in SIDES:
            writers.append(_BinWriter(folder / f"{side}.bin"))
        for index, document in enumerate(job.documents()):
            for side, text in _sides(index, document.text, chosen, job.settings.fraction):
                _add(writers[side], document.name, text, tokenizer)
        if job.content != planned:
            raise CourseError("the text changed while it was being read. Run this again when it is at rest.")
        sides = {side: writer.close() for side, writer in zip(SIDES, writers, strict=True)}
        for writer in writers:
            writer.temporary.replace(writer.path)
        return sides
    finally:
        for writer in writers:
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


def _add(writer: _BinWriter, name: str, text: str, tokenizer: Tokenizer | CharTokenizer) -> None:
    try:
        writer.add(text, tokenizer)
    except CourseError as error:
        raise CourseError(f"{name}: {error}") from None


def _sides(index: int, text: str, chosen: set[int], fraction: float) -> list[tuple[int, str]]:
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
            with (folder / f"{side}.bin").open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != meta[side]["sha256"]:
                    return None
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: made again
        return None
    return meta


def load_bin(path: str | Path) -> np.ndarray:
    """Map a token file into memory, read-only: (tokens,) of uint16."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"{path} was not found, expected a token file. Make it with tokenize_to_bin.")
    size = path.stat().st_size
    if size == 0 or size % 2:
        raise CourseError(f"{path} has {size:,} bytes, expected two for each token. Make it again.")
    return np.memmap(path, dtype="<u2", mode="r")
