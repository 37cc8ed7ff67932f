"""The house: every import leads to a lower floor, and the dozen rooms that a learner sees stay a dozen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = """plots
serve fit
training session
loaders
formats
lora
quantize
evaluate
sampling batches
model system_log stories texts
machine tokenizer
bpe config run_log checks
files
errors""".splitlines()  # from the roof down; rooms on one floor do not know each other
FLOOR = {room: height for height, line in enumerate(reversed(FLOORS)) for room in line.split()}
FILES = sorted((ROOT / "utils").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "utils").parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of utils that a file imports, inside functions too; whole others as ../NAME."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"utils.{a.name}" for a in node.names if node.module == "utils" and a.name in FLOOR]
            names = whole or [node.module]
        for top, _, rest in (name.partition(".") for name in names):
            if top == "utils" and rest:
                found.add(rest.split(".")[0])
            elif top in ("lessons", "tools", "labs", "tests", "benchmarks"):
                found.add(f"../{top}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_lead_downstairs(path):
    room = room_of(path)
    if room == "__init__":
        return
    wrong = {other for other in imported_rooms(path) - {room} if FLOOR.get(other, 99) >= FLOOR[room]}
    assert not wrong, (
        f"{room} stands on floor {FLOOR[room]} and imports {', '.join(sorted(wrong))} from above or beside it"
    )


def test_a_learner_sees_a_dozen_rooms():
    rooms = {path.stem for path in (ROOT / "utils").glob("*.py")} - {"__init__", "errors"}
    assert len(rooms) <= 14, sorted(rooms)
    assert set(FLOOR) == {room_of(path) for path in FILES} - {"__init__"}, "a room is missing from the floors above"
