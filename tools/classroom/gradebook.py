"""What grading leaves: grades.csv with a row for each submission, gradebook.csv with a row for each learner, and pages.

A learner's page tells points, the question that a failed check asks, and how many further checks fail; never a
hidden check itself.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from tools.classroom.grading import Grade, Submission, find_submissions, grade
from tools.classroom.sandbox import Limits, missing_fences


def grade_folder(folder: Path, out: Path, limits: Limits = Limits(), show=print) -> list[Grade]:
    """Grade every submission below a folder, one after the other, and write what there is after each."""
    if fences := missing_fences():
        show(
            f"This system can't keep a submission's code from trying to {', '.join(fences)}: grade on a spare machine."
        )
    grades: list[Grade] = []
    for submission in find_submissions(folder):
        grades.append(grade(submission, limits))
        show(f"{submission.learner}, {submission.exercise or submission.path.name}: {summary(grades[-1])}")
        write_grades(grades, out)
    if not grades:
        show(f"There is no notebook in {folder}.")
    return grades


def summary(one: Grade) -> str:
    """Return a grade in a few words."""
    return f"{one.points:g} of {one.possible:g}, {one.status}" if one.possible else one.status


def write_grades(grades: list[Grade], out: Path) -> None:
    """Write the two tables and the pages of all learners."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = sorted({task for one in grades for task in one.tasks}, key=_natural)
    rows = [["Learner", "Exercise", "Points", "Possible", "Percent", *tasks, "Status", "File"]]
    for one in grades:
        points = [f"{one.tasks[task]['points']:g}" if task in one.tasks else "" for task in tasks]
        made = one.submission
        rows.append([made.learner, made.exercise, f"{one.points:g}", f"{one.possible:g}", _percent(one), *points,
                     one.status, made.path.name])  # fmt: skip
    write_table(out / "grades.csv", rows)
    exercises = sorted({one.submission.exercise for one in grades if one.submission.exercise})
    best = best_grades(grades)
    learners = sorted({one.submission.learner for one in grades})
    book = [[name, *(_percent(best[name, e]) if (name, e) in best else "" for e in exercises)] for name in learners]
    write_table(out / "gradebook.csv", [["Learner", *exercises], *book])
    for name in learners:
        own = [one for one in grades if one.submission.learner == name]
        (out / f"{_file_name(name)}.md").write_text(page(name, own), encoding="utf-8")


def write_table(path: Path, rows: Iterable[list[str]]) -> None:
    """Write a CSV for spreadsheets and learning platforms; a cell that looks like a formula is kept from being one."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # with the mark that spreadsheets look for
        csv.writer(file).writerows([["'" + cell if cell[:1] in tuple("=+@") else cell for cell in row] for row in rows])


def best_grades(grades: Iterable[Grade]) -> dict[tuple[str, str], Grade]:
    """Return each learner's best submission of each exercise: who handed in twice loses nothing."""
    best: dict[tuple[str, str], Grade] = {}
    for one in grades:
        key = (one.submission.learner, one.submission.exercise)
        if key not in best or one.points > best[key].points:
            best[key] = one
    return best


def page(learner: str, grades: list[Grade]) -> str:
    """Return what a learner gets back, as Markdown."""
    lines = [f"# {learner}"]
    for one in grades:
        made: Submission = one.submission
        lines += ["", f"## {made.exercise or made.path.name}: {summary(one)}", ""]
        if one.tasks:
            lines += ["| task | points | of | what to look at |", "|---|---|---|---|"]
        for task, found in one.tasks.items():
            notes = "; ".join(note for note in (found["note"], found["hidden"]) if note) or _praise(found)
            notes = re.sub(r"\s+", " ", notes).replace("|", "\\|")
            lines.append(f"| {task} | {found['points']:g} | {found['possible']:g} | {notes} |")
    return "\n".join(lines) + "\n"


def _praise(found: dict) -> str:
    return "all checks pass" if found["points"] == found["possible"] else ""


def _percent(one: Grade) -> str:
    return f"{100 * one.points / one.possible:.1f}" if one.possible else ""


def _natural(task: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", task))


def _file_name(learner: str) -> str:
    return re.sub(r"[^\w.-]+", "_", learner).strip("._") or "nameless"
