"""Command line: `python course.py COMMAND` or `python -m tools COMMAND`; without one, the help.

A mistake ends in a sentence and never in a traceback.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, get_type_hints

from tools.commands import PROGRAM
from utils.errors import CourseError
from utils.files.places import ROOT

GROUPS = {
    "For learners": "tools.commands.learners",
    "For the labs": "labs.commands",
    "For teachers": "tools.commands.teacher",
    "For maintainers": "tools.commands.maintainer",
}
Command = Callable[..., int | None]


def find_commands() -> dict[str, dict[str, Command]]:
    """Return the commands of each group by name: `class_pack` is called by `class pack`."""
    found: dict[str, dict[str, Command]] = {}
    for group, name in GROUPS.items():
        own = [each for each in vars(import_module(name)).values() if getattr(each, "__module__", "") == name]
        public = [each for each in own if inspect.isfunction(each) and not each.__name__.startswith("_")]
        found[group] = {each.__name__.replace("class_", "class ").replace("_", "-"): each for each in public}
    return found


def overview(groups: dict[str, dict[str, Command]]) -> str:
    """Return the help: every command with the first line of its docstring."""
    lines = [f"usage: {PROGRAM} COMMAND [options]; {PROGRAM} COMMAND --help says what they are"]
    for group, commands in groups.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:15} {(command.__doc__ or '').splitlines()[0]}" for name, command in commands.items()]
    lines += ["", f"And of {PROGRAM} itself: lab, test, run NOTEBOOK, help. --version says which version it is."]
    return "\n".join(lines)


def call(name: str, command: Command, words: Sequence[str]) -> int | None:
    """Run a command with its options, read by tyro, and explained by the comments in its signature.

    A command that takes *words reads them itself.
    """
    kinds = [each.kind for each in inspect.signature(command).parameters.values()]
    if kinds == [inspect.Parameter.VAR_POSITIONAL]:
        return command(*words)
    import tyro

    hints = get_type_hints(command)
    notes = dict(
        re.findall(r"(?m)^    (\w+): .*,  # (.+)$", inspect.getsource(command))
    )  # as tyro does for dataclasses
    for each in inspect.signature(command).parameters.values():
        metavar = None
        if each.kind is inspect.Parameter.POSITIONAL_ONLY:
            metavar = each.name.upper() if each.default is each.empty else f"[{each.name.upper()}]"
        hints[each.name] = Annotated[hints[each.name], tyro.conf.arg(metavar=metavar, help=notes[each.name])]
    command.__annotations__ = hints
    options = [f"--{word}" if is_setting(word) else word for word in words]
    return tyro.cli(command, args=options, prog=f"{PROGRAM} {name}")


def is_setting(word: str) -> bool:
    """Tell whether a word is key=value, which counts as --key=value."""
    return re.match(r"[a-z]\w*=", word) is not None and not Path(word).exists()


def run(words: list[str]) -> int | None:
    """Find the command that is meant, and run it."""
    groups = find_commands()
    commands = {name: command for own in groups.values() for name, command in own.items()}
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        return print(overview(groups))
    if words[0] == "--version":
        return print(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    for count in (2, 1):  # `class pack` has two words
        if (name := " ".join(words[:count])) in commands:
            return call(name, commands[name], words[count:])
    typed = (" ".join(words[:2]), words[0])
    near = [name for each in typed for name in difflib.get_close_matches(each, commands, 1)]
    hint = f"Did you mean {near[0]}?" if near else f"`{PROGRAM} help` lists the commands."
    print(f"There is no command {words[0]!r}. {hint}", file=sys.stderr)
    return 2


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; a mistake ends in a sentence, Ctrl-C in silence."""
    try:
        return run(list(sys.argv[1:] if words is None else words)) or 0
    except CourseError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except ModuleNotFoundError as error:
        print(f"The package {error.name} is not installed here. What teachers need is in requirements/teach.txt, what "
              "tests and benchmarks need in requirements/dev.txt.", file=sys.stderr)  # fmt: skip
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"{place}{error.strerror or error}. Choose another file or folder, or mend its rights.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
