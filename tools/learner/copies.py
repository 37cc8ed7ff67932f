"""Own copies of all notebooks, in work/: the course itself stays as it came, and a new version of it loses nothing.

A copy that was only run is replaced when its original changes. One whose cells were edited is kept, and the new
version is put beside it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import write_whole

FOLDERS = ("lessons", "exercises", "labs")  # whose notebooks are copied
WORK = "work"
LEDGER = "copies.json"  # of each copy: what its original was, and what its cells were when it was made
LINK = re.compile(r"""(\]\(|(?:src|href)=\\?["'])\.\./(?!(?:lessons|exercises|labs)/[\w.-]+\.ipynb)""")


@dataclass
class Refreshed:
    """What happened to the copies, by their names."""

    made: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)  # edited copy → the new version beside it

    def lines(self) -> list[str]:
        """Return what a learner is told, nothing where nothing happened."""
        said = []
        if self.made:
            said.append(f"{len(self.made)} notebooks are copied to {WORK}/: write in them as you like.")
        if self.renewed:
            said.append(f"{len(self.renewed)} copies that you have not edited are the new version now.")
        for name, new in self.beside.items():
            said.append(f"{name} is yours and stays; its new version lies beside it, as {Path(new).name}.")
        return said


def own_copy(original: Path) -> Path:
    """Return where the learner's copy of a notebook of the course lies, whether there is one or not."""
    return original.parents[1] / WORK / original.parent.name / original.name


def refresh_copies(root: Path = ROOT) -> Refreshed:
    """Make the copies that are missing, renew those whose original has changed, and keep what a learner wrote."""
    work, result = root / WORK, Refreshed()
    ledger = read_ledger(work)
    for folder in FOLDERS:
        for original in sorted((root / folder).glob("*.ipynb")):
            refresh_one(original, work, f"{folder}/{original.name}", ledger, result)
    write_text(work / LEDGER, json.dumps(ledger, indent=1) + "\n")
    return result


def refresh_one(original: Path, work: Path, name: str, ledger: dict, result: Refreshed) -> None:
    """Bring one copy up to date."""
    data, copy = original.read_bytes(), work / name
    mark, known = sha256(data).hexdigest(), ledger.get(name, {})
    if copy.exists() and known.get("original") == mark:
        return
    text = with_links(data.decode("utf-8"))
    edited = copy.exists() and cells_mark(copy.read_bytes()) != known.get("cells")
    if edited:
        new = free_name(copy)
        result.beside[f"{WORK}/{name}"] = f"{WORK}/{new.relative_to(work).as_posix()}"
    else:
        new = copy
        (result.renewed if copy.exists() else result.made).append(name)
    new.parent.mkdir(parents=True, exist_ok=True)
    write_text(new, text)
    ledger[name] = {"original": mark, "cells": known.get("cells") if edited else cells_mark(text.encode("utf-8"))}


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, with the line ends that it has."""
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def with_links(text: str) -> str:
    """Let the links of a notebook reach out of work/, but for those to other notebooks, which are in it as well.

    >>> with_links("[a](../docs/glossary.md) [b](../labs/01_x.ipynb)")
    '[a](../../docs/glossary.md) [b](../labs/01_x.ipynb)'
    """
    return LINK.sub(r"\1../../", text)


def cells_mark(data: bytes) -> str:
    """Return a fingerprint of what stands in the cells, whatever they have printed; of a damaged file, of all of it."""
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(data)["cells"]]
    except (ValueError, KeyError, TypeError):
        return sha256(data).hexdigest()
    return sha256(json.dumps(cells).encode()).hexdigest()


def free_name(copy: Path) -> Path:
    """Return a name beside a copy that no file has yet: 03_x.new.ipynb, 03_x.new-2.ipynb."""
    names = (copy.with_suffix(f".new{number}.ipynb") for number in ("", *(f"-{i}" for i in range(2, 1000))))
    return next(name for name in names if not name.exists())


def read_ledger(work: Path) -> dict:
    """Return what is known of the copies; without a readable ledger every copy counts as edited."""
    try:
        ledger = json.loads((work / LEDGER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return ledger if isinstance(ledger, dict) else {}


def set_aside(root: Path = ROOT) -> Path | None:
    """Move all copies to a folder of their own, so that the next ones are made anew; return it, if there were any."""
    work = root / WORK
    if not work.exists():
        return None
    aside = root / f"{WORK}-{datetime.now():%Y-%m-%d-%H%M%S}"
    try:
        work.rename(aside)
    except OSError as error:
        raise CourseError(f"{work} can't be set aside ({error.strerror}). Close JupyterLab, then try again.") from error
    return aside
