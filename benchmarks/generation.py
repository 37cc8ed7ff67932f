"""Tokens a second, one text and sixteen at a time: ours, transformers and llama.cpp with the same random weights."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Child, OthersWatch, Report, Rounds, Sample, compare, machine_description, race
from utils.config import SIZES, GPT2Config, total_parameters
from utils.machine import usable_cores

LLAMA_BITS = {"F32": 32, "F16": 16, "Q8_0": 8.5, "Q4_0": 4.5}  # a weight, scales included
DECODE, PROMPT, WHOLE, READ = "decode tokens/s", "prompt tokens/s", "all tokens/s", "memory reading GB/s"
ENGINE = "ours, engine=llama.cpp F16"
TRANSFORMERS = "transformers.models.gpt2.modeling_gpt2"


@dataclass(frozen=True)
class Settings:
    """Which model generates how much from how long a prompt."""

    config: GPT2Config = SIZES["small"]
    prompt: int = 16
    max_new: int = 100
    batch: int = 16
    rounds: Rounds = Rounds(5)
    llama_kinds: tuple[str, ...] = ("F32", "F16", "Q8_0", "Q4_0")  # of weights; none leaves llama.cpp out


def measure(settings: Settings = Settings()) -> Report:
    """Write the weights once for everyone, then let them generate in turns: first one text, then a batch."""
    from utils.machine import has_real_bf16

    with TemporaryDirectory() as folder, OthersWatch() as others:
        write_weights(settings, Path(folder))
        samples = race(single_contestants(settings, Path(folder)), settings.rounds)
        samples |= race(batch_contestants(settings, Path(folder)), settings.rounds)
    add_bandwidth_share(samples, settings.config)
    notes = [
        "Decode counts the tokens after the first one, prompt the time until the first one.",
        "The limit is the time in which the weights of one token can be read from memory once.",
    ]
    if not has_real_bf16("cpu"):
        notes.append("transformers in bfloat16 is left out: this processor only imitates bfloat16 products.")
    title = f"Generation on a CPU: {settings.max_new} tokens after {settings.prompt}, greedy, random weights"
    notes.append(others.sentence())
    return Report(
        "generation", title, asdict(settings), samples, ratios(samples, settings), notes, machine_description()
    )


def ratios(samples: dict[str, list[Sample]], settings: Settings) -> list:
    """Compare what the course claims: 16-bit weights against llama.cpp's F16 and against transformers."""
    pairs = [
        ("ours 16-bit", "transformers float32", DECODE, 2.5),
        ("ours 16-bit", "transformers bfloat16", DECODE, 2.5),
        ("ours 16-bit", "llama.cpp F16", DECODE, 1.25),
        ("ours 16-bit", "llama.cpp F16", PROMPT, None),
        (ENGINE, "llama.cpp F16", DECODE, 0.97),
        ("ours float32", "transformers float32", DECODE, None),
        ("ours float32", "llama.cpp F32", DECODE, None),
        (f"ours 16-bit × {settings.batch}", f"transformers float32 × {settings.batch}", WHOLE, 1.0),
        (f"ours 16-bit × {settings.batch}", f"transformers bfloat16 × {settings.batch}", WHOLE, 1.0),
        (f"ours float32 × {settings.batch}", f"transformers float32 × {settings.batch}", WHOLE, None),
    ]
    there = [pair for pair in pairs if pair[0] in samples and pair[1] in samples]
    return [compare(samples, of, to, quantity, target=target) for of, to, quantity, target in there]


def add_bandwidth_share(samples: dict[str, list[Sample]], config: GPT2Config) -> None:
    """Add to each single-text sample how near it came to reading its weights once a token, in its own round."""
    weights = total_parameters(config) - config.context * config.n_embd  # all matrices; a token looks up one position
    for name, turns in samples.items():
        for sample, reading in zip(turns, samples["reading memory"], strict=True):
            if DECODE in sample:
                seconds = weights * bits(name) / 8 / (reading[READ] * 1e9)
                sample["of the memory limit share"] = sample[DECODE] * seconds


def bits(name: str) -> float:
    """Return how many bits a weight has in memory.

    >>> [bits(name) for name in ("ours 16-bit", "transformers float32", "llama.cpp Q4_0")]
    [16, 32, 4.5]
    """
    last = name.split()[-1]
    return LLAMA_BITS.get(last) or (32 if last == "float32" else 16)


def write_weights(settings: Settings, folder: Path) -> None:
    """Write the same random weights as a folder for transformers and us, and as GGUF files for llama.cpp."""
    import torch

    from utils.formats.gguf_writer import save_gguf
    from utils.loaders import save_gpt2
    from utils.model import GPT2

    torch.manual_seed(0)
    model = GPT2(settings.config)
    save_gpt2(model, folder)
    for kind in settings.llama_kinds:
        save_gguf(model, folder / f"{kind}.gguf", kind)


