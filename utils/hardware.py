"""What this machine is and what it can do."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from utils.config import format_bytes
from utils.errors import CourseError


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


@contextmanager
def cpu_memory_cap(more: int) -> Iterator[None]:
    """Within a with block, let this process take at most `more` bytes beyond what it has; Linux keeps it to that."""
    if sys.platform != "linux":
        raise CourseError(
            f"{platform.system()} holds no process to a limit of its memory. Use the caps of plan_placement, which "
            "are kept by arithmetic, or run this on Linux, in WSL or on Colab."
        )
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = private_memory() + more
    if hard != resource.RLIM_INFINITY and limit > hard:
        raise CourseError(f"This process may have {format_bytes(hard)} in all, {format_bytes(limit)} were asked for.")
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def private_memory() -> int:
    """Return the bytes that this process has asked Linux for, used or not; files that it maps don't count."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


@contextmanager
def gpu_memory_cap(most: int) -> Iterator[None]:
    """Within a with block, let PyTorch take at most `most` bytes of the GPU."""
    import torch

    if not torch.cuda.is_available():
        raise CourseError("There is no CUDA GPU here, so there is no memory of a GPU to cap.")
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    if not 0 < most <= total:
        raise CourseError(f"A cap of {most:,} bytes was asked for, this GPU has {total:,}.")
    torch.cuda.set_per_process_memory_fraction(most / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
