"""The command prepare: texts in any common form to token files."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("prepare", prepare, "turn texts (TXT, CSV, JSON, XML, TFRecord, PDF) into train.bin and validate.bin")
    command.add_argument("source", help="a file, or a folder of them")
    command.add_argument("--out", default="data/prepared", help="folder for the result (%(default)s)")
    command.add_argument("--held-out", type=float, default=0.1, help="share that is held out (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="which documents are held out (%(default)s)")
    command.add_argument("--clean", action="store_true", help="mend line ends, control characters and the like")
    command.add_argument("--steps", default="", metavar="STEP,STEP", help="clean with these steps; all takes all")
    command.add_argument("--dedupe", choices=("exact", "near"), default="", help="leave out copies, or near copies too")
    command.add_argument(
        "--split", choices=("documents", "chunks"), default="documents", help="what is never parted (%(default)s)"
    )
    command.add_argument("--chunk", type=int, default=4000, help="characters of a chunk (%(default)s)")
    command.add_argument("--columns", default="", metavar="NAME,NAME", help="fields that make the text, in this order")
    command.add_argument("--instructions", action="store_true", help="learn only answers, the last column")
    command.add_argument(
        "--errors", choices=("strict", "replace", "skip"), default="strict", help="text not in UTF-8 (%(default)s)"
    )


def prepare(options: argparse.Namespace) -> None:
    from utils.texts.cleaning import ALL, GENTLE
    from utils.texts.corpus import BinSettings

    named = _names(options.steps)
    settings = BinSettings(
        fraction=options.held_out,
        seed=options.seed,
        clean=options.clean or bool(named),
        steps=ALL if named == ("all",) else named or GENTLE,
        errors=options.errors,
        dedupe=options.dedupe,
        split=options.split,
        chunk=options.chunk,
        columns=_names(options.columns),
        instructions=options.instructions,
    )
    write_bins(options.source, options.out, settings)


def write_bins(source, out: str, settings) -> None:
    """Write token files and say what became of the texts."""
    from utils.texts.bins import tokenize_to_bin
    from utils.tokenizer import Tokenizer

    bins = tokenize_to_bin(source, out, Tokenizer.gpt2(), settings)
    print(bins.report)
    if bins.cleaned:
        changes = ", ".join(f"{count:,} {name}" for name, count in bins.cleaned.items() if count)
        print(f"cleaned: {changes or 'nothing was found'}")
    print(f"{bins.train_tokens:,} tokens to train on, {bins.validate_tokens:,} held out ({bins.note})")
    print(f"{bins.train.parent} {'was up to date' if bins.cached else 'is ready'}")


def _names(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(",") if word.strip())
