"""Commands for who looks after the course: notebooks, exercises, links, data, site, benchmarks."""

from __future__ import annotations

from pathlib import Path


def notebooks(
    paths: tuple[str, ...] = (),  # notebooks; all of them when none is named
    /,
    *,
    check: bool = False,  # change nothing, report what is stale or unclean
) -> int:
    """Run notebooks and store what they print, or check that this is done."""
    from tools.repo.notebooks import main

    return main(paths, check=check)


def exercises(
    names: tuple[str, ...] = (),  # how their names begin, for instance 02; all when none is named
    /,
    *,
    check: bool = False,  # change nothing, report what is stale
) -> int:
    """Make the students' copies of exercises from their masters, or check them."""
    from tools.classroom.exercise_builder import main

    return main(names, check=check)


def links(
    *,
    repository: str = "",  # owner/name on GitHub, kept in pyproject.toml
    branch: str = "",  # the branch or tag that badges open, kept in pyproject.toml
    check: bool = False,  # change nothing, report what is stale
) -> int:
    """Write the badges, Colab's first cells and the README's course map."""
    from tools.repo.course_map import Home, problems, read_home, write_home, write_links

    home = read_home()
    home = Home(repository or home.repository, branch or home.branch)
    opened = f"badges open {home.repository}, branch {home.branch}"
    if check:
        found = list(problems(home))
        print("\n".join(found) or opened)
        return int(bool(found))
    write_home(home)
    print(f"{write_links(home)} files changed; {opened}")
    return 0


def manifest(
    *,
    check: bool = False,  # change nothing, report what differs
) -> int:
    """Write data/MANIFEST.json: size, SHA-256, licence and origin of every file."""
    from tools.repo.manifest import check_manifest, write_manifest

    if not check:
        write_manifest()
        return 0
    problems = check_manifest()
    print("\n".join(problems) or "data/ is as its manifest says")
    return int(bool(problems))


def record(
    sizes: tuple[str, ...],  # small, medium, large, xl
    /,
    *,
    lessons: tuple[str, ...] = (),  # numbers such as 05 13; every lesson when none is named
    report: str = "",  # a file for the table of facts, in Markdown
) -> int:
    """Run lessons with the real weights, keep what they gave in data/recorded, and check the golden facts."""
    from tools.repo.record import record

    return record(sizes, lessons, report)


def locks(
    *,
    check: bool = False,  # change nothing and ask nobody, report what is stale
) -> int:
    """Write the SHA-256 of everything that is pinned into requirements/*.lock."""
    from tools.repo.locks import all_problems, write_locks

    if not check:
        print(f"{', '.join(write_locks()) or 'no'} lock files were stale; all are as the pins say now")
        return 0
    print("\n".join(found := all_problems()) or "the lock files are as the pins say")
    return int(bool(found))


def sbom(
    *,
    out: str = "build/sbom.cdx.json",  # the file to write
) -> None:
    """Write the list of all parts (SBOM, CycloneDX) that a learner's installation has, with their SHA-256."""
    from tools.repo.locks import write_sbom

    print(f"{write_sbom(Path(out))} parts in {out}")


def quantize_readme(
    *,
    check: bool = False,  # change nothing, report whether it is there
) -> int:
    """Put nano's stored table of quantization into docs/benchmarks.md."""
    from tools.quantization_table import TABLE, update_readme

    current = update_readme(check=check)
    done = "is up to date" if current else "is stale: run this without --check" if check else "is written"
    print(f"The table of {TABLE.parent.name} in docs/benchmarks.md {done}.")
    return int(check and not current)


def site(
    *,
    out: str = "build/site",  # folder for the pages
    live: bool = True,  # with nano in it, 6 MB, and views that work in the page
) -> None:
    """Write the course as web pages, to read without running it, with nano alive in them."""
    from tools.repo.site import build_site

    pages = build_site(Path(out), live)
    print(f"{len(pages)} pages in {out}; open {Path(out) / 'index.html'}")
    if live:
        print(f"for the living views, serve them: python -m http.server -d {out}")


def bench(
    names: tuple[str, ...] = (),  # startup, loading, generation, …; all when none is named
    /,
) -> int:
    """Measure ours beside peers, in one run."""
    from benchmarks import run

    return run(list(names))


def fuzz(
    kinds: tuple[str, ...] = (),  # kinds of files, such as csv; all when none is named
    /,
    *,
    files: int = 20_000,  # how many in all
    first: int = 0,  # the number of the first file of each kind, to open one again
    keep: str = "",  # a folder for one damaged file of each fault
) -> int:
    """Damage files of every kind at random and open them: each must open, or be refused in a sentence."""
    from tools.commands import expect
    from tools.repo.fuzz import KINDS, Tally, fuzz, keep_examples, report
    from utils.files.progress import progress

    expect(1, files=files)
    names = list(kinds or KINDS)
    tallies = {name: Tally() for name in names}
    for name, tally in progress(fuzz(names, files, first), "files, some hundred at a time"):
        tallies[name].add(tally)
    print("\n".join(report(tallies)))
    if keep:
        keep_examples(tallies, Path(keep))
    return int(any(tally.faults for tally in tallies.values()))


def true_shape(
    paths: tuple[str, ...] = (),  # notebooks; lessons, solved exercises and labs when none is named
    /,
    *,
    size: str = "small",  # small or medium
    folder: str = "",  # where the drawn weights are kept for the next time; else they go at the end
    table: str = "",  # a file for the figures, one line of JSON for each notebook
) -> int:
    """Run notebooks at the true shape of a size with drawn weights: minutes, peak memory, what fails."""
    from tools.repo.notebooks import find_notebooks
    from tools.repo.true_shape import main
    from utils.files.places import ROOT

    chosen = paths or [ROOT / "lessons", ROOT / "exercises" / "solutions", ROOT / "labs"]
    return main(find_notebooks(chosen), size, folder, table)
