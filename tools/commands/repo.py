"""Commands for who looks after the course: notebooks, exercises, links, site, bench."""

from __future__ import annotations

import argparse

from tools.commands import Add


def declare(add: Add) -> None:
    command = add("notebooks", notebooks, "run notebooks and store what they print, or check that this is done")
    command.add_argument("paths", nargs="*", help="notebooks; all of them when none is named")
    command.add_argument("--check", action="store_true", help="change nothing, report what is stale or unclean")

    command = add("exercises", exercises, "make the students' copies of exercises from their masters, or check them")
    command.add_argument("names", nargs="*", help="how their names begin, for instance 02; all when none is named")
    command.add_argument("--check", action="store_true", help="change nothing, report what is stale")

    command = add("links", links, "write the badges, Colab's first cells and the README's course map")
    command.add_argument("--repository", help="owner/name on GitHub, kept in pyproject.toml")
    command.add_argument("--branch", help="the branch or tag that badges open, kept in pyproject.toml")
    command.add_argument("--check", action="store_true", help="change nothing, report what is stale")

    command = add("site", site, "write the course as web pages, to read without running it")
    command.add_argument("--out", default="build/site", help="folder for the pages (%(default)s)")

    command = add("bench", bench, "measure ours beside peers, in one run")
    command.add_argument("names", nargs="*", help="startup, loading, generation, …; all when none is named")


def notebooks(options: argparse.Namespace) -> int:
    from tools.repo.notebooks import main

    return main(options.paths, check=options.check)


def exercises(options: argparse.Namespace) -> int:
    from tools.classroom.exercise_builder import main

    return main(options.names, check=options.check)


def links(options: argparse.Namespace) -> int:
    from tools.repo.course_map import Home, problems, read_home, write_home, write_links

    home = read_home()
    home = Home(options.repository or home.repository, options.branch or home.branch)
    if options.check:
        found = list(problems(home))
        print("\n".join(found) or f"every badge opens {home.repository}, branch {home.branch}")
        return int(bool(found))
    write_home(home)
    print(f"{write_links(home)} files changed; badges open {home.repository}, branch {home.branch}")
    return 0


def site(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tools.repo.site import build_site, dead_links

    pages = build_site(Path(options.out))
    found = list(dead_links(Path(options.out)))
    print("\n".join([*found, f"{len(pages)} pages in {options.out}; open {Path(options.out) / 'index.html'}"]))
    return int(bool(found))


def bench(options: argparse.Namespace) -> int:
    from benchmarks import run

    return run(options.names)
