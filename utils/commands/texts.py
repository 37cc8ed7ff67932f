"""Commands for texts: prepare, stories, manifest."""

from __future__ import annotations

import argparse

from utils.commands import Add


def declare(add: Add) -> None:
    command = add("prepare", prepare, "turn a folder of texts into train.bin and validate.bin")
    command.add_argument("source", help="a text file or a folder of them")
    command.add_argument("--out", default="data/prepared", help="folder for the result (%(default)s)")
    command.add_argument("--held-out", type=float, default=0.1, help="share that is held out (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="which documents are held out (%(default)s)")
    command.add_argument("--clean", action="store_true", help="mend line ends, control characters and the like")

    command = add("stories", stories, "write our story world's corpus as train.bin and validate.bin")
    command.add_argument("--count", type=int, default=120_000, help="documents (%(default)s)")
    command.add_argument("--seed", type=int, default=1, help="another seed, other stories (%(default)s)")
    command.add_argument("--held-out", type=float, default=0.007, help="share that is held out (%(default)s)")
    command.add_argument("--out", default="data/prepared/stories", help="folder for the result (%(default)s)")

    command = add("manifest", manifest, "write data/MANIFEST.json: size, SHA-256, licence and origin of every file")
    command.add_argument("--check", action="store_true", help="change nothing, report what differs")


def prepare(options: argparse.Namespace) -> None:
    _write_bins(options.source, options, options.clean)


def stories(options: argparse.Namespace) -> None:
    from utils.stories import corpus
    from utils.text import Document

    told = [Document(f"story {i}", text) for i, text in enumerate(corpus(options.count, options.seed))]
    _write_bins(told, options, clean=False)


def _write_bins(source, options: argparse.Namespace, clean: bool) -> None:
    from utils.batches import BinSettings, tokenize_to_bin
    from utils.tokenizer import Tokenizer

    settings = BinSettings(fraction=options.held_out, seed=options.seed, clean=clean)
    bins = tokenize_to_bin(source, options.out, Tokenizer.gpt2(), settings)
    print(bins.report)
    print(f"{bins.train_tokens:,} tokens to train on, {bins.validate_tokens:,} held out ({bins.note})")
    print(f"{bins.train.parent} {'was up to date' if bins.cached else 'is ready'}")


def manifest(options: argparse.Namespace) -> int:
    from utils.manifest import check_manifest, write_manifest

    if not options.check:
        write_manifest()
        return 0
    problems = check_manifest()
    print("\n".join(problems) or "data/ is as its manifest says")
    return int(bool(problems))
