"""Commands for files of weights: inspect, convert, prefetch, judge."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("inspect", inspect, "say what is in a file of weights, without loading it")
    command.add_argument("path", help="a file, a folder or a size")

    command = add("convert", convert, "write a model in another number format, as a folder for us and transformers")
    command.add_argument("model", help="a size, a folder or a file")
    command.add_argument("out", help="the folder to write")
    command.add_argument("--dtype", default="float16", help="float32, bfloat16 or float16 (%(default)s)")

    command = add("prefetch", prefetch, "download sizes once, to work offline for good")
    command.add_argument("sizes", nargs="+", help="small, medium, large, xl")

    command = add("judge", judge, "let a model tell stories, and measure them: loss, coherence, memorization")
    command.add_argument("model", nargs="?", default="nano", help="a size, a folder or a file (%(default)s)")
    command.add_argument("--documents", type=int, default=500, help="fresh ones for the loss (%(default)s)")
    command.add_argument("--stories", type=int, default=200, help="how many it tells (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of the telling (%(default)s)")
    command.add_argument("--out", help="a JSON file for the figures and all the stories")


def inspect(options: argparse.Namespace) -> None:
    from utils.formats.inspect_model import inspect_file

    print("\n".join(inspect_file(options.path)))


def convert(options: argparse.Namespace) -> None:
    from utils.loaders import load_gpt2, save_gpt2
    from utils.machine import parse_dtype

    dtype = parse_dtype(options.dtype)
    save_gpt2(load_gpt2(options.model, dtype), options.out)
    print(f"{options.out} holds the weights in {options.dtype}")


def prefetch(options: argparse.Namespace) -> None:
    from utils.files.hub import prefetch

    prefetch(options.sizes)


def judge(options: argparse.Namespace) -> None:
    from utils.evaluate import judge
    from utils.loaders import load_gpt2

    verdict, told = judge(load_gpt2(options.model), options.documents, options.stories, options.seed)
    print(verdict)
    if options.out:
        verdict.save(options.out, told)
