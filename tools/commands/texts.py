"""Commands for the texts of the course: stories, manifest."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("stories", stories, "write our story world's corpus as train.bin and validate.bin")
    command.add_argument("--count", type=int, default=120_000, help="documents (%(default)s)")
    command.add_argument("--seed", type=int, default=1, help="another seed, other stories (%(default)s)")
    command.add_argument("--held-out", type=float, default=0.007, help="share that is held out (%(default)s)")
    command.add_argument("--out", default="data/prepared/stories", help="folder for the result (%(default)s)")

    command = add("manifest", manifest, "write data/MANIFEST.json: size, SHA-256, licence and origin of every file")
    command.add_argument("--check", action="store_true", help="change nothing, report what differs")


def stories(options: argparse.Namespace) -> None:
    from tools.commands.prepare import write_bins
    from utils.stories.generator import corpus
    from utils.texts.corpus import BinSettings
    from utils.texts.records import Document

    told = [Document(f"story {i}", text) for i, text in enumerate(corpus(options.count, options.seed))]
    write_bins(told, options.out, BinSettings(fraction=options.held_out, seed=options.seed))


def manifest(options: argparse.Namespace) -> int:
    from tools.repo.manifest import check_manifest, write_manifest

    if not options.check:
        write_manifest()
        return 0
    problems = check_manifest()
    print("\n".join(problems) or "data/ is as its manifest says")
    return int(bool(problems))
