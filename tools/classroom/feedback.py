"""Feedback: what a learner gets back, one HTML page that loads nothing, with their own code beside each check.

It tells points, the question that a failed check asks, and how many further checks fail; never a hidden check itself,
and never what the learner's code said when it ran: that stands in grades.csv, for the teacher.
"""

from __future__ import annotations

from html import escape

from tools.classroom.grading import Grade, summary
from tools.classroom.names import LONGEST_NOTE, clean, readable

MOST_LINES = 60  # of an answer's code that a page shows
END = "</main></body></html>\n"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title><style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 52rem; margin: 1rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }}
article {{ border-top: 1px solid #8888; }} pre {{ white-space: pre-wrap; overflow-wrap: anywhere; padding: .6rem;
border-left: 3px solid #8888; font: .9rem/1.4 ui-monospace, monospace; }}
</style></head><body><main>
<h1>{name}</h1>
"""


def page(grades: list[Grade], before: str = "") -> str:
    """Return a learner's page; grades are added to one from an earlier run if there is one."""
    start = before.removesuffix(END) if before.endswith(END) else PAGE.format(name=_safe(grades[0].submission.name))
    return start + "\n".join(map(_section, grades)) + "\n" + END


def _section(one: Grade) -> str:
    """Return one submission: a heading, and for each task its points, what to look at, and the learner's code."""
    title = one.submission.exercise or readable(one.submission.path.name)
    parts = [f"<section><h2>{_safe(title)}: {_safe(summary(one))}</h2>"]
    for name, task in one.tasks.items():
        praise = "All checks pass." if task.points == task.possible else ""
        notes = "; ".join(filter(None, (task.note, task.hidden))) or praise
        parts.append(f"<article><h3>{_safe(name)}: {task.points:g} of {task.possible:g}</h3><p>{_safe(notes)}</p>")
        if code := one.code.get(name, ""):
            parts.append(f"<pre><code>{_code(code)}</code></pre>")
        parts.append("</article>")
    return "\n".join([*parts, "</section>"])


def _safe(text: object) -> str:
    return escape(clean(text, LONGEST_NOTE))


def _code(source: str) -> str:
    """Return code for a page, line by line made safe."""
    lines = source.splitlines()
    more = [f"… and {len(lines) - MOST_LINES} more lines"] * (len(lines) > MOST_LINES)
    indents = [len(line) - len(line.lstrip()) for line in lines[:MOST_LINES]]
    shown = [" " * min(indent, 40) + clean(line) for indent, line in zip(indents, lines, strict=False)]
    return escape("\n".join([*shown, *more]))
