"""Is a training run that was handed in of one piece? Logs, checkpoint and stored result must tell the same story.

A loss that was changed by hand in one file contradicts the others: an epoch's mean, the checkpoint's own state of
training, the checksums of its tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from labs.true_size.lab_results import StoredRun, read_result
from tools.classroom.lab_files import Work, number, whole
from utils.errors import CourseError
from utils.formats.peft_files import WEIGHTS
from utils.formats.safetensors import LazyTensor, open_safetensors
from utils.run_log import CHAT_COLUMNS, EPOCH_COLUMNS
from utils.system_log import AVERAGED, COLUMNS
from utils.training.checkpoints import BEST, LAST
from utils.training.checksums import CHECKSUMS, STATE, check_intact, checksum

STEP_COLUMNS = ("step", "loss", "seconds", "samples", "tokens")
ROUNDED = 1e-6  # what a mean may be off: it is stored with six digits


@dataclass(frozen=True)
class Step:
    """A row of steps.csv."""

    step: int
    loss: float
    seconds: float
    tokens: int


def at(run: str, name: str) -> str:
    """Return the name of a file in a run's folder, which may be the learner's folder itself."""
    return f"{run}/{name}" if run else name


def read_steps(work: Work, run: str) -> list[Step]:
    """Return the steps of a run: numbered from 1 without a gap, each with a loss and a time that can be."""
    name = at(run, "steps.csv")
    steps = []
    for place, row in enumerate(work.table(name, STEP_COLUMNS), start=1):
        where = f"{name}, row {place}"
        step = Step(
            whole(row, "step", where),
            number(row, "loss", where),
            number(row, "seconds", where),
            whole(row, "tokens", where),
        )
        if step.step != place:
            raise CourseError(f"{where} is step {step.step}, expected step {place}: a row is missing or twice.")
        if step.loss < 0 or step.seconds <= 0:
            raise CourseError(f"{where}: a loss of {step.loss} in {step.seconds} seconds can't be.")
        steps.append(step)
    return steps


def check_steps(work: Work, run: str) -> None:
    """Refuse a run whose steps have a gap, or a figure that can't be."""
    read_steps(work, run)


def check_logs(work: Work, run: str) -> None:
    """Hold the epochs' means in training_log.csv against the steps, and look through the evaluations."""
    steps = read_steps(work, run)
    name, before = at(run, "training_log.csv"), 0
    for row in work.table(name, EPOCH_COLUMNS[:3]):
        end = whole(row, "Total Steps", name)
        epoch = steps[before:end]
        if end > len(steps) or not epoch:
            raise CourseError(f"{name} ends an epoch at step {end}, and steps.csv has {len(steps)} steps.")
        mean = math.fsum(one.loss * one.tokens for one in epoch) / sum(one.tokens for one in epoch)
        said = number(row, "Avg Training Loss", name)
        if abs(mean - said) > ROUNDED:
            raise CourseError(
                f"The losses of steps {before + 1} to {end} have a mean of {mean:.6f}, and {name} says {said:.6f}."
            )
        before = end
    if work.has(at(run, "evaluations.csv")):
        read_evaluations(work, run)


def read_evaluations(work: Work, run: str) -> dict[int, float]:
    """Return step → held-out loss of a run's evaluations."""
    name = at(run, "evaluations.csv")
    rows = work.table(name, ("step", "held_out"))
    return {whole(row, "step", name): number(row, "held_out", name) for row in rows if row["held_out"]}


def check_checkpoint(work: Work, run: str) -> None:
    """Hold a run's checkpoint against its own checksums, and its logs against the checkpoint."""
    name = at(run, LAST)
    path, steps = work.path(name), {one.step: one for one in read_steps(work, run)}
    stored, note = open_safetensors(path)
    if STATE not in note or CHECKSUMS not in note:
        raise CourseError(f"{name} holds weights and no state of training. The file that the run left is needed.")
    check_intact(path, stored, note)
    state = json.loads(note[STATE])
    progress = state["progress"]
    last = steps.get(progress["step"])
    if last is None or last.loss != progress["loss"]:
        said = f"{last.loss:.6f}" if last else "nothing"
        raise CourseError(
            f"{name} was written at step {progress['step']} with a loss of {progress['loss']:.6f}; steps.csv says "
            f"{said} there."
        )
    open_epoch = [steps[progress["step"] - back] for back in range(progress["epoch_steps"])]
    total = math.fsum(one.loss * one.tokens for one in open_epoch)
    if not math.isclose(total, progress["epoch_loss"], rel_tol=1e-9, abs_tol=1e-9):
        raise CourseError(f"The losses of the last {len(open_epoch)} steps in steps.csv are not those of {name}.")
    _check_evaluations(work, run, progress)
    work.path(at(run, WEIGHTS if state["lora"] else BEST))


def _check_evaluations(work: Work, run: str, progress: Mapping) -> None:
    """The checkpoint's last and best held-out losses must be among those that were logged."""
    if progress["best_loss"] is None:
        return
    measured = read_evaluations(work, run)
    last, best = progress["validate_loss"], progress["best_loss"]
    missing = [f"last held-out loss, {last:.6f},"] * (measured.get(progress["evaluated_step"]) != last)
    missing += [f"best held-out loss, {best:.6f},"] * (best not in measured.values())
    if missing:
        raise CourseError(f"The checkpoint's {missing[0]} is not in evaluations.csv.")


