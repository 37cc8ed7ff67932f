"""A corpus: documents of files or a list, cleaned, deduplicated, chunked, and streamed as often as needed.

Two passes: the first decides which documents validate, the second is tokenized (lesson 10).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from utils.errors import CourseError
from utils.files.progress import progress
from utils.texts.cleaning import GENTLE, clean, text_key
from utils.texts.duplicates import Duplicates
from utils.texts.instructions import as_instruction
from utils.texts.reading import stream_documents, stream_records
from utils.texts.records import Document, Errors, ReadReport
from utils.texts.splitting import chunks, plan_split


@dataclass(frozen=True)
class BinSettings:
    """How documents become token files: reading, cleaning, duplicates, and the part that validates."""

    fraction: float = 0.1
    seed: int = 0
    clean: bool = False
    steps: tuple[str, ...] = GENTLE  # of cleaning
    errors: Errors = "strict"  # what to do with text that is not UTF-8
    dedupe: Literal["", "exact", "near"] = ""
    near: float = 0.8  # how much two near duplicates have in common
    split: Literal["documents", "chunks"] = "documents"  # what goes to one side as a whole
    chunk: int = 4000  # characters
    columns: tuple[str, ...] = ()  # fields that make the text; of instructions, the last is the answer
    instructions: bool = False  # learn the answers only

    def __post_init__(self) -> None:
        for name, known in {"dedupe": ("", "exact", "near"), "split": ("documents", "chunks")}.items():
            if getattr(self, name) not in known:
                raise CourseError(f"{name} is {getattr(self, name)!r}, expected one of {known}.")
        if self.instructions and self.split == "chunks":
            raise CourseError("instructions can't be split into chunks: a question would lose its answer. Drop one.")


class Corpus:
    """One source of documents; after each pass, report, cleaned and content describe what was found."""

    def __init__(self, source: str | Path | Iterable[Document], settings: BinSettings = BinSettings()) -> None:
        self.source = Path(source) if isinstance(source, (str, Path)) else list(source)
        self.settings = settings
        self.report, self.cleaned, self.content = ReadReport(), Counter[str](), ""

    def plan(self) -> tuple[set[int], str]:
        """Return which documents validate, by their number, and a note on it."""
        settings, keys, sizes = self.settings, [], []
        for document in self.documents():
            keys.append(text_key(document.prompt + document.text))
            sizes.append(len(document.prompt) + len(document.text))
        if not keys and self.report.skipped:
            where, reason = next(iter(self.report.skipped.items()))
            raise CourseError(
                f"no text was found: all {self.report.dropped:,} documents were left out, the first, {where}: {reason}."
            )
        chosen, note = plan_split(keys, sizes, settings.fraction, settings.seed)
        if settings.instructions and not chosen:
            raise CourseError("one question with its answer was found, expected two different ones or more. Add some.")
        if settings.split == "chunks":
            note = note.replace("split by document", f"split by chunks of {settings.chunk:,} characters")
        return chosen, note

    def documents(self, doing: str = "reading, documents") -> Iterator[Document]:
        """Yield the documents as they will be tokenized."""
        settings = self.settings
        self.report = ReadReport()
        self.cleaned = Counter(dict.fromkeys(settings.steps, 0) if settings.clean else {})
        seen = Duplicates(settings.near if settings.dedupe == "near" else None)
        digest = hashlib.sha256()
        total = None if isinstance(self.source, Path) else len(self.source)
        for document in progress(self._found(), doing, total, after=2.0):
            for text in (document.prompt, document.text):
                raw = text.encode("utf-8", errors="surrogatepass")
                digest.update(f"{len(raw)}:".encode() + raw)
            document = replace(document, prompt=self._clean(document.prompt), text=self._clean(document.text))
            if not document.text.strip():
                self.report.skip(document.name, "empty")
            elif settings.dedupe and (like := seen.add(document)):
                self.report.skip(document.name, str(like))
            else:
                self.report.count(document)
                yield from chunks(document, settings.chunk) if settings.split == "chunks" else (document,)
        self.content = digest.hexdigest()

    def _found(self) -> Iterator[Document]:
        settings = self.settings
        if not isinstance(self.source, Path):
            yield from self.source
        elif settings.instructions:
            for record in stream_records(self.source, self.report, settings.errors):
                if document := as_instruction(record, settings.columns, self.report):
                    yield document
        else:
            yield from stream_documents(self.source, self.report, settings.errors, settings.columns)

    def _clean(self, text: str) -> str:
        if self.settings.clean:
            text, counts = clean(text, self.settings.steps)
            self.cleaned.update(counts)
        return text
