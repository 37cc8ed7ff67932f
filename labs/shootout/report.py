"""Report of a shoot-out: one folder with the table, two pictures and a text that recommends."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import psutil
from tqdm import tqdm

from labs.shootout.loader_zoo import find_loaders
from labs.shootout.pictures import size_against_error, speed_and_memory
from labs.shootout.race import HEADER, Shootout, recommend, run_shootout, to_markdown
from utils.config import format_bytes
from utils.errors import CourseError
from utils.files.whole_files import write_whole
from utils.loaders import load_gpt2
from utils.machine import describe_machine

FILES = ("report.md", "table.csv", "size.png", "speed.png")


def shootout(model: str, folder: str, names: list[str] | None = None) -> None:
    """Measure every loader with a model, say each row as it comes, and write the report."""
    loaded = load_gpt2(model).half().float()  # what a 16-bit file can hold exactly
    ready = [loader for loader in find_loaders(names) if not loader.lacking()]
    print(HEADER)
    with tqdm(total=len(ready), desc="loaders", disable=None, leave=False) as bar:

        def show(line: str) -> None:
            bar.write(line)
            bar.update()

        result = run_shootout(loaded, folder, names, show)
    write_report(result, model, folder)
    print(f"{folder} holds {', '.join(FILES)}.")


def write_report(result: Shootout, model: str, folder: str | Path) -> Path:
    """Write report.md, table.csv, size.png and speed.png; return the report."""
    if not result.rows:
        raise CourseError(f"No loader could open {model}: {' '.join(result.skipped.values()) or 'none was named.'}")
    folder = Path(folder)
    texts = {
        "table.csv": pd.DataFrame(map(asdict, result.rows)).to_csv(index=False, lineterminator="\n"),
        "report.md": report_text(result, model, psutil.virtual_memory().available),
    }
    for name, text in texts.items():
        write_whole(folder / name, lambda file, text=text: file.write(text.encode("utf-8")))
    size_against_error(result.rows, f"{model}: what fewer bytes cost").savefig(folder / "size.png", dpi=120)
    speed_and_memory(result.rows, f"{model}: speed and memory").savefig(folder / "speed.png", dpi=120)
    return folder / "report.md"


def report_text(result: Shootout, model: str, memory: int) -> str:
    """Return the report as Markdown: machine, recommendation, table, pictures, what was skipped and why."""
    machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    advice = [f"- **{purpose}**: {words}" for purpose, words in recommend(result.rows, memory).items()]
    parts = [
        f"# {model}, opened by {len(result.rows)} loaders",
        f"Measured on: {machine}.",
        f"## Recommended\n\nWith {format_bytes(memory)} of memory free, from the table below:",
        "\n".join(advice),
        f"## Measured\n\n{to_markdown(result.rows)}",
        "Weights are counted tensor by tensor. Memory is what the process took from loading to writing, beyond its "
        "libraries. The error is that of the logits after four beginnings of a story, as a share of their spread; "
        "KL the divergence of the odds from the model's own, in nats a token; same top the share of beginnings after "
        "which both find the same token the likeliest.",
        "![Bytes of the weights against the error of the logits, one point for each loader](size.png)",
        "![Tokens a second and memory of each loader](speed.png)",
    ]
    parts += ["## Left out", "\n".join(f"- {reason}" for reason in result.skipped.values())] if result.skipped else []
    return "\n\n".join(parts) + "\n"
