"""llama.cpp inside this process, through xllamacpp: greedy text, log-probabilities, tokens that stream (lesson 09).

`chat` and `serve` take it with engine=llama.cpp: our weights as a GGUF file, the settings of our own `Sampling`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from utils.config import GPT2Config
from utils.errors import CourseError, show
from utils.files.hub import cache_folder
from utils.formats.gguf_writer import save_gguf
from utils.formats.open_file import ModelFile, open_model_file
from utils.loaders import Codec, load_tokenizer, load_with_tokenizer
from utils.quantize.quantized_linear import plan_of
from utils.sampling import Sampling, check_prompt, check_room
from utils.serve.batching import Text
from utils.serve.server import Choice
from utils.tokenizer import Tokenizer

SAMPLERS = ("penalties", "temperature", "top_k", "top_p", "min_p")  # the order of shape_logits
LINE = b"data: "  # what stands before each event of a stream


def server_settings(path: str | Path, context: int, seats: int = 1, threads: int | None = None) -> Any:
    """Return xllamacpp's settings of a quiet server on this machine, with so many texts at once."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.port, params.verbosity = str(path), 0, -1  # any port, errors only
    params.n_parallel, params.n_ctx = seats, context * seats
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or torch.get_num_threads()
    return params


class LlamaCpp:
    """One GGUF file in llama.cpp."""

    def __init__(
        self, path: str | Path, threads: int | None = None, context: int = 512, gpu_layers: int = 0, seats: int = 1
    ) -> None:
        import xllamacpp

        params, self._key = server_settings(path, context, seats, threads), secrets.token_hex(16)
        params.n_gpu_layers = gpu_layers
        params.api_keys = [self._key]  # it listens on this machine, where others may be logged in
        self.path, self.context, self.server = Path(path), context, xllamacpp.Server(params)
        # A server that is given up before its loop has begun never hears of it, and waits for its loop for ever.
        self.generate([0], 1)

    @cached_property
    def config(self) -> GPT2Config:
        """The shape that the file's header tells."""
        return open_model_file(self.path).config

    def generate(self, prompt: Sequence[int], max_new: int) -> dict[str, float]:
        """Generate greedily and return llama.cpp's own timings: prompt_ms, and predicted_ms for predicted_n tokens."""
        return self._complete(prompt, max_new)["timings"]

    def tokens(self, prompt: Sequence[int], max_new: int) -> list[int]:
        """Generate greedily and return the new tokens."""
        answer = self._complete(prompt, max_new, logprobs=1)  # only with probabilities does it tell the ids
        return [entry["id"] for entry in answer["choices"][0]["logprobs"]["content"]]

    def log_probabilities(self, prompt: Sequence[int], vocab: int) -> Tensor:
        """Return the logarithm (vocab,) of each next token's probability."""
        answer = self._complete(prompt, 1, logprobs=vocab)
        entries = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found = torch.full((vocab,), float("nan"))
        found[[entry["id"] for entry in entries]] = torch.tensor([float(entry["logprob"]) for entry in entries])
        return found

    def stream(self, prompt: Sequence[int], settings: Sampling) -> Iterator[int]:
        """Yield the new tokens of one prompt as they come; chance is llama.cpp's own, the odds are ours.

        Past the last position the second half of the text is read anew, as our own `stream` does with window=True.
        """
        text, written = check_prompt(prompt, self.config), 0
        check_room(len(text), settings, self.context)
        while written < settings.max_new:
            if len(text) >= self.context:
                text = text[-max(1, self.context // 2) :]
            before = written
            for token in self._stream(text, min(settings.max_new - written, self.context - len(text)), settings):
                if token in settings.stop:
                    return
                yield token
                text, written = [*text, token], written + 1
            if written == before:  # it ended the text, and says so by no token
                return

    def new_batch(self) -> StreamBatch:
        """Return a batch for the scheduler of `serve`; llama.cpp itself steps it."""
        return StreamBatch(self)

    def _complete(self, prompt: Sequence[int], max_new: int, **extra) -> dict:
        fixed = {"temperature": 0, "ignore_eos": True, "cache_prompt": False}
        return self.server.handle_completions({"prompt": list(prompt), "max_tokens": max_new} | fixed | extra)

    def _stream(self, text: Sequence[int], most: int, settings: Sampling) -> Iterator[int]:
        address = urlsplit(self.server.listening_address)
        asked = {"prompt": list(text), "n_predict": most, "stream": True, "return_tokens": True}
        asked |= {"repeat_last_n": self.context} | odds(settings)  # a penalty counts the whole text
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        # The plain client: httpx passes each event through its layers, which cost a fiftieth of all tokens a second.
        with closing(HTTPConnection(address.hostname or "", address.port)) as http:
            http.request("POST", "/completion", json.dumps(asked), headers)
            with http.getresponse() as answer:
                for line in answer:
                    if answer.status != 200 or line.startswith(b"error"):
                        said = show(line.decode(errors="replace"))
                        raise CourseError(f"llama.cpp refused a text of {len(text):,} tokens: {said}. Shorten it.")
                    if line.startswith(LINE):
                        yield from json.loads(line.removeprefix(LINE)).get("tokens", [])


def odds(settings: Sampling) -> dict:
    """Return our settings under llama.cpp's names.

    >>> odds(Sampling(temperature=0.5, top_k=40))["top_k"], odds(Sampling())["top_k"]
    (40, 0)
    """
    return {
        "samplers": SAMPLERS,
        "temperature": settings.temperature,
        "top_k": settings.top_k or 0,
        "top_p": settings.top_p or 1.0,
        "min_p": settings.min_p or 0.0,
        "repeat_penalty": settings.repetition_penalty,
        "seed": settings.seed % (2**32 - 1),  # the largest of 32 bits would mean another one each time
        "ignore_eos": not settings.stop,
    }


class StreamBatch:
    """Texts that llama.cpp writes at the same time; each has a thread that hands over its tokens."""

    def __init__(self, engine: LlamaCpp) -> None:
        self.engine, self.texts = engine, list[Text]()
        self._come: SimpleQueue[tuple[Text, int | Exception]] = SimpleQueue()

    def join(self, text: Text) -> None:
        """Add a text and begin to write it."""
        self.texts.append(text)
        threading.Thread(target=self._write, args=[text], daemon=True, name="llama.cpp").start()

    def leave(self, text: Text) -> None:
        """Take a text out; its line to llama.cpp is closed with the next token."""
        self.texts.remove(text)

    def step(self) -> dict[Text, int]:
        """Return the next token that has come, if one does within a fifth of a second."""
        try:
            text, token = self._come.get(timeout=0.2)
        except Empty:
            return {}
        if text not in self.texts:
            return {}
        if isinstance(token, Exception):
            raise token
        return {text: token}

    def _write(self, text: Text) -> None:
        try:
            for token in self.engine.stream(text.history, text.settings):
                if text not in self.texts:
                    return
                self._come.put((text, token))
            for stop in text.settings.stop[:1]:  # it ended, or has written all; then nobody waits for this
                self._come.put((text, stop))
        except Exception as error:  # whoever waits for this text must hear of it
            self._come.put((text, error))


def in_llama_cpp(choices: Mapping[str, Choice], seats: int, kind: str = "F16") -> dict[str, Choice]:
    """Return a server's choices, each place to be opened in llama.cpp when somebody first asks for it."""
    return {
        name: InLlamaCpp(choice, kind, seats) if isinstance(choice, str | Path) else choice
        for name, choice in choices.items()
    }


@dataclass(frozen=True)
class InLlamaCpp:
    """A model that a server opens in llama.cpp when somebody asks for it."""

    place: str | Path
    kind: str
    seats: int

    def __call__(self) -> tuple[LlamaCpp, Codec]:
        return open_in_llama_cpp(self.place, self.kind, self.seats)


def open_in_llama_cpp(name: str | Path, kind: str = "F16", seats: int = 1) -> tuple[LlamaCpp, Codec]:
    """Open a size, folder or file in llama.cpp, and its tokenizer; a GGUF file is taken as it is, whatever its kind."""
    file = open_model_file(name)
    path, tokenizer = (file.file, load_tokenizer(file)) if file.gguf else write_once(file, kind)
    return LlamaCpp(path, context=open_model_file(path).config.context, seats=seats), tokenizer


def write_once(file: ModelFile, kind: str) -> tuple[Path, Codec]:
    """Write a model as GGUF where downloads are kept, once until it changes; the one before it goes."""
    place, state = str(file.file.resolve()), file.file.stat()
    one, now = (
        hashlib.sha256(text.encode()).hexdigest()[:12] for text in (place, f"{state.st_size} {state.st_mtime_ns}")
    )
    path = cache_folder() / "llama.cpp" / f"{one}-{now}-{kind}.gguf"
    if path.is_file():
        return path, load_tokenizer(file)
    model, tokenizer = load_with_tokenizer(file)
    if plan_of(model):
        raise CourseError(f"{file.file} has packed layers, which llama.cpp can't read. Leave engine=llama.cpp out.")
    if not isinstance(tokenizer, Tokenizer):
        raise CourseError(f"{file.file} has no byte-level BPE, which GGUF takes. Leave engine=llama.cpp out.")
    print(f"Writing {file.name} once more for llama.cpp, as GGUF {kind}.", file=sys.stderr, flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_gguf(model, path, kind, tokenizer)
    for older in set(path.parent.glob(f"{one}-*.gguf")) - set(path.parent.glob(f"{one}-{now}-*")):
        older.unlink(missing_ok=True)
    return path, tokenizer
