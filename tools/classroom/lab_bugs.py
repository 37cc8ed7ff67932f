"""Lab 06: judge the tests of a notebook that was handed in, behind the fence.

The process that judges never runs anything of the learner's. For each trainer that a test is tried on it forks, and
the fork tells through a pipe what the test raised: so a test can neither change the judge nor remember a trainer.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

from tools.classroom.checking import environment, how_it_ended
from tools.classroom.names import clean
from tools.classroom.sandbox import Fence, Limits, Watch, build_fence, close_own_memory
from utils.checks.blanks import defined_names, parse_error, without_magics
from utils.errors import CourseError
from utils.files.places import ROOT

WORKED = "slow_clock"  # the bug that the lab finds together with its reader
JUDGING = {"start", "check_test", "check_mend", "scoreboard"}  # calls of the lab that no test needs
SECONDS, PATIENCE = 20, 60  # of computing and of waiting that one run of a test may take
LONGEST = 4_000  # bytes of what a fork tells
NOT_YET = "not attempted yet."


def judge_notebook(notebook: str, limits: Limits, fence: Fence) -> dict[str, str]:
    """Return bug → what the judge says of its test, for the text of a notebook; for the teacher's own process."""
    if not hasattr(os, "fork"):
        raise CourseError("The tests of lab 06 are judged on Linux and macOS; this system can't fork a process.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder, handed = Path(place).resolve() / "work", Path(place).resolve() / "handed"
        folder.mkdir()
        handed.mkdir()
        order = {"folder": str(folder), "handed": str(handed), "fence": asdict(fence), "limits": asdict(limits)}
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.classroom.lab_bugs"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**environment(), "HOME": str(folder), "TMPDIR": str(folder)},
            cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        watch = Watch(process, folder, limits)
        try:
            said = process.communicate(json.dumps({**order, "notebook": notebook}).encode("ascii") + b"\n")[0]
            found = json.loads(said)
        except ValueError:
            raise CourseError(f"The judge did not end: it {how_it_ended('has ended', watch, limits)}.") from None
        finally:
            watch.close()
    return {str(name): clean(verdict) for name, verdict in found.items()}


# Behind the fence


@dataclass(frozen=True)
class Handed:
    """A test as a notebook defines it: looked at without being run."""

    name: str
    source: str  # of everything that the notebook defines

    @property
    def __code__(self) -> CodeType | None:
        """The compiled test, as the judge wants to see it."""
        whole = compile(self.source, "<notebook>", "exec")
        codes = [one for one in whole.co_consts if isinstance(one, CodeType) and one.co_name == self.name]
        return codes[-1] if codes else None

    def __call__(self, trainer: type) -> None:
        """Run what the notebook defines, then the test; only ever called in a fork."""
        self.load()(trainer)

    def load(self) -> Callable[[type], None]:
        """Run what the notebook defines, past statements that stop, and return the test."""
        names: dict[str, Any] = {"__name__": "__main__"}
        for statement in ast.parse(self.source).body:
            with contextlib.suppress(Exception):  # a cell that stops leaves what others have defined, as in Jupyter
                exec(compile(ast.Module([statement], []), "<notebook>", "exec"), names)
        return names[self.name]


def definitions(cells: Iterable[Mapping]) -> str:
    """Return the statements of a notebook that define something, without those that judge or only show.

    >>> definitions([{"cell_type": "code", "source": "a = 1\\nprint(a)\\nsaid = check_test('x', f)"}])
    'a = 1'
    """
    kept = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or parse_error(source):
            continue
        for statement in ast.parse(without_magics(source)).body:
            called = (one.func for one in ast.walk(statement) if isinstance(one, ast.Call))
            calls = {one.id for one in called if isinstance(one, ast.Name)}
            if not isinstance(statement, ast.Expr | ast.Assert) and not calls & JUDGING:
                kept.append(statement)
    return ast.unparse(ast.Module(kept, []))


def judge_all(cells: list[Mapping]) -> dict[str, str]:
    """Return bug → verdict for all bugs but the one that the lab finds itself."""
    from labs.bugs.check import judge
    from labs.bugs.sabotage import BUGS

    source, verdicts = definitions(cells), dict.fromkeys([name for name in BUGS if name != WORKED], NOT_YET)
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    broken = {name: parse_error(source) for source in sources for name in defined_names(source)}
    for name in verdicts:
        test = Handed(f"test_{name}", source)
        if test.__code__ is not None:
            verdicts[name] = judge(name, test, forked)
        elif error := broken.get(test.name):
            verdicts[name] = f"its cell does not run: {error}"
    return verdicts


def forked(test: Handed, trainer: type, seed: int) -> Exception | None:
    """Run a test in a fork of this process, and return the like of what it raised."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        _run_and_tell(test, trainer, seed, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.readline(LONGEST)
    os.waitpid(child, 0)
    try:
        kind, text = json.loads(told)
    except ValueError:
        return RuntimeError(f"its process ended before the test did ({SECONDS} seconds of computing are the most)")
    if not kind:
        return None
    known = {"AssertionError": AssertionError, "NotImplementedError": NotImplementedError}
    return known.get(kind, type(clean(kind, 40), (Exception,), {}))(text)


def _run_and_tell(test: Handed, trainer: type, seed: int, writing: int) -> None:
    """In the fork: limit it, run the test, tell what it raised, and end."""
    import resource
    import signal

    from labs.bugs.check import outcome
    from tools.classroom.by_value import builtin_error

    try:
        os.closerange(3, writing)
        os.closerange(writing + 1, 4096)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        error = outcome(test.load(), trainer, seed)
        told = ["", ""] if error is None else [builtin_error(type(error)), str(error)[:500]]
        os.write(writing, json.dumps(told).encode("ascii") + b"\n")
    finally:
        os._exit(0)


def main() -> None:
    """Read the order, bring what the judge needs, build the fence, judge, answer with a line."""
    order = json.loads(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    import torch

    for needed in ("labs.bugs.check", "tools.classroom.by_value"):  # while files can be read
        import_module(needed)
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # the first one loads Dynamo: once, and not in each fork
    build_fence(Path(order["folder"]), Fence(**order["fence"]), Limits(**order["limits"]), Path(order["handed"]))
    close_own_memory()
    print(json.dumps(judge_all(json.loads(order["notebook"])["cells"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
