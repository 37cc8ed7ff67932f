"""Tokenizers: text to token ids and back, by GPT-2's byte-level BPE or character by character; streaming decoding.

GPT-2's vocabulary lies in data/nano/tokenizer.json, so it needs no network. Lesson 01 builds BPE by hand.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from utils.bpe import (
    BYTES,
    END_OF_TEXT,
    GPT2_SHA256,
    Merge,
    build_vocab,
    check_text,
    parse_merges,
    read_gpt2_vocabulary,
    symbol_bytes,
)
from utils.errors import CourseError, guarded, show
from utils.files.whole_files import read_json, write_whole

MOST_IDS = 2**20  # GPT-2 has 50,257
META = "meta.json"  # the file that says which tokenizer a folder was made with
CUTS = re.compile(r"(?<=\S)(?=[ \n])")  # none of GPT-2's pieces leads from a non-space to a space


class _Codec(ABC):
    """What both tokenizers share; they differ in `_encode` and in the bytes that stand behind each id."""

    vocab: dict[str, int]
    merges: list[Merge]
    end_of_text: int
    _bytes: dict[int, bytes]
    _class: str  # what `transformers` calls such a tokenizer
    _byte_level: bool  # whether its symbols stand for bytes, or for themselves

    @abstractmethod
    def _encode(self, text: str, start: int = 0) -> list[int]:
        """Encode a checked text, whose first character is number `start` of a longer one."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return all that tells this tokenizer from others, ready for JSON."""

    @cached_property
    def vocab_size(self) -> int:
        """The number of ids, end-of-text among them."""
        return max(self._bytes) + 1

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Turn text into ids; `<|endoftext|>` is ordinary text unless `allow_special`.

        The default is the safe one: no reader or chat partner can end a document by typing its marker.
        """
        check_text(text)
        if not allow_special:
            return self._encode(text)
        first, *rest = [self._encode(part) for part in text.split(END_OF_TEXT)]
        return first + [token for part in rest for token in (self.end_of_text, *part)]

    def encode_batch(self, texts: Iterable[str], allow_special: bool = False) -> list[list[int]]:
        """Encode each text."""
        return [self.encode(text, allow_special) for text in texts]

    def encode_parts(self, text: str) -> Iterator[list[int]]:
        """Yield the ids of a long text in parts of about a million characters, to keep memory flat."""
        check_text(text)
        for start, part in _cut(text, 1_000_000):
            yield self._encode(part, start)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes behind the ids; nothing is lost or replaced."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids  # an array, a tensor
        ids = [ids] if isinstance(ids, int) else list(ids)
        try:
            return b"".join([self._bytes[token] for token in ids])
        except (KeyError, TypeError):
            bad = next(i for i, token in enumerate(ids) if not isinstance(token, Hashable) or token not in self._bytes)
            raise CourseError(
                f"{ids[bad]!r} at position {bad} is no token of this vocabulary, expected whole numbers from "
                f"0 to {self.vocab_size - 1}. Decode one row of ids, made by this same tokenizer."
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text; bytes that form no whole character become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def pieces(self, text: str) -> list[str]:
        """Return the text of each token; a token that holds only part of a character shows U+FFFD."""
        return [self.decode([token]) for token in self.encode(text)]

    def save(self, folder: str | Path) -> Path:
        """Write meta.json, which `load_tokenizer` reads, and what `transformers` reads, into the folder of a model."""
        self.save_for_transformers(folder)
        text = json.dumps(self.describe())
        write_whole(Path(folder) / META, lambda file: file.write(text.encode()))
        return Path(folder) / META

    def save_for_transformers(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json; without them AutoTokenizer takes an empty vocabulary."""
        from tokenizers import AddedToken

        fast = self._library()
        fast.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
        marks = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
        config = json.dumps({"tokenizer_class": self._class, "add_prefix_space": False, **marks})
        for name, text in (("tokenizer.json", fast.to_str()), ("tokenizer_config.json", config)):
            write_whole(Path(folder) / name, lambda file, text=text: file.write(text.encode()))

    def _library(self) -> Any:
        """Return this tokenizer as one of the `tokenizers` library; end-of-text is not registered: see encode."""
        from tokenizers import Tokenizer as Fast
        from tokenizers import decoders, models, pre_tokenizers

        fast = Fast(models.BPE(self.vocab, self.merges))
        if self._byte_level:
            fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        fast.decoder = decoders.ByteLevel() if self._byte_level else decoders.Fuse()
        return fast


