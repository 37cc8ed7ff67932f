"""Exports: grades for Canvas, Moodle or a spreadsheet, matched to a roster, and feedback pages as each platform's zip.

Columns are those that the importers ask for: Canvas's lib/gradebook_importer.rb; for Moodle the offline grading
worksheet (mod/assign/feedback/offline) and the zip of feedback files (mod/assign/feedback/file), read in 2026.
"""

from __future__ import annotations

import csv
import re
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from tools.classroom.names import as_csv, file_name, read_csv
from utils.errors import CourseError
from utils.files.whole_files import write_whole

COLUMNS = {"id": "id", "login": "login", "email": "email", "e-mail": "email", "section": "section", "name": "name"}
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
MOODLE = ["Identifier", "Full name", "Email address", "Grade", "Last modified (grade)"]
CANVAS_NAME = re.compile(r"^.*?_(?:LATE_)?\d+_\d+_")  # how Canvas begins the name of each file that was handed in


@dataclass(frozen=True)
class Person:
    """A line of the roster; what a platform knows a learner by."""

    id: str = ""
    login: str = ""
    email: str = ""
    section: str = ""
    name: str = ""


@dataclass
class Marks:
    """The best submission of each exercise of one learner, as rows of grades.csv."""

    learner: str
    number: str
    person: Person = Person()
    best: dict[str, dict[str, str]] = field(default_factory=dict)  # by exercise


def read_roster(path: Path) -> list[Person]:
    """Return the people of a roster: a CSV with columns id, login, email, section, name, as many as there are."""
    try:
        rows = read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"The roster {path} can't be read: {error}. Save it as CSV in UTF-8.") from error
    known = {name: COLUMNS.get(name.strip().lower(), "") for row in rows[:1] for name in row if name}
    if not {"id", "login", "name"} & set(known.values()):
        raise CourseError(
            f"Found the columns {', '.join(known) or 'none'} in {path.name}; expected id, login or name among them, "
            "and if you have them email and section."
        )
    return [Person(**{to: (row[name] or "").strip() for name, to in known.items() if to}) for row in rows]


def plain(name: str) -> str:
    """Return a name without accents, spaces and capitals.

    >>> plain("José Ñandú-Lee")
    'josenandulee'
    """
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in letters if char.isalnum())


def ways_to_write(name: str) -> set[str]:
    """Return the names of files that a person's name becomes: first or last name first.

    >>> sorted(ways_to_write("Ada Lovelace"))
    ['adalovelace', 'lovelaceada']
    """
    words = name.replace(",", " ").split()
    return {plain("".join(words)), plain("".join([*words[-1:], *words[:-1]])), plain("".join([*words[1:], *words[:1]]))}


def find_person(learner: str, number: str, roster: list[Person]) -> Person | None:
    """Return who handed something in: by the platform's number, else by login, else by a name that one person has."""
    tests: list[Callable[[Person], bool]] = [
        lambda one: bool(number) and one.id == number,
        lambda one: bool(one.login) and one.login.casefold() == learner.casefold(),
        lambda one: bool(one.name) and plain(learner) in ways_to_write(one.name),
    ]
    for test in tests:
        if len(found := [one for one in roster if test(one)]) == 1:
            return found[0]
    return None


def collect(grades: Path, roster: list[Person]) -> tuple[list[Marks], list[str]]:
    """Return each learner's marks from grades.csv and labs.csv, and a line for each that the roster doesn't know."""
    found, unknown, known = dict[str, Marks](), list[str](), dict[tuple[str, str], str]()
    for row in rows_of(grades):
        number = row.get("Number") or ""
        ident = known.setdefault((row["Learner"], number), row["Id"]) if number else row["Id"]
        own = found.setdefault(ident, Marks(row["Learner"], number))
        own.number = own.number or number
        before = own.best.get(row["Exercise"])
        if row["Exercise"] and (before is None or _percent(row) > _percent(before)):
            own.best[row["Exercise"]] = row
    for own in found.values():
        if person := find_person(own.learner, own.number, roster):
            own.person = person
        elif roster:
            unknown.append(f"{own.learner} ({own.number or 'no number'}) is nobody in the roster, or several people.")
    return sorted(found.values(), key=lambda own: own.learner), unknown


