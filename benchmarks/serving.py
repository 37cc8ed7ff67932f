"""Fifty visitors at once, and sixty who ask and go away: our page, in one batch or one by one, and llama.cpp."""

from __future__ import annotations

import json
import re
import socket
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import Child, OthersWatch, Report, Rounds, Sample, compare, machine_description, race

RATE, ANSWER, LAST, ALONE, NEXT = (
    "all tokens/s",
    "median answer seconds",
    "last answer seconds",
    "a visitor alone seconds",
    "after those who left seconds",
)
IMPORTS = ("torch", "gradio", "httpx")
# of clients; reading certificates that nobody asks for would take each of them 30 ms
PLAIN: dict[str, Any] = {"timeout": None, "trust_env": False, "verify": False}


@dataclass(frozen=True)
class Settings:
    """Which model serves how many visitors, and how long their answers are."""

    model: str = "nano"
    visitors: int = 50
    abandoned: int = 60  # requests of `abandoned_new` tokens whose senders have gone
    max_new: int = 40
    abandoned_new: int = 500
    seats: int = 8  # answers in one batch
    rounds: Rounds = Rounds(3)


@dataclass(frozen=True)
class Peer:
    """A running server: how it is asked, how many tokens came back, and how one asks and leaves."""

    ask: Callable[[str, int], int]
    leave: Callable[[str, int], None]


def measure(settings: Settings = Settings()) -> Report:
    """Let the servers be visited in turns."""
    import torch

    from utils.formats.gguf_writer import save_gguf
    from utils.loaders import load_gpt2

    with TemporaryDirectory() as folder, OthersWatch() as others:
        path = save_gguf(load_gpt2(settings.model), Path(folder) / "model.gguf", "F32")
        batched, single = f"ours × {settings.seats}", "ours × 1"
        contestants = {
            batched: Child(ours, settings, settings.seats, imports=IMPORTS),
            single: Child(ours, settings, 1, imports=IMPORTS),
            "llama.cpp F32": Child(llama_cpp, settings, path, imports=IMPORTS),
        }
        samples = race(contestants, settings.rounds)
    ratios = [compare(samples, batched, other, RATE) for other in (single, "llama.cpp F32")]
    ratios += [compare(samples, batched, other, ANSWER) for other in (single, "llama.cpp F32")]
    ratios.append(compare(samples, batched, "llama.cpp F32", NEXT))
    notes = [
        f"Both compute on {torch.get_num_threads()} of this machine's cores.",
        f"× {settings.seats} writes that many answers in one batch, as llama.cpp's {settings.seats} slots do.",
        f"A visitor alone asks for 5 tokens; then {settings.abandoned} ask for {settings.abandoned_new} and close the "
        "line, and one asks for 5 again.",
        "All clients are threads of the server's own process, and ours also streams: both count in its time.",
        others.sentence(),
    ]
    title = f"Serving {settings.model} on a CPU: {settings.visitors} visitors at once, {settings.max_new} tokens each"
    return Report("serving", title, asdict(settings), samples, ratios, notes, machine_description())


def visit(peer: Peer, settings: Settings) -> Sample:
    """Let one visitor come alone, one after many who have gone, and then many at once."""
    alone, _ = answer(peer, "The owl", 5)
    for number in range(settings.abandoned):
        peer.leave(f"The {number} crows", settings.abandoned_new)
    after, _ = answer(peer, "The owl", 5)
    began = time.perf_counter()
    with ThreadPoolExecutor(settings.visitors) as people:
        prompts = [f"Once upon a time, {number} mice" for number in range(settings.visitors)]
        found = list(people.map(lambda prompt: answer(peer, prompt, settings.max_new), prompts))
    seconds = [taken for taken, _ in found]
    return {
        RATE: sum(tokens for _, tokens in found) / (time.perf_counter() - began),
        ANSWER: statistics.median(seconds),
        LAST: max(seconds),
        ALONE: alone,
        NEXT: after,
    }


def answer(peer: Peer, prompt: str, max_new: int) -> tuple[float, int]:
    """Return how many seconds an answer took and how many tokens it had."""
    began = time.perf_counter()
    tokens = peer.ask(prompt, max_new)
    return time.perf_counter() - began, tokens


def knock(url: str, path: str, body: dict) -> None:
    """Send a request and close the line without reading."""
    place, content = urlsplit(url), json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode())


def ours(settings: Settings, seats: int) -> Callable[[], Sample]:
    """Serve with the course's page, through its interface for programs."""
    import httpx

    from utils.serve.page import NO_OTHER, start_app
    from utils.serve.server import Limits

    app = start_app({settings.model: settings.model}, Limits(at_once=seats, waiting=2 * settings.visitors))
    call = "/gradio_api/call/generate"

    def body(prompt: str, max_new: int) -> dict:
        return {"data": [prompt, max_new, 0, 0, settings.model, 0, NO_OTHER]}

    def ask(prompt: str, max_new: int) -> int:
        with httpx.Client(base_url=app.url, **PLAIN) as http:
            event = http.post(call, json=body(prompt, max_new)).raise_for_status().json()["event_id"]
            said = http.get(f"{call}/{event}").text
        return int(re.findall(r'event: complete\ndata: \[.*, "(\d+) token', said)[0])

    peer = Peer(ask, lambda prompt, max_new: knock(app.url, call, body(prompt, max_new)))
    return partial(visit, peer, settings)


def llama_cpp(settings: Settings, path: Path) -> Callable[[], Sample]:
    """Serve with llama.cpp, as many slots as we have seats."""
    import httpx
    import xllamacpp

    from utils.serve.llama_cpp import server_settings

    context = 64 + max(settings.max_new, settings.abandoned_new)
    engine = xllamacpp.Server(server_settings(path, context, settings.seats))
    call = "/v1/completions"

    def body(prompt: str, max_new: int) -> dict:
        return {"prompt": prompt, "max_tokens": max_new, "temperature": 0}

    def ask(prompt: str, max_new: int) -> int:
        with httpx.Client(base_url=engine.listening_address, **PLAIN) as http:
            said = http.post(call, json=body(prompt, max_new)).raise_for_status().json()
        return said["usage"]["completion_tokens"]

    peer = Peer(ask, lambda prompt, max_new: knock(engine.listening_address, call, body(prompt, max_new)))
    return partial(visit, peer, settings)
