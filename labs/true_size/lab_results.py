"""Results of true-size runs, kept as data in labs/results: what ran, where, for how long, and every measured loss."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.whole_files import write_whole

if TYPE_CHECKING:  # the figures of a stored result are read without PyTorch
    from torch import Tensor

    from utils.model import GPT2

RESULTS = ROOT / "labs" / "results"
Result = TypeVar("Result")
Points = list[tuple[int, float]]  # (step, value)
Samples = list[tuple[int, str]]  # (step, text)


@dataclass(frozen=True)
class StoredRun:
    """One run from its recipe to its end; losses in nats per token."""

    machine: str
    recipe: dict  # settings that differ from the defaults
    parameters: int  # that were trained: a compact vocabulary has only the rows of tokens that occur
    file_parameters: int  # of the model as it is saved, with all rows
    text_tokens: int  # that are learned, each counted once
    held_out_tokens: int
    tokens: int  # that went through, repeats counted
    steps: int
    minutes: float
    step_loss: float  # of the last step's own batch
    epoch_loss: float  # mean over the last epoch that ended, or over all steps where none has
    text_loss: float  # of the last weights, on the text that was learned, or its beginning, cut as at the first epoch
    shifted_loss: float  # of the same weights on the same text, cut half a window later
    recited: dict  # share of phrases that are the text's own, greedily: from the start of a window, and from its middle
    losses: list[float]  # of every step's own batch
    training: Points  # mean loss of the steps since the evaluation before
    held_out: Points
    memorized: Points  # share of phrases in the model's own texts that stand in the training text
    samples: Samples  # one prompt's continuation at the ends of up to five epochs

    def __str__(self) -> str:
        best_step, best = min(self.held_out, key=lambda point: point[1])
        return (
            f"{self.file_parameters:,} parameters, {self.tokens:,} tokens in {self.steps:,} steps and "
            f"{self.minutes:.1f} minutes on {self.machine}: a step's loss of {self.step_loss:.4f}, "
            f"{self.epoch_loss:.4f} over the last epoch, {self.text_loss:.4f} on the text itself, "
            f"{self.shifted_loss:.2f} where it is cut half a window later, and {self.held_out[-1][1]:.2f} on held-out "
            f"text, which was best after step {best_step:,} at {best:.2f}"
        )


def write_result(result: Any, path: str | Path) -> Path:
    """Write a dataclass as JSON that people can read."""
    path, text = Path(path), json.dumps(asdict(result), indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
    return path


def read_result(kind: type[Result], path: str | Path) -> Result | None:
    """Return a stored result, or None where none is stored yet."""
    path = Path(path)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CourseError(f"{path} is not readable as JSON: {error}. Store the run again.") from error
    known = {field.name for field in fields(cast(Any, kind))}
    if not isinstance(found, dict) or set(found) != known:
        differ = ", ".join(sorted(set(found) ^ known)) if isinstance(found, dict) else type(found).__name__
        raise CourseError(f"{path} is no {kind.__name__}: {differ} is missing or unknown. Store the run again.")
    return kind(**{name: _points(value) for name, value in found.items()})


def _points(value):
    return [tuple(each) if isinstance(each, list) else each for each in value] if isinstance(value, list) else value


def in_words(result: object | None, what: str) -> str:
    """Say what a stored result says, or that there is none."""
    return f"no {what} is stored yet" if result is None else str(result)


def store_run(words: Sequence[str], path: str | Path, check_tokens: int = 20_000) -> StoredRun:
    """Gather what a finished run wrote into its folder and store it; `words` are those the run was started with."""
    import torch

    from labs.true_size.last_weights import last_model, learned_text
    from utils.config import total_parameters
    from utils.evaluate import Protocol, measure_loss
    from utils.files.settings import read_settings
    from utils.formats.open_file import open_model_file
    from utils.machine import pick_device
    from utils.texts.bins import load_bin
    from utils.training.recipes import TrainingRecipe

    recipe = read_settings(TrainingRecipe, words)
    logged = read_logs(Path(recipe.out))
    model = last_model(recipe).to(pick_device(recipe.device or None))
    context, text = min(recipe.context, model.config.context), torch.from_numpy(learned_text(recipe).astype("int64"))
    known, protocol = text[:check_tokens], Protocol(context, context)
    result = StoredRun(
        machine=machine_in_words(model.device),
        recipe=different_settings(recipe),
        parameters=total_parameters(model.config),
        file_parameters=total_parameters(open_model_file(recipe.out).config),
        text_tokens=len(text),
        held_out_tokens=len(load_bin(Path(recipe.data) / "validate.bin")),
        text_loss=round(measure_loss(model, known, protocol).loss, 6),
        shifted_loss=round(measure_loss(model, known[context // 2 :], protocol).loss, 6),
        recited={
            "from the start of a window": recited(model, text, context),
            "from its middle": recited(model, text[context // 2 :], context),
        },
        **logged,
    )
    write_result(result, path)
    return result


def recited(model: GPT2, text: Tensor, context: int, texts: int = 8, phrase: int = 8) -> float:
    """Return which share of runs of `phrase` tokens the model takes from the text (time,), word for word.

    It goes on greedily from a quarter of a window, at eight places as far apart as they can be. Carlini and others
    2021, arXiv:2012.07805, call it extraction: a prompt from the training text, and what follows held against it.
    """
    from utils.sampling import Sampling, generate

    windows, given = max(1, len(text) // context), max(1, context // 4)
    starts = sorted({place * (windows - 1) // (texts - 1) * context for place in range(texts)})
    new = Sampling(max_new=context - given, temperature=0)
    told = generate(model, [text[start : start + given].tolist() for start in starts], new)
    known = {tuple(run) for run in text.unfold(0, phrase, 1).tolist()}
    runs = [tuple(one[end - phrase : end]) for one in told for end in range(phrase, len(one) + 1)]
    return round(sum(run in known for run in runs) / max(1, len(runs)), 4)


def read_logs(folder: Path) -> dict[str, Any]:
    """Return what the logs of a run say: its length, every loss, and what was measured on the way."""
    steps, measured = read_steps(folder / "steps.csv"), _read_table(folder / "evaluations.csv")
    if not measured:
        raise CourseError(f"{folder} holds no evaluation. Train with held-out text, or with a smaller evaluate_every.")
    table, last = folder / "training_log.csv", max(steps)
    epochs = _read_table(table) if table.is_file() else []  # a short run ends within its first
    return {
        "tokens": sum(int(row["tokens"]) for row in steps.values()),
        "steps": last,
        "minutes": round(sum(float(row["seconds"]) for row in steps.values()) / 60, 2),
        "step_loss": round(float(steps[last]["loss"]), 6),
        "epoch_loss": float(epochs[-1]["Avg Training Loss"]) if epochs else mean_losses(steps, [last])[0][1],
        "losses": [round(float(row["loss"]), 4) for row in steps.values()],
        "training": mean_losses(steps, [int(row["step"]) for row in measured]),
        "held_out": _column(measured, "held_out"),
        "memorized": _column(measured, "memorized"),
        "samples": some_samples(epochs),
    }


def read_steps(path: Path) -> dict[int, dict[str, str]]:
    """Return the row of each step; a run that went on after a break wrote some twice, and the last one counts."""
    steps = {int(row["step"]): row for row in _read_table(path)}
    if not steps:
        raise CourseError(f"{path} holds no step. Has the run begun?")
    return dict(sorted(steps.items()))


def mean_losses(steps: dict[int, dict[str, str]], ends: Sequence[int]) -> Points:
    """Return the mean training loss of all steps up to each end, from the end before it.

    >>> mean_losses({1: {"loss": "4"}, 2: {"loss": "2"}, 3: {"loss": "1"}}, [2, 3])
    [(2, 3.0), (3, 1.0)]
    """
    means, begin = [], 0
    for end in sorted(set(ends)):
        losses = [float(row["loss"]) for step, row in steps.items() if begin < step <= end]
        if losses:
            means.append((end, round(sum(losses) / len(losses), 6)))
        begin = end
    return means


def some_samples(epochs: Sequence[dict[str, str]], most: int = 5) -> Samples:
    """Return the sentences of the first epoch, the last one and some between.

    >>> rows = [{"Total Steps": str(step), "Generated Sentence": f"To {step}"} for step in range(1, 8)]
    >>> [step for step, _ in some_samples(rows)]
    [1, 3, 4, 5, 7]
    """
    told = [(int(row["Total Steps"]), row["Generated Sentence"]) for row in epochs if row["Generated Sentence"]]
    places = {round(place * (len(told) - 1) / (most - 1)) for place in range(most)} if told else set()
    return [told[place] for place in sorted(places)]


def different_settings(recipe) -> dict:
    """Return the settings of a recipe that differ from the defaults."""
    return {
        field.name: value
        for field in fields(recipe)
        if (value := getattr(recipe, field.name)) != field.default and field.name != "resume"
    }


def machine_in_words(device) -> str:
    """Say what a run ran on, in one line that names no machine."""
    from utils.machine import describe_machine, device_name, has_amx

    if device.type == "cuda":
        return device_name(device)
    return f"a CPU with {describe_machine()['processor']}{' and AMX' * has_amx()}"


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise CourseError(f"{path} is not there. Was the run started by python course.py train, with this out=…?")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _column(rows: list[dict[str, str]], name: str) -> Points:
    by_step = {int(row["step"]): row.get(name) for row in rows}
    return [(step, round(float(value), 6)) for step, value in sorted(by_step.items()) if value]
