"""A corpus: documents of files or a list, cleaned, without duplicates, cut as asked, streamed as often as needed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from utils.errors import CourseError
from utils.texts.cleaning import GENTLE, clean, text_key
from utils.texts.duplicates import Duplicates
from utils.texts.instructions import as_instruction
from utils.texts.reading import stream_documents, stream_records
from utils.texts.records import Document, Errors, ReadReport
from utils.texts.splitting import chunks, plan_split

DROPPED = "dropped.csv"  # what was left out, beside the token files


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

    def __init__(
        self, source: str | Path | Iterable[Document], settings: BinSettings = BinSettings(), log: Path | None = None
    ) -> None:
        self.source = Path(source) if isinstance(source, (str, Path)) else list(source)
        self.settings = settings
        self.report, self.cleaned, self.content = ReadReport(log=log), Counter(), ""

    def plan(self) -> tuple[set[int], str]:
        """Return which documents validate, by their number, and a note on it."""
        keys, sizes = [], []
        for document in self.documents():
            keys.append(text_key(document.prompt + document.text))
            sizes.append(len(document.prompt) + len(document.text))
        if not keys and self.report.skipped:
            where, reason = next(iter(self.report.skipped.items()))
            raise CourseError(
                f"no text was found: all {self.report.dropped:,} documents were left out, the first, {where}: {reason}."
            )
        chosen, note = plan_split(keys, sizes, self.settings.fraction, self.settings.seed)
        if self.settings.instructions and not chosen:
            raise CourseError("one question with its answer was found, expected two different ones or more. Add some.")
        if self.settings.split == "chunks":
            note = note.replace("split by document", f"split by chunks of {self.settings.chunk:,} characters")
        return chosen, note

    def documents(self) -> Iterator[Document]:
        """Yield the documents as they will be tokenized."""
        settings = self.settings
        self.report.start_again()
        self.cleaned = Counter(dict.fromkeys(settings.steps, 0)) if settings.clean else Counter()
        seen = Duplicates(settings.near if settings.dedupe == "near" else None)
        digest = hashlib.sha256()
        for document in self._found():
            for text in (document.prompt, document.text):
                raw = text.encode("utf-8", errors="surrogatepass")
                digest.update(f"{len(raw)}:".encode() + raw)
            document = self._clean(document)
            if not document.text.strip():
                self.report.skip(document.name, "empty")
                continue
            if settings.dedupe and (like := seen.add(document)):
                self.report.skip(document.name, str(like))
                continue
            self.report.count(document)
            yield from chunks(document, settings.chunk) if settings.split == "chunks" else (document,)
        self.report.close()
        self.content = digest.hexdigest()

    def _found(self) -> Iterator[Document]:
        if not isinstance(self.source, Path):
            yield from self.source
        elif self.settings.instructions:
            for record in stream_records(self.source, self.report, self.settings.errors):
                if document := as_instruction(record, self.settings.columns, self.report):
                    yield document
        else:
            yield from stream_documents(self.source, self.report, self.settings.errors, self.settings.columns)

    def _clean(self, document: Document) -> Document:
        if not self.settings.clean:
            return document
        cleaned = []
        for text in (document.prompt, document.text):
            text, counts = clean(text, self.settings.steps)
            self.cleaned.update(counts)
            cleaned.append(text)
        prompt, text = cleaned
        return replace(document, prompt=prompt, text=text)
