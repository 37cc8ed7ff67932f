"""system_log.csv: what a run did to the machine, before, during and after it, sampled beside the work."""

from __future__ import annotations

import csv
import os
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from utils.errors import CourseError
from utils.machine.sensors import Reading, Sensors
from utils.run_log import append_row
from utils.runs.interrupts import TidyEnd

READINGS = (
    "Event",
    "Name",
    "Date & Time",
    "Available RAM (GB)",
    "Available Memory (%)",
    "CPU (%)",
    "Process RAM (MB)",
    "GPU Name",
    "GPU Memory (MB)",
    "Temperature (C / F)",
)
AVERAGED = ("Available RAM (GB)", "Available Memory (%)", "GPU Memory (MB)", "Temperature (C / F)")
COLUMNS = (*READINGS, "Run", *(f"Average {name}" for name in AVERAGED))
MOST_WAITING = 10.0  # seconds for a sensor that hangs, before a run begins or ends without it


class SystemLog:
    """Within a with block, keeps a row of the machine's state before, every so many seconds, and after.

    A thread of its own reads the sensors and writes each row, so that the work never waits. The row After also
    has the averages over all rows of the run. It comes on an error, on Ctrl-C and on SIGTERM, too.
    """

    def __init__(self, path: str | Path = "system_log.csv", every: float = 1.0, sensors: Sensors | None = None) -> None:
        if not 0.01 <= every <= 3600:
            raise CourseError(f"every is {every}, expected 0.01 to 3600 seconds.")
        self.path, self.every = Path(path), every
        self.sensors = sensors or Sensors()
        self.run = ""  # tells the rows of this run from others in the file
        self.last: Reading | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> SystemLog:
        if self._thread is not None:
            raise CourseError(f"{self.path} is being written by this log already; make a SystemLog for each run.")
        self.run = f"{datetime.now().isoformat(' ', 'microseconds')}, process {os.getpid()}"
        self._averages = {name: Average() for name in AVERAGED}
        self._failed, self._lost = None, 0
        self._started, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="system log", daemon=True)
        self._exits = ExitStack()
        self._exits.enter_context(TidyEnd())  # SIGTERM, too, leaves through __exit__
        self._thread.start()
        self._started.wait(MOST_WAITING)
        if self._failed:
            self._finish()
            raise self._failed
        return self

    def __exit__(self, *reason) -> None:
        self._finish()
        if self._lost:
            text = f"{self._lost} rows of {self.path} are missing, since it could not be written: {self._failed}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def resource(self) -> str:
        """Say in a few words what the run uses right now, for the log of epochs."""
        return describe(self.last) if self.last else ""

    def _finish(self) -> None:
        self._stop.set()
        self._thread.join(MOST_WAITING)
        self._thread = None
        self._exits.close()

    def _watch(self) -> None:
        """Write Before, then During until the end is asked for, once at least, then After."""
        try:
            self.sensors.start()
            self._write("Before")
        except CourseError as error:
            self._failed = error
            return
        finally:
            self._started.set()
        due = time.monotonic() + self.every
        ended = self._stop.wait(max(0.0, due - time.monotonic()))
        self._try("During")
        while not ended:
            due = max(due + self.every, time.monotonic())  # after a pause of the machine it doesn't catch up
            ended = self._stop.wait(max(0.0, due - time.monotonic()))
            if not ended:
                self._try("During")
        self._try("After")

    def _try(self, event: str) -> None:
        """Write a row; a full disk costs rows, and not the run."""
        try:
            self._write(event)
        except CourseError as error:
            self._failed, self._lost = error, self._lost + 1

    def _write(self, event: str) -> None:
        self.last = self.sensors.read()
        cells = to_cells(self.last)
        values = [event, cells["Name"], datetime.now().isoformat(" ", "milliseconds")]
        values += [cells[name] for name in READINGS[3:]]
        for name, average in self._averages.items():
            average.add(cells[name])
        ends = [str(average) if event == "After" else "" for average in self._averages.values()]
        append_row(self.path, COLUMNS, [*values, self.run, *ends])


class Average:
    """The mean of the cells of one column, as they were written; empty ones do not count."""

    def __init__(self) -> None:
        self.total, self.count, self.both = 0.0, 0, False

    def add(self, cell: str) -> None:
        first, slash, _ = cell.partition(" / ")  # a temperature is averaged in °C
        if first:
            self.total, self.count, self.both = self.total + float(first), self.count + 1, bool(slash)

    def __str__(self) -> str:
        if not self.count:
            return ""
        mean = self.total / self.count
        return f"{mean:.6g} / {to_fahrenheit(mean):.6g}" if self.both else f"{mean:.9g}"


def to_cells(reading: Reading) -> dict[str, str]:
    """Return the cells of one reading by column; a GB is 10⁹ bytes, and what no sensor told is empty."""
    celsius = reading.celsius
    return {
        "Name": reading.name,
        "Available RAM (GB)": _cell(reading.available_ram, 1e9, 4),
        "Available Memory (%)": _cell(reading.available_share, 0.01, 2),
        "CPU (%)": _cell(reading.cpu_share, 0.01, 1),
        "Process RAM (MB)": _cell(reading.process_ram, 1e6, 2),
        "GPU Name": reading.gpu_name,
        "GPU Memory (MB)": _cell(reading.gpu_memory, 1e6, 2),
        "Temperature (C / F)": "" if celsius is None else f"{celsius:.1f} / {to_fahrenheit(celsius):.1f}",
    }


def _cell(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"


def to_fahrenheit(celsius: float) -> float:
    """Turn degrees Celsius into Fahrenheit.

    >>> to_fahrenheit(100.0)
    212.0
    """
    return celsius * 9 / 5 + 32


def describe(reading: Reading) -> str:
    """Say a reading in a line."""
    cells = to_cells(reading)
    parts = {
        "process {} MB": cells["Process RAM (MB)"],
        "{} GB available": cells["Available RAM (GB)"],
        "GPU {} MB": cells["GPU Memory (MB)"],
        "{} C / F": cells["Temperature (C / F)"],
    }
    return "; ".join([cells["Name"], *(form.format(value) for form, value in parts.items() if value)])


def read_system_log(path: str | Path, run: str | None = None):
    """Return one run's rows as a table, the last run's unless named, with °C and seconds since Before as numbers."""
    import pandas as pd

    if not Path(path).is_file():
        raise CourseError(f"{path} is not there. Hand SystemLog({str(path)!r}) to train(…, system_log=…) first.")
    table = pd.read_csv(path, parse_dates=["Date & Time"])
    runs = table["Run"].drop_duplicates().tolist()
    wanted = run or (runs[-1] if runs else "")
    table = table[table["Run"] == wanted].reset_index(drop=True)
    if table.empty:
        raise CourseError(f"{path} holds no run {wanted!r}, expected one of {', '.join(map(repr, runs)) or 'none'}.")
    degrees = table["Temperature (C / F)"].astype(str).str.partition(" / ")[0]
    table["Celsius"] = pd.to_numeric(degrees, errors="coerce")
    table["Seconds"] = (table["Date & Time"] - table["Date & Time"].iloc[0]).dt.total_seconds()
    return table


def list_runs(path: str | Path) -> Sequence[str]:
    """Return the names of the runs in a file, in the order of their first rows."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(row["Run"] for row in csv.DictReader(file)))
