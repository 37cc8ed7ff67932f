"""Speculative decoding in seconds: tokens a second with a draft by prompt lookup, beside the same text without one."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import generation
from benchmarks.measure import Child, OthersWatch, Report, Rounds, Sample, compare, machine_description, race
from utils.config import SIZES, GPT2Config

SPEED, WORK, KEPT = "tokens/s", "tokens per processor second", "tokens a pass"
REPEATS, STORY, COUNTED = "small's shape, repeating", "nano, a story", "nano, a story, n-grams counted"


@dataclass(frozen=True)
class Settings:
    """How many tokens are proposed for each pass, and how many are written in a turn."""

    config: GPT2Config = SIZES["small"]
    draft: int = 4
    counted_draft: int = 6  # where n-grams propose
    counted_stories: int = 2_000  # in which they are counted
    max_new: int = 60
    dtypes: tuple[str, ...] = ("float32", "16-bit")
    rounds: Rounds = Rounds(5)


def measure(settings: Settings = Settings()) -> Report:
    """Let drawn weights, which soon repeat themselves, and nano, which hardly does, write with and without a draft."""
    with TemporaryDirectory() as folder, OthersWatch() as others:
        generation.write_weights(generation.Settings(config=settings.config, llama_kinds=()), Path(folder))
        samples = race(contestants(settings, Path(folder)), settings.rounds)
    pairs = [(name, name.partition(", draft")[0]) for name in samples if ", draft" in name]
    pairs = [(drafted, plain.replace(COUNTED, STORY)) for drafted, plain in pairs]
    ratios = [compare(samples, drafted, plain, quantity) for drafted, plain in pairs for quantity in (SPEED, WORK)]
    notes = [
        "Greedy, one text, with the KV cache; the texts with and without a draft are equal.",
        "Drawn weights fall into a repetition, so most proposals are right: about the most that a draft can give.",
        "Nano's story repeats little, so hardly a proposal is right: about the least.",
        f"N-grams were counted in {settings.counted_stories:,} stories of another seed than those nano learned from.",
        "Processor seconds are those of all threads; beside other programs they waver less than the clock's.",
        others.sentence(),
    ]
    proposed = f"{settings.draft} tokens proposed by prompt lookup, {settings.counted_draft} by n-grams, for each pass"
    title = f"Speculative decoding on a CPU: {proposed}"
    return Report("drafting", title, asdict(settings), samples, ratios, notes, machine_description())


def contestants(settings: Settings, folder: Path) -> dict[str, Child]:
    """Return a contestant for each model, number format and draft."""
    found = {}
    for text, source in {REPEATS: str(folder), STORY: "nano"}.items():
        for dtype in settings.dtypes:
            for draft, name in {0: "", settings.draft: f", draft {settings.draft}"}.items():
                arguments = (source, dtype, settings.max_new, draft)
                found[f"{text}, {dtype}{name}"] = Child(writer, *arguments, imports=("torch", "tools.fast_layers"))
    for dtype in settings.dtypes:
        counted = ("nano", dtype, settings.max_new, settings.counted_draft, settings.counted_stories)
        name = f"{COUNTED}, {dtype}, draft {settings.counted_draft}"
        found[name] = Child(writer, *counted, imports=("torch", "tools.fast_layers"))
    return found


def writer(source: str, dtype: str, max_new: int, draft: int, stories: int = 0):
    """Write a text greedily; count the passes in which it was written."""
    import torch

    from tools.fast_layers import for_generation
    from utils.loaders import load_gpt2
    from utils.sampling import Sampling, generate
    from utils.stories.generator import corpus
    from utils.texts.ngrams import NGrams
    from utils.tokenizer import Tokenizer

    model = load_gpt2(source) if dtype == "float32" else for_generation(load_gpt2(source, torch.float16))
    prompt = Tokenizer.gpt2().encode("Once upon a time, there lived a") if source == "nano" else list(range(8))
    counted = NGrams(map(Tokenizer.gpt2().encode, corpus(stories, 77))) if stories else None
    settings, passes = Sampling(max_new, 0, stop=(), draft=draft, drafter=counted), list[int]()
    model.blocks[0].register_forward_hook(lambda *_: passes.append(1))

    def turn() -> Sample:
        passes.clear()
        began, worked = time.perf_counter(), time.process_time()
        generate(model, [prompt], settings)
        seconds, work = time.perf_counter() - began, time.process_time() - worked
        return {SPEED: max_new / seconds, WORK: max_new / work, KEPT: max_new / len(passes)}

    return turn
