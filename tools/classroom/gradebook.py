"""Gradebook: grades.csv with a row for each submission, gradebook.csv with a row for each learner, and pages.

A learner's page tells points, the question that a failed check asks, and how many further checks fail; never a
hidden check itself.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from tools.classroom.grading import Grade, find_submissions, grade
from tools.classroom.sandbox import Limits, missing_fences


def grade_folder(folder: Path, out: Path, limits: Limits = Limits(), show=print) -> list[Grade]:
    """Grade every submission below a folder, one after the other, and write what there is after each."""
    if fences := missing_fences():
        able = ", ".join(fences)
        show(f"This system can't keep a submission's code from trying to {able}: grade on a spare machine.")
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
    table = pd.DataFrame([_row(one) for one in grades])[[*HEAD, *tasks, "Status", "File"]]
    write_table(table, out / "grades.csv")
    known = table[table["Exercise"] != ""]  # of several submissions of an exercise, the best counts
    book = known.pivot_table(index="Learner", columns="Exercise", values="Percent", aggfunc="max")
    write_table(book.reindex(sorted(set(table["Learner"]))).round(1).reset_index(), out / "gradebook.csv")
    for name in set(table["Learner"]):
        own = [one for one in grades if one.submission.learner == name]
        (out / f"{_file_name(name)}.md").write_text(page(name, own), encoding="utf-8")


HEAD = ["Learner", "Exercise", "Points", "Possible", "Percent"]


def _row(one: Grade) -> dict:
    percent = round(100 * one.points / one.possible, 1) if one.possible else float("nan")
    made, points = one.submission, {task: found["points"] for task, found in one.tasks.items()}
    row = dict(zip(HEAD, (made.learner, made.exercise, one.points, one.possible, percent), strict=True))
    return row | points | {"Status": one.status, "File": made.path.name}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV for spreadsheets and learning platforms; a cell that looks like a formula is kept from being one."""
    safe = table.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+@") else cell)
    safe.to_csv(path, index=False, float_format="%g", encoding="utf-8-sig")  # with the mark that spreadsheets look for


def page(learner: str, grades: list[Grade]) -> str:
    """Return what a learner gets back, as Markdown."""
    lines = [f"# {learner}"]
    for one in grades:
        lines += ["", f"## {one.submission.exercise or one.submission.path.name}: {summary(one)}", ""]
        if one.tasks:
            lines += ["| task | points | of | what to look at |", "|---|---|---|---|"]
        for task, found in one.tasks.items():
            praise = "all checks pass" if found["points"] == found["possible"] else ""
            notes = "; ".join(filter(None, (found["note"], found["hidden"]))) or praise
            notes = re.sub(r"\s+", " ", notes).replace("|", "\\|")
            lines.append(f"| {task} | {found['points']:g} | {found['possible']:g} | {notes} |")
    return "\n".join(lines) + "\n"


def _natural(task: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", task))


def _file_name(learner: str) -> str:
    return re.sub(r"[^\w.-]+", "_", learner).strip("._") or "nameless"
