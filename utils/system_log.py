"""System monitor: RAM, CPU, GPU memory and temperature in system_log.csv, sampled in a thread beside the work.

What a run did to the machine, before, during and after it; lesson 12 writes one, lab 03 reads it.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from utils.errors import CourseError
from utils.files.signals import GracefulExit
from utils.run_log import append_row


@dataclass(frozen=True)
class Reading:
    """One look at the machine; None where there is no sensor."""

    name: str  # of the device that computes
    available_ram: float | None = None  # bytes that a program could still get
    available_share: float | None = None  # of all memory
    cpu_share: float | None = None  # of all cores, by all programs, since the look before
    process_ram: float | None = None  # resident bytes of this process
    process_cpu: float | None = None  # cores that this process kept busy since the look before, two of them are 2.0
    gpu_name: str = ""
    gpu_memory: float | None = None  # bytes in use on the GPU that computes, by all programs
    celsius: float | None = None  # of the GPU that computes, or of the processor


FIGURES = {  # by column: the field of Reading, its unit (a GB is 10⁹ bytes), digits
    "Available RAM (GB)": ("available_ram", 1e9, 4),
    "Available Memory (%)": ("available_share", 0.01, 2),
    "CPU (%)": ("cpu_share", 0.01, 1),
    "Process RAM (MB)": ("process_ram", 1e6, 2),
    "Process CPU (%)": ("process_cpu", 0.01, 1),
    "GPU Memory (MB)": ("gpu_memory", 1e6, 2),
}
READINGS = ("Event", "Name", "Date & Time", *list(FIGURES)[:5], "GPU Name", "GPU Memory (MB)", "Temperature (C / F)")
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
        self._sums = dict.fromkeys(AVERAGED, (0.0, 0))
        self._failed: CourseError | None = None
        self._lost = 0
        self._started, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="system log", daemon=True)
        self._exits = ExitStack()
        self._exits.enter_context(GracefulExit())  # SIGTERM, too, leaves through __exit__
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

    def describe(self) -> str:
        """Say in a few words what the run uses right now, for the log of epochs."""
        return describe(self.last) if self.last else ""

    def _finish(self) -> None:
        self._stop.set()
        if self._thread:
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
        due, ended, rows = time.monotonic(), False, 0
        while not ended:
            due = max(due + self.every, time.monotonic())  # after a pause of the machine it doesn't catch up
            ended = self._stop.wait(max(0.0, due - time.monotonic()))
            if not (ended and rows):
                self._try("During")
                rows += 1
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
        for name, (total, count) in self._sums.items():
            if cells[name]:  # empty ones do not count
                self._sums[name] = total + float(cells[name].partition(" / ")[0]), count + 1
        means = [_mean_cell(name, *sums) if event == "After" else "" for name, sums in self._sums.items()]
        append_row(self.path, COLUMNS, [*values, self.run, *means])


def _mean_cell(name: str, total: float, count: int) -> str:
    """Write the mean of a column's cells; a temperature's is that of its °C."""
    if not count:
        return ""
    mean = total / count
    return f"{mean:.6g} / {to_fahrenheit(mean):.6g}" if name.startswith("Temperature") else f"{mean:.9g}"


def to_cells(reading: Reading) -> dict[str, str]:
    """Return the cells of one reading by column; what no sensor told is empty."""
    figures = {name: _cell(getattr(reading, field), unit, n) for name, (field, unit, n) in FIGURES.items()}
    celsius = reading.celsius
    degrees = "" if celsius is None else f"{celsius:.1f} / {to_fahrenheit(celsius):.1f}"
    return {"Name": reading.name, "GPU Name": reading.gpu_name, "Temperature (C / F)": degrees, **figures}


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
    parts = {"process {} MB": "Process RAM (MB)", "{} GB available": "Available RAM (GB)"}
    parts |= {"GPU {} MB": "GPU Memory (MB)", "{} C / F": "Temperature (C / F)"}
    return "; ".join([reading.name, *(form.format(cells[name]) for form, name in parts.items() if cells[name])])


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


# The sensors

# What drivers call the thermometer of a processor, the ones that name it most exactly first
CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
POSSIBLE = (-40.0, 150.0)  # °C; broken sensors report -273, 255 or 65535
SHORTEST = 0.1  # seconds over which the processor's share means something: the system counts in hundredths
FAILURES = (psutil.Error, OSError, RuntimeError, ValueError, NotImplementedError)


class Sensors:
    """The sensors of the device that computes: the given one, or the best there is."""

    def __init__(self, device: str | None = None, temperatures: Callable | None = None) -> None:
        self.device = device
        on_this_system: Callable = getattr(psutil, "sensors_temperatures", dict)  # Linux and FreeBSD have it
        self.temperatures = temperatures or on_this_system
        self.gpu: Gpu | None = None
        self.name = ""
        self.process: psutil.Process | None = known(psutil.Process)
        self._busy: tuple[float, float | None, float | None] = (0.0, None, None)  # when asked, of all cores, of one

    def start(self) -> None:
        """Find the device, and look at the processor for a moment: it tells its share only over some time."""
        from utils.machine import pick_device

        device = pick_device(self.device)
        self.gpu = known(lambda: Gpu(device, _load_nvml())) if device.type == "cuda" else None
        self.name = self.gpu.name if self.gpu else processor_name()
        self._process_percent()  # the first look gives nothing
        busy = known(lambda: psutil.cpu_percent(SHORTEST))
        self._busy = (time.monotonic(), busy, self._process_percent())

    def read(self) -> Reading:
        """Ask every sensor; each may be missing without harm to the others."""
        memory, (busy, own), process = known(psutil.virtual_memory), self._processor_percents(), self.process
        return Reading(
            self.name,
            memory.available if memory else None,
            memory.available / memory.total if memory and memory.total else None,
            None if busy is None else busy / 100,
            known(lambda: process.memory_info().rss) if process else None,
            None if own is None else own / 100,
            self.gpu.name if self.gpu else "",
            known(self.gpu.used_memory) if self.gpu else None,
            self.gpu.celsius() if self.gpu else processor_celsius(known(self.temperatures) or {}),
        )

    def _processor_percents(self) -> tuple[float | None, float | None]:
        """Return the percent of all cores, and this process's of one, since the look before.

        Where that was a moment ago, it is the last ones once more.
        """
        now = time.monotonic()
        if now - self._busy[0] >= SHORTEST:
            self._busy = (now, known(lambda: psutil.cpu_percent(None)), self._process_percent())
        return self._busy[1:]

    def _process_percent(self) -> float | None:
        process = self.process
        return known(lambda: process.cpu_percent(None)) if process else None


class Gpu:
    """A CUDA device: its name and memory from CUDA, its temperature from NVML where a driver has it."""

    def __init__(self, device, nvml: Any) -> None:
        import torch

        self.cuda, self.device, self.nvml = torch.cuda, device, nvml
        self.name = torch.cuda.get_device_name(device)
        self.uuid = str(torch.cuda.get_device_properties(device).uuid)

    def used_memory(self) -> float:
        """Return the bytes in use on this device, which may be one slice of a GPU."""
        free, total = self.cuda.mem_get_info(self.device)
        return total - free

    def celsius(self) -> float | None:
        """Return the temperature of the chip."""
        return nvml_celsius(self.nvml, self.uuid) if self.nvml else None


def _load_nvml() -> Any:
    """Return NVIDIA's library of sensors, started; None without a driver."""
    with suppress(ImportError, OSError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            return pynvml
    return None


def nvml_celsius(nvml: Any, uuid: str) -> float | None:
    """Return the temperature of the GPU with CUDA's UUID, as the two number devices differently; None without one."""
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return possible(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    except nvml.NVMLError:
        return None


def known(ask: Callable) -> Any:
    """Return what a sensor says, None where it fails."""
    try:
        return ask()
    except FAILURES:
        return None


def processor_celsius(chips: Mapping[str, Sequence]) -> float | None:
    """Return the temperature of the processor's hottest place; a disk's or a battery's is not taken for it.

    >>> from collections import namedtuple
    >>> place = namedtuple("place", "label current high critical")
    >>> disk, cores = [place("", 71.0, None, None)], [place("Core 0", 48.0, 80, 100), place("Core 1", 51.5, 80, 100)]
    >>> processor_celsius({"nvme": disk, "coretemp": cores}), processor_celsius({"nvme": disk})
    (51.5, None)
    """
    for chip in CPU_CHIPS:
        degrees = [value for place in chips.get(chip, ()) if (value := possible(place.current)) is not None]
        if degrees:
            return max(degrees)
    return None


def possible(celsius: float | None) -> float | None:
    """Return a temperature if it can be one.

    >>> [possible(value) for value in (40, -273.0, float("nan"), None)]
    [40.0, None, None, None]
    """
    if celsius is None or not math.isfinite(celsius) or not POSSIBLE[0] < celsius < POSSIBLE[1]:
        return None
    return float(celsius)


@cache
def processor_name() -> str:
    """Return the maker's name of the processor, or its architecture where the system does not tell."""
    return known(_ask_for_processor) or platform.processor() or platform.machine()


def _ask_for_processor() -> str:
    if sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    if sys.platform == "darwin":
        words = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(words, capture_output=True, encoding="utf-8", timeout=5).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return names.get("model name") or names.get("hardware") or names.get("model") or ""