def single_contestants(settings: Settings, folder: Path) -> dict[str, Child]:
    """Return the contestants that write one text each."""
    from utils.machine import has_real_bf16

    size = (settings.prompt, settings.max_new)
    found = {
        "reading memory": Child(reading, imports=("torch",)),
        "ours float32": Child(ours, folder, "float32", *size, 1, imports=("torch", "tools.fast_layers")),
        "ours 16-bit": Child(ours, folder, "16-bit", *size, 1, imports=("torch", "tools.fast_layers")),
        "transformers float32": Child(peer, folder, "float32", *size, 1, imports=(TRANSFORMERS,)),
    }
    if has_real_bf16("cpu"):
        found["transformers bfloat16"] = Child(peer, folder, "bfloat16", *size, 1, imports=(TRANSFORMERS,))
    for kind in settings.llama_kinds:
        found[f"llama.cpp {kind}"] = Child(llama_cpp, folder / f"{kind}.gguf", *size, imports=("xllamacpp", "torch"))
    if "F16" in settings.llama_kinds:
        found[ENGINE] = Child(engine, folder / "F16.gguf", *size, imports=("xllamacpp", "utils.serve.llama_cpp"))
    return found


def batch_contestants(settings: Settings, folder: Path) -> dict[str, Child]:
    """Return the contestants that write many texts at a time."""
    from utils.machine import has_real_bf16

    size, times = (settings.prompt, settings.max_new, settings.batch), f"× {settings.batch}"
    found = {
        f"{who} {dtype} {times}": Child(make, folder, dtype, *size, imports=imports)
        for who, make, dtype, imports in (
            ("ours", ours, "float32", ("torch", "tools.fast_layers")),
            ("ours", ours, "16-bit", ("torch", "tools.fast_layers")),
            ("transformers", peer, "float32", (TRANSFORMERS,)),
        )
    }
    if has_real_bf16("cpu"):
        found[f"transformers bfloat16 {times}"] = Child(peer, folder, "bfloat16", *size, imports=(TRANSFORMERS,))
    return found


def reading():
    """Measure how fast this machine reads memory: the sum of an array that no cache can hold."""
    import torch

    array = torch.ones(2**26)  # 268 MB

    def turn() -> Sample:
        seconds = []
        for _ in range(8):
            began = time.perf_counter()
            array.sum()
            seconds.append(time.perf_counter() - began)
        return {READ: array.nbytes / min(seconds) / 1e9}

    return turn


def rates(stamps: list[float], prompt: int, batch: int = 1) -> Sample:
    """Turn the times of start, first step, … last step into rates; prompt and decoding apart for a single text.

    >>> rates([0.0, 0.5, 0.75, 1.0], prompt=10) == {DECODE: 4.0, PROMPT: 20.0, WHOLE: 3.0}
    True
    >>> rates([0.0, 0.5, 0.75, 1.0], prompt=10, batch=16) == {WHOLE: 48.0}
    True
    """
    start, first, *_, last = stamps
    steps = len(stamps) - 1
    whole = {WHOLE: batch * steps / (last - start)}
    return whole if batch > 1 else {DECODE: (steps - 1) / (last - first), PROMPT: prompt / (first - start), **whole}


def ours(folder: Path, dtype: str, prompt: int, max_new: int, batch: int):
    """Generate with this course's model and sampling."""
    import torch

    from tools.fast_layers import for_generation
    from utils.loaders import load_gpt2
    from utils.sampling import Sampling, generate_steps

    model = load_gpt2(folder) if dtype == "float32" else for_generation(load_gpt2(folder, torch.float16))
    prompts = [list(range(prompt))] * batch
    settings = Sampling(max_new=max_new, temperature=0, stop=())

    def turn() -> Sample:
        stamps = [time.perf_counter()]
        for _ in generate_steps(model, prompts, settings):
            stamps.append(time.perf_counter())
        return rates(stamps, prompt, batch)

    return turn


def peer(folder: Path, dtype: str, prompt: int, max_new: int, batch: int):
    """Generate with transformers, its key/value cache on."""
    import torch
    from transformers import GPT2LMHeadModel, LogitsProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokens = torch.arange(prompt).repeat(batch, 1)
    stamps: list[float] = []

    class Clock(LogitsProcessor):  # generate calls it with the logits of every new token
        def __call__(self, input_ids, scores):
            stamps.append(time.perf_counter())
            return scores

    def turn() -> Sample:
        stamps[:] = [time.perf_counter()]
        model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=max_new,
            min_new_tokens=max_new,
            do_sample=False,
            pad_token_id=0,
            logits_processor=[Clock()],
        )
        return rates(stamps, prompt, batch)

    return turn


def llama_cpp(path: Path, prompt: int, max_new: int):
    """Generate with llama.cpp, which keeps the time of prompt and decoding itself."""
    from utils.serve.llama_cpp import LlamaCpp

    model = LlamaCpp(path, usable_cores())

    def turn() -> Sample:
        began = time.perf_counter()
        timings = model.generate(list(range(prompt)), max_new)
        whole = time.perf_counter() - began
        first, rest = timings["prompt_ms"] / 1e3, timings["predicted_ms"] / 1e3
        made = timings["predicted_n"]  # the first of them comes out of the prompt
        return {DECODE: (made - 1) / rest, PROMPT: prompt / first, WHOLE: made / whole}

    return turn


def engine(path: Path, prompt: int, max_new: int):
    """Stream through the course's own interface to llama.cpp, as `chat engine=llama.cpp` does."""
    from utils.sampling import Sampling
    from utils.serve.llama_cpp import LlamaCpp

    model, settings = LlamaCpp(path, usable_cores()), Sampling(max_new=max_new, temperature=0, stop=())

    def turn() -> Sample:
        stamps = [time.perf_counter()]
        for _ in model.stream(list(range(prompt)), settings):
            stamps.append(time.perf_counter())
        return rates(stamps, prompt)

    return turn
