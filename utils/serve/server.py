"""Inference server: a model cache, limits on every request, a response that streams.

Models behind a door: which may be asked for, how much at a time, and an answer that grows word by word. Lesson 15
builds one by hand; who is served when stands in scheduler.py, how many are answered in one pass in batching.py.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from utils.config import SIZES
from utils.errors import CourseError, show
from utils.files.beginnings import read_beginnings
from utils.files.hub import is_downloaded
from utils.formats.open_file import WEIGHT_FILES, find_model, find_weights
from utils.loaders import Codec, load_with_tokenizer
from utils.model import GPT2
from utils.sampling import Sampling
from utils.serve.batching import Engine, Text
from utils.serve.scheduler import Job, Limits, News, Scheduler
from utils.serve.thoughts import Written
from utils.tokenizer import StreamDecoder

MOST_SEED = 999_999  # of those that a server draws: short enough to be typed in again
Loaded = tuple[GPT2 | Engine, Codec]
Choice = str | Path | Loaded | Callable[[], Loaded]  # a size, folder or file, a model at hand, or what opens one


@dataclass(frozen=True)
class Request:
    """What somebody typed into the form."""

    text: str
    max_tokens: float | None = 100
    temperature: float = 0.7
    top_n: float | None = None
    model: str = ""
    seed: float | None = None  # nothing or 0: another one each time
    begun: tuple[int, ...] = ()  # tokens of the answer that stand already; it goes on behind them
    think: bool = False  # whether to keep how likely each token was


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
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def first(self) -> str:
        return next(iter(self.choices))

    def beginnings(self) -> list[str]:
        """Return beginnings of texts that suit the first model, none where its folder keeps none."""
        place = getattr(self.choices[self.first], "place", self.choices[self.first])
        return beginnings_of(place) if isinstance(place, str | Path) else []

    def get(self, name: str = "") -> Loaded:
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
                self._loaded[name] = choice() if callable(choice) else load_with_tokenizer(choice)
            self._loaded.move_to_end(name)
            return self._loaded[name]


def beginnings_of(place: str | Path) -> list[str]:
    """Return the beginnings of texts that a size, folder or file keeps beside its weights."""
    return read_beginnings(find_weights(find_model(place)).parent)


def find_choices(folder: str | Path = ".") -> dict[str, Choice]:
    """Return what can be served without a download: nano, sizes at hand, and folders of weights here and in runs/."""
    folder = Path(folder)
    found: dict[str, Choice] = {size: size for size in SIZES if size == "nano" or is_downloaded(size)}
    files = (file for name in WEIGHT_FILES for where in ("*", "runs/*") for file in folder.glob(f"{where}/{name}"))
    return found | {place.relative_to(folder).as_posix(): place for place in sorted({file.parent for file in files})}


def name_choices(names: Iterable[str]) -> dict[str, Choice]:
    """Return sizes, folders and files as choices, each checked now and not when the first visitor asks.

    Visitors see the name of a folder or file, and its path only where two have the same name.
    """
    chosen = list(names)
    for name in chosen:
        find_weights(find_model(name))
    shown = [Path(name).name for name in chosen]
    return {
        short if shown.count(short) == 1 else Path(name).as_posix(): name
        for name, short in zip(chosen, shown, strict=True)
    }


class Answer:
    """An answer under way: the tokens that have come, as text of whole characters."""

    def __init__(self, job: Job, tokenizer: Codec, begun: Sequence[int] = ()) -> None:
        self.job, self.tokenizer, self.tokens, self.ended = job, tokenizer, 0, ""
        self._decoder = StreamDecoder(tokenizer)
        self.written = [Written(token, self._decoder.feed(token)) for token in begun]
        self.text = "".join(each.piece for each in self.written)

    def take(self, news: News) -> None:
        """Take in what the scheduler tells."""
        if news.error:
            raise news.error
        if news.token is not None:
            thoughts = (self.job.text.thoughts or [])[self.tokens : self.tokens + 1]
            self.written.append(Written(news.token, self._decoder.feed(news.token), *thoughts))
            self.text, self.tokens = self.text + self.written[-1].piece, self.tokens + 1
        if news.ended:
            self.text, self.ended = self.text + self._decoder.end(), news.ended

    def take_all(self) -> bool:
        """Take in what has come, without waiting; say whether there was anything."""
        before = self.tokens
        while not self.job.news.empty():
            self.take(self.job.news.get())
        return self.tokens > before or bool(self.ended)

    def response(self) -> Response:
        return Response(self.text, self.tokens, time.monotonic() - self.job.began, self.ended)

    def cancel(self) -> None:
        """Give up the place in the queue or in the batch."""
        self.job.cancelled = True


class Server:
    """Models with limits: whoever asks gets a response that grows, or a sentence that says why not."""

    def __init__(self, choices: Mapping[str, Choice], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.models = ModelCache(choices, self.limits.models)
        self.scheduler = Scheduler(self.limits)

    def answer(self, request: Request, every: float = 0.05) -> Iterator[Response]:
        """Yield the growing response, at most once in `every` seconds; the last one says why it ended."""
        answer = self.submit(self.prepare(request), begun=request.begun)
        shown = time.monotonic()
        try:
            while not answer.ended:
                answer.take(answer.job.news.get())
                if answer.ended or time.monotonic() - shown >= every:
                    shown = time.monotonic()
                    yield answer.response()
        finally:
            answer.cancel()

    def prepare(self, request: Request) -> tuple[Text, Codec]:
        """Hold a request to the limits and load its model, which may take a while."""
        max_new, top_k = self.check(request)
        model, tokenizer = self.models.get(request.model)
        settings = Sampling(
            max_new, request.temperature, top_k, seed=seed_of(request), stop=(tokenizer.end_of_text,), window=True
        )
        text = Text(model, [*tokenizer.encode(request.text), *request.begun], settings)
        text.thoughts = [] if request.think else None
        for _ in request.begun:  # their draws are spent, so that whoever takes what was written gets the same text
            torch.rand(1, generator=text.generator, dtype=torch.float64)
        return text, tokenizer

    def submit(self, prepared: tuple[Text, Codec], visitor: Hashable = None, begun: Sequence[int] = ()) -> Answer:
        """Let a request wait for its turn; without a name, everyone is a visitor of their own."""
        text, tokenizer = prepared
        job = Job(text, text if visitor is None else visitor)
        self.scheduler.submit(job)
        return Answer(job, tokenizer, begun)

    def check(self, request: Request) -> tuple[int, int | None]:
        """Return how many tokens, and among how many, or refuse what is over a limit."""
        if len(request.text) > (most := self.limits.prompt):
            raise CourseError(f"The text has {len(request.text):,} characters, this server reads {most:,}. Shorten it.")
        # a browser sends 0 for a field that was left empty; for top N that means all tokens
        max_new, top_n = whole(request.max_tokens or 0, "max tokens"), whole(request.top_n or 0, "top N")
        if not 1 <= max_new <= self.limits.new_tokens:
            raise CourseError(f"max tokens is {max_new:,}, expected 1 to {self.limits.new_tokens:,}.")
        if len(request.begun) > self.limits.new_tokens:
            raise CourseError(
                f"{len(request.begun):,} tokens are written already, this server goes on behind "
                f"{self.limits.new_tokens:,}. Put the text into the field and continue it from there."
            )
        if top_n < 0:
            raise CourseError(f"top N is {top_n}, expected 1 or more, or nothing for all tokens.")
        return max_new, top_n or None


def seed_of(request: Request) -> int:
    """Return the seed that a request names, or draw one."""
    return whole(request.seed or 0, "seed") or secrets.randbelow(MOST_SEED) + 1


def whole(value: float, name: str) -> int:
    """Return a number from a form as a whole one.

    >>> whole(40.0, "top N")
    40
    """
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value != int(value):
        raise CourseError(f"{name} is {show(value)}, expected a whole number.")
    return int(value)
