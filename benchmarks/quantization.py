"""Fewer bits: how long quantizing takes, ours beside gptqmodel, and what it gives: speed, memory, perplexity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.generation import DECODE, llama_cpp, ours
from benchmarks.gptqmodel_peer import gptqmodel_python, quantize_there, with_tokenizer
from benchmarks.measure import (
    Child,
    OthersWatch,
    Report,
    Rounds,
    Sample,
    compare,
    fresh_turn,
    interleave,
    machine_description,
    race,
    timed,
)
from utils.config import SIZES, GPT2Config

ROUND, GPTQ, PEER = "round to nearest", "GPTQ, ours", "GPTQ, gptqmodel"
BITS: dict[str, tuple[int, int | str]] = {
    "8-bit": (8, "row"),
    "4-bit": (4, 64),
}  # of what generates; head and token table have 8 bits
GRID = (4, 128)  # bits and group of GPTQ on both sides
SECONDS, PERPLEXITY, MEMORY = "quantizing seconds", "perplexity", "memory over computed bytes"


@dataclass(frozen=True)
class Settings:
    """Which shape is quantized with how much text, which model is judged, and how much is generated."""

    config: GPT2Config = SIZES["small"]
    rows: int = 16  # of calibration, random tokens for the shape, stories for the model
    context: int = 256
    model: str = "nano"  # trained, its width a multiple of the group
    judge_rows: int = 64
    held_out: int = 10_240  # tokens
    max_new: int = 100
    peer: bool = True  # whether gptqmodel takes part where it is installed
    llama_kinds: tuple[str, ...] = ("Q8_0", "Q4_0")
    rounds: Rounds = Rounds(3, 1)


def measure(settings: Settings = Settings()) -> Report:
    """Quantize in turns, generate in turns, and judge one trained model quantized by both."""
    peer = settings.peer and gptqmodel_python() is not None
    with TemporaryDirectory() as name, OthersWatch() as others:
        folder = Path(name)
        write_weights(settings, folder)
        samples = interleave(quantizers(settings, folder, peer), settings.rounds)
        samples |= race(generators(settings, folder), settings.rounds)
        samples |= {f"{who}, {settings.model}": [sample] for who, sample in judged(settings, folder, peer).items()}
        samples |= {f"{name} in memory": [loaded_once(folder / name, folder / "warm-up")] for name in BITS}
    notes = [
        f"Quantizing: {settings.rows} × {settings.context} random tokens and random weights, to {GRID[0]} bits in "
        f"groups of {GRID[1]}; loading and saving don't count. Rounding should take less than 5 s.",
        f"Perplexity: {settings.model}, the same {settings.judge_rows} rows of stories for both, "
        f"{settings.held_out:,} held-out tokens.",
        "Memory: what a process holds more after loading, over the bytes computed from the shape.",
    ]
    if not peer:
        notes.append("gptqmodel is not installed: name a Python that has it in GPTQMODEL_PYTHON.")
    notes.append(others.sentence())
    said = "quantization", "Quantization on a CPU", asdict(settings)
    return Report(*said, samples, ratios(samples, settings), notes, machine_description())


def ratios(samples: Mapping[str, list[Sample]], settings: Settings) -> list:
    """Compare what the course claims: less time than gptqmodel, as good as it, 8 bits no slower than 16."""
    judge = settings.model
    pairs = [
        (PEER, GPTQ, SECONDS, 1.0),
        (f"{PEER}, {judge}", f"{GPTQ}, {judge}", PERPLEXITY, 0.98),
        ("ours 8-bit", "ours 16-bit", DECODE, 1.0),
        ("ours 4-bit", "ours 16-bit", DECODE, None),
        ("ours 8-bit", "llama.cpp Q8_0", DECODE, None),
        ("ours 4-bit", "llama.cpp Q4_0", DECODE, None),
    ]
    there = [pair for pair in pairs if pair[0] in samples and pair[1] in samples]
    return [compare(samples, of, to, quantity, target=target) for of, to, quantity, target in there]


def write_weights(settings: Settings, folder: Path) -> None:
    """Write the same random weights as they are, in 8 and 4 bits, and as GGUF files for llama.cpp."""
    import torch

    from utils.formats.gguf_writer import save_gguf
    from utils.formats.quantized_files import save_quantized
    from utils.loaders import load_gpt2, save_gpt2
    from utils.model import GPT2
    from utils.quantize.grids import Grid
    from utils.quantize.quantized_linear import plan_for, quantize_model
    from utils.quantize.recipe import HEAD_GRID

    torch.manual_seed(0)
    model = GPT2(settings.config)
    with_tokenizer(save_gpt2(model, folder / "16-bit"))
    for kind in settings.llama_kinds:
        save_gguf(model, folder / f"{kind}.gguf", kind)
    tiny = GPT2(GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=8, context=8))
    save_quantized(quantize_model(tiny, Grid(8, "row")), folder / "warm-up")
    for name, grid in BITS.items():
        packed = load_gpt2(folder / "16-bit")
        save_quantized(quantize_model(packed, plan_for(packed, Grid(*grid), HEAD_GRID)), folder / name)


# Quantizing


def quantizers(settings: Settings, folder: Path, peer: bool) -> dict[str, Callable[[], Sample]]:
    """Return one turn for each way to quantize the shape, a new process every time."""

    def turn(make: Callable) -> Callable[[], Sample]:
        return fresh_turn(make, folder / "16-bit", settings, imports=("utils.quantize.gptq", "utils.loaders"))

    found = {ROUND: turn(rounding), GPTQ: turn(our_gptq)}
    return found | ({PEER: lambda: their_gptq(settings, folder)} if peer else {})


def rounding(folder: Path, settings: Settings):
    from utils.loaders import load_gpt2
    from utils.quantize.grids import Grid
    from utils.quantize.quantized_linear import quantize_model

    model = load_gpt2(folder)
    return lambda: {SECONDS: timed(lambda: quantize_model(model, Grid(*GRID)))}


def our_gptq(folder: Path, settings: Settings):
    from utils.loaders import load_gpt2
    from utils.quantize.gptq import gptq_model
    from utils.quantize.grids import Grid

    model, rows = load_gpt2(folder), random_rows(settings)
    return lambda: {SECONDS: timed(lambda: gptq_model(model, Grid(*GRID), rows))}


def their_gptq(settings: Settings, folder: Path) -> Sample:
    rows = random_rows(settings).tolist()
    return {SECONDS: quantize_there(folder / "16-bit", rows, peer_grid(), folder / "theirs")}


def peer_grid() -> dict:
    """Say in gptqmodel's words what GRID says in ours."""
    return {"bits": GRID[0], "group_size": GRID[1], "sym": True, "desc_act": False}


