"""The commands: `python -m utils COMMAND`. Each is thin; the work is in the module it imports."""

from __future__ import annotations

import argparse
import sys

from utils.errors import CourseError


def main(words: list[str] | None = None) -> int:
    """Run one command; a mistake ends in a sentence, Ctrl-C in silence."""
    options = build_parser().parse_args(words)
    try:
        return options.run(options) or 0
    except CourseError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m utils", description="The commands of Hands-On GPT-2.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    command = add("prepare", prepare, "turn a folder of texts into train.bin and validate.bin")
    command.add_argument("source", help="a text file or a folder of them")
    command.add_argument("--out", default="data/prepared", help="folder for the result (%(default)s)")
    command.add_argument("--held-out", type=float, default=0.1, help="share that is held out (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="which documents are held out (%(default)s)")

    command.add_argument("--clean", action="store_true", help="mend line ends, control characters and the like")

    command = add("train", train, "train from zero or from weights; settings are key=value, recipe=FILE first")
    command.add_argument(
        "settings", nargs="*", metavar="key=value", help="for instance data=data/prepared max_steps=100"
    )

    command = add("chat", chat, "talk to a model in the terminal; exit or quit ends it")
    command.add_argument("model", nargs="?", default="nano", help="a size, a folder or a file (%(default)s)")
    command.add_argument("settings", nargs="*", metavar="key=value", help="for instance temperature=0.8 top_k=40")
    command.add_argument("--log", default="chat_log.csv", help="where the conversation is kept (%(default)s)")

    command = add("inspect", inspect, "say what is in a file of weights, without loading it")
    command.add_argument("path", help="a file, a folder or a size")

    command = add("convert", convert, "write a model in another number format, as a folder for us and transformers")
    command.add_argument("model", help="a size, a folder or a file")
    command.add_argument("out", help="the folder to write")
    command.add_argument("--dtype", default="float16", help="float32, bfloat16 or float16 (%(default)s)")

    command = add("prefetch", prefetch, "download sizes once, to work offline for good")
    command.add_argument("sizes", nargs="+", help="small, medium, large, xl")

    add_quantize(add)

    command = add("notebooks", notebooks, "run notebooks and store what they print, or check that this is done")
    command.add_argument("paths", nargs="*", help="notebooks; all of them when none is named")
    command.add_argument("--check", action="store_true", help="change nothing, report what is stale or unclean")

    command = add("stories", stories, "write our story world's corpus as train.bin and validate.bin")
    command.add_argument("--count", type=int, default=120_000, help="documents (%(default)s)")
    command.add_argument("--seed", type=int, default=1, help="another seed, other stories (%(default)s)")
    command.add_argument("--held-out", type=float, default=0.007, help="share that is held out (%(default)s)")
    command.add_argument("--out", default="data/prepared/stories", help="folder for the result (%(default)s)")

    command = add("judge", judge, "let a model tell stories, and measure them: loss, coherence, memorization")
    command.add_argument("model", nargs="?", default="nano", help="a size, a folder or a file (%(default)s)")
    command.add_argument("--documents", type=int, default=500, help="fresh ones for the loss (%(default)s)")
    command.add_argument("--stories", type=int, default=200, help="how many it tells (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of the telling (%(default)s)")
    command.add_argument("--out", help="a JSON file for the figures and all the stories")

    command = add("manifest", manifest, "write data/MANIFEST.json: size, SHA-256, licence and origin of every file")
    command.add_argument("--check", action="store_true", help="change nothing, report what differs")

    command = add("bench", bench, "measure ours beside peers, in one run")
    command.add_argument("names", nargs="*", help="training, generation, loading, startup; all when none is named")
    return parser


def add_quantize(add) -> None:
    """Declare the two commands of quantization; utils.quantize_commands does the work."""

    def run(name: str):
        def later(options: argparse.Namespace) -> None:
            import utils.quantize_commands as commands

            getattr(commands, name)(options)

        return later

    command = add("quantize", run("quantize"), "write a model with fewer bits")
    command.add_argument("model", help="a size, a folder or a file")
    command.add_argument("--method", default="rtn", help="rtn, gptq, awq, mixed or nf4 (%(default)s)")
    command.add_argument("--bits", type=float, default=4, help="2 to 8; for mixed the average (%(default)s)")
    command.add_argument("--group", default="64", help="weights that share a scale, or row, or tensor (%(default)s)")
    command.add_argument("--asymmetric", action="store_true", help="give each group a zero of its own")
    command.add_argument("--act-order", action="store_true", help="gptq, mixed: largest inputs first")
    command.add_argument("--head", action="store_true", help="8 bits for head and token embedding, too")
    command.add_argument("--out", required=True, help="folder for the result")
    tables = add("quantize-table", run("quantize_table"), "compare methods, bits and groups on one model")
    tables.add_argument("model", help="a size, a folder or a file")
    tables.add_argument("--out", required=True, help="folder for the table (CSV, Markdown) and the picture")
    tables.add_argument("--held-out", help="a text or .bin to measure on; stories for nano")
    tables.add_argument("--tokens", type=int, default=20_000, help="how much of it (%(default)s)")
    tables.add_argument("--stories", type=int, default=0, help="so many stories, for their coherence (%(default)s)")
    for each in (command, tables):
        each.add_argument("--calibration", help="a text or .bin for gptq, awq and mixed; stories for nano")
        each.add_argument("--rows", type=int, default=64, help="rows of calibration text (%(default)s)")
        each.add_argument("--context", type=int, default=256, help="tokens of each row (%(default)s)")


def prepare(options: argparse.Namespace) -> None:
    from utils.batches import BinSettings, tokenize_to_bin
    from utils.tokenizer import Tokenizer

    settings = BinSettings(fraction=options.held_out, seed=options.seed, clean=options.clean)
    bins = tokenize_to_bin(options.source, options.out, Tokenizer.gpt2(), settings)
    print(bins.report)
    print(f"{bins.train_tokens:,} tokens to train on, {bins.validate_tokens:,} held out ({bins.note})")
    print(f"{bins.train.parent} {'was up to date' if bins.cached else 'is ready'}")


def train(options: argparse.Namespace) -> None:
    from utils.recipes import run_recipe

    run_recipe(options.settings)


def chat(options: argparse.Namespace) -> None:
    from utils.chat import Conversation

    Conversation.open(options.model, options.settings, options.log).run()


def inspect(options: argparse.Namespace) -> None:
    from utils.inspect_model import inspect_file

    print("\n".join(inspect_file(options.path)))


def convert(options: argparse.Namespace) -> None:
    from utils.devices import parse_dtype
    from utils.loaders import load_gpt2, save_gpt2

    dtype = parse_dtype(options.dtype)
    save_gpt2(load_gpt2(options.model, dtype), options.out)
    print(f"{options.out} holds the weights in {options.dtype}")


def prefetch(options: argparse.Namespace) -> None:
    from utils.hub import prefetch

    prefetch(options.sizes)


def notebooks(options: argparse.Namespace) -> int:
    from utils.notebooks import main

    return main(options.paths, check=options.check)


def stories(options: argparse.Namespace) -> None:
    from utils.stories import corpus
    from utils.text import Document

    options.source = [Document(f"story {i}", text) for i, text in enumerate(corpus(options.count, options.seed))]
    options.clean = False
    prepare(options)


def judge(options: argparse.Namespace) -> None:
    from utils.loaders import load_gpt2
    from utils.story_judge import judge

    verdict, told = judge(load_gpt2(options.model), options.documents, options.stories, options.seed)
    print(verdict)
    if options.out:
        verdict.save(options.out, told)


def manifest(options: argparse.Namespace) -> int:
    from utils.manifest import check_manifest, write_manifest

    if not options.check:
        write_manifest()
        return 0
    problems = check_manifest()
    print("\n".join(problems) or "data/ is as its manifest says")
    return int(bool(problems))


def bench(options: argparse.Namespace) -> int:
    from benchmarks import run

    return run(options.names)


if __name__ == "__main__":
    sys.exit(main())
