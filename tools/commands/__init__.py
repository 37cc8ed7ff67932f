"""Command line: what its commands share; each is a function, whose signature tyro reads.

`python course.py COMMAND` and `python -m tools COMMAND` are the same. Modules here import late, so that help is quick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from utils.errors import CourseError

PROGRAM = "python course.py"


def expect(least: float, most: float = math.inf, **options: float | None) -> None:
    """Check the range of options, and name each as it was typed; None was not given."""
    for name, value in options.items():
        if value is not None and not least <= value <= most:
            wanted = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
            raise CourseError(f"--{name.replace('_', '-')} is {value:g}, expected {wanted}.")


def read_words(kind: type, words: Sequence[str], command: str) -> list[str]:
    """Return words as key=value settings: --max-steps 5 and max_steps=5 are the same; --help lists all of `kind`.

    >>> read_words(object, ["recipe=a.yaml", "--max-steps", "5", "--resume", "--no-compact"], "train")
    ['recipe=a.yaml', 'max_steps=5', 'resume=true', 'compact=false']
    """
    if {"-h", "--help"} & set(words):
        import tyro

        tyro.cli(kind, prog=f"{PROGRAM} {command}", args=["--help"])
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name.startswith("no-"):
                name, value = name[3:], "false"
            elif not equals:  # an option that no value follows is a switch
                value = rest.pop(0) if rest and not rest[0].startswith("--") and "=" not in rest[0] else "true"
            word = f"{name.replace('-', '_')}={value}"
        found.append(word)
    return found


def write_bins(source, out: str, settings) -> None:
    """Tokenize texts into train.bin and validate.bin, and say what became of them."""
    from utils.texts.bins import tokenize_to_bin
    from utils.tokenizer import Tokenizer

    bins = tokenize_to_bin(source, out, Tokenizer.gpt2(), settings)
    print(bins.report)
    if bins.cleaned:
        changes = ", ".join(f"{count:,} {name}" for name, count in bins.cleaned.items() if count)
        print(f"cleaned: {changes or 'nothing was found'}")
    print(f"{bins.train_tokens:,} tokens to train on, {bins.validate_tokens:,} held out ({bins.note})")
    print(f"{bins.train.parent} {'was up to date' if bins.cached else 'is ready'}")
