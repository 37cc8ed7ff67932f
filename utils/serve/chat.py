"""Terminal chat with streaming: a model goes on where the text ends, word by word, or several do side by side.

Lab 02 talks to its own poet with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils.errors import CourseError, show
from utils.files.settings import read_settings
from utils.loaders import Codec, load_with_tokenizer
from utils.model import GPT2
from utils.run_log import log_chat
from utils.sampling import Sampling, stream
from utils.tokenizer import StreamDecoder

if TYPE_CHECKING:
    from utils.serve.llama_cpp import LlamaCpp

GOODBYES = ("exit", "quit")
ENGINES = {"ours": "", "llama.cpp": "F16", "llama.cpp:8": "Q8_0", "llama.cpp:4": "Q4_0"}  # and the kind of its weights
ASK, GO_ON = "\nyou> ", "\ncontinue? Enter goes on, or write something new> "  # what stands before the next line


@dataclass(frozen=True)
class ChatSettings:
    """What a learner may turn while talking."""

    max_new: int = 100  # tokens of one answer
    temperature: float = 0.7  # 0 takes the likeliest token, 1 the model's own odds
    top_k: int = 40  # choose among so many of the likeliest tokens
    top_p: float = 1.0  # choose among the likeliest tokens that have so much probability together
    repetition_penalty: float = 1.1  # above 1: what was said becomes less likely
    seed: int = 0  # the same one gives the same answers
    engine: str = "ours"  # llama.cpp writes faster, with random numbers of its own; llama.cpp:8 and :4 in fewer bits

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise CourseError(f"engine is {show(self.engine)}, expected one of {', '.join(ENGINES)}.")

    @property
    def sampling(self) -> Sampling:
        """How a model chooses; a text may be longer than its positions."""
        known = {each.name for each in fields(Sampling)}
        return Sampling(**{name: value for name, value in vars(self).items() if name in known}, window=True)


@dataclass
class Conversation:
    """A model, how it answers, and the file that keeps what was said."""

    model: GPT2 | LlamaCpp
    tokenizer: Codec
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
        settings = read_settings(ChatSettings, words)
        sampling = settings.sampling  # refused, if so, before anything is loaded
        model, tokenizer = open_engine(name, settings.engine)
        return cls(model, tokenizer, sampling, log, name=name)

    def run(self) -> None:
        """Ask and answer until the learner says exit or quit, or presses Ctrl-D or Ctrl-C."""
        print("Write the beginning of a text; the model goes on. exit or quit ends it.")
        talk(self.answer, lambda: GO_ON if self.unfinished else ASK)

    def answer(self, query: str) -> str:
        """Print the answer to `query` as it comes, keep it in the log and return it; an empty one goes on."""
        began, pieces = time.perf_counter(), []
        text = self.text if self.unfinished and not query else query
        try:
            if sys.stdout.isatty():
                print("…\b", end="", flush=True)  # a sign of life; the first word takes its place
            for piece in self.pieces(text):
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
        write = partial(stream, self.model) if isinstance(self.model, GPT2) else self.model.stream
        for token in write(self.tokenizer.encode(query), settings):
            yield decoder.feed(token)
        yield decoder.end()


def open_engine(name: str, engine: str) -> tuple[GPT2 | LlamaCpp, Codec]:
    """Load a model as our own, or open it in llama.cpp."""
    if engine == "ours":
        return load_with_tokenizer(name)
    from utils.serve.llama_cpp import open_in_llama_cpp

    return open_in_llama_cpp(name, ENGINES[engine])


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


def talk(answer: Callable[[str], object], asked: Callable[[], str] = lambda: ASK) -> None:
    """Hand each line that is typed to `answer`, until one is a goodbye or the input ends."""
    while True:
        try:
            query = input(asked())
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if query.strip().lower() in GOODBYES:
            return
        try:
            answer(query)
        except CourseError as error:  # a letter that this tokenizer does not know, for instance: ask again
            print(error, file=sys.stderr)


def part_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words of a command into models and settings (key=value that is no path).

    >>> part_words(["nano", "top_k=5", "q4"])
    (['nano', 'q4'], ['top_k=5'])
    """
    settings = [word for word in words if "=" in word and not Path(word).exists()]
    return [word for word in words if word not in settings] or ["nano"], settings


def model_of(name: str) -> str:
    """Return what to load for a name: for a recipe the folder that it trains into, for all else the name itself."""
    if Path(name).suffix not in (".yaml", ".yml"):
        return name
    from utils.training.recipes import TrainingRecipe

    folder = read_settings(TrainingRecipe, recipe=name).out
    if not Path(folder).is_dir():
        raise CourseError(
            f"{name} was not trained yet, {folder} is not there. Do: python course.py train recipe={name}"
        )
    return folder