class Tokenizer(_Codec):
    """Byte-level BPE, encoded by the `tokenizers` library.

    >>> Tokenizer.gpt2().encode("Hello my name is")
    [15496, 616, 1438, 318]
    """

    _class = "GPT2Tokenizer"
    _byte_level = True

    def __init__(self, vocab: dict[str, int], merges: Sequence[Merge], name: str = "bpe") -> None:
        if odd := [token for token in vocab.values() if type(token) is not int or not 0 <= token < MOST_IDS]:
            raise CourseError(f"the vocabulary holds the id {show(odd[0])}, expected whole numbers under {MOST_IDS:,}.")
        if bad := [
            merge for merge in merges if not len(merge) == 2 or not all(isinstance(part, str) for part in merge)
        ]:
            raise CourseError(f"the merges hold {show(bad[0])}, expected pairs of symbols. Get the tokenizer again.")
        self.name, self.vocab, self.merges = name, vocab, [(first, second) for first, second in merges]
        needed = {symbol for a, b in self.merges for symbol in (a, b, a + b)} | {*BYTES, END_OF_TEXT}
        if missing := needed - vocab.keys():
            raise CourseError(
                f"the vocabulary lacks {len(missing)} symbols, such as {min(missing)!r}, expected all 256 "
                f"bytes, what each merge makes, and {END_OF_TEXT}. Take both from the same place."
            )
        self._fast = self._library()
        self._bytes = {token: symbol_bytes(symbols) for symbols, token in vocab.items()}
        self.end_of_text = vocab[END_OF_TEXT]

    @staticmethod
    @cache
    def gpt2() -> Tokenizer:
        """Return GPT-2's tokenizer of 50,257 tokens; it is built once."""
        return Tokenizer(*read_gpt2_vocabulary(), name="gpt2")

    def _encode(self, text: str, start: int = 0) -> list[int]:
        parts = [part for _, part in _cut(text, 16_000)]  # they share out the cores
        if len(parts) == 1:
            return self._fast.encode(text).ids
        return list(chain.from_iterable(part.ids for part in self._fast.encode_batch_fast(parts)))

    def describe(self) -> dict[str, Any]:
        if self.name == "gpt2":
            return {"tokenizer": "gpt2"}
        return {"tokenizer": self.name, "vocab": self.vocab, "merges": self.merges}

    def __reduce__(self) -> tuple:
        return (Tokenizer.gpt2, ()) if self.name == "gpt2" else (Tokenizer, (self.vocab, self.merges))


