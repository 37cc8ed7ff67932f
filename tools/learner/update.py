"""A new version of the course, by git, without losing anything that a learner wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

from tools.learner.copies import FOLDERS, WORK, refresh_copies
from utils.errors import CourseError
from utils.files.places import ROOT

NO_CLONE = (
    "This folder is no clone of the course, so git can't renew it. From a class pack: start the new pack's start.py. "
    f"From a ZIP: unpack the new one elsewhere, and move your folder {WORK} into it."
)


def git(root: Path, *words: str) -> str:
    """Return what git prints, or raise what it says is wrong."""
    calm = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(["git", *words], cwd=root, env=calm, capture_output=True, encoding="utf-8")
    except OSError as error:
        raise CourseError(f"git doesn't start here ({error.strerror}). Install it, or unpack a new ZIP.") from error
    if done.returncode:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise CourseError(f"git {words[0]} did not work: {said[-1] if said else 'it says nothing'}")
    return done.stdout


def update_course(root: Path = ROOT) -> list[str]:
    """Fetch the newest version, renew the copies, and return what a learner is told."""
    if not (root / ".git").exists():
        raise CourseError(NO_CLONE)
    changed = changed_files(root)
    notebooks = [name for name in changed if name.endswith(".ipynb") and name.split("/")[0] in FOLDERS]
    if others := [name for name in changed if name not in notebooks]:
        raise CourseError(
            f"You have changed {', '.join(others[:5])}{' …' if len(others) > 5 else ''}, and an update must not lose "
            "that. Commit it (git commit -am mine), or put it aside (git stash), then update again."
        )
    before = git(root, "rev-parse", "HEAD").strip()
    try:
        git(root, "fetch", "--quiet")
        newest = git(root, "rev-parse", "@{upstream}").strip()
    except CourseError as error:
        raise CourseError(f"{error}. Nothing has been changed. Is there a network, and are you on main?") from error
    said = keep_notebooks(root, notebooks)
    git(root, "merge", "--ff-only", "--quiet", newest)
    count = int(git(root, "rev-list", "--count", f"{before}..{newest}"))
    said.append(
        f"{count} changes have come; CHANGELOG.md tells what is new." if count else "This is the newest version."
    )
    return said + refresh_copies(root).lines()


def changed_files(root: Path) -> list[str]:
    """Return the tracked files that differ from the version that is checked out."""
    entries = git(root, "diff", "HEAD", "--name-only", "-z").split("\0")
    return [name for name in entries if name]


def keep_notebooks(root: Path, names: list[str]) -> list[str]:
    """Copy notebooks that were worked in at their own place into work/, restore the originals, and tell about it."""
    if not names:
        return []
    aside = root / WORK / f"before-{datetime.now():%Y-%m-%d-%H%M%S}"
    for name in names:
        if (root / name).is_file():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, aside / name)
    git(root, "checkout", "--quiet", "HEAD", "--", *names)
    return [f"{len(names)} notebooks that you worked in are kept in {aside.relative_to(root).as_posix()}/."]
