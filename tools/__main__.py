"""The commands: `python -m tools COMMAND`. Each is thin; the work is in the module it imports."""

from __future__ import annotations

import sys

from tools.commands import build_parser
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


if __name__ == "__main__":
    sys.exit(main())
