"""The command that lets models sit one exam: compare; its work is in utils.evaluate."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("compare", compare, "let models sit the same exam: loss, perplexity, coherence, memorization")
    command.add_argument("models", nargs="+", help="sizes, folders or files; the table keeps their order")
    command.add_argument("--text", help="a text or a folder that nobody was trained on; fresh stories unless given")
    command.add_argument("--join", choices=("plain", "rows"), default="plain", help="rows: WikiText as published")
    command.add_argument("--context", type=int, default=1024, help="of the protocol (%(default)s)")
    command.add_argument("--stride", type=int, help="of the protocol; the context unless given")
    command.add_argument("--tokens", type=int, default=20_000, help="at most so many; 0 takes all (%(default)s)")
    command.add_argument("--stories", type=int, default=0, help="so many from each, for coherence (%(default)s)")
    command.add_argument("--training", help="a training text or folder: how much of it do they recite?")
    command.add_argument("--out", help="a CSV file for the table")


def compare(options: argparse.Namespace) -> None:
    from utils.evaluate import FRESH, Candidate, Exam, Protocol, compare_models, join_rows, to_table
    from utils.formats.gguf import is_gguf
    from utils.formats.open_file import find_model
    from utils.loaders import load_gpt2, load_tokenizer
    from utils.machine import pick_device
    from utils.stories.generator import corpus
    from utils.texts.memorization import Phrases
    from utils.texts.reading import read_documents

    def candidate(name: str) -> Candidate:
        place = find_model(name)
        folder = place if place.is_dir() or is_gguf(place) else place.parent
        return Candidate(name, load_gpt2(name, device=pick_device()), load_tokenizer(folder))

    texts = [each.text for each in read_documents(options.text)] if options.text else list(corpus(200, FRESH))
    if options.join == "rows":
        texts = [join_rows(text) for text in texts]
    training = Phrases(each.text for each in read_documents(options.training)) if options.training else None
    protocol = Protocol(options.context, options.stride or options.context)
    exam = Exam(texts, protocol, options.tokens or 10**12, options.stories, training)
    results = compare_models(map(candidate, options.models), exam)  # one in memory at a time
    table = to_table(results)
    print(f"{results[0].score.tokens:,} tokens of {options.text or 'fresh stories'}, joined {options.join}, {protocol}")
    print(table.to_string())
    if options.out:
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out, encoding="utf-8")
