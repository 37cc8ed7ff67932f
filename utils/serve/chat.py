"""A conversation in the terminal: a model goes on where the text ends, word by word, or several do side by side."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

from utils.errors import CourseError
from utils.files.settings import read_settings
from utils.formats.gguf import is_gguf
from utils.formats.open_file import find_model
from utils.loaders import load_gpt2, load_tokenizer
from utils.machine import pick_device
from utils.model import GPT2
from utils.run_log import log_chat
from utils.sampling import Sampling, stream
from utils.tokenizer import StreamDecoder

GOODBYES = ("exit", "quit")


@dataclass(frozen=True)
class ChatSettings:
    """What a learner may turn while talking."""

    max_new: int = 100
    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 1.0
    repetition_penalty: float = 1.1
    seed: int = 0


@dataclass
class Conversation:
    """A model, how it answers, and the file that keeps what was said."""

    model: GPT2
    tokenizer: object
    settings: Sampling
    log: str
    turns: int = field(default=0)
    name: str = ""
    text: str = ""  # the last text, question and answer together
    unfinished: bool = False  # whether it was cut off, by max_new or by Ctrl-C

    @classmethod
    def open(cls, name: str, words: Sequence[str], log: str) -> Conversation:
        """Load a model by size, folder, file or recipe, with settings as key=value words."""
        name = model_of(name)
        wishes = read_settings(ChatSettings, words)
        settings = Sampling(**vars(wishes), window=True)
        model = load_gpt2(name, device=pick_device())
        place = find_model(name)
        tokenizer = load_tokenizer(place if place.is_dir() or is_gguf(place) else place.parent)
        return cls(model, tokenizer, settings, log, name=name)

    def run(self) -> None:
        """Ask and answer until the learner says exit or quit, or presses Ctrl-D or Ctrl-C."""
        print("Write the beginning of a text; the model goes on. exit or quit ends it.")
        talk(self.answer, lambda: question(self.unfinished))

    def answer(self, query: str) -> str:
        """Print the answer to `query` as it comes, keep it in the log and return it; an empty one goes on."""
        began, pieces = time.perf_counter(), []
        text = self.text if self.unfinished and not query else query
        try:
            with Spinner() as spinner:
                for piece in self.pieces(text):
                    spinner.stop()
                    pieces.append(piece)
                    print(piece, end="", flush=True)
            self.unfinished = len(pieces) > self.settings.max_new  # the last piece is what the decoder kept back
        except KeyboardInterrupt:  # enough of this answer, not of the conversation
            self.unfinished = True
            print(" …", end="")
        self.text = text + "".join(pieces)
        print(f"\n({len(pieces) / (time.perf_counter() - began):.0f} tokens/s)", file=sys.stderr)
        log_chat(self.log, query, "".join(pieces), self.name)
        self.turns += 1
        return "".join(pieces)

    def pieces(self, query: str) -> Iterator[str]:
        """Yield the answer in pieces of whole characters; each turn has its own seed."""
        decoder = StreamDecoder(self.tokenizer)
        settings = replace(self.settings, seed=self.settings.seed + self.turns)
        for token in stream(self.model, self.tokenizer.encode(query), settings):
            yield decoder.feed(token)
        yield decoder.end()


@dataclass
class RoundTable:
    """Several models that answer the same questions, one after the other, always in the same order."""

    seats: list[Conversation]

    @classmethod
    def open(cls, names: Sequence[str], words: Sequence[str], log: str) -> RoundTable:
        """Load models in the order of their names; all of them get the same settings."""
        return cls([Conversation.open(name, words, log) for name in names])

    def run(self) -> None:
        """Ask everybody until the learner says exit or quit, or presses Ctrl-D or Ctrl-C."""
        print(f"Write the beginning of a text; {len(self.seats)} models go on, each on its own. exit or quit ends it.")
        talk(self.answer)

    def answer(self, query: str) -> list[str]:
        """Print each model's answer under its number and name, keep all in the log and return them in order."""
        answers = []
        for number, seat in enumerate(self.seats, 1):
            print(f"\n[{number}] {seat.name}: ", end="", flush=True)
            answers.append(seat.answer(query))
        return answers


def talk(answer: Callable[[str], object], asked: Callable[[], str] = lambda: question(False)) -> None:
    """Hand each line that is typed to `answer`, until one is a goodbye or the input ends."""
    while True:
        try:
            query = input(asked())
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if query.strip().lower() in GOODBYES:
            return
        answer(query)


def part_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words of a command into models and settings (key=value that is no path).

    >>> part_words(["nano", "top_k=5", "q4"])
    (['nano', 'q4'], ['top_k=5'])
    """
    settings = [word for word in words if "=" in word and not Path(word).exists()]
    return [word for word in words if word not in settings] or ["nano"], settings


class Spinner:
    """Within a with block, turns a small wheel on a terminal until `stop`; elsewhere it shows nothing."""

    def __init__(self, stream=None, pause: float = 0.1) -> None:
        self.stream, self.pause = stream or sys.stderr, pause
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> Spinner:
        if self.stream.isatty():
            self.thread = threading.Thread(target=self._turn, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *reason) -> None:
        self.stop()

    def stop(self) -> None:
        """Wipe the wheel away, so that text can begin in its place; a second call does nothing."""
        self.done.set()
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def _turn(self) -> None:
        for sign in cycle("|/-\\"):
            self.stream.write(f"{sign}\b")
            self.stream.flush()
            if self.done.wait(self.pause):
                break
        self.stream.write(" \b")
        self.stream.flush()


def model_of(name: str) -> str:
    """Return what to load for a name: for a recipe the folder that it trains into, for all else the name itself."""
    if Path(name).suffix not in (".yaml", ".yml"):
        return name
    from utils.training.recipes import TrainingRecipe

    folder = read_settings(TrainingRecipe, recipe=name).out
    if not Path(folder).is_dir():
        raise CourseError(f"{name} was not trained yet, {folder} is not there. Do: python -m tools train recipe={name}")
    return folder


def question(unfinished: bool) -> str:
    """Return what stands before the learner's next line."""
    return "\ncontinue? Enter goes on, or write something new> " if unfinished else "\nyou> "