def random_rows(settings: Settings):
    import torch

    chance = torch.Generator().manual_seed(0)
    return torch.randint(settings.config.vocab_size, (settings.rows, settings.context), generator=chance)


# What it gives


def generators(settings: Settings, folder: Path) -> dict[str, Child]:
    """Return the contestants that write one text each."""
    size = (16, settings.max_new)
    found = {
        f"ours {name}": Child(ours, folder / name, "16-bit", *size, 1, imports=("torch", "tools.fast_layers"))
        for name in ("16-bit", *BITS)
    }
    for kind in settings.llama_kinds:
        arguments = (folder / f"{kind}.gguf", *size)
        found[f"llama.cpp {kind}"] = Child(llama_cpp, *arguments, imports=("xllamacpp", "torch"))
    return found


def judged(settings: Settings, folder: Path, peer: bool) -> dict[str, Sample]:
    """Return the perplexity of a trained model in 16 bits, quantized by us, and by gptqmodel with the same text."""
    from utils.evaluate import Protocol, measure_loss
    from utils.loaders import load_gpt2, save_gpt2
    from utils.quantize.gptq import gptq_model
    from utils.quantize.grids import Grid
    from utils.quantize.recipe import HELD_OUT_SEED, calibration_rows, story_tokens

    model = load_gpt2(settings.model)
    rows = calibration_rows(model, story_tokens(), settings.judge_rows, settings.context)
    held_out = story_tokens(seed=HELD_OUT_SEED)[: settings.held_out + 1]
    models = {"16-bit": model.half().float()}
    if peer:
        plain = with_tokenizer(save_gpt2(model, folder / "judged"))
        quantize_there(plain, rows.tolist(), peer_grid(), folder / "judged theirs")
        models[PEER] = load_gpt2(folder / "judged theirs")
    protocol = Protocol(settings.context, settings.context)
    found = {who: {PERPLEXITY: measure_loss(each, held_out, protocol).perplexity} for who, each in models.items()}
    gptq_model(model, Grid(*GRID), rows)
    return found | {GPTQ: {PERPLEXITY: measure_loss(model, held_out, protocol).perplexity}}


def loaded_once(folder: Path, warm_up: Path) -> Sample:
    """Load a quantized folder in a new process and return its memory; loading another one first warms it up."""
    return fresh_turn(loading, folder, warm_up, imports=("utils.formats.quantized_files",))()


def loading(folder: Path, warm_up: Path):
    """Measure what loading adds to the memory of this process, beside what the shape says."""
    import ctypes
    import gc
    import platform

    import psutil
    import torch

    from utils.loaders import load_gpt2
    from utils.quantize.quantized_linear import computed_bytes, plan_of

    def own_bytes() -> int:
        gc.collect()
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)  # what the C library keeps, though freed, is not held
        told = psutil.Process().memory_info()
        return told.rss - getattr(told, "shared", 0)  # a library's pages in memory come and go by themselves

    def turn() -> Sample:
        load_gpt2(warm_up)  # what is allocated once
        before = own_bytes()
        model = load_gpt2(folder, torch.float16)
        held = own_bytes() - before
        return {MEMORY: held / computed_bytes(model, plan_of(model), torch.float16)}

    return turn