class CharTokenizer(_Codec):
    """One token for each character, plus end-of-text as the last id.

    >>> CharTokenizer.from_text("to be").encode("bet")
    [1, 2, 4]
    """

    _class = "PreTrainedTokenizerFast"
    _byte_level = False

    def __init__(self, characters: str) -> None:
        check_text(characters)
        if not characters:
            raise CourseError("an empty text was found, expected at least one character to learn.")
        self.characters = "".join(sorted(set(characters)))
        self._ids = {character: token for token, character in enumerate(self.characters)}
        self.end_of_text = len(self.characters)
        self.vocab, self.merges = {**self._ids, END_OF_TEXT: self.end_of_text}, []
        self._bytes = {token: symbol.encode("utf-8") for symbol, token in self.vocab.items()}

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Learn every character that occurs in the text."""
        return cls(text)

    def _encode(self, text: str, start: int = 0) -> list[int]:
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            position, unknown = next((i, c) for i, c in enumerate(text) if c not in self._ids)
            raise CourseError(
                f"character {unknown!r} (U+{ord(unknown):04X}) at position {start + position:,} is none of "
                f"the {len(self.characters)} that this tokenizer knows. Learn from a text that has it, or "
                "remove it."
            ) from None

    def describe(self) -> dict[str, Any]:
        return {"tokenizer": "characters", "characters": self.characters}


class StreamDecoder:
    """Decodes ids one at a time and holds bytes back until they form whole characters."""

    def __init__(self, tokenizer: Tokenizer | CharTokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """Return the text that this token completes, often a word, sometimes nothing."""
        return self._decoder.decode(self._tokenizer.decode_bytes([token]))

    def end(self) -> str:
        """Return U+FFFD for an unfinished character, else nothing."""
        return self._decoder.decode(b"", final=True)


def read_meta(path: Path) -> Tokenizer | CharTokenizer:
    """Read the meta.json that `save` or a folder of tokenized text holds."""
    content = read_json(path)
    with guarded(path):
        match content:
            case {"tokenizer": "gpt2"}:
                return Tokenizer.gpt2()
            case {"tokenizer": "characters", "characters": str(characters)}:
                return CharTokenizer(characters)
            case {"tokenizer": "bpe", "vocab": dict(vocab), "merges": list(merges)}:
                return Tokenizer(vocab, merges)
    raise CourseError(
        f"{path} names no tokenizer that we know, expected what a tokenizer's save or tokenize_to_bin "
        "writes. Make the file again, or remove it to use GPT-2's tokenizer."
    )


def read_tokenizer_json(path: Path) -> Tokenizer:
    """Read a tokenizer.json, which must describe a byte-level BPE that cuts text as GPT-2 does."""
    if hashlib.sha256(path.read_bytes()).hexdigest() == GPT2_SHA256:
        return Tokenizer.gpt2()
    content = read_json(path)
    with guarded(path):
        match content:
            case {
                "model": {"type": "BPE", "vocab": dict(vocab), "merges": list(merges)},
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False} as splitter,
                **rest,
            } if splitter.get("use_regex", True) and not rest.get("normalizer"):
                added = {token["content"]: token["id"] for token in rest.get("added_tokens") or []}
                lines = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
                return choose_bpe(vocab | added, parse_merges("\n".join(lines)))
    raise CourseError(
        f"{path} holds no byte-level BPE that cuts text as GPT-2's does. This course reads no other tokenizer: take a "
        "GPT-2 model, or remove the file if the model was trained on GPT-2's tokens."
    )


def choose_bpe(vocab: dict[str, int], merges: list[Merge]) -> Tokenizer:
    """Return the tokenizer of a vocabulary: GPT-2's own, built once, where it is the same."""
    gpt2 = Tokenizer.gpt2()
    return gpt2 if (vocab, merges) == (gpt2.vocab, gpt2.merges) else Tokenizer(vocab, merges)


def _cut(text: str, size: int) -> Iterator[tuple[int, str]]:
    """Yield (position, part) with parts of `size` characters or more, cut where the ids stay the same."""
    start = 0
    while start + size < len(text) and (cut := CUTS.search(text, start + size)):
        yield start, text[start : cut.start()]
        start = cut.start()
    yield start, text[start:]


def visible(raw: bytes) -> str:
    """Make a token's spaces, line ends and unprintable characters visible; bytes of half characters stay bytes.

    >>> visible(b" caf" + bytes([195, 169])), visible(b"a" + bytes([10, 9])), len(visible(bytes([230])))
    ('·café', 'a↵⇥', 4)
    """
    text = raw.decode("utf-8", errors="backslashreplace")
    signs = {" ": "·", "\t": "⇥", "\n": "↵"}
    return "".join(signs.get(c, c if c.isprintable() else c.encode("unicode_escape").decode("ascii")) for c in text)


def tokenizer_for_page(tokenizer: Tokenizer | CharTokenizer, known: list[int] | None = None) -> dict[str, Any]:
    """Return all that docs/site/live/tokenizer.js needs to encode and decode as `tokenizer` does.

    `known` lists the ids that have a row of their own in the page's model; None stands for all.
    """
    about: dict[str, Any] = {"end_of_text": tokenizer.end_of_text, "known": known}
    if isinstance(tokenizer, CharTokenizer):
        return about | {"kind": "characters", "characters": tokenizer.characters}
    usual = tokenizer.vocab == build_vocab(tokenizer.merges)
    merges = [" ".join(merge) for merge in tokenizer.merges]
    return about | {"kind": "bpe", "merges": merges, "vocab": None if usual else tokenizer.vocab}
