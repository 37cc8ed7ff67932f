"""The inside of grading, which grading.py starts: run one submission in this process, fenced in, then the checks.

What is asked comes in by standard input, what was found goes out by standard output, a line of JSON each. The checks
are sent only when the submission has run to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tools.classroom.sandbox import Limits, confine
from utils.checks import ask, blank_names, read_checks, run_check


def main() -> None:
    """Read where the submission lies, run it, say so, read the checks, run them, tell the points."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    asked = json.loads(questions.readline())
    work = Path(asked["folder"])
    said = os.open(work / "printed.txt", os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for own, other in ((nothing, 0), (said, 1), (said, 2)):  # a submission prints into a file of limited length
        os.dup2(own, other)
    os.chdir(work)
    confine(work, Limits(**asked["limits"]))
    names, error = run_notebook(Path(asked["notebook"]))
    print(json.dumps({"ran": True, "error": error}), file=answers, flush=True)
    checks = json.loads(questions.readline())
    found = {task: grade_task(test["source"], test["cases"], names) for task, test in checks["tests"].items()}
    print(json.dumps({"seal": checks["seal"], "tasks": found}), file=answers, flush=True)
    answers.close()
    os._exit(0)  # threads of the submission are not waited for


def run_notebook(path: Path) -> tuple[Mapping, str]:
    """Run the code cells of a notebook as Jupyter would, past errors; return its names and the first error."""
    from IPython.core.interactiveshell import InteractiveShell

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None) -> None:
            """There is no window; %matplotlib may be asked for all the same."""

    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    shell = Shell.instance()
    if shell.history_manager:
        shell.history_manager.enabled = False
    first = ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or "google.colab" in source:
            continue
        with contextlib.suppress(OSError):  # its output has become too long: what it computed counts all the same
            done = shell.run_cell(source, store_history=False)
            error = done.error_before_exec or done.error_in_exec
            if error is not None and not first:
                first = f"{type(error).__name__}: {str(error)[:200]}"
    return shell.user_ns, first


def grade_task(source: str, cases: list[tuple[float, bool]], names: Mapping) -> dict:
    """Run all checks of one task: points and possible points, what failed, the message of the first public failure.

    Of each check `cases` says how many points it gives and whether it is hidden. The checks are read without
    otter-grader, which would take twice the time that a submission does.
    """
    checks = read_checks(source)
    possible = sum(points for points, _ in cases)
    if blanks := blank_names(checks, names):
        return {"points": 0, "possible": possible, "note": f"not attempted: {', '.join(blanks)}", "hidden": ""}
    told = [run_check(partial(ask, check), names) for check in checks]  # nothing where a check passes
    failed = [(*case, message) for case, message in zip(cases, told, strict=True) if message]
    public = [message for _, hidden, message in failed if not hidden]
    count, further = len(failed) - len(public), sum(hidden for _, hidden in cases)
    return {
        "points": possible - sum(points for points, _, _ in failed),
        "possible": possible,
        "note": public[0] if public else "",
        "hidden": f"{count} of {further} further checks fail" if count else "",
    }


if __name__ == "__main__":
    main()
    sys.exit()
