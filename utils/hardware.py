"""What this machine is and what it can do."""

from __future__ import annotations

import os
import platform

import psutil

from utils.config import format_bytes


def machine_memory() -> dict[str, int]:
    """Return the bytes of memory of this machine and, where there is one, of its GPU."""
    import torch

    memory = {"this machine": psutil.virtual_memory().total}
    if torch.cuda.is_available():
        memory["its GPU"] = torch.cuda.get_device_properties(0).total_memory
    return memory


def describe_machine() -> dict[str, str]:
    """Return what a learner should know about this machine, by name."""
    import torch

    from utils.devices import device_name, has_real_bf16, pick_device

    device, memory = pick_device(), psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "processor": f"{usable_cores()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "memory": f"{format_bytes(memory.total)}, {format_bytes(memory.available)} available",
        "device": device_name(device),
        "bfloat16": "in hardware" if has_real_bf16(device.type) else "only imitated: we use other formats",
    }


def usable_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