def rows_of(grades: Path) -> list[dict[str, str]]:
    """Return the rows of what `class grade` and `class labs` left; a lab is an exercise without a page."""
    tables = {name: read_csv(grades / name) for name in ("grades.csv", "labs.csv") if (grades / name).is_file()}
    if not tables:
        raise CourseError(
            f"There is neither grades.csv nor labs.csv in {grades}. First: python course.py class grade FOLDER."
        )
    labs = [
        {**row, "Exercise": f"lab_{row['Lab']}" if row["Lab"] else "", "File": ""} for row in tables.get("labs.csv", [])
    ]
    return tables.get("grades.csv", []) + labs


def _percent(row: dict[str, str]) -> float:
    return float(row["Percent"] or 0)


def write_plain(marks: list[Marks], out: Path) -> list[Path]:
    """Write one table with the roster's columns and a column of percent for each exercise."""
    exercises = sorted({name for own in marks for name in own.best})
    rows = [
        {"Learner": own.learner, "Id": own.person.id or own.number, "Login": own.person.login}
        | {"Email": own.person.email, "Section": own.person.section}
        | {name: _percent(row) for name, row in own.best.items()}
        for own in marks
    ]
    return [_write(out / "roster_grades.csv", as_csv(["Learner", "Id", "Login", "Email", "Section", *exercises], rows))]


def write_canvas(marks: list[Marks], grades: Path, out: Path) -> list[Path]:
    """Write what Canvas imports under Grades → Import, and a zip for its Upload Submissions, if it has any page."""
    exercises = sorted({name for own in marks for name in own.best})
    rows: list[dict] = [{"Student": "    Points Possible"} | dict.fromkeys(exercises, 100.0)]
    for own in marks:
        about = (own.person.name or own.learner, own.person.id or own.number, "", own.person.login, own.person.section)
        rows.append(dict(zip(CANVAS, about, strict=True)) | {name: _percent(row) for name, row in own.best.items()})
    pages = [
        (f"{start[0]}feedback.html", _page(own, row, grades))
        for own in marks
        for row in own.best.values()
        if (start := CANVAS_NAME.match(row["File"]))
    ]
    table = _write(out / "canvas.csv", as_csv([*CANVAS, *exercises], rows, mark=False))
    return [table, *_zip(out / "canvas_feedback.zip", pages)]


def write_moodle(marks: list[Marks], grades: Path, out: Path) -> list[Path]:
    """Write for each exercise a grading worksheet and a zip of feedback files, by the number in the folders' names."""
    made = []
    for exercise in sorted({name for own in marks for name in own.best}):
        own_number = [own for own in marks if exercise in own.best and own.number]
        rows = [
            dict(zip(MOODLE, (f"Participant {own.number}", own.learner, own.person.email), strict=False))
            | {"Grade": _percent(own.best[exercise])}
            for own in own_number
        ]
        pages = [
            (f"{own.learner.replace('_', ' ').replace('/', ' ')}_{own.number}_assignsubmission_file_/feedback.html",
             _page(own, own.best[exercise], grades))
            for own in own_number if own.best[exercise]["File"]
        ]  # fmt: skip
        made.append(_write(out / f"moodle_{exercise}.csv", as_csv(MOODLE, rows, mark=False)))
        made += _zip(out / f"moodle_{exercise}_feedback.zip", pages)
    return made


def _page(own: Marks, row: dict[str, str], grades: Path) -> bytes:
    """Return a learner's page, as class grade left it."""
    path = grades / f"{file_name(own.learner, row['Id'])}.html"
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} is missing. Run class grade again, after you have deleted grades.csv.") from error


def _write(path: Path, data: bytes) -> Path:
    write_whole(path, lambda file: file.write(data))
    return path


def _zip(path: Path, pages: Sequence[tuple[str, bytes]]) -> list[Path]:
    """Write the pages into a zip; where there is none, also none of an earlier day is left."""
    if not pages:
        path.unlink(missing_ok=True)
        return []
    data = BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, page in pages:
            file.writestr(name, page)
    return [_write(path, data.getvalue())]
