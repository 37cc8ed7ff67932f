"""The sets of records in data/, as their JSON lines have them, and the program that makes them."""

from __future__ import annotations

import importlib.util
import json

from utils.files.places import DATA

SETS = {"letters": 12, "recipes": 15, "quiz": 60}


def jsonl_records(name: str) -> list[dict[str, str]]:
    text = (DATA / name / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def load_generator():
    """Import data/make_records.py, which lies in no package."""
    spec = importlib.util.spec_from_file_location("make_records", DATA / "make_records.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