def check_target(work: Work, run: str, target: float) -> None:
    """Refuse a run whose last step did not get below the target."""
    last = read_steps(work, run)[-1]
    if last.loss >= target:
        raise CourseError(f"The last step, {last.step}, has a loss of {last.loss:.4f}; the target is {target:g}.")


def check_went_on(work: Work, run: str, step: int) -> None:
    """Refuse a run that was not resumed beyond a step."""
    if (last := len(read_steps(work, run))) <= step:
        raise CourseError(f"The run ends at step {last}: it was to go on from its checkpoint of step {step}.")


def check_learned(work: Work, run: str) -> None:
    """Refuse a run whose best held-out loss is not below its first step's loss."""
    first, best = read_steps(work, run)[0].loss, min(read_evaluations(work, run).values(), default=math.inf)
    if best >= first:
        raise CourseError(f"The best held-out loss, {best:.4f}, is not below the first step's loss, {first:.4f}.")


def check_result(work: Work, run: str, name: str = "result.json") -> None:
    """Hold the figures of a stored result against the run's own files."""
    stored = read_result(StoredRun, work.path(name))
    assert stored is not None  # it is there
    steps, (tensors, _) = read_steps(work, run), open_safetensors(work.path(at(run, LAST)))
    held_out = [(step, round(loss, 6)) for step, loss in sorted(read_evaluations(work, run).items())]
    expected = {
        "steps": len(steps),
        "tokens": sum(one.tokens for one in steps),
        "step_loss": round(steps[-1].loss, 6),
        "minutes": round(math.fsum(one.seconds for one in steps) / 60, 2),
        "held_out": held_out,
        "parameters": sum(math.prod(one.shape) for name, one in weights_of(tensors).items()),
    }
    for field, value in expected.items():
        if (found := getattr(stored, field)) != value:
            told = "others than the run's evaluations" if field == "held_out" else f"{found}, and the run's are {value}"
            raise CourseError(f"{name}: {field} is {told}.")


def weights_of(tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Return the weights of a checkpoint, without moments and random state."""
    return {name: one for name, one in tensors.items() if not name.startswith(("optimizer.", "random."))}


def check_same_weights(work: Work, run: str, folder: str) -> None:
    """Compare the blocks of a model that was saved from a run with those that the run ended with."""
    ended, _ = open_safetensors(work.path(at(run, LAST)))
    saved, _ = open_safetensors(work.path(f"{folder}/{BEST}"))
    for name, tensor in weights_of(ended).items():
        if not name.startswith("h."):
            continue  # a compact run's token table has other rows
        if name not in saved or checksum(name, saved[name].read()) != checksum(name, tensor.read()):
            raise CourseError(f"{folder}/{BEST} is not the model that {run} ended with: {name} is another.")


def check_system_log(work: Work, runs: int, name: str = "system_log.csv") -> dict[str, float]:
    """Look through a log of the machine, and return how many seconds each run in it took."""
    by_run: dict[str, list[dict[str, str]]] = {}
    for row in work.table(name, COLUMNS):
        by_run.setdefault(row["Run"], []).append(row)
    if len(by_run) < runs:
        raise CourseError(f"{name} holds {len(by_run)} runs, expected {runs}.")
    return {run: _check_machine(rows, f"{name}, run {number}") for number, (run, rows) in enumerate(by_run.items(), 1)}


def _check_machine(rows: list[dict[str, str]], where: str) -> float:
    """Before, During, After, in the order of time, and averages that are the means of the rows."""
    events = [row["Event"] for row in rows]
    if events[0] != "Before" or events[-1] != "After" or set(events[1:-1]) != {"During"}:
        raise CourseError(f"{where} does not go from Before over During to After.")
    try:
        times = [datetime.fromisoformat(row["Date & Time"]) for row in rows]
    except ValueError as error:
        raise CourseError(f"{where} has a time that is none: {error}.") from error
    if times != sorted(times):
        raise CourseError(f"{where} goes back in time.")
    for column in AVERAGED:
        cells = [row[column].partition(" / ")[0] for row in rows]
        values = [number({column: cell}, column, where) for cell in cells if cell]
        if not values:
            continue
        said = number({column: rows[-1][f"Average {column}"].partition(" / ")[0]}, column, f"{where}, averages")
        if not math.isclose(said, math.fsum(values) / len(values), rel_tol=1e-4):
            raise CourseError(f"{where}: the average of {column} is not the mean of its rows.")
    return (times[-1] - times[0]).total_seconds()


def check_clock(work: Work, run: str, slack: float = 2.0) -> None:
    """Refuse steps that took longer than the log of the machine says that the run took."""
    took, seconds = math.fsum(one.seconds for one in read_steps(work, run)), check_system_log(work, 1)
    if took > max(seconds.values()) + slack:
        raise CourseError(
            f"The steps of {at(run, 'steps.csv')} take {took:.1f} s together; the longest run in system_log.csv "
            f"took {max(seconds.values()):.1f} s."
        )


def check_chat(work: Work, models: int, name: str = "chat_log.csv") -> None:
    """Refuse a conversation without an answer, or with fewer models than were to be asked."""
    rows = work.table(name, CHAT_COLUMNS)
    if not any(row["GPT Response"].strip() for row in rows):
        raise CourseError(f"{name} holds no answer.")
    if (found := len({row["Model"] for row in rows})) < models:
        raise CourseError(f"{name} holds answers of {found} models, expected {models}.")
