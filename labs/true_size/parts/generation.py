"""Generation at true size: tokens a second of one text and of many, in float32 and 16 bits, with a KV cache or not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from benchmarks.generation import rates
from labs.true_size.bench import FEWEST, Bench, Figures, Measure, compiled_blocks, found_in, name_of
from tools.fast_layers import for_generation
from utils.machine import parse_dtype, prepare_for_speed, small_dtype
from utils.model import GPT2
from utils.sampling import Sampling, generate_steps


def lengths(bench: Bench) -> tuple[int, int, int]:
    """Return tokens of a prompt, new tokens, and texts at a time."""
    return (8, 8, 3) if bench.tiny else (16, 128, 16)


def restless_model(bench: Bench) -> GPT2:
    """Return new weights with large positions: plain ones repeat their last token, since the table is also the head."""
    model = bench.model().eval()
    with torch.no_grad():
        model.position_embedding.weight.mul_(50)
    return model


def write(bench: Bench, model: GPT2, batch: int) -> tuple[dict[str, float], list[int]]:
    """Write greedily, the second time by the clock; return the rates and the first text, which the time may cut."""
    prompt, max_new, _ = lengths(bench)
    prompts = [[(7 * row + place) % bench.config.vocab_size for place in range(prompt)] for row in range(batch)]
    settings = Sampling(max_new=max_new, temperature=0, stop=())
    for _ in range(2):  # the first one pays for what is done once
        stamps, rows = [time.perf_counter()], []
        for tokens in generate_steps(model, prompts, settings):
            rows.append(tokens[0])
            stamps.append(time.perf_counter())
            if bench.left <= 0 and len(rows) >= FEWEST:
                break
    return {name: round(rate, 1) for name, rate in rates(stamps, prompt, batch).items()}, rows


def both(bench: Bench, model: GPT2) -> Figures:
    """Measure one text and many."""
    batch = lengths(bench)[2]
    alone, tokens = write(bench, model, 1)
    return {"one text": alone, f"{batch} texts": write(bench, model, batch)[0], "tokens": tokens}


def in_float32(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    return both(bench, prepare_for_speed(restless_model(bench)))


def in_16_bits(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Write with the layers that are fastest here in 16 bits."""
    return {"dtype": name_of(small_dtype(bench.device))} | both(bench, for_generation(restless_model(bench)))


@torch.inference_mode()
def without_cache(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Read the whole text anew for each token: what a KV cache saves, and that it changes nothing."""
    prompt, max_new, _ = lengths(bench)
    model = prepare_for_speed(restless_model(bench))
    history = torch.arange(prompt, device=bench.device)[None]  # (1, time)
    stamps = [time.perf_counter()]
    for _ in range(max_new):
        history = torch.cat([history, model(history)[:, -1].argmax(-1, keepdim=True)], dim=1)
        int(history[0, -1])  # waits for the device, as a reader does
        stamps.append(time.perf_counter())
        if bench.left <= 0 and len(stamps) > FEWEST:
            break
    cached = found_in(found, "float32", "tokens")
    return {
        "one text": {name: round(rate, 1) for name, rate in rates(stamps, prompt).items()},
        "share of the same tokens": share_alike(history[0, prompt:].tolist(), cached),
    }


def compiled(bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """Write with compiled blocks, in 16 bits on a GPU; the text may differ where two tokens are equally likely."""
    name = "float32" if bench.device.type == "cpu" else name_of(small_dtype(bench.device))
    model = prepare_for_speed(restless_model(bench).to(parse_dtype(name)))
    plain, expected = write(bench, model, 1)
    began = time.perf_counter()
    with compiled_blocks(bench, model) as backend:
        write(bench, model, 1)
        first = time.perf_counter() - began
        fast, tokens = write(bench, model, 1)
    return {
        "backend": backend,
        "dtype": name,
        "compiling seconds": round(first, 2),
        "one text": fast,
        "one text, not compiled": plain,
        "share of the same tokens": share_alike(tokens, expected),
    }


def share_alike(tokens: Sequence[int], others: Sequence[int]) -> float:
    """Return which share of two texts' tokens is the same, as far as both go.

    >>> share_alike([1, 2, 3], [1, 5])
    0.5
    """
    pairs = list(zip(tokens, others, strict=False))
    return sum(a == b for a, b in pairs) / len(pairs)


MEASURES: dict[str, Measure] = {
    "float32": in_float32,
    "16-bit": in_16_bits,
    "without KV cache": without_cache,
    "compiled": compiled,
}
