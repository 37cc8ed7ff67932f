"""What this machine says of itself right now: memory, processor, process, GPU, temperature. No sensor, no figure."""

from __future__ import annotations

import math
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

# What drivers call the thermometer of a processor, the ones that name it most exactly first
CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
POSSIBLE = (-40.0, 150.0)  # °C; broken sensors report -273, 255 or 65535
SHORTEST = 0.1  # seconds over which the processor's share means something: the system counts in hundredths
FAILURES = (psutil.Error, OSError, RuntimeError, ValueError, NotImplementedError)


@dataclass(frozen=True)
class Reading:
    """One look at the machine; None where there is no sensor."""

    name: str  # of the device that computes
    available_ram: float | None = None  # bytes that a program could still get
    available_share: float | None = None  # of all memory
    cpu_share: float | None = None  # of all cores, by all programs, since the look before
    process_ram: float | None = None  # resident bytes of this process
    gpu_name: str = ""
    gpu_memory: float | None = None  # bytes in use on the GPU that computes, by all programs
    celsius: float | None = None  # of the GPU that computes, or of the processor


class Sensors:
    """The sensors of the device that computes: the given one, or the best there is."""

    def __init__(self, device: str | None = None, temperatures: Callable | None = None, nvml: Any = None) -> None:
        self.device = device
        self.temperatures = temperatures or getattr(psutil, "sensors_temperatures", dict)  # Linux and FreeBSD have it
        self.nvml = nvml
        self.gpu: Gpu | None = None
        self.name = ""
        self._busy: tuple[float, float | None] = (0.0, None)  # when asked, share of the cores

    def start(self) -> None:
        """Find the device, and look at the processor for a moment: it tells its share only over some time."""
        from utils.devices import pick_device

        device = pick_device(self.device)
        self.gpu = known(lambda: Gpu(device, self.nvml or _load_nvml())) if device.type == "cuda" else None
        self.name = self.gpu.name if self.gpu else processor_name()
        busy = known(lambda: psutil.cpu_percent(SHORTEST))
        self._busy = (time.monotonic(), busy)

    def read(self) -> Reading:
        """Ask every sensor; each may be missing without harm to the others."""
        memory, busy = known(psutil.virtual_memory), self._processor_percent()
        return Reading(
            self.name,
            memory.available if memory else None,
            memory.available / memory.total if memory and memory.total else None,
            None if busy is None else busy / 100,
            known(lambda: psutil.Process().memory_info().rss),
            self.gpu.name if self.gpu else "",
            known(self.gpu.used_memory) if self.gpu else None,
            self.gpu.celsius() if self.gpu else processor_celsius(known(self.temperatures) or {}),
        )

    def _processor_percent(self) -> float | None:
        """Return the share since the look before, or once more the last one where that was a moment ago."""
        now = time.monotonic()
        if now - self._busy[0] >= SHORTEST:
            self._busy = (now, known(lambda: psutil.cpu_percent(None)))
        return self._busy[1]


class Gpu:
    """A CUDA device: its name and memory from CUDA, its temperature from NVML where a driver has it."""

    def __init__(self, device, nvml: Any) -> None:
        import torch

        self.device, self.nvml = device, nvml
        self.name = torch.cuda.get_device_name(device)
        self.handle = nvml_handle(nvml, str(torch.cuda.get_device_properties(device).uuid)) if nvml else None

    def used_memory(self) -> float:
        """Return the bytes in use on this device, which may be one slice of a GPU."""
        import torch

        free, total = torch.cuda.mem_get_info(self.device)
        return total - free

    def celsius(self) -> float | None:
        """Return the temperature of the chip."""
        if self.handle is None:
            return None
        return nvml_celsius(self.nvml, self.handle)


def _load_nvml() -> Any:
    """Return NVIDIA's library of sensors, started; None without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, OSError):
        return None
    except pynvml.NVMLError:
        return None
    return pynvml


def nvml_handle(nvml: Any, uuid: str) -> Any:
    """Return NVML's handle of the GPU with CUDA's UUID: the two number their devices differently."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except nvml.NVMLError:
        return None


def nvml_celsius(nvml: Any, handle: Any) -> float | None:
    """Return the temperature of a GPU, None where it does not tell."""
    try:
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
    ask = {"Linux": _linux_processor, "Darwin": _apple_processor, "Windows": _windows_processor}
    found = known(ask.get(platform.system(), platform.processor))
    return found or platform.processor() or platform.machine()


def _linux_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {name.strip().lower(): value.strip() for name, value in values.items()}
    return names.get("model name") or names.get("hardware") or names.get("model") or ""


def _apple_processor() -> str:
    words = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(words, capture_output=True, encoding="utf-8", timeout=5).stdout.strip()


def _windows_processor() -> str:
    import winreg

    place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
