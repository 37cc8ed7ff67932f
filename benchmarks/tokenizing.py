"""From a folder of texts to token files: megabytes a second of ours, and of `tokenizers` used directly, in turns."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import (
    OthersWatch,
    Report,
    Rounds,
    Sample,
    compare,
    fresh_turn,
    interleave,
    machine_description,
    timed,
)

SPEED = "MB/s"
OURS, CLEANED, DIRECT = "ours", "ours, cleaned and without duplicates", "tokenizers directly, all in memory"


@dataclass(frozen=True)
class Settings:
    """How much text, and how often."""

    files: int = 400
    characters: int = 20_000  # in each file, about
    rounds: Rounds = Rounds(5)


def measure(settings: Settings = Settings()) -> Report:
    """Write stories to a folder, then let each contestant turn it into a token file."""
    with TemporaryDirectory() as folder, OthersWatch() as others:
        size = write_texts(Path(folder) / "texts", settings)
        samples = interleave(contestants(Path(folder), size), settings.rounds)
    ratios = [compare(samples, name, DIRECT, SPEED) for name in (OURS, CLEANED)]
    ratios.append(compare(samples, DIRECT, OURS, "peak bytes"))
    notes = [
        f"{settings.files} files of text, {size / 1e6:.1f} MB in all, which lie in the system's cache.",
        "Ours reads the folder twice, splits it by document, hashes texts and files and holds one document at a time.",
        "The peer reads all files, encodes them as one batch and writes one file.",
        others.sentence(),
    ]
    title = "Text to token files: speed and peak memory"
    return Report("tokenizing", title, asdict(settings), samples, ratios, notes, machine_description())


def write_texts(folder: Path, settings: Settings) -> int:
    """Write files of stories, each followed by a number of its own so that none is a copy; return their bytes."""
    from utils.stories.generator import corpus

    stories, chance = list(corpus(200, 0)), random.Random(0)
    folder.mkdir()
    for number in range(settings.files):
        told, length = [f"Book {number}"], 0
        while length < settings.characters:
            told.append(f"{chance.choice(stories)} {chance.randrange(10**9)}")
            length += len(told[-1])
        (folder / f"{number:05d}.txt").write_text("\n\n".join(told), encoding="utf-8")
    return sum(path.stat().st_size for path in folder.iterdir())


def contestants(folder: Path, size: int) -> dict[str, Callable[[], Sample]]:
    """Return one turn for each contestant, a new process every time."""
    ours, theirs = ("utils.texts.bins", "tokenizers"), ("numpy", "tokenizers", "utils.bpe")
    makes = {OURS: (make_ours, ours), CLEANED: (make_cleaned, ours), DIRECT: (make_direct, theirs)}
    return {name: fresh_turn(make, folder, size, imports=imports) for name, (make, imports) in makes.items()}


def make_ours(folder: Path, size: int, **choices):
    from utils.texts.bins import tokenize_to_bin
    from utils.texts.corpus import BinSettings
    from utils.tokenizer import Tokenizer

    tokenizer, settings = Tokenizer.gpt2(), BinSettings(**choices)

    def work() -> Sample:
        with TemporaryDirectory() as out:
            seconds = timed(lambda: tokenize_to_bin(folder / "texts", out, tokenizer, settings))
        return {SPEED: size / 1e6 / seconds}

    return work


def make_cleaned(folder: Path, size: int):
    return make_ours(folder, size, clean=True, dedupe="exact")


def make_direct(folder: Path, size: int):
    """The shortest way that a practitioner would write down."""
    import numpy as np
    from tokenizers import Tokenizer, models, pre_tokenizers

    from utils.bpe import read_gpt2_vocabulary

    vocab, merges = read_gpt2_vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab, [(left, right) for left, right in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)

    def encode(out: Path) -> None:
        texts = [path.read_text(encoding="utf-8") for path in sorted((folder / "texts").iterdir())]
        ids = [token for part in tokenizer.encode_batch(texts) for token in (*part.ids, 50256)]
        np.array(ids, dtype=np.uint16).tofile(out / "train.bin")

    def work() -> Sample:
        with TemporaryDirectory() as out:
            seconds = timed(lambda: encode(Path(out)))
        return {SPEED: size / 1e6 / seconds}

    return work
