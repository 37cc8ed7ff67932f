"""The sets of records in data/, as their JSON lines have them."""

from __future__ import annotations

import json

from utils.files.places import DATA

SETS = {"letters": 12, "recipes": 15, "quiz": 60}


def jsonl_records(name: str) -> list[dict[str, str]]:
    text = (DATA / name / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]
