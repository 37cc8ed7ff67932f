"""Inference server: a model cache, limits on every request, a response that streams.

Models behind a door: which may be asked for, how much at a time, and an answer that grows word by word. Lesson 14
builds one by hand.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils.config import SIZES
from utils.errors import CourseError, show
from utils.files.hub import is_downloaded
from utils.formats.open_file import WEIGHT_FILES, find_model, find_weights
from utils.loaders import Codec, load_with_tokenizer
from utils.machine import usable_cores
from utils.model import GPT2
from utils.sampling import Sampling, stream
from utils.tokenizer import StreamDecoder

Choice = str | Path | tuple[GPT2, Codec]  # a size, folder or file, or a model that is loaded already


@dataclass(frozen=True)
class Limits:
    """How much strangers may ask for; what is over a limit is refused in words, never cut in silence."""

    prompt: int = 4_000  # characters
    new_tokens: int = 500
    seconds: float = 120.0  # for one answer
    at_once: int = field(default_factory=lambda: min(4, usable_cores()))  # answers being written
    waiting: int = 64  # people in the queue; the next one is told that the server is busy
    models: int = 2  # kept in memory; the one unused for longest goes first

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise CourseError(f"The limit {name} is {value}, expected more than 0.")


@dataclass(frozen=True)
class Request:
    """What somebody typed into the form."""

    text: str
    max_tokens: float | None = 100
    temperature: float = 0.7
    top_n: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Response:
    """A text as far as it is written, how many tokens that took, and why it ended (empty while it goes on)."""

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    ended: str = ""

    def line(self) -> str:
        """Say in one line how it went."""
        speed = f", {self.tokens / self.seconds:.0f} a second" if self.tokens and self.seconds else ""
        return f"{self.tokens} {'token' if self.tokens == 1 else 'tokens'}{speed}{self.ended and '; '}{self.ended}"


class ModelCache:
    """LRU cache of models by name; each is loaded when somebody first asks, and a few are kept."""

    def __init__(self, choices: Mapping[str, Choice], keep: int = 2) -> None:
        if not choices:
            raise CourseError("There is no model to serve. Name a size, a folder or a file.")
        self.choices, self.keep = dict(choices), keep
        self._loaded: OrderedDict[str, tuple[GPT2, Codec]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def first(self) -> str:
        return next(iter(self.choices))

    def get(self, name: str = "") -> tuple[GPT2, Codec]:
        """Return a model and its tokenizer; nothing but the names of the choices can be asked for."""
        name = name or self.first
        if name not in self.choices:
            raise CourseError(f"{show(name)} is no model of this server. Take one of {', '.join(self.choices)}.")
        choice = self.choices[name]
        if isinstance(choice, tuple):
            return choice
        with self._lock:  # two people who ask for the same model load it once
            if name not in self._loaded:
                while len(self._loaded) >= self.keep:
                    self._loaded.popitem(last=False)
                self._loaded[name] = load_with_tokenizer(choice)
            self._loaded.move_to_end(name)
            return self._loaded[name]


def find_choices(folder: str | Path = ".") -> dict[str, Choice]:
    """Return what can be served without a download: nano, sizes at hand, and folders of weights here and in runs/."""
    folder = Path(folder)
    found: dict[str, Choice] = {size: size for size in SIZES if size == "nano" or is_downloaded(size)}
    files = (file for name in WEIGHT_FILES for where in ("*", "runs/*") for file in folder.glob(f"{where}/{name}"))
    return found | {place.relative_to(folder).as_posix(): place for place in sorted({file.parent for file in files})}


def name_choices(names: Iterable[str]) -> dict[str, Choice]:
    """Return sizes, folders and files as choices, each checked now and not when the first visitor asks."""
    for name in names:
        find_weights(find_model(name))
    return {str(name) if name in SIZES else Path(name).as_posix(): name for name in names}


class Server:
    """Models with limits: whoever asks gets a response that grows, or a sentence that says why not."""

    def __init__(self, choices: Mapping[str, Choice], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.models = ModelCache(choices, self.limits.models)

    def answer(self, request: Request, every: float = 0.05) -> Iterator[Response]:
        """Yield the growing response, at most once in `every` seconds; the last one says why it ended."""
        max_new, top_k = self.check(request)
        model, tokenizer = self.models.get(request.model)
        seed, stop = secrets.randbelow(2**62), (tokenizer.end_of_text,)
        settings = Sampling(max_new, request.temperature, top_k, seed=seed, stop=stop, window=True)
        decoder, text, tokens = StreamDecoder(tokenizer), "", 0
        began = shown = time.monotonic()
        ended = "the model ended its text"
        for token in stream(model, tokenizer.encode(request.text), settings):
            text += decoder.feed(token)
            tokens, now = tokens + 1, time.monotonic()
            if now - began > self.limits.seconds:
                ended = f"stopped after {self.limits.seconds:g} seconds"
                break
            if tokens == max_new:
                ended = "as long as you allowed"
            elif now - shown >= every:
                shown = now
                yield Response(text, tokens, now - began)
        yield Response(text + decoder.end(), tokens, time.monotonic() - began, ended)

    def check(self, request: Request) -> tuple[int, int | None]:
        """Return how many tokens, and among how many, or refuse what is over a limit."""
        if len(request.text) > (most := self.limits.prompt):
            raise CourseError(f"The text has {len(request.text):,} characters, this server reads {most:,}. Shorten it.")
        # a browser sends 0 for a field that was left empty; for top N that means all tokens
        max_new, top_n = whole(request.max_tokens or 0, "max tokens"), whole(request.top_n or 0, "top N")
        if not 1 <= max_new <= self.limits.new_tokens:
            raise CourseError(f"max tokens is {max_new:,}, expected 1 to {self.limits.new_tokens:,}.")
        if top_n < 0:
            raise CourseError(f"top N is {top_n}, expected 1 or more, or nothing for all tokens.")
        return max_new, top_n or None


def whole(value: float, name: str) -> int:
    """Return a number from a form as a whole one.

    >>> whole(40.0, "top N")
    40
    """
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value != int(value):
        raise CourseError(f"{name} is {show(value)}, expected a whole number.")
    return int(value)
