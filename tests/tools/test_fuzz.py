"""The fuzzer finds what it is to find, makes the same files again, and finds nothing in our readers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.repo import fuzz
from tools.repo.fuzz import damage_file, keep_examples, open_many, report
from tools.repo.fuzz_targets import FEW, KINDS, Target


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in FEW])
def test_damaged_files_open_or_are_refused_in_a_sentence(kind, tmp_path):
    sound = KINDS[kind](tmp_path)
    sound.visit(sound.file)
    tally = open_many(kind, first=0, count=25)
    assert not tally.faults, report({kind: tally})
    assert tally.files == 25


def break_at_zero(path: Path) -> None:
    if b"\0" in path.read_bytes():
        raise KeyError("zero")


def test_faults_are_counted_with_a_file_that_shows_them(tmp_path, monkeypatch):
    def make(folder):
        (folder / "a.txt").write_bytes(b"sound text, " * 20)
        return Target(folder / "a.txt", break_at_zero)

    monkeypatch.setitem(KINDS, "made", make)
    tally = open_many("made", first=0, count=200)
    (what,) = tally.faults
    assert what.startswith("KeyError") and tally.opened + tally.faults[what] == 200 and tally.opened
    assert str(tally.examples[what]) in report({"made": tally})[-1]
    keep_examples({"made": tally}, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert b"\0" in kept.read_bytes()


def test_a_file_that_takes_too_long_is_a_fault(monkeypatch):
    def make(folder):
        (folder / "a.txt").write_bytes(b"text")
        return Target(folder / "a.txt", lambda path: sum(range(3_000_000)))

    monkeypatch.setitem(KINDS, "slow", make)
    monkeypatch.setattr(fuzz, "SECONDS", 0.0)
    monkeypatch.setattr(fuzz, "SECONDS_A_MEGABYTE", 0.0)
    tally = open_many("slow", first=3, count=2)
    assert sum(tally.faults.values()) == 2 and "processor time" in report({"slow": tally})[-1]


def test_a_number_makes_the_same_file_again():
    content = bytes(range(256))
    assert damage_file("txt", content, 7) == damage_file("txt", content, 7)
    assert len({damage_file("txt", content, number) for number in range(50)}) > 40
